package failover

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// messageSize is of what a connection sends each time.
const messageSize = 1024

// Connections each send a numbered message now and then, and hear it again.
type Connections struct {
	list    []*connection
	every   time.Duration
	running sync.WaitGroup
	ended   atomic.Bool
}

type connection struct {
	net.Conn
	client string
	server atomic.Uint32
	came   atomic.Int64 // when the last answer did
	fate   atomic.Int32
}

type fate = int32

const (
	alive fate = iota
	reset
	closed
	garbled
	failed // another error
)

// A Tally is how connections fared.
type Tally struct {
	All, Reset, Closed, Garbled, Failed int
	// Stalled were not answered since the time asked about, and are not dead.
	Stalled int
}

// Kept is how many are alive and were answered.
func (t Tally) Kept() int { return t.All - t.Reset - t.Closed - t.Garbled - t.Failed - t.Stalled }

// DialAll opens connections, spread evenly over clients and vips, which talk at once. What
// is open already goes on when one cannot be opened.
func DialAll(l *lab.Lab, clients []string, vips []netip.AddrPort, count int, every time.Duration) (*Connections, error) {
	c := &Connections{every: every}
	var mu sync.Mutex
	var all sync.WaitGroup
	errs := make([]error, len(clients))
	for i, who := range clients {
		share := count / len(clients)
		if i < count%len(clients) {
			share++
		}
		all.Go(func() {
			errs[i] = l.In(who, func() error {
				for n := range share {
					one, err := dial(who, vips[n%len(vips)])
					if err != nil {
						return err
					}
					mu.Lock()
					c.list = append(c.list, one)
					mu.Unlock()
					c.running.Go(func() { c.talk(one) })
				}
				return nil
			})
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func dial(who string, vip netip.AddrPort) (*connection, error) {
	d := net.Dialer{Timeout: 10 * time.Second, KeepAlive: -1}
	one, err := d.Dial("tcp", vip.String())
	if err != nil {
		return nil, fmt.Errorf("%s to %s: %w", who, vip, err)
	}
	return &connection{Conn: one, client: who}, nil
}

func (c *Connections) talk(one *connection) {
	err := c.echo(one)
	switch {
	case err == nil || c.ended.Load():
	case errors.Is(err, syscall.ECONNRESET):
		one.fate.Store(reset)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.EPIPE):
		one.fate.Store(closed)
	case errors.Is(err, errGarbled):
		one.fate.Store(garbled)
	default:
		one.fate.Store(failed)
	}
}

var errGarbled = errors.New("other bytes than were sent")

func (c *Connections) echo(one *connection) error {
	var greeting [1]byte
	if _, err := io.ReadFull(one, greeting[:]); err != nil {
		return err
	}
	one.server.Store(uint32(greeting[0]))
	sent, got := make([]byte, messageSize), make([]byte, messageSize)
	bytesOf := rand.NewChaCha8([32]byte(binary.BigEndian.AppendUint64(make([]byte, 24), rand.Uint64())))
	time.Sleep(rand.N(c.every))
	for number := uint64(1); !c.ended.Load(); number++ {
		begun := time.Now()
		_, _ = bytesOf.Read(sent)
		binary.BigEndian.PutUint64(sent, number)
		if _, err := one.Write(sent); err != nil {
			return err
		}
		if _, err := io.ReadFull(one, got); err != nil {
			return err
		}
		if !bytes.Equal(sent, got) {
			return errGarbled
		}
		one.came.Store(int64(now()))
		time.Sleep(c.every - time.Since(begun))
	}
	return nil
}

// Since counts how they fared; stalled are those without an answer since a time of Now.
func (c *Connections) Since(t time.Duration) Tally {
	return c.Of(t, func(string, byte) bool { return true })
}

// Of is Since for those of some clients and servers.
func (c *Connections) Of(t time.Duration, which func(client string, server byte) bool) (all Tally) {
	for _, one := range c.list {
		if !which(one.client, byte(one.server.Load())) {
			continue
		}
		all.All++
		switch one.fate.Load() {
		case reset:
			all.Reset++
		case closed:
			all.Closed++
		case garbled:
			all.Garbled++
		case failed:
			all.Failed++
		case alive:
			if one.came.Load() < int64(t) {
				all.Stalled++
			}
		}
	}
	return all
}

// Now is the time that Since is asked about.
func Now() time.Duration { return now() }

// Close ends them.
func (c *Connections) Close() {
	c.ended.Store(true)
	for _, one := range c.list {
		_ = one.Close()
	}
	c.running.Wait()
}
