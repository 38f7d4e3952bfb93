package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// In runs do in a namespace of the lab. Sockets that it opens stay there; goroutines
// that it starts do not.
func (l *Lab) In(who string, do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends
		there, err := netns.GetFromName(l.NS(who))
		if err != nil {
			done <- err
			return
		}
		defer there.Close()
		if err := netns.Set(there); err != nil {
			done <- err
			return
		}
		done <- do()
	}()
	return <-done
}

// Echo answers TCP and UDP on a port of a real, until the lab is closed.
func (l *Lab) Echo(real int, port uint16) error {
	return l.In(fmt.Sprintf("real%d", real), func() error {
		tcp, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		udp, err := net.ListenUDP("udp", &net.UDPAddr{Port: int(port)})
		if err != nil {
			return errors.Join(err, tcp.Close())
		}
		l.closeLater(tcp, udp)
		go func() {
			for {
				c, err := tcp.Accept()
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(c, c); c.Close() }()
			}
		}()
		go func() {
			buffer := make([]byte, 2048)
			for {
				n, from, err := udp.ReadFromUDPAddrPort(buffer)
				if err != nil {
					return
				}
				_, _ = udp.WriteToUDPAddrPort(buffer[:n], from)
			}
		}()
		return nil
	})
}

// A Stream sends numbered messages through a vip, one after the other, and hears
// each again.
type Stream struct {
	conn  net.Conn
	pause time.Duration
	count atomic.Int64
	end   chan struct{}
	done  sync.WaitGroup
	err   error
}

// NewStream begins one of protocol "tcp" or "udp" from the client; a message goes
// every pause, or as soon as the one before came back.
func (l *Lab) NewStream(protocol string, vip netip.AddrPort, pause time.Duration) (*Stream, error) {
	s := &Stream{pause: pause, end: make(chan struct{})}
	err := l.In("client", func() (err error) {
		s.conn, err = net.Dial(protocol, vip.String())
		return err
	})
	if err != nil {
		return nil, err
	}
	l.closeLater(s.conn)
	s.done.Go(func() { s.err = s.talk() })
	return s, nil
}

const message = 256

func (s *Stream) talk() error {
	sent, got := make([]byte, message), make([]byte, message)
	for number := uint64(1); ; number++ {
		select {
		case <-s.end:
			return nil
		case <-time.After(s.pause):
		}
		binary.BigEndian.PutUint64(sent, number)
		if err := s.conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			return err
		}
		if _, err := s.conn.Write(sent); err != nil {
			return err
		}
		if _, err := io.ReadFull(s.conn, got); err != nil {
			return fmt.Errorf("message %d of %s did not come back: %w", number, s.conn.LocalAddr(), err)
		}
		if binary.BigEndian.Uint64(got) != number {
			return fmt.Errorf("message %d of %s came back as %d", number, s.conn.LocalAddr(), binary.BigEndian.Uint64(got))
		}
		s.count.Add(1)
	}
}

// Count is how many messages came back.
func (s *Stream) Count() int64 { return s.count.Load() }

// End ends the stream and says what went wrong. What TCP lost and sent again did not.
func (s *Stream) End() error {
	s.stop()
	return errors.Join(s.err, s.conn.Close())
}

func (s *Stream) stop() {
	close(s.end)
	s.done.Wait()
}

// Err is End, and for TCP says what was lost too, even if it was sent again. (A segment
// sent twice for nothing is not lost: the other end says so, RFC 2883.)
func (s *Stream) Err() error {
	s.stop()
	tcp, ok := s.conn.(*net.TCPConn)
	if s.err != nil || !ok {
		return errors.Join(s.err, s.conn.Close())
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	var info *unix.TCPInfo
	err = raw.Control(func(fd uintptr) {
		info, s.err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	})
	if err := errors.Join(err, s.err, s.conn.Close()); err != nil {
		return err
	}
	if lost := int(info.Total_retrans) - int(info.Dsack_dups); lost > 0 {
		return fmt.Errorf("%d segments of %s were lost", lost, s.conn.LocalAddr())
	}
	return nil
}
