package healthcheck

import (
	"slices"
	"sync"
	"time"
)

// A Check is one server to be watched.
type Check struct {
	Probe  Probe
	Config Config
	// Start is what is believed until results say otherwise; they are counted anew.
	Start State
	// Now: probe at once. Otherwise the first probe comes within an interval, so
	// that many checks spread.
	Now bool
}

// An Event is a new state of a check. Changed: Up is another than before, or it
// is the first result.
type Event[K comparable] struct {
	Key     K
	State   State
	Changed bool
}

// A Set runs checks, and sends every new state to Events, as many at once as there
// are: a server that stays as it is makes none. Checks with equal probe and config are
// asked once for all of them. Update and Change never wait for the reader of Events, so
// the reader may call them.
type Set[K comparable] struct {
	events chan []Event[K]
	wake   chan struct{} // something has changed for the goroutine
	ended  chan struct{} // closed by Close
	loop   sync.WaitGroup

	mu      sync.Mutex
	engine  *engine // nil before the first check
	watches map[K]question
	runs    map[question]*shared[K]
	queue   []Event[K]

	done, failed uint64 // probes
}

// A question is what may be asked once for many.
type question struct {
	probe  Probe
	config Config
}

// A shared run has a state for each check: they have begun at different times.
type shared[K comparable] struct {
	run
	states map[K]State
}

// NewSet returns a set without checks.
func NewSet[K comparable]() *Set[K] {
	return &Set[K]{
		events: make(chan []Event[K]), wake: make(chan struct{}, 1), ended: make(chan struct{}),
		watches: map[K]question{}, runs: map[question]*shared[K]{},
	}
}

// Events is where new states come from. It is never closed.
func (s *Set[K]) Events() <-chan []Event[K] { return s.events }

// Update makes the set run exactly these checks: see Change.
func (s *Set[K]) Update(checks map[K]Check) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.watches {
		if _, ok := checks[key]; !ok {
			s.remove(key)
		}
	}
	s.put(checks)
}

// Change makes the set run these checks, end some, and go on with all others. One whose
// probe and config are unchanged goes on undisturbed, whatever its Start says. A last
// event of a check that has ended may still come. Not after Close.
func (s *Set[K]) Change(checks map[K]Check, end []K) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range end {
		if _, ok := s.watches[key]; ok {
			s.remove(key)
		}
	}
	s.put(checks)
}

func (s *Set[K]) put(checks map[K]Check) {
	if s.engine == nil && len(checks) > 0 {
		s.engine = newEngine()
		s.loop.Go(s.run)
	}
	for key, check := range checks {
		q, ok := s.watches[key]
		if ok && q == (question{check.Probe, check.Config}) {
			continue
		}
		if ok {
			s.remove(key)
		}
		s.add(key, check)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Set[K]) add(key K, check Check) {
	q := question{check.Probe, check.Config}
	s.watches[key] = q
	r, running := s.runs[q]
	if !running {
		r = &shared[K]{run: run{probe: q.probe, config: q.config}, states: map[K]State{}}
		r.judge = func(failure error, now time.Time) { s.judge(r, failure, now) }
		s.runs[q] = r
		s.engine.start(&r.run, check.Now)
	} else if check.Now {
		s.engine.hurry(&r.run)
	}
	start := check.Start
	start.Rises, start.Falls = 0, 0 // those were answers to another question
	r.states[key] = start
}

func (s *Set[K]) remove(key K) {
	q := s.watches[key]
	delete(s.watches, key)
	r := s.runs[q]
	if delete(r.states, key); len(r.states) == 0 {
		s.engine.stop(&r.run)
		delete(s.runs, q)
	}
	if isKey := func(event Event[K]) bool { return event.Key == key }; slices.ContainsFunc(s.queue, isKey) {
		s.queue = slices.DeleteFunc(slices.Clone(s.queue), isKey) // it may be on its way
	}
}

// Counts says how many probes have ended since the set was made, and how many of
// these had failed. May be called concurrently.
func (s *Set[K]) Counts() (done, failed uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done, s.failed
}

func (s *Set[K]) judge(r *shared[K], failure error, now time.Time) {
	s.done++
	if failure != nil {
		s.failed++
	}
	for key, state := range r.states {
		next := state.Next(r.config, failure, now)
		if next == state {
			continue
		}
		r.states[key] = next
		s.queue = append(s.queue, Event[K]{Key: key, State: next, Changed: next.Up != state.Up || next.Checked != state.Checked})
	}
}

// run is the set's goroutine.
func (s *Set[K]) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		s.mu.Lock()
		timer.Reset(s.engine.turn())
		queue, events := s.queue, s.events
		if len(queue) == 0 {
			events = nil
		}
		s.mu.Unlock()
		select {
		case <-s.ended:
			return
		case <-timer.C:
		case <-s.wake:
		case events <- queue:
			s.mu.Lock()
			s.queue = nil
			s.mu.Unlock()
		case a := <-s.engine.answers:
			s.mu.Lock()
			s.engine.take(a)
			s.mu.Unlock()
		}
	}
}

// Close stops all checks and waits for them.
func (s *Set[K]) Close() {
	close(s.ended)
	s.loop.Wait()
	if s.engine != nil {
		s.engine.close()
	}
}
