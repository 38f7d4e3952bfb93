package service

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/control/config"
	"pgregory.net/rapid"
)

// A stage has a machine and services that do as they are told, or do not.
type stage struct {
	m     *Machine
	now   time.Time
	runs  map[string]bool
	stuck map[string]bool // does not stop
	fails map[string]bool // does not start
	did   []string
}

func newStage(change func(*config.Service)) *stage {
	var list []config.Service
	for _, name := range []string{"a", "b"} {
		s := config.Service{Name: name, Unit: name, Restarts: 2, Timeout: 30 * time.Second, Interval: 10 * time.Second}
		if change != nil {
			change(&s)
		}
		list = append(list, s)
	}
	return &stage{
		m: NewMachine(list), now: time.Unix(1e6, 0),
		runs: map[string]bool{}, stuck: map[string]bool{}, fails: map[string]bool{},
	}
}

// run does what there is to do, and lets the time go by.
func (s *stage) run(d time.Duration) *stage {
	end := s.now.Add(d)
	for {
		step := s.m.Next(s.now)
		if step.What != Wait {
			s.step(step)
			continue
		}
		if step.Until.IsZero() || step.Until.After(end) {
			s.now = end
			return s
		}
		if !step.Until.After(s.now) {
			panic("it waits for what has been")
		}
		s.now = step.Until
	}
}

func (s *stage) step(step Step) {
	name := s.m.list[step.Service].Name
	var err error
	switch step.What {
	case Status:
		if !s.runs[name] {
			err = errors.New("exit status 3")
		}
	case Start:
		if s.fails[name] {
			err = errors.New("exit status 1")
		}
		s.runs[name] = err == nil
	case Stop:
		if s.stuck[name] {
			err = errors.New("not done after 30s, killed")
			s.now = s.now.Add(30 * time.Second)
		} else {
			s.runs[name] = false
		}
	case Kill:
		s.runs[name] = false
	}
	if step.What != Status {
		s.did = append(s.did, map[What]string{Start: "start ", Stop: "stop ", Kill: "kill "}[step.What]+name)
	}
	s.m.Done(s.now, step, err)
}

func TestOrder(t *testing.T) {
	run := func(s *stage) { s.m.Run() }
	rest := func(s *stage) { s.m.Rest(false) }
	for _, c := range []struct {
		name   string
		happen func(*stage)
		did    string
		events string
		rested string // why not
	}{
		{"nobody has said what is wished", func(s *stage) { s.runs["a"] = true }, "", "", "no"},
		{"a takeover", run, "start a, start b", "a started, b started", "no"},
		{"one runs already", func(s *stage) { s.runs["a"] = true; run(s) }, "start b", "b started", "no"},
		{"a start as a standby", func(s *stage) { s.runs["a"] = true; rest(s) }, "stop a", "a stopped", ""},
		{"there and back", func(s *stage) { run(s); s.run(time.Minute); rest(s) }, "start a, start b, stop b, stop a", "a started, b started, b stopped, a stopped", ""},
		{"one does not start", func(s *stage) { s.fails["a"] = true; run(s); s.run(time.Second) }, "start a, start b", "a is started again, b started", "no"},
		{"one does not stop", func(s *stage) { run(s); s.run(time.Second); s.stuck["a"] = true; rest(s) },
			"start a, start b, stop b, stop a", "a started, b started, b stopped", "service a does not stop: not done after 30s, killed"},
		{"and then the rest is called off", func(s *stage) {
			run(s)
			s.run(time.Second)
			s.stuck["b"] = true
			rest(s)
			s.run(time.Second)
			run(s)
		}, "start a, start b, stop b", "a started, b started", "no"},
		{"it must stop", func(s *stage) { run(s); s.run(time.Second); s.stuck["b"] = true; s.m.Rest(true) },
			"start a, start b, stop b, kill b, stop a", "a started, b started, b was killed, a stopped", ""},
		{"it must stop after all", func(s *stage) {
			run(s)
			s.run(time.Second)
			s.stuck["b"] = true
			rest(s)
			s.run(time.Second)
			s.m.Rest(true)
		}, "start a, start b, stop b, stop b, kill b, stop a", "a started, b started, b was killed, a stopped", ""},
		{"one that never started rests", func(s *stage) { s.fails["a"], s.stuck["a"] = true, true; run(s); s.run(time.Second); rest(s) },
			"start a, start b, stop b", "a is started again, b started, b stopped", ""},
	} {
		s := newStage(nil)
		c.happen(s)
		s.run(time.Second)
		if got := strings.Join(s.did, ", "); got != c.did {
			t.Errorf("%s: %s, want %s", c.name, got, c.did)
		}
		var events []string
		for _, e := range s.m.Told() {
			events = append(events, e.Service+map[Kind]string{Started: " started", Stopped: " stopped", Killed: " was killed", Failing: " is started again", Failed: " failed"}[e.Kind])
		}
		if got := strings.Join(events, ", "); got != c.events {
			t.Errorf("%s: events %s, want %s", c.name, got, c.events)
		}
		why := "no"
		if rested, err := s.m.Rested(); rested {
			why = strings.TrimPrefix(fmt.Sprint(err), "<nil>")
		}
		if why != c.rested {
			t.Errorf("%s: rested %q, want %q", c.name, why, c.rested)
		}
	}
}

// Two restarts within an hour: the third failure is the end, until the first is an hour
// old.
func TestRestarts(t *testing.T) {
	for _, critical := range []bool{false, true} {
		s := newStage(func(s *config.Service) { s.Critical = critical })
		s.m.Run()
		s.run(time.Minute)
		for n := 1; n <= 3; n++ {
			s.did, s.runs["a"] = nil, false
			s.run(10 * time.Second)
			again := slices.Equal(s.did, []string{"stop a", "start a"})
			if fault := s.m.Fault(s.now); again != (n < 3) || (fault != "") != (critical && n == 3) {
				t.Errorf("failure %d: did %q, fault %q", n, s.did, fault)
			}
		}
		var kinds []Kind
		for _, e := range s.m.Told()[2:] {
			kinds = append(kinds, e.Kind)
		}
		if want := []Kind{Failing, Started, Failing, Started, Failed}; !slices.Equal(kinds, want) {
			t.Errorf("told %q, want %q", kinds, want)
		}
		if want := "service a has failed: it does not run: exit status 3"; critical && s.m.Fault(s.now) != want {
			t.Errorf("fault %q, want %q", s.m.Fault(s.now), want)
		}
		s.did = nil
		if s.run(59 * time.Minute); len(s.did) > 0 {
			t.Errorf("within the hour: %q", s.did)
		}
		if s.run(time.Minute); !slices.Equal(s.did, []string{"start a"}) || s.m.Fault(s.now) != "" {
			t.Errorf("after the hour: %q, fault %q", s.did, s.m.Fault(s.now))
		}
	}
}

func TestFailed(t *testing.T) {
	failed := func() *stage {
		s := newStage(func(s *config.Service) { s.Critical, s.Restarts = true, 0 })
		s.m.Run()
		s.run(time.Second)
		s.runs["b"] = false
		s.run(time.Minute)
		if s.did = nil; s.m.Fault(s.now) == "" {
			t.Fatal("no fault")
		}
		return s
	}
	s := failed()
	s.runs["b"] = true // by an operator
	if s.run(10 * time.Second); s.m.Fault(s.now) != "" || len(s.did) > 0 {
		t.Errorf("repaired: %q, fault %q", s.did, s.m.Fault(s.now))
	}
	s = failed()
	s.m.Rest(true)
	s.run(time.Second)
	if s.m.Fault(s.now) == "" {
		t.Error("a standby forgets it")
	}
	s.did = nil
	s.m.Run() // a takeover tries it
	if s.run(time.Second); !slices.Equal(s.did, []string{"start a", "start b"}) || s.m.Fault(s.now) != "" {
		t.Errorf("taken over: %q, fault %q", s.did, s.m.Fault(s.now))
	}
	s = failed()
	s.m.Rest(true)
	at := s.m.Next(s.run(time.Second).now).Until
	if at.IsZero() || s.m.Fault(at.Add(-1)) == "" || s.m.Fault(at) != "" {
		t.Errorf("the fault of a standby is not over at %s, now %s", at, s.now)
	}
}

// Whatever fails and is wished, and is broken off: in the end it is as wished last.
func TestAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newStage(nil)
		for range rapid.IntRange(1, 30).Draw(t, "length") {
			name := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "service")
			wish := func() {
				if rapid.Bool().Draw(t, "to run") {
					s.m.Run()
				} else {
					s.m.Rest(rapid.Bool().Draw(t, "hard"))
				}
			}
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0:
				wish()
			case 1:
				s.runs[name] = rapid.Bool().Draw(t, "runs")
			case 2:
				s.stuck[name] = rapid.Bool().Draw(t, "stuck")
			case 3:
				s.fails[name] = rapid.Bool().Draw(t, "fails")
			case 4:
				step := s.m.Next(s.now)
				if wish(); step.What != Wait && s.m.Outdated(step) {
					s.runs[s.m.list[step.Service].Name] = rapid.Bool().Draw(t, "runs after")
					s.m.Broken(step)
				} else if step.What != Wait {
					s.step(step)
				}
			}
			s.run(time.Duration(rapid.IntRange(0, 1000).Draw(t, "seconds")) * time.Second)
		}
		s.stuck, s.fails = map[string]bool{}, map[string]bool{}
		if rapid.Bool().Draw(t, "run in the end") {
			s.m.Rest(true)
			s.run(time.Second)
			s.m.Run()
			if s.run(2 * time.Hour); !s.runs["a"] || !s.runs["b"] {
				t.Errorf("they do not run: %v", s.runs)
			}
			return
		}
		s.m.Run()
		s.run(2 * time.Hour)
		s.m.Rest(false)
		if s.run(time.Minute); s.runs["a"] || s.runs["b"] {
			t.Errorf("they run: %v", s.runs)
		}
		if rested, err := s.m.Rested(); !rested || err != nil {
			t.Errorf("rested %t: %v", rested, err)
		}
	})
}
