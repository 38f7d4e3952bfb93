package host

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// A probing is how one family asks.
type probing struct {
	protocol uint16
	filter   []unix.SockFilter
	question func(MAC, netip.Addr) []byte
	answer   func(frame []byte) (netip.Addr, MAC, bool)
}

var probings = [families]probing{
	ipv4: {unix.ETH_P_ARP, nil, arpProbe, arpAnswer},
	ipv6: {unix.ETH_P_IPV6, onlyAdvertisements, solicitation, advertisement},
}

// Probe asks once on an interface who has these addresses, as before an address is
// taken (RFC 5227 section 2.1.1, RFC 4862 section 5.4), and returns the MACs of the
// machines that answer in time. Nobody's cache is changed by it.
func Probe(device Interface, addresses []netip.Addr, wait time.Duration) (map[netip.Addr]MAC, error) {
	question, err := Ask(device, addresses)
	if err != nil {
		return nil, err
	}
	return question.Answers(wait)
}

// A Question is a Probe that was sent.
type Question struct {
	device Interface
	asked  map[netip.Addr]bool
	ears   [families]int // sockets; -1: none
}

// Ask sends a Probe's frames and returns at once. The caller reads the Answers.
func Ask(device Interface, addresses []netip.Addr) (*Question, error) {
	q := &Question{device: device, asked: map[netip.Addr]bool{}, ears: [families]int{-1, -1}}
	for _, a := range addresses {
		q.asked[a] = true
		if err := q.ask(a); err != nil {
			q.close()
			return nil, fmt.Errorf("probe on %s: %w", device.Name, err)
		}
	}
	return q, nil
}

func (q *Question) ask(address netip.Addr) (err error) {
	f := familyOf(address)
	if q.ears[f] < 0 {
		if q.ears[f], err = openRaw(q.device.Index, probings[f].protocol, probings[f].filter); err != nil {
			return err
		}
	}
	_, err = unix.Write(q.ears[f], probings[f].question(q.device.MAC, address))
	return err
}

// Answers are those that come in time. They can be read once.
func (q *Question) Answers(wait time.Duration) (map[netip.Addr]MAC, error) {
	defer q.close()
	found := map[netip.Addr]MAC{}
	for deadline := time.Now().Add(wait); ; {
		f, frame, err := q.receive(deadline)
		if errors.Is(err, unix.ETIMEDOUT) {
			return found, nil
		}
		if err != nil {
			return found, fmt.Errorf("probe on %s: %w", q.device.Name, err)
		}
		if a, mac, ok := probings[f].answer(frame); ok && q.asked[a] && mac != q.device.MAC {
			found[a] = mac
		}
	}
}

func (q *Question) close() {
	for _, socket := range q.ears {
		if socket >= 0 {
			unix.Close(socket)
		}
	}
}

// openRaw opens a socket for frames of one protocol on an interface.
func openRaw(index int, protocol uint16, filter []unix.SockFilter) (int, error) {
	// Deaf until the filter and the interface are set.
	socket, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if len(filter) > 0 {
		program := &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		err = unix.SetsockoptSockFprog(socket, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, program)
	}
	if err == nil {
		network := protocol>>8 | protocol<<8
		err = unix.Bind(socket, &unix.SockaddrLinklayer{Protocol: network, Ifindex: index})
	}
	if err != nil {
		unix.Close(socket)
		return -1, err
	}
	return socket, nil
}

// receive is the next frame, of either family; ETIMEDOUT: none came until the deadline.
func (q *Question) receive(deadline time.Time) (family, []byte, error) {
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return 0, nil, unix.ETIMEDOUT
		}
		var poll [families]unix.PollFd // a negative one is passed over
		for f, socket := range q.ears {
			poll[f] = unix.PollFd{Fd: int32(socket), Events: unix.POLLIN}
		}
		if _, err := unix.Poll(poll[:], int(left/time.Millisecond)+1); err != nil && !errors.Is(err, unix.EINTR) {
			return 0, nil, err
		}
		for f := range poll {
			if poll[f].Revents == 0 {
				continue
			}
			frame := make([]byte, 256)
			n, _, err := unix.Recvfrom(q.ears[f], frame, unix.MSG_DONTWAIT)
			if err == nil {
				return family(f), frame[:n], nil
			}
			if !errors.Is(err, unix.EAGAIN) {
				return 0, nil, err
			}
		}
	}
}

var (
	broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	// arpHeader is for Ethernet and IPv4.
	arpHeader = []byte{0, 1, 8, 0, 6, 4}
)

const (
	arpRequest = 1

	icmpv6                 = 58
	neighbourSolicitation  = 135
	neighbourAdvertisement = 136
	targetLinkAddress      = 2
)

// arpProbe is a request without a sender's address.
func arpProbe(mac MAC, address netip.Addr) []byte {
	b := append(append(bytes.Clone(broadcast[:]), mac[:]...), 0x08, 0x06)
	b = append(append(b, arpHeader...), 0, arpRequest)
	b = append(append(b, mac[:]...), 0, 0, 0, 0)
	return append(append(b, make([]byte, 6)...), address.AsSlice()...)
}

// arpAnswer takes any ARP from an address: a probe of somebody who wants it too has
// none.
func arpAnswer(frame []byte) (netip.Addr, MAC, bool) {
	if len(frame) < 42 || !bytes.Equal(frame[14:20], arpHeader) {
		return netip.Addr{}, MAC{}, false
	}
	return netip.AddrFrom4([4]byte(frame[28:32])), MAC(frame[22:28]), true
}

// solicitation is a duplicate address detection's: from nobody, to the address's
// solicited-node group.
func solicitation(mac MAC, address netip.Addr) []byte {
	target := address.As16()
	group := netip.MustParseAddr("ff02::1:ff00:0").As16()
	copy(group[13:], target[13:])
	b := append([]byte{0x33, 0x33}, group[12:]...)
	b = append(append(b, mac[:]...), 0x86, 0xdd)
	b = append(b, 0x60, 0, 0, 0, 0, 24, icmpv6, 255)
	b = append(append(b, make([]byte, 16)...), group[:]...)
	message := append([]byte{neighbourSolicitation, 0, 0, 0, 0, 0, 0, 0}, target[:]...)
	binary.BigEndian.PutUint16(message[2:], icmpChecksum(netip.IPv6Unspecified().As16(), group, message))
	return append(b, message...)
}

// icmpChecksum is RFC 4443's, section 2.3.
func icmpChecksum(source, destination [16]byte, message []byte) uint16 {
	sum := uint32(len(message) + icmpv6)
	for _, part := range [][]byte{source[:], destination[:], message} {
		for i := 0; i+1 < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// onlyAdvertisements keeps the router's IPv6 traffic away from the socket.
var onlyAdvertisements = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 14 + 6},
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: icmpv6, Jf: 3},
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 14 + 40},
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: neighbourAdvertisement, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: 256},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
}

// advertisement reads whose address it tells, by the option or, without one, by its
// sender.
func advertisement(frame []byte) (netip.Addr, MAC, bool) {
	const message = 14 + 40
	if len(frame) < message+24 || frame[message] != neighbourAdvertisement {
		return netip.Addr{}, MAC{}, false
	}
	mac := MAC(frame[6:12])
	if option := frame[message+24:]; len(option) >= 8 && option[0] == targetLinkAddress && option[1] == 1 {
		mac = MAC(option[2:8])
	}
	return netip.AddrFrom16([16]byte(frame[message+8 : message+24])), mac, true
}
