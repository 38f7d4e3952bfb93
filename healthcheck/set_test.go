package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tarpon-lb/tarpon/test/namespace"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if role := os.Getenv("TARPON_COST"); role != "" {
		if err := playRole(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// A server whose health is a variable.
type server struct {
	down, hangs atomic.Bool
	asked       atomic.Int32
}

type scripted struct{ *server }

func (s scripted) begin(e *engine, r *run) error {
	return e.alone(r, func(ctx context.Context) error {
		s.asked.Add(1)
		if s.hangs.Load() {
			ctx, cancel := context.WithTimeout(ctx, r.config.Timeout)
			defer cancel()
			<-ctx.Done()
			return reason(ctx.Err())
		}
		if s.down.Load() {
			return errors.New("down")
		}
		return nil
	})
}

var usual = Config{Interval: 2 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3, Jitter: 0.1}

func checkOf(s *server) Check {
	return Check{Probe: scripted{s}, Config: usual, Start: State{Decisive: true}, Now: true}
}

func TestSetFollowsAServer(t *testing.T) {
	for _, test := range []struct {
		name  string
		fails func(*server)
		error string
		slack time.Duration
	}{
		{"down", func(s *server) { s.down.Store(true) }, "down", 0},
		{"hangs", func(s *server) { s.hangs.Store(true) }, "timeout", usual.Timeout},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s server
				set := NewSet[string]()
				events := stream[string]{set: set}
				defer set.Close()
				set.Update(map[string]Check{"a": checkOf(&s)})
				begun := time.Now()
				if e := events.next(); !e.Changed || !e.State.Up || time.Since(begun) > 0 {
					t.Errorf("first event %+v after %s: up at once", e, time.Since(begun))
				}
				test.fails(&s)
				falls := 0
				for e := range events.all() {
					if e.State.Falls > 0 {
						falls++
					}
					if e.Changed {
						if e.State.Up || e.State.Error != test.error {
							t.Errorf("%+v", e.State)
						}
						break
					}
				}
				if took := time.Since(begun) - test.slack; falls != 3 || took < 3*usual.Interval*9/10 || took > 3*usual.Interval*11/10 {
					t.Errorf("down after %d falls and %s, want about %s", falls, took, 3*usual.Interval)
				}
			})
		})
	}
}

// TestAnotherQuestion: a check that asks something else goes on with what is believed,
// and needs all its failures to change that.
func TestAnotherQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s, other server
		s.down.Store(true)
		other.down.Store(true)
		set := NewSet[string]()
		events := stream[string]{set: set}
		defer set.Close()
		check := checkOf(&s)
		check.Start = State{Up: true}
		set.Update(map[string]Check{"a": check})
		for range usual.Fall - 1 {
			check.Start = events.next().State
		}
		check.Probe = scripted{&other}
		set.Update(map[string]Check{"a": check})
		for fall := 1; fall <= usual.Fall; fall++ {
			if e := events.next(); e.State.Falls != fall || e.State.Up != (fall < usual.Fall) {
				t.Fatalf("after failure %d: %+v", fall, e.State)
			}
		}
	})
}

// TestSetIsSilent: a server that stays as it is makes no events, though it is asked.
func TestSetIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s server
		set := NewSet[string]()
		events := stream[string]{set: set}
		defer set.Close()
		checks := map[string]Check{"a": checkOf(&s)}
		set.Update(checks)
		for rises := 0; rises < usual.Rise; rises = events.next().State.Rises {
		}
		for range 10 {
			time.Sleep(time.Minute)
			set.Update(checks) // unchanged: goes on
		}
		synctest.Wait()
		select {
		case e := <-set.Events():
			t.Errorf("%d events: %+v", len(e), e[0])
		default:
		}
		if asked := s.asked.Load(); asked < 290 || asked > 310 {
			t.Errorf("asked %d times in 10 minutes", asked)
		}
	})
}

// TestSetShares: checks that ask the same ask it once, and each has its own state.
func TestSetShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s server
		set := NewSet[string]()
		events := stream[string]{set: set}
		defer set.Close()
		restarted, added := checkOf(&s), checkOf(&s)
		restarted.Start, restarted.Now = State{Up: true}, false
		checks := map[string]Check{"restarted": restarted}
		set.Update(checks)
		time.Sleep(time.Minute)
		asked := s.asked.Load()
		s.down.Store(true)
		events.next() // its first result, of long ago
		for e := range events.all() {
			if e.State.Falls == 1 {
				break
			}
		}
		checks["added"] = added
		set.Update(checks)
		begun := time.Now()
		got := map[string]State{}
		for range 2 {
			e := events.next()
			got[e.Key] = e.State
		}
		if time.Since(begun) > 0 || !got["restarted"].Up || got["restarted"].Falls != 2 || got["added"].Up || got["added"].Falls != 1 {
			t.Errorf("after %s %+v", time.Since(begun), got)
		}
		delete(checks, "restarted")
		set.Update(checks)
		s.down.Store(false)
		if e := events.next(); e.Key != "added" || e.State.Rises != 1 {
			t.Errorf("%+v", e)
		}
		if asked := s.asked.Load() - asked; asked > 4 {
			t.Errorf("asked %d times", asked)
		}
	})
}

// TestSetChanges: a change leaves alone what it does not name, and what is as it was.
func TestSetChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept, same, ended, other, added server
		set := NewSet[string]()
		defer set.Close()
		done := make(chan struct{})
		defer close(done)
		go func() {
			for {
				select {
				case <-set.Events():
				case <-done:
					return
				}
			}
		}()
		set.Update(map[string]Check{"kept": checkOf(&kept), "same": checkOf(&same), "ended": checkOf(&ended), "other": checkOf(&ended)})
		time.Sleep(time.Minute)
		was := map[*server]int32{&kept: kept.asked.Load(), &same: same.asked.Load(), &ended: ended.asked.Load()}
		set.Change(map[string]Check{"same": checkOf(&same), "other": checkOf(&other), "added": checkOf(&added)}, []string{"ended", "unknown"})
		time.Sleep(time.Minute)
		for s, was := range was {
			if asked := s.asked.Load() - was; s != &ended && (asked < 25 || asked > 35) || s == &ended && asked > 0 {
				t.Errorf("asked %d times in a minute (ended: %t)", asked, s == &ended)
			}
		}
		if other.asked.Load() < 25 || added.asked.Load() < 25 {
			t.Errorf("asked %d and %d times in a minute", other.asked.Load(), added.asked.Load())
		}
	})
}

// TestSetForgets: what is taken out is not asked, and begins anew when it comes back.
func TestSetForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s server
		set := NewSet[string]()
		events := stream[string]{set: set}
		defer set.Close()
		for range 3 {
			set.Update(map[string]Check{"a": checkOf(&s)})
			if e := events.next(); !e.State.Up || e.State.Rises != 1 || !e.Changed {
				t.Errorf("%+v", e)
			}
			s.hangs.Store(true) // and is taken out while it is asked
			time.Sleep(usual.Interval + usual.Interval/5)
			set.Update(nil)
			asked := s.asked.Load()
			time.Sleep(time.Minute)
			if s.asked.Load() != asked {
				t.Errorf("asked after its end")
			}
			s.hangs.Store(false)
		}
	})
}

// TestLateAnswer: one that comes when its run was stopped brings nothing back.
func TestLateAnswer(t *testing.T) {
	e := newEngine()
	defer e.close()
	r := &run{config: usual, judge: func(error, time.Time) { t.Error("judged") }}
	e.start(r, true)
	r.cancel = func() {}
	e.stop(r)
	e.take(answer{run: r})
	if r.place != 0 {
		t.Error("scheduled again")
	}
}

// TestSetWithoutReader: Update and probes go on while nobody reads.
func TestSetWithoutReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := NewSet[string]()
		events := stream[string]{set: set}
		defer set.Close()
		checks := map[string]Check{}
		servers := make([]server, 1000)
		for i := range servers {
			checks[fmt.Sprint(i)] = checkOf(&servers[i])
			set.Update(checks)
		}
		time.Sleep(time.Minute)
		last := map[string]State{}
		for range 2 * len(servers) {
			e := events.next()
			last[e.Key] = e.State
		}
		for key, state := range last {
			if !state.Up || state.Rises != 2 {
				t.Errorf("%s: %+v", key, state)
			}
		}
		if len(last) != len(servers) || servers[0].asked.Load() < 25 {
			t.Errorf("%d states, the first asked %d times", len(last), servers[0].asked.Load())
		}
	})
}

// ask asks once, by a set, and returns the error; empty: well.
func ask(t testing.TB, p Probe, timeout time.Duration) string {
	t.Helper()
	set := NewSet[int]()
	events := stream[int]{set: set}
	defer set.Close()
	config := usual
	config.Interval, config.Timeout = time.Hour, timeout
	set.Update(map[int]Check{0: {Probe: p, Config: config, Start: State{Decisive: true}, Now: true}})
	e := events.next()
	if e.State.Up != (e.State.Error == "") {
		t.Errorf("%+v", e.State)
	}
	return e.State.Error
}

// TestOutOfFiles: what this machine lacks takes no server away.
func TestOutOfFiles(t *testing.T) {
	if !namespace.Own(t) { // alone in its process
		return
	}
	l, address := listen(t, "127.0.0.1:0")
	served := make(chan struct{})
	go func() { _ = http.Serve(l, handler); close(served) }()
	defer func() { l.Close(); <-served }()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	few := limit
	few.Cur = 3
	set := NewSet[Probe]()
	defer set.Close()
	events := stream[Probe]{set: set}
	config := Config{Interval: 200 * time.Millisecond, Timeout: 20 * time.Second, Rise: 1, Fall: 1}
	checks := map[Probe]Check{}
	for _, probe := range []Probe{TCP{address}, Ping{Address: address.Addr()}, get(address), Exec{Argv: "/bin/true"}} {
		checks[probe] = Check{Probe: probe, Config: config, Start: State{Up: true}, Now: true}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	set.Update(checks)
	for range checks {
		e := events.next()
		said := strings.HasPrefix(e.State.Error, "not asked: ") && strings.HasSuffix(e.State.Error, "too many open files")
		if !said || !e.State.Up || e.State.Falls > 0 {
			t.Errorf("%+v: %+v", e.Key, e.State)
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	for range checks {
		if e := events.next(); !e.State.Up || e.State.Error != "" || !e.State.Checked {
			t.Errorf("%+v: %+v", e.Key, e.State)
		}
	}
}

// A stream is a set's events one by one.
type stream[K comparable] struct {
	set  *Set[K]
	rest []Event[K]
}

func (s *stream[K]) next() Event[K] {
	for len(s.rest) == 0 {
		s.rest = <-s.set.Events()
	}
	event := s.rest[0]
	s.rest = s.rest[1:]
	return event
}

func (s *stream[K]) all() func(func(Event[K]) bool) {
	return func(yield func(Event[K]) bool) {
		for yield(s.next()) {
		}
	}
}
