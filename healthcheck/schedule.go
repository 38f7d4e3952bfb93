package healthcheck

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// A schedule says whose moment comes next. A run waits for exactly one: for the
// begin of its next probe, or for the end of the one under way. It is a heap.
type schedule []*run

func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(i, j int) bool { return s[i].at.Before(s[j].at) }
func (s schedule) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].place, s[j].place = i+1, j+1
}

func (s *schedule) Push(x any) {
	r := x.(*run)
	*s = append(*s, r)
	r.place = len(*s)
}

func (s *schedule) Pop() any {
	last := len(*s) - 1
	r := (*s)[last]
	(*s)[last] = nil
	*s = (*s)[:last]
	r.place = 0
	return r
}

// set has a run wait for a moment, and for no other.
func (s *schedule) set(r *run, at time.Time) {
	r.at = at
	if r.place == 0 {
		heap.Push(s, r)
		return
	}
	heap.Fix(s, r.place-1)
}

func (s *schedule) remove(r *run) {
	if r.place > 0 {
		heap.Remove(s, r.place-1)
	}
}

// first is nil if nobody waits.
func (s schedule) first() *run {
	if len(s) == 0 {
		return nil
	}
	return s[0]
}

// soon is when a run may be taken along, so that several share one wake-up of the
// process, which costs more than a probe: an eighth of the interval early. Who
// waits for the end of a probe is never early.
func (r *run) soon() time.Time {
	if r.cancel != nil {
		return r.at
	}
	return r.at.Add(-r.config.Interval / 8)
}

// firstDue is when a new check is probed: at once, or at some time within the
// interval, so that many checks spread.
func firstDue(c Config, now time.Time, atOnce bool) time.Time {
	if atOnce {
		return now
	}
	return now.Add(time.Duration(rand.Float64() * float64(c.Interval)))
}

// nextDue is an interval after the last, more or less by the jitter. A check that
// missed whole intervals, since the machine stood still, keeps its place in them:
// checks that were spread stay so.
func nextDue(c Config, last, now time.Time) time.Time {
	jitter := (rand.Float64()*2 - 1) * c.Jitter * float64(c.Interval)
	next := last.Add(c.Interval + time.Duration(jitter))
	if late := now.Sub(next); late > c.Interval {
		next = next.Add(late.Truncate(c.Interval))
	}
	return next
}
