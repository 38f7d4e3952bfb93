package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// A kind is what a scenario's packets are.
type kind struct {
	TCP  bool
	IPv6 bool
}

func (k kind) String() string {
	return k.transport() + " " + k.family()
}

func (k kind) transport() string {
	if k.TCP {
		return "TCP"
	}
	return "UDP"
}

func (k kind) family() string {
	if k.IPv6 {
		return "IPv6"
	}
	return "IPv4"
}

func (k kind) protocol() uint8 {
	if k.TCP {
		return unix.IPPROTO_TCP
	}
	return unix.IPPROTO_UDP
}

// frameLength is FRAME4 or FRAME6 of bpf/client.h.
func (k kind) frameLength() int {
	if k.IPv6 {
		return 80
	}
	return 64
}

// segment is the offset of the TCP or UDP header.
func (k kind) segment() int {
	if k.IPv6 {
		return 54
	}
	return 34
}

// number is the offset of the flow's number, the first bytes of the payload.
func (k kind) number() int {
	if k.TCP {
		return k.segment() + 20
	}
	return k.segment() + 8
}

// direction of a path through the router.
type direction int

const (
	inbound direction = iota // client to vip, from the generator to the sink
	reply                    // real to client, from the sink to the generator
)

// tcpPhase is which segment of a connection a TCP template is.
type tcpPhase int

const (
	established tcpPhase = iota // a bare ACK with data
	opening                     // SYN inbound, SYN|ACK as a reply
)

// hopLimit of a frame as it leaves the generator.
const hopLimit = 64

// A template is a frame without what differs from flow to flow: the client's
// address and port, the real's last byte (replies), the number and the
// checksums; and the sums of the rest, as the generator wants them.
type template struct {
	bytes        []byte
	ipSum, l4Sum uint32
}

// newTemplate makes the frame of kind k in direction d, between the devices
// with the given addresses. An inbound frame is sent to destination.
func newTemplate(k kind, d direction, phase tcpPhase, source, destination net.HardwareAddr, to netip.AddrPort) template {
	n := networkOf(k.IPv6)
	b := make([]byte, k.frameLength())
	copy(b, destination)
	copy(b[6:], source)
	from, port, toAddr, toPort := zeroOf(n.vip), uint16(0), to.Addr(), to.Port()
	if d == reply {
		from, port, toAddr, toPort = n.real0, realPort, zeroOf(n.vip), 0
	}
	putIP(b, k, from, toAddr)
	s := b[k.segment():]
	binary.BigEndian.PutUint16(s, port)
	binary.BigEndian.PutUint16(s[2:], toPort)
	if k.TCP {
		putTCP(s, d, phase)
	} else {
		binary.BigEndian.PutUint16(s[4:], uint16(len(s)))
	}
	t := template{bytes: b, l4Sum: pseudoSum(b, k) + sum(s)}
	if !k.IPv6 {
		t.ipSum = sum(b[14:34])
	}
	return t
}

func zeroOf(a netip.Addr) netip.Addr {
	if a.Is6() {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

func putIP(b []byte, k kind, from, to netip.Addr) {
	ip := b[14:]
	if k.IPv6 {
		binary.BigEndian.PutUint16(b[12:], unix.ETH_P_IPV6)
		ip[0] = 0x60
		binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-40))
		ip[6], ip[7] = k.protocol(), hopLimit
		copy(ip[8:], from.AsSlice())
		copy(ip[24:], to.AsSlice())
		return
	}
	binary.BigEndian.PutUint16(b[12:], unix.ETH_P_IP)
	ip[0] = 0x45
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	ip[8], ip[9] = hopLimit, k.protocol()
	copy(ip[12:], from.AsSlice())
	copy(ip[16:], to.AsSlice())
}

// Sequence numbers of every connection: one byte further for each SYN.
const (
	clientSequence = 1000
	realSequence   = 2000
)

func putTCP(s []byte, d direction, phase tcpPhase) {
	const fin, syn, ack = 0x01, 0x02, 0x10
	seq, acked := uint32(clientSequence), uint32(realSequence)
	if d == reply {
		seq, acked = acked, seq
	}
	flags := byte(ack)
	switch {
	case phase == opening && d == inbound:
		flags, acked = syn, 0
	case phase == opening:
		flags, acked = syn|ack, acked+1
	default:
		seq, acked = seq+1, acked+1
	}
	binary.BigEndian.PutUint32(s[4:], seq)
	binary.BigEndian.PutUint32(s[8:], acked)
	s[12], s[13] = 5<<4, flags
	binary.BigEndian.PutUint16(s[14:], 65535)
}

// sum adds up b's 16-bit words as they lie in memory on a little-endian machine.
func sum(b []byte) uint32 {
	var s uint32
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(binary.LittleEndian.Uint16(b[i:]))
	}
	return s
}

// pseudoSum is the sum of the pseudo header of frame b.
func pseudoSum(b []byte, k kind) uint32 {
	from, to := 26, 34
	if k.IPv6 {
		from, to = 22, 54
	}
	var rest [4]byte
	rest[1] = k.protocol()
	binary.BigEndian.PutUint16(rest[2:], uint16(len(b)-k.segment()))
	return sum(b[from:to]) + sum(rest[:])
}

// verify says what is wrong with a frame that came out of the router: it must
// be of a flow's own client, whole, with right checksums, and between the ends
// that it should be between. peer is the other end: the real inbound, else what
// the client should see.
func verify(b []byte, k kind, d direction, hops int, peer func(netip.AddrPort) error) error {
	b = b[:k.frameLength()]
	if ttl := int(b[ttlOffset(k)]); ttl != hopLimit-hops {
		return fmt.Errorf("hop limit is %d, want %d", ttl, hopLimit-hops)
	}
	if !k.IPv6 && fold(sum(b[14:34])) != 0xffff {
		return fmt.Errorf("wrong IPv4 header checksum")
	}
	if fold(pseudoSum(b, k)+sum(b[k.segment():])) != 0xffff {
		return fmt.Errorf("wrong %s checksum", k.transport())
	}
	from, to := ends(b, k)
	client, other := from, to
	if d == reply {
		client, other = to, from
	}
	flow := binary.LittleEndian.Uint32(b[k.number():])
	if want := clientOf(flow, k.IPv6); client != want {
		return fmt.Errorf("client of flow %d is %s, want %s", flow, client, want)
	}
	if err := peer(other); err != nil {
		return fmt.Errorf("flow %d: %w", flow, err)
	}
	return nil
}

func ttlOffset(k kind) int {
	if k.IPv6 {
		return 21
	}
	return 22
}

func ends(b []byte, k kind) (from, to netip.AddrPort) {
	at, length := 26, 4
	if k.IPv6 {
		at, length = 22, 16
	}
	src, _ := netip.AddrFromSlice(b[at : at+length])
	dst, _ := netip.AddrFromSlice(b[at+length : at+2*length])
	s := b[k.segment():]
	return netip.AddrPortFrom(src, binary.BigEndian.Uint16(s)),
		netip.AddrPortFrom(dst, binary.BigEndian.Uint16(s[2:]))
}

func fold(s uint32) uint16 {
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return uint16(s)
}
