package failover

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
	"golang.org/x/sys/unix"
)

// Streams send numbered packets from clients through vips and hear them again: one
// stream for each client and vip, one thread for each client.
type Streams struct {
	clients []*client
	running sync.WaitGroup
	stop    atomic.Bool
}

// A client's streams send at the same times.
type client struct {
	streams  []*stream
	interval time.Duration
	pause    time.Duration // the longest that this thread was late by
}

// A stream is one socket. Its fields are of its client's thread, but for heard.
type stream struct {
	name  string
	fd    int
	id    uint64
	heard atomic.Bool

	sent, first   uint64 // the last number, and the first that came back
	back          []bool // by number
	came          time.Duration
	gap           time.Duration
	wrong, errors int
}

// A Heard is what came of streams.
type Heard struct {
	Gap     time.Duration // of the worst
	Worst   string        // its name
	Lost    int           // packets of all of them
	Wrong   int           // packets with other bytes, or twice
	Refused int           // sockets' errors: somebody said that nobody is there
	Sent    int
	Pause   time.Duration // the longest that the sender itself was late by
}

// StartStreams starts UDP streams to the vips, a packet every interval.
func StartStreams(l *lab.Lab, clients []string, vips []netip.AddrPort, interval time.Duration) (*Streams, error) {
	s := &Streams{}
	for _, who := range clients {
		c := &client{interval: interval}
		s.clients = append(s.clients, c)
		err := l.In(who, func() error {
			for _, vip := range vips {
				fd, err := dialUDP(vip)
				if err != nil {
					return fmt.Errorf("%s to %s: %w", who, vip, err)
				}
				c.streams = append(c.streams, &stream{name: who + " to " + vip.String(), fd: fd, id: uint64(now())})
			}
			return nil
		})
		if err != nil {
			s.close()
			return nil, err
		}
	}
	for _, c := range s.clients {
		s.running.Go(func() { c.run(&s.stop) })
	}
	return s, nil
}

func dialUDP(vip netip.AddrPort) (int, error) {
	family, to := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(vip.Port())})
	if vip.Addr().Is6() {
		family, to = unix.AF_INET6, &unix.SockaddrInet6{Port: int(vip.Port()), Addr: vip.Addr().As16()}
	} else {
		to.(*unix.SockaddrInet4).Addr = vip.Addr().As4()
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20), unix.Connect(fd, to))
	if err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// Ready waits until every stream was heard.
func (s *Streams) Ready() error {
	return lab.Wait(20*time.Second, func() error {
		for _, c := range s.clients {
			for _, stream := range c.streams {
				if !stream.heard.Load() {
					return fmt.Errorf("nothing came back of %s", stream.name)
				}
			}
		}
		return nil
	})
}

// AwaitAll waits until every stream is heard from now on.
func (s *Streams) AwaitAll() error {
	for _, c := range s.clients {
		for _, stream := range c.streams {
			stream.heard.Store(false)
		}
	}
	return s.Ready()
}

// drain is how long replies of what was sent last may take.
const drain = 300 * time.Millisecond

// Stop ends them and says what came of them, from the first reply of each on.
func (s *Streams) Stop() Heard {
	s.stop.Store(true)
	s.running.Wait()
	var h Heard
	for _, c := range s.clients {
		h.Pause = max(h.Pause, c.pause)
		for _, stream := range c.streams {
			if stream.gap > h.Gap || h.Worst == "" {
				h.Gap, h.Worst = stream.gap, stream.name
			}
			h.Lost += stream.lost()
			h.Wrong += stream.wrong
			h.Refused += stream.errors
			h.Sent += int(stream.sent - stream.first)
		}
	}
	s.close()
	return h
}

func (s *Streams) close() {
	for _, c := range s.clients {
		for _, stream := range c.streams {
			_ = unix.Close(stream.fd)
		}
	}
}

// run sends and receives until it is told to stop, and hears the last replies.
func (c *client) run(stop *atomic.Bool) {
	ownThread()
	poll := make([]unix.PollFd, len(c.streams))
	for i, s := range c.streams {
		poll[i] = unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN}
	}
	due, end := now(), time.Duration(0)
	for {
		t := now()
		switch {
		case end > 0 && t > end:
			return
		case end == 0 && stop.Load():
			c.finish(t)
			end = t + drain
		}
		if end == 0 && t >= due {
			c.pause = max(c.pause, t-due)
			for _, s := range c.streams {
				s.send()
			}
			due += c.interval
			continue
		}
		wait := unix.NsecToTimespec(int64(10 * time.Millisecond))
		if end == 0 {
			wait = unix.NsecToTimespec(int64(due - t))
		}
		if n, _ := unix.Ppoll(poll, &wait, nil); n <= 0 {
			continue
		}
		for i, s := range c.streams {
			if poll[i].Revents != 0 {
				s.receive(c.interval, end == 0)
			}
		}
	}
}

// finish counts the silence that lasts.
func (c *client) finish(t time.Duration) {
	for _, s := range c.streams {
		s.gap = max(s.gap, t-s.came-c.interval)
	}
}

const packetSize = 64

func (s *stream) packet(number uint64) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, packetSize), number)
	for len(b) < packetSize {
		b = binary.BigEndian.AppendUint64(b, s.id*number+uint64(len(b)))
	}
	return b
}

func (s *stream) send() {
	s.sent++
	if _, err := unix.Write(s.fd, s.packet(s.sent)); err != nil && !again(err) {
		s.errors++
	}
}

func (s *stream) receive(interval time.Duration, live bool) {
	var buffer [2048]byte
	for {
		n, err := unix.Read(s.fd, buffer[:])
		if err != nil {
			if !again(err) {
				s.errors++
				continue
			}
			return
		}
		s.take(buffer[:n], interval, live)
	}
}

func (s *stream) take(b []byte, interval time.Duration, live bool) {
	if len(b) != packetSize {
		s.wrong++
		return
	}
	number := binary.BigEndian.Uint64(b)
	if number == 0 || number > s.sent || string(b) != string(s.packet(number)) || number < uint64(len(s.back)) && s.back[number] {
		s.wrong++
		return
	}
	for uint64(len(s.back)) <= number {
		s.back = append(s.back, false)
	}
	s.back[number] = true
	t := now()
	if s.first == 0 {
		s.first = number
	} else if live {
		s.gap = max(s.gap, t-s.came-interval)
	}
	s.came = t
	s.heard.Store(true)
}

// lost counts numbers since the first that came back.
func (s *stream) lost() (lost int) {
	if s.first == 0 {
		return int(s.sent)
	}
	for number := s.first; number <= s.sent; number++ {
		if number >= uint64(len(s.back)) || !s.back[number] {
			lost++
		}
	}
	return lost
}
