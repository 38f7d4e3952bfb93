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

// Probe asks once on an interface who has these addresses, as before an address is
// taken (RFC 5227 section 2.1.1, RFC 4862 section 5.4), and returns the MACs of the
// machines that answer in time. Nobody's cache is changed by it.
func Probe(device Interface, addresses []netip.Addr, wait time.Duration) (map[netip.Addr]MAC, error) {
	wanted := [families][]netip.Addr{}
	for _, a := range addresses {
		wanted[familyOf(a)] = append(wanted[familyOf(a)], a)
	}
	found := map[netip.Addr]MAC{}
	for f, p := range [families]probing{
		ipv4: {unix.ETH_P_ARP, nil, arpProbe, arpAnswer},
		ipv6: {unix.ETH_P_IPV6, onlyAdvertisements, solicitation, advertisement},
	} {
		if len(wanted[f]) == 0 {
			continue
		}
		if err := p.ask(device, wanted[f], wait, found); err != nil {
			return found, fmt.Errorf("probe on %s: %w", device.Name, err)
		}
	}
	return found, nil
}

func (p probing) ask(device Interface, addresses []netip.Addr, wait time.Duration, found map[netip.Addr]MAC) error {
	socket, err := openRaw(device.Index, p.protocol, p.filter)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	wanted := map[netip.Addr]bool{}
	for _, a := range addresses {
		wanted[a] = true
		if _, err := unix.Write(socket, p.question(device.MAC, a)); err != nil {
			return err
		}
	}
	for deadline := time.Now().Add(wait); ; {
		frame, err := receive(socket, deadline)
		if errors.Is(err, unix.ETIMEDOUT) {
			return nil
		}
		if err != nil {
			return err
		}
		if a, mac, ok := p.answer(frame); ok && wanted[a] && mac != device.MAC {
			found[a] = mac
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

// receive is the next frame; ETIMEDOUT: none came until the deadline.
func receive(socket int, deadline time.Time) ([]byte, error) {
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return nil, unix.ETIMEDOUT
		}
		poll := []unix.PollFd{{Fd: int32(socket), Events: unix.POLLIN}}
		ready, err := unix.Poll(poll, int(left/time.Millisecond)+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return nil, err
		}
		if ready <= 0 {
			continue
		}
		frame := make([]byte, 256)
		n, _, err := unix.Recvfrom(socket, frame, unix.MSG_DONTWAIT)
		if err == nil {
			return frame[:n], nil
		}
		if !errors.Is(err, unix.EAGAIN) {
			return nil, err
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
