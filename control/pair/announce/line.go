package announce

import (
	"errors"
	"net"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// A line is a speaker with sockets: one a protocol, for what a packet socket sends is of
// its protocol, and the lease looks at that.
type line struct {
	*speaker
	conns  map[layers.EthernetType]*packet.Conn
	closed chan struct{}
	failed time.Time // when that was told
}

// An arrival is a frame, or why there is none.
type arrival struct {
	line  *line
	heard heard
	err   error
}

// filters keep the router's traffic away from the sockets. Of ARP all is wanted.
var filters = map[layers.EthernetType][]bpf.Instruction{
	layers.EthernetTypeARP: {bpf.RetConstant{Val: 2048}},
	layers.EthernetTypeIPv4: {
		bpf.LoadAbsolute{Off: 14 + 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_ICMP, SkipFalse: 4},
		bpf.LoadMemShift{Off: 14},
		bpf.LoadIndirect{Off: 14, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(layers.ICMPv4TypeEchoReply), SkipFalse: 1},
		bpf.RetConstant{Val: 2048},
		bpf.RetConstant{Val: 0},
	},
	layers.EthernetTypeIPv6: {
		bpf.LoadAbsolute{Off: 14 + 6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_ICMPV6, SkipFalse: 4},
		bpf.LoadAbsolute{Off: 14 + 40, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: layers.ICMPv6TypeNeighborSolicitation, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: layers.ICMPv6TypeNeighborAdvertisement, SkipFalse: 1},
		bpf.RetConstant{Val: 2048},
		bpf.RetConstant{Val: 0},
	},
}

// listen opens the sockets of a line that has no speaker yet.
func listen(device *net.Interface) (*line, error) {
	l := &line{conns: map[layers.EthernetType]*packet.Conn{}, closed: make(chan struct{})}
	for protocol, filter := range filters {
		raw, err := bpf.Assemble(filter)
		if err == nil {
			l.conns[protocol], err = packet.Listen(device, packet.Raw, int(protocol), &packet.Config{Filter: raw})
		}
		if err != nil {
			delete(l.conns, protocol)
			l.close()
			return nil, err
		}
	}
	return l, nil
}

func (l *line) close() {
	close(l.closed)
	for _, conn := range l.conns {
		_ = conn.Close()
	}
}

// speak sends what is due, and says when more will be; zero: nothing is planned.
func (l *line) speak() time.Time {
	for {
		now := time.Now()
		frames, next := l.next(now)
		if len(frames) == 0 {
			return next
		}
		for _, f := range frames {
			l.send(now, f)
		}
	}
}

// send does not wait for room in the socket: what is lost is said again.
func (l *line) send(now time.Time, f frame) {
	raw, err := l.conns[f.protocol].SyscallConn()
	if err == nil {
		var sent error
		err = raw.Write(func(fd uintptr) bool {
			_, sent = unix.Write(int(fd), f.bytes)
			return true
		})
		err = errors.Join(err, sent)
	}
	l.report(now, err)
}

func (l *line) report(now time.Time, err error) {
	if err != nil && now.Sub(l.failed) >= quiet {
		l.failed = now
		l.tell(Event{Kind: Failed, Err: err})
	}
}

// arrive takes what a socket has read.
func (l *line) arrive(now time.Time, a arrival) {
	if a.err != nil {
		l.report(now, a.err)
		return
	}
	l.take(now, a.heard)
}

// isOver says whether a socket will have no more frames; while an interface is down it
// only has none.
func isOver(err error) bool { return err != nil && !errors.Is(err, unix.ENETDOWN) }
