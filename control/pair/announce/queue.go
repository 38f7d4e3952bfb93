package announce

import (
	"container/heap"
	"time"
)

// Rate is how many frames a leg sends in a second, at most.
const Rate = 1000

const (
	spacing = time.Second / Rate
	slack   = 10 * spacing // may be made up for after a late wakeup
)

// A duty is something to do at a time. do says what to send, and after what time again;
// 0: never.
type duty struct {
	due   time.Time
	order uint64 // of duties that are due at once
	gone  bool
	do    func(now time.Time) (frames []frame, again time.Duration)
}

// A queue has duties in their order, and a pace.
type queue struct {
	duties  duties
	order   uint64
	pausing time.Time // until then
}

func (q *queue) add(d *duty, due time.Time) {
	q.order++
	d.due, d.order = due, q.order
	heap.Push(&q.duties, d)
}

// next is what is to be sent now; none: nothing, until the time that is returned, whose
// zero value is never.
func (q *queue) next(now time.Time) ([]frame, time.Time) {
	for len(q.duties) > 0 {
		d := q.duties[0]
		if d.due.After(now) && !d.gone {
			return nil, d.due
		}
		if q.pausing.After(now) && !d.gone {
			return nil, q.pausing
		}
		heap.Pop(&q.duties)
		if d.gone {
			continue
		}
		frames, again := d.do(now)
		if again > 0 {
			q.add(d, now.Add(again))
		}
		if len(frames) > 0 {
			q.pause(now, len(frames))
			return frames, now
		}
	}
	return nil, time.Time{}
}

func (q *queue) pause(now time.Time, frames int) {
	if earliest := now.Add(-slack); q.pausing.Before(earliest) {
		q.pausing = earliest
	}
	q.pausing = q.pausing.Add(time.Duration(frames) * spacing)
}

// duties are a heap.
type duties []*duty

func (d duties) Len() int      { return len(d) }
func (d duties) Swap(i, j int) { d[i], d[j] = d[j], d[i] }
func (d *duties) Push(x any)   { *d = append(*d, x.(*duty)) }

func (d duties) Less(i, j int) bool {
	if d[i].due.Equal(d[j].due) {
		return d[i].order < d[j].order
	}
	return d[i].due.Before(d[j].due)
}

func (d *duties) Pop() any {
	last := len(*d) - 1
	popped := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	return popped
}
