package healthcheck

import (
	"errors"
	"math"
	"math/rand/v2"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// Ping asks for an ICMP echo.
type Ping struct {
	Address   netip.Addr // without a zone
	Interface string     // by which it goes, whatever routes say; empty: as they say
}

func (p Ping) begin(e *engine, r *run) error { return e.ping.send(p, r) }

// A pingProber has many echoes under way, through one socket for each family.
type pingProber struct {
	sockets [2]int // by isIPv6; -1: not made yet
	id      uint16 // of this process's echoes, so that others' are not ours
	last    uint16 // sequence number
	flying  map[uint16]*run
	buffer  []byte
}

func newPingProber() pingProber {
	return pingProber{sockets: [2]int{-1, -1}, id: uint16(rand.Uint32()), flying: map[uint16]*run{}, buffer: make([]byte, 1500)}
}

func (p *pingProber) send(ping Ping, r *run) error {
	to := ping.Address
	socket, err := p.socket(to.Is6())
	if err != nil {
		return notAsked{err}
	}
	var by []byte
	if ping.Interface != "" {
		if by, err = outOf(socket, ping.Interface, to.Is6()); err != nil {
			return reason(err)
		}
	}
	if len(p.flying) > 1<<15 {
		return notAsked{errors.New("too many pings under way")}
	}
	for p.last++; p.flying[p.last] != nil; p.last++ {
	}
	seq := p.last
	message := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: int(p.id), Seq: int(seq), Data: []byte("tarpon..")}}
	if to.Is6() {
		message.Type = ipv6.ICMPTypeEchoRequest // its checksum is the kernel's work
	}
	packet, err := message.Marshal(nil)
	if err != nil {
		return notAsked{err}
	}
	_, address := sockaddr(netip.AddrPortFrom(to, 0))
	if err := unix.Sendmsg(socket, packet, by, address, 0); err != nil {
		return reason(err)
	}
	p.flying[seq] = r
	r.cancel = func() { delete(p.flying, seq) }
	return nil
}

// outOf is the control message that has a packet leave by an interface. It is looked up
// each time: one that comes back has another index.
func outOf(socket int, name string, isIPv6 bool) ([]byte, error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	if err := unix.IoctlIfreq(socket, unix.SIOCGIFINDEX, request); err != nil {
		return nil, err
	}
	index := request.Uint32()
	if isIPv6 {
		return unix.PktInfo6(&unix.Inet6Pktinfo{Ifindex: index}), nil
	}
	return unix.PktInfo4(&unix.Inet4Pktinfo{Ifindex: int32(index)}), nil
}

func (p *pingProber) socket(isIPv6 bool) (int, error) {
	at, family, protocol := &p.sockets[0], unix.AF_INET, unix.IPPROTO_ICMP
	if isIPv6 {
		at, family, protocol = &p.sockets[1], unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	if *at >= 0 {
		return *at, nil
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return -1, err
	}
	if err := attach(fd, p.filter(isIPv6)); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	*at = fd
	return fd, nil
}

// filter takes echo replies with our id. A raw socket sees every ICMP packet of the
// machine: others' must not fill the buffer in which ours are to wait.
func (p *pingProber) filter(isIPv6 bool) []bpf.Instruction {
	reply := uint32(ipv4.ICMPTypeEchoReply)
	header := bpf.Instruction(bpf.LoadMemShift{Off: 0}) // X is where ICMP begins
	if isIPv6 {
		reply, header = uint32(ipv6.ICMPTypeEchoReply), bpf.LoadConstant{Dst: bpf.RegX, Val: 0}
	}
	return []bpf.Instruction{
		header,
		bpf.LoadIndirect{Off: 0, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: reply, SkipTrue: 3},
		bpf.LoadIndirect{Off: 4, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(p.id), SkipTrue: 1},
		bpf.RetConstant{Val: math.MaxUint32},
		bpf.RetConstant{Val: 0},
	}
}

func attach(fd int, filter []bpf.Instruction) error {
	raw, err := bpf.Assemble(filter)
	if err != nil {
		return err
	}
	program := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		program[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
}

// collect appends what was answered.
func (p *pingProber) collect(to *[]answer) {
	for i, socket := range p.sockets {
		for socket >= 0 && len(p.flying) > 0 {
			n, from, err := unix.Recvfrom(socket, p.buffer, 0)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				break
			}
			if seq, ok := p.match(i == 1, p.buffer[:n], from); ok {
				*to = append(*to, answer{p.flying[seq], nil})
				delete(p.flying, seq)
			}
		}
	}
}

// match finds the echo that a packet answers.
func (p *pingProber) match(isIPv6 bool, packet []byte, from unix.Sockaddr) (seq uint16, ok bool) {
	protocol, reply := unix.IPPROTO_ICMPV6, icmp.Type(ipv6.ICMPTypeEchoReply)
	if !isIPv6 {
		protocol, reply = unix.IPPROTO_ICMP, ipv4.ICMPTypeEchoReply
		header, err := ipv4.ParseHeader(packet)
		if err != nil {
			return 0, false
		}
		packet = packet[header.Len:]
	}
	message, err := icmp.ParseMessage(protocol, packet)
	if err != nil || message.Type != reply {
		return 0, false
	}
	echo, isEcho := message.Body.(*icmp.Echo)
	if !isEcho || echo.ID != int(p.id) {
		return 0, false
	}
	r := p.flying[uint16(echo.Seq)]
	if r == nil {
		return 0, false
	}
	asked, isPing := r.probe.(Ping)
	return uint16(echo.Seq), isPing && asked.Address == address(from)
}

func address(a unix.Sockaddr) netip.Addr {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(a.Addr)
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(a.Addr)
	}
	return netip.Addr{}
}

func (p *pingProber) close() {
	for _, socket := range p.sockets {
		if socket >= 0 {
			_ = unix.Close(socket)
		}
	}
}
