// Package service runs the services that go where the router is active: one after the
// other, started once the addresses are here and stopped before they go. They are units
// of systemd or programs, and are looked at again and again while they run.
//
// Machine decides and is pure; Services carries out, in a goroutine of its own.
package service

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/pair/program"
)

// A Kind says what happened to a service.
type Kind string

const (
	Started Kind = "service_started"
	Stopped Kind = "service_stopped"
	Killed  Kind = "service_killed"
	Left    Kind = "service_left"    // it did not stop, and may run still
	Failing Kind = "service_failing" // it is started again
	Failed  Kind = "service_failed"  // it is not, before an hour is over
)

// An Event is one thing that happened.
type Event struct {
	Service string
	Kind    Kind
	Err     error // what failed
}

func (e Event) String() string {
	text := "service " + e.Service + map[Kind]string{
		Started: " started", Stopped: " stopped", Killed: " did not stop and was killed", Left: " did not stop and is left behind",
		Failing: " is started again", Failed: " has failed and is left alone",
	}[e.Kind]
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Services are carried out from New to Close. The methods may be called by any
// goroutine, and wait for no program.
type Services struct {
	tell func([]Event)

	mu    sync.Mutex
	m     *Machine
	under Step               // way
	stop  context.CancelFunc // of it; nil: nothing is under way
	done  []func(error)      // who waits for them to rest
	fault string

	changed chan struct{} // what is wished
	ctx     context.Context
	end     context.CancelFunc
	ended   sync.WaitGroup
}

// New leaves the services alone until it is told what they are to do. Tell is called,
// from another goroutine, with what happened; with nothing when only Fault changed.
func New(list []config.Service, tell func([]Event)) *Services {
	s := &Services{m: NewMachine(list), tell: tell, changed: make(chan struct{}, 1)}
	s.ctx, s.end = context.WithCancel(context.Background())
	s.ended.Go(s.run)
	return s
}

// Fault says which critical service has failed. Empty: none.
func (s *Services) Fault() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// Views are how the services stand, in their order.
func (s *Services) Views() []View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m.Views(time.Now())
}

// Close leaves the services as they are, and kills the program that is about one.
func (s *Services) Close() {
	s.end()
	s.ended.Wait()
}

// Run has them started. Whoever waits for them to rest is told that they will not.
func (s *Services) Run() {
	s.wish(func() {
		s.m.Run()
		for _, done := range s.done {
			s.ended.Go(func() { done(ErrRun) })
		}
		s.done = nil
	})
}

// ErrRun is told to who waits for services to rest when they are to run after all.
var ErrRun = errors.New("the services are to run again")

// Rest has them stopped. Hard: one that does not stop in its time is killed; else that
// is the end of it. Done, unless it is nil, is called once by another goroutine, when
// they rest or with the reason why they do not.
func (s *Services) Rest(hard bool, done func(error)) {
	s.wish(func() {
		s.m.Rest(hard)
		if done != nil {
			s.done = append(s.done, done)
		}
	})
}

func (s *Services) wish(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	if s.stop != nil && s.m.Outdated(s.under) {
		s.stop()
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// run does one step after the other.
func (s *Services) run() {
	for s.ctx.Err() == nil {
		step, ctx := s.next()
		if step.What == Wait {
			s.wait(step.Until)
			continue
		}
		err := s.do(ctx, step)
		s.note(ctx, step, err)
	}
}

// next begins a step.
func (s *Services) next() (Step, context.Context) {
	s.report()
	s.mu.Lock()
	defer s.mu.Unlock()
	step := s.m.Next(time.Now())
	if step.What == Wait {
		return step, nil
	}
	ctx, stop := context.WithCancel(s.ctx)
	s.under, s.stop = step, stop
	return step, ctx
}

// note ends it.
func (s *Services) note(ctx context.Context, step Step, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil && err != nil {
		s.m.Broken(step)
	} else {
		s.m.Done(time.Now(), step, err)
	}
	s.stop()
	s.stop = nil
}

// report tells what there is to tell.
func (s *Services) report() {
	s.mu.Lock()
	events, fault := s.m.Told(), s.m.Fault(time.Now())
	changed := fault != s.fault
	s.fault = fault
	var done []func(error)
	rested, err := s.m.Rested()
	if rested {
		done, s.done = s.done, nil
	}
	s.mu.Unlock()
	if changed || len(events) > 0 {
		s.tell(events)
	}
	for _, f := range done {
		f(err)
	}
}

// wait is until something else is wished.
func (s *Services) wait(until time.Time) {
	var over <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-s.changed:
	case <-over:
	case <-s.ctx.Done():
	}
}

// do carries out a step.
func (s *Services) do(ctx context.Context, step Step) error {
	service := s.m.list[step.Service].Service
	argv := arguments(service, step.What)
	if argv == nil {
		return nil
	}
	output, err := program.Run(ctx, program.Command{Argv: argv, Timeout: service.Timeout})
	if step.What == Status && service.Unit != "" && slices.Contains(between, output) && s.resting() {
		return nil // it does not rest
	}
	return err
}

// between are states of a unit that neither is active nor rests.
var between = []string{"activating", "deactivating", "reloading"}

func (s *Services) resting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m.wish == resting
}

// arguments are the command of a step; nil: there is none.
func arguments(s config.Service, what What) []string {
	if s.Unit == "" {
		return map[What][]string{Status: s.Status, Start: s.Start, Stop: s.Stop}[what]
	}
	verb := map[What][]string{Status: {"is-active"}, Start: {"start"}, Stop: {"stop"}, Kill: {"kill", "--signal=SIGKILL"}}[what]
	return append(append([]string{"systemctl"}, verb...), s.Unit)
}
