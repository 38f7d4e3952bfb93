package healthcheck

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestScheduleIsInOrder: whatever was set, set again and removed, runs come by their
// moments.
func TestScheduleIsInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s schedule
		runs := make([]run, 20)
		want := map[*run]time.Time{}
		for range rapid.IntRange(0, 100).Draw(t, "steps") {
			r := &runs[rapid.IntRange(0, len(runs)-1).Draw(t, "run")]
			if rapid.Bool().Draw(t, "set") {
				want[r] = time.UnixMilli(rapid.Int64Range(0, 1000).Draw(t, "at"))
				s.set(r, want[r])
			} else {
				delete(want, r)
				s.remove(r)
			}
		}
		var got, sorted []time.Time
		for r := s.first(); r != nil; r = s.first() {
			if r.at != want[r] {
				t.Fatalf("waits for %s, want %s", r.at, want[r])
			}
			got = append(got, r.at)
			s.remove(r)
		}
		for _, at := range want {
			sorted = append(sorted, at)
		}
		slices.SortFunc(sorted, time.Time.Compare)
		if !slices.Equal(got, sorted) {
			t.Fatalf("%v, want %v", got, sorted)
		}
	})
}

// TestFirstProbesSpread: no tenth of the interval has much more than its share.
func TestFirstProbesSpread(t *testing.T) {
	c, now := Config{Interval: 5 * time.Second}, time.Now()
	var tenths [10]int
	for range 10_000 {
		due := firstDue(c, now, false).Sub(now)
		if due < 0 || due >= c.Interval {
			t.Fatalf("due after %s", due)
		}
		tenths[due*10/c.Interval]++
	}
	if slices.Min(tenths[:]) < 800 || slices.Max(tenths[:]) > 1200 {
		t.Errorf("in each tenth of the interval: %v", tenths)
	}
	if due := firstDue(c, now, true); due != now {
		t.Errorf("one that is new waits %s", due.Sub(now))
	}
}

func TestNextProbe(t *testing.T) {
	begun := time.Now()
	at := func(seconds float64) time.Time { return begun.Add(time.Duration(seconds * float64(time.Second))) }
	c := Config{Interval: 2 * time.Second}
	for _, test := range []struct {
		name            string
		last, now, want float64
	}{
		{"an interval after the last", 10, 10.1, 12},
		{"which was late", 10, 11.9, 12},
		{"or took the whole interval", 10, 12.1, 12},
		{"the machine stood still", 10, 15.5, 14},
		{"for an hour", 10.5, 3610, 3608.5},
	} {
		if got := nextDue(c, at(test.last), at(test.now)); got != at(test.want) {
			t.Errorf("%s: after %s, want %gs", test.name, got.Sub(begun), test.want)
		}
	}
	c.Jitter = 0.1
	least, most := time.Hour, time.Duration(0)
	for range 1000 {
		pause := nextDue(c, begun, begun).Sub(begun)
		least, most = min(least, pause), max(most, pause)
	}
	if least < 1800*time.Millisecond || most > 2200*time.Millisecond || most-least < 350*time.Millisecond {
		t.Errorf("with 10%% jitter from %s to %s", least, most)
	}
}

// TestManyShareAWakeUp: 1,000 checks in an interval, hardly any waking the process
// for itself, and each as often as it should be.
func TestManyShareAWakeUp(t *testing.T) {
	c := Config{Interval: 2 * time.Second, Jitter: 0.1}
	begun := time.Now()
	var s schedule
	runs := make([]run, 1000)
	for i := range runs {
		runs[i] = run{config: c, due: begun.Add(rand.N(c.Interval))}
		s.set(&runs[i], runs[i].due)
	}
	wakeUps, probes := 0, map[*run]int{}
	end := begun.Add(100 * c.Interval)
	for now := s.first().at; now.Before(end); now = s.first().at {
		wakeUps++
		for r := s.first(); !now.Before(r.soon()); r = s.first() {
			if early := r.at.Sub(now); early > c.Interval/5 {
				t.Fatalf("%s early", early)
			}
			probes[r]++
			r.due = nextDue(c, r.due, now)
			s.set(r, r.due)
		}
	}
	if wakeUps > 10*100 {
		t.Errorf("%d wake-ups in 100 intervals", wakeUps)
	}
	for r, n := range probes {
		if n < 97 || n > 103 {
			t.Errorf("%d probes in 100 intervals of one (%p)", n, r)
		}
	}
}
