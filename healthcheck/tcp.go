package healthcheck

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// TCP connects and hangs up.
type TCP struct{ Address netip.AddrPort }

func (p TCP) begin(e *engine, r *run) error { return e.tcp.connect(p.Address, r) }

// A tcpProber has many connections under way. Each takes three packets: SYN,
// SYN|ACK, RST. The server's process never hears of it.
type tcpProber struct {
	epoll  int // -1: not made yet
	flying map[int]*run
	events []unix.EpollEvent
}

func newTCPProber() tcpProber {
	return tcpProber{epoll: -1, flying: map[int]*run{}, events: make([]unix.EpollEvent, 2*maxBegun)}
}

func (t *tcpProber) connect(to netip.AddrPort, r *run) (err error) {
	if t.epoll < 0 {
		if t.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
			return notAsked{err}
		}
	}
	family, address := sockaddr(to)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return notAsked{err}
	}
	if err := t.launch(fd, address); err != nil {
		_ = unix.Close(fd)
		return reason(err)
	}
	t.flying[fd] = r
	r.cancel = func() { t.land(fd) }
	return nil
}

func (t *tcpProber) launch(fd int, to unix.Sockaddr) error {
	// The ACK of the SYN|ACK may wait for data to send: there will be none.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK, 0); err != nil {
		return notAsked{err}
	}
	// Closing resets: no TIME_WAIT for every probe of every server.
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return notAsked{err}
	}
	if err := unix.Connect(fd, to); err != nil && err != unix.EINPROGRESS {
		return err
	}
	event := unix.EpollEvent{Events: unix.EPOLLOUT | unix.EPOLLONESHOT, Fd: int32(fd)}
	if err := unix.EpollCtl(t.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return notAsked{err}
	}
	return nil
}

// collect appends what was answered.
func (t *tcpProber) collect(to *[]answer) {
	for len(t.flying) > 0 {
		n, err := unix.EpollWait(t.epoll, t.events, 0)
		if err != nil && err != unix.EINTR {
			return // the probes will time out
		}
		for _, event := range t.events[:max(n, 0)] {
			fd := int(event.Fd)
			*to = append(*to, answer{t.flying[fd], connected(fd)})
			t.land(fd)
		}
		if n < len(t.events) {
			return
		}
	}
}

func connected(fd int) error {
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	switch {
	case err != nil:
		return notAsked{err}
	case code != 0:
		return reason(unix.Errno(code))
	}
	return nil
}

// land closes a connection. It is taken out of epoll first: a script just being
// started may hold the socket open for a moment, and its number may be given anew.
func (t *tcpProber) land(fd int) {
	_ = unix.EpollCtl(t.epoll, unix.EPOLL_CTL_DEL, fd, nil)
	_ = unix.Close(fd)
	delete(t.flying, fd)
}

func (t *tcpProber) close() {
	for fd := range t.flying {
		t.land(fd)
	}
	if t.epoll >= 0 {
		_ = unix.Close(t.epoll)
	}
}

func sockaddr(a netip.AddrPort) (family int, address unix.Sockaddr) {
	if a.Addr().Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
