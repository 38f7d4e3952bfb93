package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// pause is between packets of the UDP stream.
const pause = 2 * time.Millisecond

// A conversation is TCP connections that never stop talking, and a stream of numbered
// UDP packets, with echo servers.
type conversation struct {
	tcp    []*lab.Stream
	stream *stream
}

// talk adds the echo vip, and begins one.
func talk(l *lab.Lab) (c conversation, err error) {
	var reals []string
	for n := 1; n <= lab.Reals; n++ {
		if err := l.Echo(n, echo().Port()); err != nil {
			return c, err
		}
		reals = append(reals, "--real", l.Real4(n))
	}
	for _, vip := range [][]string{{echo().String(), "--name", "echo", "--check", "tcp"}, {echo().String() + "/udp", "--check", "none"}} {
		if _, err := l.MustLbctl(slices.Concat([]string{"add-vip"}, vip, reals)...); err != nil {
			return c, err
		}
	}
	if err := l.WaitUp(echo().String()+"/tcp", lab.Reals); err != nil {
		return c, err
	}
	for range connections {
		one, err := l.NewStream("tcp", echo(), 50*time.Millisecond)
		if err != nil {
			return c, err
		}
		c.tcp = append(c.tcp, one)
	}
	c.stream, err = newStream(l)
	if err != nil {
		return c, err
	}
	return c, lab.Wait(10*time.Second, func() error { return c.goesOn(make([]int64, connections)) })
}

// goesOn is an error unless all connections had more answers than they had then.
func (c conversation) goesOn(then []int64) error {
	silent := 0
	for i, s := range c.tcp {
		if s.Count() == then[i] {
			silent++
		}
	}
	if silent > 0 {
		return fmt.Errorf("%d of %d connections are silent", silent, len(c.tcp))
	}
	return nil
}

// report waits until all goes on, ends it, and says what its ends noticed.
func (c conversation) report() error {
	then := make([]int64, len(c.tcp))
	for i, s := range c.tcp {
		then[i] = s.Count()
	}
	err := lab.Wait(10*time.Second, func() error { return c.goesOn(then) })
	kept := 0
	for i, s := range c.tcp {
		if then[i] < s.Count() && s.End() == nil {
			kept++
		}
	}
	sent, lost, gap := c.stream.end()
	fmt.Println()
	note("Connections kept       %6d of %d", kept, len(c.tcp))
	note("UDP packets lost       %6d of %d", lost, sent)
	note("Longest time without   %6d ms", gap.Milliseconds())
	switch {
	case err != nil:
		return err
	case kept < len(c.tcp):
		return errors.New("a connection was lost")
	case lost == sent:
		return errors.New("the stream never came back")
	}
	return nil
}

// A stream sends numbered packets, and hears them again.
type stream struct {
	net.Conn
	stop, done chan struct{}
	hearing    sync.WaitGroup

	// Of the goroutine that hears, until it is over.
	heard map[uint64]bool
	gap   time.Duration // the longest between two answers, less the pause
	sent  uint64        // of the one that sends
}

func newStream(l *lab.Lab) (*stream, error) {
	s := &stream{stop: make(chan struct{}), done: make(chan struct{}), heard: map[uint64]bool{}}
	err := l.In("client", func() (err error) {
		s.Conn, err = net.Dial("udp", echo().String())
		return err
	})
	if err != nil {
		return nil, err
	}
	go s.send()
	s.hearing.Go(s.hear)
	return s, nil
}

func (s *stream) send() {
	defer close(s.done)
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-ticker.C:
			s.sent++
			// What cannot be sent is lost.
			_, _ = s.Write(binary.BigEndian.AppendUint64(nil, s.sent))
		}
	}
}

func (s *stream) hear() {
	var packet [8]byte
	for last := time.Now(); ; last = time.Now() {
		_, err := s.Read(packet[:])
		for err != nil && !errors.Is(err, net.ErrClosed) { // somebody said that nobody is there
			_, err = s.Read(packet[:])
		}
		if err != nil {
			return
		}
		s.heard[binary.BigEndian.Uint64(packet[:])] = true
		s.gap = max(s.gap, time.Since(last)-pause)
	}
}

// end is after the last answer had its time.
func (s *stream) end() (sent, lost int, gap time.Duration) {
	close(s.stop)
	<-s.done
	time.Sleep(100 * time.Millisecond)
	_ = s.Close()
	s.hearing.Wait()
	return int(s.sent), int(s.sent) - len(s.heard), s.gap
}
