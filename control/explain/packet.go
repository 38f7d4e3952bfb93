// Package explain puts into words what the program would make of a packet: a trace
// of loader.DryRun and what the router knows become an explanation. Everything here
// is a function from values to values.
package explain

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/tarpon-lb/tarpon/loader"
)

// A Packet is one with ports, between two ends.
type Packet struct {
	From, To netip.AddrPort
	Protocol loader.Protocol
	Flags    string // of TCP: letters of FSRPA
	Size     int    // of the IP packet; less than its headers: these only
	TTL      int
	Fragment bool // the first of several
}

const flagLetters = "FSRPAU" // from bit 0 of TCP's flags on

const (
	ethernetLength = 14
	typeIPv4       = 0x0800
	typeIPv6       = 0x86dd
	protoICMP      = 1
	protoFragment  = 44
	protoICMPv6    = 58
	moreFragments  = 0x2000
)

// Frame is the packet in Ethernet. It is for the program's eyes only, which does not
// look at checksums: they are zero.
func (p Packet) Frame(source, destination [6]byte) []byte {
	frame := append(append([]byte{}, destination[:]...), source[:]...)
	transport := p.transport()
	if p.From.Addr().Is6() {
		return append(binary.BigEndian.AppendUint16(frame, typeIPv6), p.ipv6(transport)...)
	}
	return append(binary.BigEndian.AppendUint16(frame, typeIPv4), p.ipv4(transport)...)
}

func (p Packet) transport() []byte {
	b := binary.BigEndian.AppendUint16(nil, p.From.Port())
	b = binary.BigEndian.AppendUint16(b, p.To.Port())
	if p.Protocol == loader.UDP {
		return append(b, make([]byte, 4)...) // length: see pad
	}
	var flags byte
	for _, letter := range p.Flags {
		flags |= 1 << strings.IndexRune(flagLetters, letter)
	}
	return append(b, 0, 0, 0, 1, 0, 0, 0, 1, 5<<4, flags, 0xff, 0xff, 0, 0, 0, 0)
}

// pad makes the payload of an IP packet as long as its size asks.
func (p Packet) pad(transport []byte, header int) []byte {
	if missing := p.Size - header - len(transport); missing > 0 {
		transport = append(transport, make([]byte, missing)...)
	}
	if p.Protocol == loader.UDP {
		binary.BigEndian.PutUint16(transport[4:], uint16(len(transport)))
	}
	return transport
}

func (p Packet) ipv4(transport []byte) []byte {
	const header = 20
	transport = p.pad(transport, header)
	b := []byte{0x45, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(header+len(transport)))
	fragment := uint16(0)
	if p.Fragment {
		fragment = moreFragments
	}
	b = binary.BigEndian.AppendUint16(append(b, 0, 0), fragment)
	b = append(b, byte(p.TTL), byte(p.Protocol), 0, 0)
	return append(append(append(b, p.From.Addr().AsSlice()...), p.To.Addr().AsSlice()...), transport...)
}

func (p Packet) ipv6(transport []byte) []byte {
	const header = 40
	next := byte(p.Protocol)
	if p.Fragment {
		transport = append([]byte{next, 0, 0, 1, 0, 0, 0, 1}, p.pad(transport, header+8)...)
		next = protoFragment
	} else {
		transport = p.pad(transport, header)
	}
	b := binary.BigEndian.AppendUint16([]byte{0x60, 0, 0, 0}, uint16(len(transport)))
	b = append(b, next, byte(p.TTL))
	return append(append(append(b, p.From.Addr().AsSlice()...), p.To.Addr().AsSlice()...), transport...)
}

// String is the packet as Describe would show its frame.
func (p Packet) String() string { return Describe(p.Frame([6]byte{}, [6]byte{})) }

// Describe shows the packet in a frame; empty: it is none that Frame or the program
// makes.
func Describe(frame []byte) string {
	if len(frame) < ethernetLength+20 {
		return ""
	}
	ip := frame[ethernetLength:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case typeIPv4:
		header := int(ip[0]&0xf) * 4
		source, destination := netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20]))
		return describe(ip[9], ip[8], source, destination, ip[min(header, len(ip)):])
	case typeIPv6:
		if len(ip) < 40 {
			return ""
		}
		source, destination := netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40]))
		next, rest := ip[6], ip[40:]
		if next == protoFragment && len(rest) > 8 {
			next, rest = rest[0], rest[8:]
		}
		return describe(next, ip[7], source, destination, rest)
	}
	return ""
}

func describe(protocol, ttl byte, source, destination netip.Addr, transport []byte) string {
	if (protocol == protoICMP || protocol == protoICMPv6) && len(transport) >= 8 {
		text := fmt.Sprintf("icmp %s > %s, %s, ttl %d", source, destination, icmpName(protocol, transport[0], transport[1]), ttl)
		if mtu := binary.BigEndian.Uint32(transport[4:]); mtu != 0 {
			text += fmt.Sprintf(", mtu %d", mtu)
		}
		return text
	}
	if len(transport) < 8 {
		return ""
	}
	from := netip.AddrPortFrom(source, binary.BigEndian.Uint16(transport))
	to := netip.AddrPortFrom(destination, binary.BigEndian.Uint16(transport[2:]))
	text := fmt.Sprintf("%s %s > %s", loader.Protocol(protocol), from, to)
	if loader.Protocol(protocol) == loader.TCP && len(transport) >= 20 {
		text += ", flags "
		for i, letter := range flagLetters {
			if transport[13]&(1<<i) != 0 {
				text += string(letter)
			}
		}
	}
	return text + fmt.Sprintf(", ttl %d", ttl)
}

// icmpName is what the program answers with.
func icmpName(protocol, kind, code byte) string {
	names := map[[3]byte]string{
		{protoICMP, 3, 1}: "host unreachable", {protoICMP, 3, 3}: "port unreachable", {protoICMP, 3, 4}: "fragmentation needed",
		{protoICMP, 3, 13}: "prohibited", {protoICMP, 11, 0}: "time exceeded",
		{protoICMPv6, 1, 0}: "no route", {protoICMPv6, 1, 1}: "prohibited", {protoICMPv6, 1, 4}: "port unreachable",
		{protoICMPv6, 2, 0}: "packet too big", {protoICMPv6, 3, 0}: "time exceeded",
	}
	if name, ok := names[[3]byte{protocol, kind, code}]; ok {
		return name
	}
	return fmt.Sprintf("type %d code %d", kind, code)
}
