package vrrp

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Now is the present Instant.
func Now() Instant {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic(err) // the kernel has had this clock since 2.6.39
	}
	return Instant(t.Nano())
}

// A Foreigner is another virtual router on our links: nothing wrong with that.
type Foreigner struct {
	VRID uint8
	Link string // its interface
	From netip.Addr
	Last Instant
}

// A Snapshot is what a speaker can show at any moment.
type Snapshot struct {
	State
	Foreign []Foreigner // by VRID, then link
	// Refused packets were none: too short, a wrong checksum, a TTL other than 255.
	// RefusedWhy is the reason of the last.
	Refused    uint64
	RefusedWhy string
	// Lost events found the reader of Events too slow.
	Lost uint64
	// RealTime: the thread has a real-time priority.
	RealTime bool
}

// A Speaker runs a machine: it owns the sockets, and a thread that nobody else holds
// up. All methods may be called from any goroutine; none waits for the network.
type Speaker struct {
	c       Config
	m       *Machine
	sockets []*socket
	lease   func(Instant)

	asked   chan func(now Instant) Output
	wake    int // an eventfd
	end     chan struct{}
	ended   chan struct{}
	once    sync.Once
	changed chan struct{}
	events  chan Event

	shown   atomic.Pointer[Snapshot]
	show    Snapshot // of the thread
	foreign map[foreignKey]Foreigner
	batch   []arrival
	poll    []unix.PollFd
	packet  []byte
}

type foreignKey struct {
	vrid uint8
	link int
}

// An arrival is an advert with our VRID, before it is told to the machine.
type arrival struct {
	at time.Time
	Heard
}

// Run opens the sockets in the calling thread's network namespace and starts the
// thread. It listens first: the machine may become active at once only if the lease it
// starts with still holds.
//
// Lease is called on the thread with each new end of the lease, 0 for now; it must not
// block. The caller closes the Speaker.
func Run(c Config, start Start, lease func(Instant)) (*Speaker, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	s := &Speaker{
		c: c, lease: lease,
		asked: make(chan func(Instant) Output, 64), end: make(chan struct{}), ended: make(chan struct{}),
		changed: make(chan struct{}, 1), events: make(chan Event, 256),
		foreign: map[foreignKey]Foreigner{}, batch: make([]arrival, 0, 256), packet: make([]byte, 0, maxAdvertSize),
	}
	var err error
	if s.wake, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	s.poll = append(s.poll, unix.PollFd{Fd: int32(s.wake), Events: unix.POLLIN})
	for _, link := range c.Links {
		socket, err := openSocket(link, c.Transport)
		if err != nil {
			s.release()
			return nil, err
		}
		s.sockets = append(s.sockets, socket)
		s.poll = append(s.poll, unix.PollFd{Fd: int32(socket.fd), Events: unix.POLLIN})
	}
	s.m = New(c, start, Now())
	s.publish()
	go s.run()
	return s, nil
}

func (s *Speaker) release() {
	for _, socket := range s.sockets {
		socket.close()
	}
	unix.Close(s.wake)
}

// Close ends the thread and closes the sockets. It says no goodbye, and leaves the
// lease as it is: to the peer it is as if the process had been killed. Yield first if
// the peer is to take over.
func (s *Speaker) Close() error {
	s.once.Do(func() {
		close(s.end)
		s.ring()
		<-s.ended
		s.release()
	})
	return nil
}

// Changed has a value when the snapshot's role, wishes or announcements have changed
// since it was last read from.
func (s *Speaker) Changed() <-chan struct{} { return s.changed }

// Events are told in order; those that nobody reads in time are counted and lost.
func (s *Speaker) Events() <-chan Event { return s.events }

// Snapshot shows the speaker as it was a moment ago. It is not to be changed.
func (s *Speaker) Snapshot() *Snapshot { return s.shown.Load() }

// SetFacts replaces what the controller knows.
func (s *Speaker) SetFacts(f Facts) {
	s.ask(func(now Instant) Output { return s.m.SetFacts(now, f) })
}

// Said takes an advert that came over the TLS link.
func (s *Speaker) Said(priority uint8, interval time.Duration) {
	s.ask(func(now Instant) Output { return s.m.Said(now, priority, interval) })
}

// Probed answers Snapshot.Probe: who has a floating address, in words; empty: nobody.
func (s *Speaker) Probed(who string) {
	s.ask(func(now Instant) Output { return s.m.Probed(now, who) })
}

// Rests is told each time the peer says over the TLS link that it is a standby.
func (s *Speaker) Rests() { s.ask(s.m.Rests) }

// Fenced answers Snapshot.Fence. Nil: the peer does nothing any more.
func (s *Speaker) Fenced(err error) {
	s.ask(func(now Instant) Output { return s.m.Fenced(now, err) })
}

// Take makes this router active, by agreement with the peer. It returns when it is: an
// advert is out, the lease written.
func (s *Speaker) Take(why string) {
	s.askAndWait(func(now Instant) Output { return s.m.Take(now, why) })
}

// Yield makes this router a standby, with or without a goodbye on the wire. It returns
// when it is: the lease has ended.
func (s *Speaker) Yield(why string, goodbye bool) {
	s.askAndWait(func(now Instant) Output { return s.m.Yield(now, why, goodbye) })
}

// Pause is to be called before a restart in place, and Close at once after it: an active
// router's last advert and its lease are of this interval. It returns when the advert is
// out.
func (s *Speaker) Pause(interval time.Duration) {
	s.askAndWait(func(now Instant) Output { return s.m.Pause(now, interval) })
}

func (s *Speaker) ask(what func(Instant) Output) {
	select {
	case s.asked <- what:
		s.ring()
	case <-s.ended:
	}
}

// askAndWait waits for the turn after the one that heeds the request, when all that it
// brought has been carried out.
func (s *Speaker) askAndWait(what func(Instant) Output) {
	done := make(chan struct{})
	s.ask(what)
	s.ask(func(Instant) Output { close(done); return Output{} })
	select {
	case <-done:
	case <-s.ended:
	}
}

func (s *Speaker) ring() {
	_, _ = unix.Write(s.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

// run is the thread. It is never given back: it dies with its priority.
func (s *Speaker) run() {
	runtime.LockOSThread()
	defer close(s.ended)
	s.show.RealTime = unix.SchedSetAttr(0, &unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1, Flags: unix.SCHED_FLAG_RESET_ON_FORK,
	}, 0) == nil
	for {
		select {
		case <-s.end:
			return
		default:
		}
		s.wait(s.m.Next() - Now())
		s.turn()
	}
}

// wait sleeps until something is to be read, somebody asks, or the time is over.
func (s *Speaker) wait(limit time.Duration) {
	timeout := unix.NsecToTimespec(int64(max(limit, 0)))
	_, _ = unix.Ppoll(s.poll, &timeout, nil)
	var count [8]byte
	_, _ = unix.Read(s.wake, count[:])
}

// turn listens, then heeds who asks, then lets the timers act. All of it has the time
// at which it began to listen: whoever is stopped in between acts as of then, and a
// lease that he writes has ended already.
func (s *Speaker) turn() {
	before := s.m.state.level()
	now := Now()
	for _, a := range s.listen() {
		s.do(now, s.m.Hear(now, a.Heard))
	}
	for {
		select {
		case what := <-s.asked:
			s.do(now, what(now))
			continue
		default:
		}
		break
	}
	s.do(now, s.m.Expired(now))
	s.publish()
	if s.m.state.level() != before {
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
}

// A level is what the controller acts on.
type level struct {
	term, announces uint64
	probe, fence    bool
	heard, handOver bool
	kept            string
}

func (s *State) level() level {
	return level{s.Term, s.Announces, s.Probe, s.Fence, s.Heard, s.HandOver, s.Kept}
}

// listen reads what has arrived, of all links in the order of arrival: a goodbye on one
// link is not to be taken back by an older advert on another.
func (s *Speaker) listen() []arrival {
	s.batch = s.batch[:0]
	began := time.Now()
	for i, socket := range s.sockets {
		// A flood must not keep the timers from acting: what arrives while we read
		// is left for the next turn.
		for range cap(s.batch) {
			d, err := socket.read()
			if errors.Is(err, errEmpty) {
				break
			}
			if err == nil {
				err = s.accept(i, &d)
			}
			if err != nil {
				s.show.Refused++
				s.show.RefusedWhy = fmt.Sprintf("%s: from %s: %v", socket.link.Interface, d.from, err)
			}
			if d.at.After(began) {
				break
			}
		}
	}
	slices.SortStableFunc(s.batch, func(a, b arrival) int { return a.at.Compare(b.at) })
	return s.batch
}

// accept parses a datagram and keeps it, if it is one of our VRID.
func (s *Speaker) accept(link int, d *datagram) error {
	socket := s.sockets[link]
	if err := socket.admit(d); err != nil {
		return err
	}
	advert, way, err := Parse(d.payload, d.from, d.to)
	if err != nil {
		return err
	}
	if advert.VRID != s.c.VRID {
		s.foreign[foreignKey{advert.VRID, link}] = Foreigner{advert.VRID, socket.link.Interface, d.from, Now()}
		return nil
	}
	s.batch = append(s.batch, arrival{d.at, Heard{link, d.from, advert, way}})
	return nil
}

// do carries an output out.
func (s *Speaker) do(now Instant, o Output) {
	if o.SetLease {
		s.lease(o.Lease)
	}
	if o.Send {
		s.do(now, s.m.Sent(now, s.broadcast(o.Priority, o.Interval)))
	}
	for _, e := range o.Events {
		select {
		case s.events <- e:
		default:
			s.show.Lost++
		}
	}
}

// broadcast sends an advert over every link and returns how many took it.
func (s *Speaker) broadcast(priority uint8, interval time.Duration) (taken int) {
	for _, socket := range s.sockets {
		advert := s.c.advert(socket.link, priority)
		advert.Interval = interval
		packet, err := advert.Append(s.packet[:0], socket.link.Own, socket.destination, s.c.Checksum)
		if err == nil {
			err = socket.send(packet)
		}
		if err == nil {
			taken++
		}
	}
	return taken
}

func (s *Speaker) publish() {
	s.show.State = s.m.State()
	shown := s.show
	shown.Foreign = slices.SortedFunc(maps.Values(s.foreign), func(a, b Foreigner) int {
		if a.VRID != b.VRID {
			return int(a.VRID) - int(b.VRID)
		}
		return slices.Compare([]byte(a.Link), []byte(b.Link))
	})
	s.shown.Store(&shown)
}
