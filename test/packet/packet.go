// Package packet builds frames from short literals, and runs tables of them
// through the programs. It shares no code with the programs: checksums are
// gopacket's.
package packet

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// A P is a packet in a literal; zero fields have plain defaults.
type P struct {
	From, To  string // ADDR:PORT; ADDR for ICMP
	Proto     string // tcp (default), udp, icmp
	Flags     string // of TCP: S A F R P, default A
	Seq, Ack  uint32
	TTL       uint8 // default 64
	Payload   string
	SrcMAC    net.HardwareAddr
	DstMAC    net.HardwareAddr
	NoUDPSum  bool   // UDP checksum 0
	Fragment  uint16 // IPv4 fragment offset in 8 bytes
	More      bool   // IPv4 more fragments
	DF        bool
	Options   []byte // of IPv4
	ICMP      [2]uint8
	ICMPRest  uint32
	Quote     []byte // ICMP's payload: an IP packet
	Window    uint16
	Truncate  int // bytes cut off the end of the frame
	EtherType uint16
}

// Frame is the bytes.
func (p P) Frame() []byte {
	if p.SrcMAC == nil {
		p.SrcMAC, p.DstMAC = make(net.HardwareAddr, 6), make(net.HardwareAddr, 6)
	}
	eth := &layers.Ethernet{SrcMAC: p.SrcMAC, DstMAC: p.DstMAC, EthernetType: layers.EthernetTypeIPv4}
	from, to := ends(p.From), ends(p.To)
	ttl := p.TTL
	if ttl == 0 {
		ttl = 64
	}
	var network gopacket.NetworkLayer
	list := []gopacket.SerializableLayer{eth}
	if from.Addr().Is6() {
		eth.EthernetType = layers.EthernetTypeIPv6
		ip := &layers.IPv6{Version: 6, HopLimit: ttl, SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice(), NextHeader: p.protocol(true)}
		network, list = ip, append(list, ip)
	} else {
		ip := &layers.IPv4{Version: 4, IHL: 5, TTL: ttl, SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice(), Protocol: p.protocol(false), FragOffset: p.Fragment}
		if p.More {
			ip.Flags |= layers.IPv4MoreFragments
		}
		if p.DF {
			ip.Flags |= layers.IPv4DontFragment
		}
		if len(p.Options) > 0 {
			ip.Options = []layers.IPv4Option{{OptionType: p.Options[0], OptionLength: uint8(len(p.Options)), OptionData: p.Options[2:]}}
		}
		network, list = ip, append(list, ip)
	}
	if p.EtherType != 0 {
		eth.EthernetType = layers.EthernetType(p.EtherType)
	}
	payload := []byte(p.Payload)
	switch p.Proto {
	case "udp":
		udp := &layers.UDP{SrcPort: layers.UDPPort(from.Port()), DstPort: layers.UDPPort(to.Port())}
		must(udp.SetNetworkLayerForChecksum(network))
		list = append(list, udp)
	case "icmp":
		if from.Addr().Is6() {
			icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(p.ICMP[0], p.ICMP[1])}
			must(icmp.SetNetworkLayerForChecksum(network))
			list = append(list, icmp)
			payload = append(big(p.ICMPRest), p.Quote...)
		} else {
			list = append(list, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(p.ICMP[0], p.ICMP[1]), Id: uint16(p.ICMPRest >> 16), Seq: uint16(p.ICMPRest)})
			payload = append(payload, p.Quote...)
		}
	default:
		tcp := &layers.TCP{SrcPort: layers.TCPPort(from.Port()), DstPort: layers.TCPPort(to.Port()), Seq: p.Seq, Ack: p.Ack, Window: p.Window}
		flags := p.Flags
		if flags == "" {
			flags = "A"
		}
		tcp.SYN, tcp.ACK = strings.Contains(flags, "S"), strings.Contains(flags, "A")
		tcp.FIN, tcp.RST = strings.Contains(flags, "F"), strings.Contains(flags, "R")
		tcp.PSH = strings.Contains(flags, "P")
		must(tcp.SetNetworkLayerForChecksum(network))
		list = append(list, tcp)
	}
	buffer := gopacket.NewSerializeBuffer()
	list = append(list, gopacket.Payload(payload))
	must(gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, list...))
	frame := buffer.Bytes()
	frame = frame[:14+ipLength(frame[14:])] // gopacket pads short frames
	if p.NoUDPSum {
		at := 14 + 20 + 6
		if from.Addr().Is6() {
			at = 14 + 40 + 6
		}
		frame[at], frame[at+1] = 0, 0
	}
	return frame[:len(frame)-p.Truncate]
}

func ipLength(ip []byte) int {
	if ip[0]>>4 == 6 {
		return 40 + int(binary.BigEndian.Uint16(ip[4:]))
	}
	return int(binary.BigEndian.Uint16(ip[2:]))
}

// IP is the packet without its Ethernet header, cut to n bytes; 0: whole.
func (p P) IP(n int) []byte {
	ip := p.Frame()[14:]
	if n > 0 && n < len(ip) {
		ip = ip[:n]
	}
	return ip
}

func (p P) protocol(v6 bool) layers.IPProtocol {
	switch {
	case p.Proto == "udp":
		return layers.IPProtocolUDP
	case p.Proto == "icmp" && v6:
		return layers.IPProtocolICMPv6
	case p.Proto == "icmp":
		return layers.IPProtocolICMPv4
	}
	return layers.IPProtocolTCP
}

func big(n uint32) []byte { return []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)} }

func ends(s string) netip.AddrPort {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, 0)
	}
	return netip.MustParseAddrPort(s)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// Differ says in words how two frames differ; empty: not at all.
func Differ(got, want []byte) string {
	if string(got) == string(want) {
		return ""
	}
	text := func(b []byte) string {
		p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
		var s strings.Builder
		for _, l := range p.Layers() {
			fmt.Fprintf(&s, "  %s\n", gopacket.LayerString(l))
		}
		return s.String()
	}
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	return fmt.Sprintf("%d bytes, want %d; they differ from byte %d on\ngot:\n%swant:\n%s", len(got), len(want), at, text(got), text(want))
}
