package event

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"go.uber.org/zap"
)

// kept is how many events can be read later.
const kept = 1000

// lately is for how long a message that is told seldom is not told again.
const lately = time.Hour

// A Log is a log whose lines can be read as events. Who writes never waits for who
// reads: readers have no queues, only a place in the sequence. Safe for concurrent use.
type Log struct {
	log *zap.Logger

	mu    sync.Mutex
	ring  [kept]api.Event // number n is at n % kept
	last  uint64          // event's number; the first has 1
	more  chan struct{}   // closed by the next event, or by Close
	ended bool
}

// NewLog returns a Log whose lines go to another one.
func NewLog(log *zap.Logger) *Log {
	return &Log{log: log, more: make(chan struct{})}
}

// Close says that no event follows: who waits for one does so no longer.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.ended = true
		close(l.more)
	}
}

func (l *Log) keep(e api.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	l.last++
	e.Sequence, e.Time = l.last, time.Now()
	l.ring[l.last%kept] = e
	close(l.more)
	l.more = make(chan struct{})
}

// hasLately says whether this was told within the last hour.
func (l *Log) hasLately(kind Kind, message string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := l.last; n > l.gone(); n-- {
		e := &l.ring[n%kept]
		if time.Since(e.Time) >= lately {
			return false
		}
		if e.Kind == string(kind) && e.Message == message {
			return true
		}
	}
	return false
}

// gone is the last event that is kept no longer.
func (l *Log) gone() uint64 { return l.last - min(l.last, kept) }

// After tells the events that follow number since (0: all that are kept); with follow
// also those to come, until the context or the Log ends. In the place of those that
// are kept no longer comes one of kind Lost, which says how many they are. A since
// that has not been reached is an earlier daemon's: all are told.
func (l *Log) After(ctx context.Context, since uint64, follow bool) iter.Seq[api.Event] {
	return func(yield func(api.Event) bool) {
		for told, all := since, since == 0; ; all = false {
			events, lost, more := l.after(told)
			if all {
				lost = 0
			}
			if lost > 0 && !yield(lostEvents(lost, events[0].Sequence-1)) {
				return
			}
			for _, e := range events {
				if !yield(e) {
					return
				}
				told = e.Sequence
			}
			if !follow || more == nil {
				return
			}
			select {
			case <-more:
			case <-ctx.Done():
				follow = false // with what happened until now
			}
		}
	}
}

// after is what is kept after a number, and what closes when there is more; nil:
// there will be none.
func (l *Log) after(told uint64) (events []api.Event, lost uint64, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if told > l.last {
		told = 0
	}
	first := max(told, l.gone()) + 1
	for n := first; n <= l.last; n++ {
		events = append(events, l.ring[n%kept])
	}
	if !l.ended {
		more = l.more
	}
	return events, first - told - 1, more
}

func lostEvents(count, last uint64) api.Event {
	return api.Event{
		Sequence: last, Time: time.Now(), Kind: string(Lost),
		Message: fmt.Sprintf("%d events lost: they came faster than they were read", count),
		Fields:  map[string]string{"count": fmt.Sprint(count)},
	}
}
