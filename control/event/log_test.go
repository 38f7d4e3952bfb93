package event

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/control/api"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// newLog is a Log and the lines that it writes.
func newLog() (*Log, *observer.ObservedLogs) {
	core, lines := observer.New(zap.DebugLevel)
	return NewLog(zap.New(core)), lines
}

// tell has events named 1, 2, ... happen.
func tell(l *Log, count int) {
	for range count {
		l.Info(RealUp, fmt.Sprint(l.last+1))
	}
}

// messages are those of events, in their order; a break in their numbers is a fault.
func messages(t *testing.T, events []api.Event) (list []string) {
	t.Helper()
	for _, e := range events {
		list = append(list, e.Message)
		if e.Kind != string(Lost) && fmt.Sprint(e.Sequence) != e.Message {
			t.Errorf("event %s has number %d", e.Message, e.Sequence)
		}
	}
	return list
}

func numbers(first, last int) (list []string) {
	for n := first; n <= last; n++ {
		list = append(list, fmt.Sprint(n))
	}
	return list
}

func TestAfter(t *testing.T) {
	lost := func(n int) []string {
		return []string{fmt.Sprintf("%d events lost: they came faster than they were read", n)}
	}
	for _, test := range []struct {
		name  string
		told  int
		since uint64
		want  []string
	}{
		{"none", 0, 0, nil},
		{"all", 3, 0, numbers(1, 3)},
		{"some", 3, 1, numbers(2, 3)},
		{"none that is new", 3, 3, nil},
		{"of an earlier daemon", 3, 500, numbers(1, 3)},
		{"a full ring", kept, 0, numbers(1, kept)},
		{"the ring has gone round", kept + 7, 0, numbers(8, kept+7)},
		{"and the reader was there before", kept + 7, 7, numbers(8, kept+7)},
		{"and the reader misses one", kept + 7, 6, append(lost(1), numbers(8, kept+7)...)},
		{"and many, twice round", 2*kept + 7, 10, append(lost(kept-3), numbers(kept+8, 2*kept+7)...)},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, _ := newLog()
			tell(l, test.told)
			var got []api.Event
			for e := range l.After(t.Context(), test.since, false) {
				got = append(got, e)
			}
			if diff := cmp.Diff(test.want, messages(t, got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A reader that is slow holds nobody up, and learns what it missed.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := newLog()
		proceed, got := make(chan struct{}), []api.Event{}
		go func() {
			for e := range l.After(t.Context(), 0, true) {
				got = append(got, e)
				<-proceed
			}
			close(proceed)
		}()
		tell(l, 1)
		synctest.Wait() // it has the first, and no time for more
		tell(l, kept+5)
		proceed <- struct{}{}
		synctest.Wait()
		if lost := got[1]; lost.Kind != string(Lost) || lost.Fields["count"] != "5" || lost.Sequence != 6 {
			t.Errorf("told of what was lost: %+v", lost)
		}
		l.Close()
		for range kept + 1 {
			proceed <- struct{}{}
		}
		<-proceed
		if last := got[len(got)-1]; len(got) != kept+2 || last.Sequence != kept+6 {
			t.Errorf("%d events, the last is %+v", len(got), last)
		}
	})
}

// Followers end with their context, or with the Log, after its last event.
func TestFollowingEnds(t *testing.T) {
	for name, end := range map[string]func(cancel func(), l *Log){
		"context": func(cancel func(), _ *Log) { cancel() },
		"log":     func(_ func(), l *Log) { l.Info(Stopped, "2"); l.Close(); l.Info(Stopped, "too late"); l.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, _ := newLog()
				tell(l, 1)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				last := ""
				go func() {
					for e := range l.After(ctx, 0, true) {
						last = e.Message
					}
					last += " end"
				}()
				synctest.Wait()
				end(cancel, l)
				synctest.Wait()
				if want := map[string]string{"context": "1 end", "log": "2 end"}[name]; last != want {
					t.Errorf("it is at %q, want %q", last, want)
				}
			})
		})
	}
}

// An event is a line of the log, with the same words.
func TestEventsAreLogged(t *testing.T) {
	l, lines := newLog()
	l.Warn(RealDown, "real down", zap.String("vip", "shop"), zap.String("note", ""), zap.Error(errors.New("refused")), zap.Int("left", 3),
		zap.Stringers("reals", []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}))
	l.Fail("nothing", nil)
	l.Fail("write", errors.New("disk full"))
	var got []api.Event
	for e := range l.After(t.Context(), 0, false) {
		if time.Since(e.Time) > time.Minute {
			t.Errorf("%s: at %s", e.Message, e.Time)
		}
		e.Time = time.Time{}
		got = append(got, e)
	}
	want := []api.Event{
		{Sequence: 1, Kind: "real_down", Message: "real down", Fields: map[string]string{
			"vip": "shop", "error": "refused", "left": "3", "reals": "10.0.0.1, 10.0.0.2"}},
		{Sequence: 2, Kind: "failed", Message: "write: disk full", Fields: map[string]string{}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for i, level := range []string{"warn", "error"} {
		if line := lines.All()[i]; line.Level.String() != level || line.Message != want[i].Message {
			t.Errorf("line %d is %+v", i, line)
		}
	}
}

// What goes on is told once an hour; the log has the rest for who debugs.
func TestSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, lines := newLog()
		for range 13 {
			l.Seldom(FlowsNearMaximum, "IPv4 flow table nearly full", zap.Int("flows", lines.Len()))
			l.Fail("set sysctls", errors.New("read only"))
			time.Sleep(10 * time.Minute)
		}
		l.Seldom(FlowsNearMaximum, "IPv6 flow table nearly full")
		if l.last != 2*3+1 {
			t.Errorf("%d events in 2 h 10 min, want three of each and the one of IPv6", l.last)
		}
		if told := lines.FilterLevelExact(zap.ErrorLevel).Len(); told != 3 || lines.Len() != 2*13+1 {
			t.Errorf("the log has %d lines, %d of them errors", lines.Len(), told)
		}
	})
}
