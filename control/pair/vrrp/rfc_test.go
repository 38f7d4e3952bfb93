package vrrp

import "time"

// An rfcRouter is a router as RFC 9568 section 6.4 describes it, line by line, and
// nothing more: somebody else's VRRP. It shares no code with the machine.
type rfcRouter struct {
	priority int
	higher   bool // its address is the higher one
	preempt  bool
	interval time.Duration // Advertisement_Interval

	active         bool
	activeInterval time.Duration // Active_Adver_Interval
	adverTimer     time.Duration
	downTimer      time.Duration
}

func (r *rfcRouter) skew() time.Duration {
	return time.Duration(256-r.priority) * r.activeInterval / 256
}

func (r *rfcRouter) startup(now time.Duration) {
	r.activeInterval = r.interval
	r.active = false
	r.downTimer = now + 3*r.activeInterval + r.skew()
}

func (r *rfcRouter) next() time.Duration {
	if r.active {
		return r.adverTimer
	}
	return r.downTimer
}

// timer returns whether an advertisement is sent.
func (r *rfcRouter) timer(now time.Duration) bool {
	switch {
	case r.active && now >= r.adverTimer:
		r.adverTimer = now + r.interval
		return true
	case !r.active && now >= r.downTimer:
		r.active = true
		r.adverTimer = now + r.interval
		return true
	}
	return false
}

func (r *rfcRouter) advertisement(now time.Duration, priority int, interval time.Duration) bool {
	if !r.active {
		switch {
		case priority == 0:
			r.downTimer = now + r.skew()
		case !r.preempt || priority >= r.priority:
			r.activeInterval = interval
			r.downTimer = now + 3*r.activeInterval + r.skew()
		}
		return false
	}
	switch {
	case priority == 0:
		r.adverTimer = now + r.interval
		return true
	case priority > r.priority || priority == r.priority && !r.higher:
		r.activeInterval = interval
		r.downTimer = now + 3*r.activeInterval + r.skew()
		r.active = false
		return false
	}
	return true // discarded, and answered
}
