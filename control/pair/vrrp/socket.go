package vrrp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

var (
	group4 = netip.AddrFrom4([4]byte{224, 0, 0, 18})
	group6 = netip.MustParseAddr("ff02::12")
)

const ttl = 255 // RFC 9568 sections 5.1.1.3 and 5.1.2.3: so that no router can be in between

// A datagram is what a socket got.
type datagram struct {
	from, to netip.Addr
	ttl      int
	payload  []byte // valid until the next read
	at       time.Time
}

// A socket is a raw one of a link, bound to its interface.
type socket struct {
	fd          int
	link        Link
	destination netip.Addr
	address     unix.Sockaddr // of the destination
	control     []byte        // names our source
	buffer, oob []byte
}

// openSocket opens a link's socket in the calling thread's network namespace.
func openSocket(link Link, transport Transport) (*socket, error) {
	device, err := net.InterfaceByName(link.Interface)
	if err != nil {
		return nil, fmt.Errorf("link %s: %w", link.Interface, err)
	}
	s := &socket{link: link, destination: link.Peer, buffer: make([]byte, 60+maxAdvertSize), oob: make([]byte, 256)}
	family := unix.AF_INET
	if link.Own.Is6() {
		family = unix.AF_INET6
	}
	if s.fd, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, Protocol); err != nil {
		return nil, fmt.Errorf("link %s: raw socket: %w", link.Interface, err)
	}
	if family == unix.AF_INET {
		err = s.prepare4(device.Index, transport)
	} else {
		err = s.prepare6(device.Index, transport)
	}
	if err != nil {
		unix.Close(s.fd)
		return nil, fmt.Errorf("link %s: %w", link.Interface, err)
	}
	return s, nil
}

func (s *socket) close() { unix.Close(s.fd) }

// set sets options until one fails.
func (s *socket) set(options ...func() error) error {
	for i, set := range options {
		if err := set(); err != nil {
			return fmt.Errorf("socket option %d: %w", i, err)
		}
	}
	return nil
}

func (s *socket) number(level, name, value int) func() error {
	return func() error { return os.NewSyscallError("setsockopt", unix.SetsockoptInt(s.fd, level, name, value)) }
}

func (s *socket) common() []func() error {
	return []func() error{
		func() error { return unix.BindToDevice(s.fd, s.link.Interface) },
		s.number(unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		// Before everything else that the router has to send (network control, CS6).
		s.number(unix.SOL_SOCKET, unix.SO_PRIORITY, 6),
	}
}

func (s *socket) prepare4(index int, transport Transport) error {
	if transport == Multicast {
		s.destination = group4
	}
	s.address = &unix.SockaddrInet4{Addr: s.destination.As4()}
	s.control = unix.PktInfo4(&unix.Inet4Pktinfo{Ifindex: int32(index), Spec_dst: s.link.Own.As4()})
	options := append(s.common(),
		s.number(unix.IPPROTO_IP, unix.IP_TTL, ttl),
		s.number(unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, ttl),
		s.number(unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0),
		s.number(unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0),
		s.number(unix.IPPROTO_IP, unix.IP_TOS, 0xc0),
	)
	if transport == Multicast {
		request := &unix.IPMreqn{Multiaddr: group4.As4(), Ifindex: int32(index)}
		options = append(options,
			func() error { return unix.SetsockoptIPMreqn(s.fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, request) },
			func() error { return unix.SetsockoptIPMreqn(s.fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, request) },
		)
	}
	return s.set(options...)
}

func (s *socket) prepare6(index int, transport Transport) error {
	if transport == Multicast {
		s.destination = group6
	}
	s.address = &unix.SockaddrInet6{Addr: s.destination.As16(), ZoneId: uint32(index)}
	s.control = unix.PktInfo6(&unix.Inet6Pktinfo{Ifindex: uint32(index), Addr: s.link.Own.As16()})
	options := append(s.common(),
		s.number(unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, ttl),
		s.number(unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, ttl),
		s.number(unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0),
		s.number(unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0),
		s.number(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, 0xc0),
		s.number(unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1),
		s.number(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1),
	)
	if transport == Multicast {
		request := &unix.IPv6Mreq{Multiaddr: group6.As16(), Interface: uint32(index)}
		options = append(options,
			func() error {
				return unix.SetsockoptIPv6Mreq(s.fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, request)
			},
			s.number(unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, index),
		)
	}
	return s.set(options...)
}

// send says whether the kernel took the packet. Traffic control on the interface sees
// it as it sees all others.
func (s *socket) send(packet []byte) error {
	return unix.Sendmsg(s.fd, packet, s.control, s.address, unix.MSG_DONTWAIT)
}

// errEmpty: there is nothing more to read.
var errEmpty = errors.New("the socket is empty")

// read reads one datagram. Errors other than errEmpty are of this one only.
func (s *socket) read() (datagram, error) {
	n, oob, _, from, err := unix.Recvmsg(s.fd, s.buffer, s.oob, unix.MSG_DONTWAIT)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return datagram{}, errEmpty
	case err != nil: // an error queued by the network: it is read by this
		return datagram{}, err
	}
	d := datagram{payload: s.buffer[:n]}
	switch a := from.(type) {
	case *unix.SockaddrInet4:
		d.from = netip.AddrFrom4(a.Addr)
		err = d.strip4()
	case *unix.SockaddrInet6:
		d.from = netip.AddrFrom16(a.Addr)
	}
	if err == nil {
		err = d.ancillary(s.oob[:oob])
	}
	return d, err
}

// strip4 takes the IPv4 header off, which raw sockets leave on.
func (d *datagram) strip4() error {
	p := d.payload
	if len(p) < 20 || len(p) < int(p[0]&0xf)*4 {
		return errors.New("a short IPv4 header")
	}
	d.ttl, d.to = int(p[8]), netip.AddrFrom4([4]byte(p[16:20]))
	d.payload = p[int(p[0]&0xf)*4:]
	return nil
}

func (d *datagram) ancillary(oob []byte) error {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return fmt.Errorf("control message: %w", err)
	}
	for _, m := range messages {
		switch h := m.Header; {
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16:
			d.at = time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_HOPLIMIT && len(m.Data) >= 4:
			d.ttl = int(binary.NativeEndian.Uint32(m.Data))
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(m.Data) >= 16:
			d.to = netip.AddrFrom16([16]byte(m.Data[:16]))
		}
	}
	return nil
}

// admit says why a datagram is not one that a router on this link could have sent us.
func (s *socket) admit(d *datagram) error {
	want := s.link.Own
	if s.destination.IsMulticast() {
		want = s.destination
	}
	switch {
	case d.to != want: // of another election, perhaps
		return fmt.Errorf("sent to %s", d.to)
	case d.ttl != ttl:
		return fmt.Errorf("a TTL of %d", d.ttl)
	}
	return nil
}
