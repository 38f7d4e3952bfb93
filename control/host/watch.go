package host

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A LegState is what a leg's interface is now. Comparable; an Ifindex of 0
// means that there is none of that name.
type LegState struct {
	Ifindex int
	MAC     MAC
	MTU     int
	Up      bool // and has carrier
}

// A Change is what is new since the Change before. Every wanted real and leg is
// in the first Change after it was first wanted; later only when it differs.
type Change struct {
	NextHops map[netip.Addr]Path
	// Defaults is by the index of the leg that replies come in by.
	Defaults map[int]DefaultRoute
	Legs     map[string]LegState
	// Lost lists wanted addresses that were there and are gone: SetAddresses
	// adds them again.
	Lost []Address
	// Own: this machine's other addresses have changed. How SetAddresses makes the
	// wanted ones follows from them.
	Own bool
	// Notes are for the log and for events; each is told once.
	Notes []string
}

func (c Change) empty() bool {
	return len(c.NextHops)+len(c.Defaults)+len(c.Legs)+len(c.Lost)+len(c.Notes) == 0 && !c.Own
}

// Times of a Watcher.
const (
	// settleTime is how long the messages that often come with a first one are
	// waited for.
	settleTime = 5 * time.Millisecond
	// retryTime is the wait before what the kernel refused is tried again.
	retryTime = time.Second
)

// A Watcher follows the interfaces, routes, rules, neighbours and addresses of
// a Host, and tells what they mean for the reals and legs it was given by Want.
// It also has the kernel keep the neighbours up to date that these depend on
// (managed neighbours), and records them in Made.
type Watcher struct {
	host    *Host
	source  eventSource
	changes chan Change
	wants   chan want
	events  chan event
	done    chan struct{}
	closed  sync.Once
	running sync.WaitGroup

	// All below belongs to the goroutine of run.

	view     view
	legNames []string
	legs     map[string]LegState      // as told
	defaults map[int]DefaultRoute     // as told
	paths    map[netip.Addr]knownPath // of every wanted real
	present  map[Address]bool         // wanted addresses that have been seen
	others   map[Address]bool         // addresses that are not wanted; nil: not listed yet
	filter   *routeFilter
	// dependents lists the reals by the neighbour that they are reached by.
	dependents map[neighbourKey][]netip.Addr
	gateways   map[neighbourKey]bool

	started bool // Want was called
	stale   staleness
	wake    *time.Timer
	wakeAt  time.Time // zero: the timer rests

	neighbours neighbourKeeper
	pending    Change
}

type want struct {
	legs  []string
	reals []netip.Addr
}

// An event is messages, or that some were lost.
type event struct {
	messages []syscall.NetlinkMessage
	lost     error
}

// knownPath is a path as told; the zero value has not been told.
type knownPath struct {
	Path
	told bool
}

// staleness says what has to be listed or resolved again.
type staleness struct {
	everything bool // messages were lost
	routes     bool
	addresses  bool
	paths      bool // of all reals
	defaults   bool
	reals      map[netip.Addr]bool
}

// Watch begins to watch; nothing is told before the first Want. The caller
// closes the Watcher.
func (h *Host) Watch() (*Watcher, error) {
	source, err := subscribe()
	if err != nil {
		return nil, err
	}
	return h.watch(source), nil
}

func (h *Host) watch(source eventSource) *Watcher {
	w := &Watcher{
		host:     h,
		source:   source,
		changes:  make(chan Change),
		wants:    make(chan want),
		events:   make(chan event, 64),
		done:     make(chan struct{}),
		legs:     map[string]LegState{},
		defaults: map[int]DefaultRoute{},
		paths:    map[netip.Addr]knownPath{},
		present:  map[Address]bool{},
		filter:   newRouteFilter(nil),
		stale:    staleness{everything: true, reals: map[netip.Addr]bool{}},
		wake:     time.NewTimer(time.Hour),
	}
	w.wake.Stop()
	w.running.Go(w.receive)
	w.running.Go(w.run)
	return w
}

// Changes delivers what changed, merged while nobody receives. It is never
// closed.
func (w *Watcher) Changes() <-chan Change { return w.changes }

// Want says which interfaces are legs and which reals need a next hop; both
// replace what was said before. It returns before they have been resolved.
func (w *Watcher) Want(legs []string, reals []netip.Addr) {
	select {
	case w.wants <- want{slices.Clone(legs), slices.Clone(reals)}:
	case <-w.done:
	}
}

// Close ends the Watcher; managed neighbours stay. It may be called twice.
func (w *Watcher) Close() error {
	w.closed.Do(func() {
		close(w.done)
		w.source.close()
	})
	w.running.Wait()
	return nil
}

// receive passes on the kernel's messages until Close.
func (w *Watcher) receive() {
	for {
		messages, err := w.source.receive()
		select {
		case <-w.done:
			return
		default:
		}
		if err != nil {
			// Drained here, before the loop lists anew: see drain.
			w.source.drain()
		}
		select {
		case w.events <- event{messages, err}:
		case <-w.done:
			return
		}
	}
}

func (w *Watcher) run() {
	defer w.wake.Stop()
	for {
		var out chan<- Change
		if !w.pending.empty() {
			out = w.changes
		}
		select {
		case <-w.done:
			return
		case out <- w.pending:
			w.pending = Change{}
		case want := <-w.wants:
			w.want(want)
		case e := <-w.events:
			w.take(e)
		case <-w.wake.C:
			w.wakeAt = time.Time{}
			w.settle()
		}
	}
}

// wakeIn has settle called in d, or sooner if that was asked for.
func (w *Watcher) wakeIn(d time.Duration) {
	at := time.Now().Add(d)
	if w.wakeAt.IsZero() || at.Before(w.wakeAt) {
		w.wakeAt = at
		w.wake.Reset(d)
	}
}

func (w *Watcher) want(want want) {
	w.started = true
	w.legNames = want.legs
	paths := make(map[netip.Addr]knownPath, len(want.reals))
	for _, addr := range want.reals {
		paths[addr] = w.paths[addr]
	}
	w.paths = paths
	maps.DeleteFunc(w.pending.NextHops, func(addr netip.Addr, _ Path) bool {
		_, wanted := paths[addr]
		return !wanted
	})
	w.filter = newRouteFilter(want.reals)
	maps.DeleteFunc(w.legs, func(name string, _ LegState) bool { return !slices.Contains(want.legs, name) })
	w.stale.routes = true // other reals may keep other routes
	w.stale.paths = true
	w.wakeIn(0)
}

// take handles what came from the kernel.
func (w *Watcher) take(e event) {
	if e.lost != nil {
		w.goBlind("network changes were lost (" + e.lost.Error() + ")")
		return
	}
	for _, m := range e.messages {
		w.handle(m)
	}
	if w.started && w.stale.any() {
		w.wakeIn(settleTime)
	}
}

func (s *staleness) any() bool {
	return s.everything || s.routes || s.addresses || s.paths || s.defaults || len(s.reals) > 0
}

// goBlind takes back every next hop: what they follow from may have changed.
// The FIB is asked until all has been listed again.
func (w *Watcher) goBlind(reason string) {
	w.stale.everything = true
	for addr, known := range w.paths {
		if known.NextHop != (NextHop{}) {
			w.tell(addr, Path{Reason: reason, OnLink: known.OnLink})
		}
	}
	for index, d := range w.defaults {
		if d.Hop4 != (NextHop{}) || d.Hop6 != (NextHop{}) {
			w.tellDefault(index, DefaultRoute{Reason4: reason, Reason6: reason})
		}
	}
	w.wakeIn(settleTime)
}

// settle brings everything up to date that has become stale.
func (w *Watcher) settle() {
	if !w.started {
		return
	}
	if err := w.list(); err != nil {
		w.note(err.Error() + "; tried again every second, until then packets are routed by the FIB")
		w.goBlind(err.Error())
		w.wakeAt = time.Time{}
		w.wakeIn(retryTime)
		return
	}
	w.resolve()
	w.manage()
}

func (w *Watcher) tell(addr netip.Addr, path Path) {
	w.paths[addr] = knownPath{path, true}
	if w.pending.NextHops == nil {
		w.pending.NextHops = map[netip.Addr]Path{}
	}
	w.pending.NextHops[addr] = path
}

func (w *Watcher) tellDefault(index int, d DefaultRoute) {
	w.defaults[index] = d
	if w.pending.Defaults == nil {
		w.pending.Defaults = map[int]DefaultRoute{}
	}
	w.pending.Defaults[index] = d
}

func (w *Watcher) tellLeg(name string, state LegState) {
	w.legs[name] = state
	if w.pending.Legs == nil {
		w.pending.Legs = map[string]LegState{}
	}
	w.pending.Legs[name] = state
}

// note tells a text, once until it has been received.
func (w *Watcher) note(text string) {
	if !slices.Contains(w.pending.Notes, text) {
		w.pending.Notes = append(w.pending.Notes, text)
	}
}
