package healthcheck

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// A Check is one server to be watched.
type Check struct {
	Probe  Probe
	Config Config
	// Start is what is believed until results say otherwise.
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

// A Set runs checks, each in its own goroutine, and sends every result to Events.
// Update never waits for the reader of Events, so the reader may call it.
type Set[K comparable] struct {
	events chan Event[K]

	mu      sync.Mutex
	running map[K]*runner
	group   sync.WaitGroup
}

type runner struct {
	check  Check
	cancel context.CancelFunc
}

// NewSet returns a set without checks.
func NewSet[K comparable]() *Set[K] {
	return &Set[K]{events: make(chan Event[K], 64), running: map[K]*runner{}}
}

// Events is where results come from. It is never closed.
func (s *Set[K]) Events() <-chan Event[K] { return s.events }

// Update makes the set run exactly these checks. One whose probe and config are
// unchanged goes on undisturbed, whatever its Start says. Results of a check that
// was stopped may still be in Events.
func (s *Set[K]) Update(checks map[K]Check) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, r := range s.running {
		if check, ok := checks[key]; !ok || check.Probe != r.check.Probe || check.Config != r.check.Config {
			r.cancel()
			delete(s.running, key)
		}
	}
	for key, check := range checks {
		if _, ok := s.running[key]; ok {
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		s.running[key] = &runner{check, cancel}
		s.group.Go(func() { s.run(ctx, key, check) })
	}
}

// Close stops all checks and waits for them.
func (s *Set[K]) Close() {
	s.Update(nil)
	s.group.Wait()
}

func (s *Set[K]) run(ctx context.Context, key K, check Check) {
	state := check.Start
	wait := time.Duration(rand.Float64() * float64(check.Config.Interval))
	if check.Now {
		wait = 0
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		begun := time.Now()
		failure := probe(ctx, check)
		if ctx.Err() != nil {
			return
		}
		next := state.Next(check.Config, failure, time.Now())
		event := Event[K]{Key: key, State: next, Changed: next.Up != state.Up || !state.Checked}
		state = next
		select {
		case s.events <- event:
		case <-ctx.Done():
			return
		}
		timer.Reset(pause(check.Config, time.Since(begun)))
	}
}

func probe(ctx context.Context, check Check) error {
	ctx, cancel := context.WithTimeout(ctx, check.Config.Timeout)
	defer cancel()
	return check.Probe.Probe(ctx)
}

// pause is until the next probe: the interval, more or less by the jitter, less
// what this one took.
func pause(c Config, took time.Duration) time.Duration {
	jitter := (rand.Float64()*2 - 1) * c.Jitter * float64(c.Interval)
	return max(c.Interval+time.Duration(jitter)-took, 0)
}
