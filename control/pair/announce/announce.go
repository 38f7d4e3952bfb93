// Package announce makes a leg's neighbours send to this router what is for its
// floating addresses, and proves that they do.
//
// An [Announcer] says each announced address by gratuitous ARP in both forms or by an
// unsolicited neighbour advertisement, in a burst and then from time to time; asks the
// neighbours in turn, as one who has the address, until each has proven that it follows;
// and listens for other machines that say they have the address. What it finds are
// events. It decides nothing: whether the router may speak is the caller's to know, and
// the lease's (loader.SetLease), whose program on the leg looks at these frames too.
//
// What a caller does to take over a leg:
//
//	loader.SetHeld(addresses)                      // before the machine has them
//	a.Listen(leg)                                  // once; again when its MAC changed
//	loader.OpenLease() or SetLease(until)
//	add the addresses to the interface
//	a.Announce(leg.Name, addresses, neighbours)
//	wait for Verified with Unanswered 0, or decide without
//
// and to give it away: Withdraw, end the lease, remove the addresses. To ask beforehand
// whether somebody has an address is host.Probe's, which needs no Announcer.
package announce

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/mdlayher/packet"
	"github.com/tarpon-lb/tarpon/control/host"
)

// Options of an Announcer. Zero values mean the defaults.
type Options struct {
	// Repeat is how often a burst says an address, at 0, 100, 300, 700, 1500 ms and so
	// on. Default 5.
	Repeat int
	// Refresh is the time between announcements after the burst. Default 60 s.
	Refresh time.Duration
	// Verify: Announce verifies.
	Verify bool
	// Retry is the time between questions to a neighbour that is Unanswered. Default 10 s.
	Retry time.Duration
}

// A Leg is an interface to announce on. Own4 and Own6 are addresses of the router itself
// there, which neighbours are asked by for comparison; invalid: there is none of the
// family.
type Leg struct {
	Name       string
	Ifindex    int
	Own4, Own6 netip.Addr
}

// A Neighbour is a machine on a leg's network that sends to the floating addresses: a
// gateway, a real, a client. Its MAC is where it was last seen; zero: not known, it is
// asked by broadcast first.
type Neighbour struct {
	Address netip.Addr
	MAC     host.MAC
}

// An Announcer speaks on legs. Its methods may be called concurrently. They do not wait
// for the network.
type Announcer struct {
	options  Options
	asks     chan func()
	arrivals chan arrival
	events   chan Event
	closing  chan struct{}
	closed   sync.WaitGroup
	once     sync.Once
	id       uint16

	lines map[string]*line // the goroutine's
	told  []Event          // not yet read
}

// ErrClosed is what methods return after Close.
var ErrClosed = errors.New("the announcer is closed")

// New starts an Announcer without legs.
func New(options Options) *Announcer {
	if options.Repeat == 0 {
		options.Repeat = 5
	}
	if options.Refresh == 0 {
		options.Refresh = time.Minute
	}
	if options.Retry == 0 {
		options.Retry = 10 * time.Second
	}
	a := &Announcer{
		options: options, id: uint16(rand.Uint32()), lines: map[string]*line{},
		asks: make(chan func()), arrivals: make(chan arrival), events: make(chan Event), closing: make(chan struct{}),
	}
	a.closed.Go(a.run)
	return a
}

// Events are what was found. They wait for the reader, without limit; the channel is
// closed by Close.
func (a *Announcer) Events() <-chan Event { return a.events }

// Close ends everything. What was announced stays in the neighbours' caches.
func (a *Announcer) Close() {
	a.once.Do(func() { close(a.closing) })
	a.closed.Wait()
}

// Listen opens a leg's sockets, in the caller's network namespace, and forgets what was
// announced on a leg of this name before.
func (a *Announcer) Listen(leg Leg) error {
	device, err := net.InterfaceByIndex(leg.Ifindex)
	if err != nil {
		return fmt.Errorf("leg %s: find its interface: %w", leg.Name, err)
	}
	if len(device.HardwareAddr) != len(host.MAC{}) {
		return fmt.Errorf("leg %s: %s has no MAC address to announce", leg.Name, device.Name)
	}
	l, err := listen(device)
	if err != nil {
		return fmt.Errorf("leg %s: open packet sockets on %s: %w", leg.Name, device.Name, err)
	}
	l.speaker = newSpeaker(leg, host.MAC(device.HardwareAddr), a.id, a.options)
	err = a.ask(func() {
		a.leave(leg.Name)
		a.lines[leg.Name] = l
		for _, conn := range l.conns {
			a.closed.Go(func() { a.read(l, conn) })
		}
	})
	if err != nil {
		l.close()
	}
	return err
}

// Leave ends what is about a leg.
func (a *Announcer) Leave(leg string) error { return a.ask(func() { a.leave(leg) }) }

// Announce begins to announce addresses on a leg, or begins anew; others stay. The
// neighbours take the place of those before.
func (a *Announcer) Announce(leg string, addresses []netip.Addr, neighbours []Neighbour) error {
	addresses, neighbours = plain(addresses), slices.Clone(neighbours)
	for i := range neighbours {
		neighbours[i].Address = neighbours[i].Address.Unmap().WithZone("")
	}
	return a.on(leg, func(s *speaker) { s.announce(time.Now(), addresses, neighbours) })
}

// Withdraw ends what is about these addresses. Neighbours are told nothing.
func (a *Announcer) Withdraw(leg string, addresses []netip.Addr) error {
	addresses = plain(addresses)
	return a.on(leg, func(s *speaker) { s.withdraw(addresses) })
}

// Verify asks all neighbours of a leg anew. A Verified event follows.
func (a *Announcer) Verify(leg string) error {
	return a.on(leg, func(s *speaker) { s.verify(time.Now()) })
}

// Ignored is how a leg's announcements stand a second after they began: a neighbour that
// is alive and does not follow, where no other of its family does either, as an
// Unanswered event; nil: there is none. The network keeps the announcements from them
// all, or there is but the one. Of each by itself the event comes a second later.
func (a *Announcer) Ignored(leg string) (e *Event, err error) {
	err = a.on(leg, func(s *speaker) {
		if c := s.ignored(); c != nil {
			found := c.unanswered()
			found.Leg = leg
			e = &found
		}
	})
	return e, err
}

// plain are addresses as they are in frames: without zones.
func plain(addresses []netip.Addr) []netip.Addr {
	addresses = slices.Clone(addresses)
	for i := range addresses {
		addresses[i] = addresses[i].Unmap().WithZone("")
	}
	return addresses
}

func (a *Announcer) on(leg string, do func(*speaker)) error {
	found := false
	err := a.ask(func() {
		if l := a.lines[leg]; l != nil {
			found = true
			do(l.speaker)
		}
	})
	if err == nil && !found {
		err = fmt.Errorf("leg %s: nothing listens on it", leg)
	}
	return err
}

// ask has the goroutine do something, and waits for it.
func (a *Announcer) ask(do func()) error {
	done := make(chan struct{})
	select {
	case a.asks <- func() { do(); close(done) }:
		<-done
		return nil
	case <-a.closing:
		return ErrClosed
	}
}

// run is the goroutine that owns the legs.
func (a *Announcer) run() {
	defer close(a.events)
	defer func() {
		for name := range a.lines {
			a.leave(name)
		}
	}()
	timer := time.NewTimer(0)
	for {
		if next := a.speak(); next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
		var (
			reader chan Event
			first  Event
		)
		if len(a.told) > 0 {
			reader, first = a.events, a.told[0]
		}
		select {
		case <-timer.C:
		case do := <-a.asks:
			do()
		case arrived := <-a.arrivals:
			arrived.line.arrive(time.Now(), arrived)
		case reader <- first:
			a.told = a.told[1:]
		case <-a.closing:
			return
		}
	}
}

// speak sends what is due on all legs, and says when more will be.
func (a *Announcer) speak() (next time.Time) {
	for _, l := range a.lines {
		at := l.speak()
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
		a.told = append(a.told, l.events...)
		l.events = nil
	}
	return next
}

func (a *Announcer) leave(leg string) {
	if l := a.lines[leg]; l != nil {
		l.close()
		delete(a.lines, leg)
	}
}

// read takes a socket's frames until it is closed.
func (a *Announcer) read(l *line, conn *packet.Conn) {
	buffer := make([]byte, 2048)
	for {
		n, _, err := conn.ReadFrom(buffer)
		arrived := arrival{line: l, err: err}
		if err == nil {
			var ok bool
			if arrived.heard, ok = hear(buffer[:n], a.id); !ok {
				continue
			}
		}
		select {
		case a.arrivals <- arrived:
		case <-l.closed:
			return
		}
		if isOver(err) {
			return
		}
	}
}
