package service

import (
	"fmt"
	"slices"
	"time"

	"github.com/tarpon-lb/tarpon/control/config"
)

// What is to be done with a service.
type What int

const (
	Wait What = iota
	Status
	Start
	Stop
	Kill
)

// A Step is the next thing to do.
type Step struct {
	What
	Service int       // in the list
	Until   time.Time // of a Wait; zero: until something else is wished
}

// memory is for how long a failure counts.
const memory = time.Hour

type state int

const (
	unknown state = iota
	runs
	broken // it ran and does not any more; what is left of it is to be stopped
	stuck  // it could not be stopped
	rests
)

func (s state) String() string {
	return [...]string{"unknown", "running", "broken", "stuck", "stopped"}[s]
}

// A one is what is known of a service.
type one struct {
	config.Service
	state    state
	due      time.Time // nothing is done before
	tried    bool      // to start it, since it is to run
	failures []time.Time
	err      error // of the last thing that failed
}

// A wish is what all services are to do.
type wish int

const (
	asIs wish = iota // at the start
	running
	resting
)

// A Machine decides what to do next with the services of a router. It has no clock and
// does nothing itself: Next says what to do, Done is told how it went. Not for concurrent
// use.
type Machine struct {
	list   []one
	wish   wish
	hard   bool  // what does not stop is killed
	failed error // why it does not rest, though that was wished
	told   []Event
}

// NewMachine begins with services of which nothing is known, and leaves them alone.
func NewMachine(list []config.Service) *Machine {
	m := &Machine{}
	for _, s := range list {
		m.list = append(m.list, one{Service: s})
	}
	return m
}

// Run wishes them started, in their order.
func (m *Machine) Run() {
	if m.wish == running {
		return
	}
	m.wish, m.failed = running, nil
	for i := range m.list {
		m.list[i].due, m.list[i].tried = time.Time{}, false
	}
}

// Rest wishes them stopped, in the reverse of their order. Hard: what does not stop in
// its time is killed; else that is the end of it, see Rested.
func (m *Machine) Rest(hard bool) {
	if m.wish == resting && m.failed == nil {
		m.hard = m.hard || hard
		return
	}
	m.wish, m.hard, m.failed = resting, hard, nil
	for i := range m.list {
		m.list[i].due = time.Time{}
	}
}

// Rested says whether the wish for rest has been heard, and why not all of them rest.
func (m *Machine) Rested() (done bool, err error) {
	awake := func(s one) bool { return s.state != rests }
	return m.wish == resting && (m.failed != nil || !slices.ContainsFunc(m.list, awake)), m.failed
}

// Next says what to do.
func (m *Machine) Next(now time.Time) Step {
	switch {
	case m.wish == resting && m.failed == nil:
		for i := range slices.Backward(m.list) {
			if what := m.toRest(i); what != Wait {
				return Step{What: what, Service: i}
			}
		}
	case m.wish == running:
		for i := range m.list {
			if !m.list[i].due.After(now) {
				return Step{What: m.toRun(i), Service: i}
			}
		}
	}
	return Step{Until: m.wake(now)}
}

// toRest is what brings a service to rest.
func (m *Machine) toRest(i int) What {
	return map[state]What{unknown: Status, runs: Stop, broken: Status, stuck: Kill, rests: Wait}[m.list[i].state]
}

// toRun is what a service that is to run needs now.
func (m *Machine) toRun(i int) What {
	return map[state]What{unknown: Status, runs: Status, broken: Stop, stuck: Kill, rests: Start}[m.list[i].state]
}

// wake is when something changes though nothing is done.
func (m *Machine) wake(now time.Time) (at time.Time) {
	sooner := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	for i := range m.list {
		s := &m.list[i]
		if m.wish == running {
			sooner(s.due)
		}
		if s.gaveUp(now) {
			sooner(s.failures[0].Add(memory))
		}
	}
	return at
}

// gaveUp: it failed more often than it is to be started again.
func (s *one) gaveUp(now time.Time) bool {
	s.failures = slices.DeleteFunc(s.failures, func(at time.Time) bool { return now.Sub(at) >= memory })
	return len(s.failures) > s.Restarts
}

// Done says how a step went. A Status that is nil found the service running.
func (m *Machine) Done(now time.Time, step Step, err error) {
	s := &m.list[step.Service]
	switch step.What {
	case Status:
		m.found(now, s, err)
	case Start:
		s.tried = true
		s.due = now.Add(s.Interval)
		if err != nil {
			s.state = unknown
			m.fails(now, s, fmt.Errorf("it does not start: %w", err))
			return
		}
		s.state, s.err = runs, nil
		m.tell(Event{Service: s.Name, Kind: Started})
	case Stop:
		m.stopped(now, s, err)
	case Kill:
		m.killed(s, err)
		m.ended(now, s)
	}
}

// Outdated says whether a step that is under way should be broken off, for something
// else is wished than when it began. Broken is to be called then, not Done.
func (m *Machine) Outdated(step Step) bool {
	switch step.What {
	case Start:
		return m.wish == resting && m.hard
	case Stop:
		return m.wish == running && m.list[step.Service].state != broken
	}
	return step.What == Status
}

// Broken off is a step, and what it has done nobody knows.
func (m *Machine) Broken(step Step) {
	s := &m.list[step.Service]
	switch step.What {
	case Start:
		s.state = runs // in part, perhaps
	case Stop:
		s.state = unknown
	}
}

func (m *Machine) found(now time.Time, s *one, err error) {
	s.due = now.Add(s.Interval)
	switch {
	case err == nil:
		s.state, s.err = runs, nil
	case m.wish == resting:
		s.state = rests
	case s.state == runs:
		s.state, s.due = broken, now
		m.fails(now, s, fmt.Errorf("it does not run: %w", err))
	case s.tried && s.gaveUp(now):
		s.state = unknown // looked at again, for somebody may repair it
	default:
		s.state, s.due = rests, now
	}
}

func (m *Machine) stopped(now time.Time, s *one, err error) {
	switch {
	case err == nil:
		if m.wish == resting {
			m.tell(Event{Service: s.Name, Kind: Stopped})
		}
		m.ended(now, s)
	case s.state == broken && m.wish == resting:
		s.state = unknown // it began as a restart; what is gone need not stop
	case m.wish == resting && !m.hard:
		s.state = unknown
		m.failed = fmt.Errorf("service %s does not stop: %w", s.Name, err)
	default:
		s.state, s.err = stuck, err
	}
}

// killed is the end of a unit, if that worked; of programs only the one that stops it
// was killed.
func (m *Machine) killed(s *one, err error) {
	switch {
	case m.wish != resting: // what was broken is not of interest
	case s.Unit != "" && err == nil:
		m.tell(Event{Service: s.Name, Kind: Killed, Err: s.err})
	default:
		m.tell(Event{Service: s.Name, Kind: Left, Err: s.err})
	}
}

// ended: nothing of the service runs. It may be started again.
func (m *Machine) ended(now time.Time, s *one) {
	s.state, s.due = rests, now
	if m.wish == running && s.tried && s.gaveUp(now) {
		s.state, s.due = unknown, now.Add(s.Interval)
	}
}

// fails notes a failure. That is told once for each, and the last one as what it is.
func (m *Machine) fails(now time.Time, s *one, err error) {
	s.err = err
	s.failures = append(s.failures, now)
	kind := Failing
	if s.gaveUp(now) {
		kind = Failed
	}
	m.tell(Event{Service: s.Name, Kind: kind, Err: err})
}

func (m *Machine) tell(e Event) { m.told = append(m.told, e) }

// Told are the events since it was asked last.
func (m *Machine) Told() []Event {
	told := m.told
	m.told = nil
	return told
}

// A View is how a service stands.
type View struct {
	Name     string
	State    string // running, stopped, failed; or between: unknown, broken, stuck
	Critical bool
	Failures int   // within the last hour
	Restarts int   // so many of them are mended
	Err      error // of the last thing that failed; nil: it runs as it should
}

// Views are of all of them, in their order.
func (m *Machine) Views(now time.Time) (list []View) {
	for i := range m.list {
		s := &m.list[i]
		v := View{Name: s.Name, State: s.state.String(), Critical: s.Critical, Restarts: s.Restarts, Err: s.err}
		if s.gaveUp(now) && s.state != runs {
			v.State = "failed"
		}
		v.Failures = len(s.failures)
		list = append(list, v)
	}
	return list
}

// Fault says which critical service has failed. Empty: none.
func (m *Machine) Fault(now time.Time) string {
	for i := range m.list {
		if s := &m.list[i]; s.Critical && s.gaveUp(now) && s.state != runs {
			return fmt.Sprintf("service %s has failed: %v", s.Name, s.err)
		}
	}
	return ""
}
