package healthcheck

import (
	"context"
	"sync"
	"time"
)

// A run is one probe that is asked again and again.
type run struct {
	probe  Probe
	config Config
	judge  func(failure error, now time.Time)

	due    time.Time // of the probe that comes next, or is under way
	cancel func()    // lets go of the probe under way; nil: there is none
	at     time.Time // what it waits for: see schedule
	place  int       // in the schedule, from 1; 0: in none
}

// An answer is what came of a probe.
type answer struct {
	run     *run
	failure error
}

// An engine asks for all runs. It has no goroutine: turn does what is due, and says
// when it wants to be called again. Probes that need one, since they do more than
// send and receive a packet, have a goroutine while they are under way.
type engine struct {
	schedule schedule
	answered []answer    // over the network, not judged yet
	answers  chan answer // of probes with a goroutine

	tcp     tcpProber
	ping    pingProber
	scripts chan struct{} // one for each script that runs

	// What came over the network is looked for when new probes have begun, and
	// then less and less often: one wake-up for many answers. The kernel keeps
	// them; to be seen late does not make them late.
	look  time.Time
	pause time.Duration

	ctx    context.Context
	cancel context.CancelFunc
	group  sync.WaitGroup
}

const (
	maxBegun   = 64 // probes in one turn
	maxScripts = 8  // at a time
	firstPause = 2 * time.Millisecond
	lastPause  = 64 * time.Millisecond
)

func newEngine() *engine {
	e := &engine{answers: make(chan answer), tcp: newTCPProber(), ping: newPingProber(), scripts: make(chan struct{}, maxScripts)}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e
}

func (e *engine) start(r *run, atOnce bool) {
	r.due = firstDue(r.config, time.Now(), atOnce)
	e.schedule.set(r, r.due)
}

// hurry brings the next probe forward.
func (e *engine) hurry(r *run) {
	if r.cancel == nil {
		r.due = time.Now()
		e.schedule.set(r, r.due)
	}
}

func (e *engine) stop(r *run) {
	if r.cancel != nil {
		r.cancel()
		r.cancel = nil
	}
	e.schedule.remove(r)
}

// turn judges what was answered, ends what had its time, and begins what is due.
// It wants to be called again after the returned time.
func (e *engine) turn() time.Duration {
	now := time.Now()
	e.judge(now)
	begun := 0
	for r := e.schedule.first(); r != nil && begun < maxBegun && !now.Before(r.soon()); r = e.schedule.first() {
		if r.cancel != nil {
			r.cancel()
			e.finish(answer{r, errTimeout}, now)
			continue
		}
		e.schedule.set(r, now.Add(r.config.Timeout))
		if err := r.probe.begin(e, r); err != nil {
			e.finish(answer{r, err}, now)
		}
		begun++
	}
	if begun > 0 {
		e.judge(now)
	}
	return e.wait(now, begun)
}

// wait is until something is due or worth a look.
func (e *engine) wait(now time.Time, begun int) time.Duration {
	wait := time.Hour
	if r := e.schedule.first(); r != nil {
		wait = r.at.Sub(now)
	}
	if len(e.tcp.flying)+len(e.ping.flying) == 0 {
		return wait
	}
	switch {
	case begun > 0:
		e.pause = firstPause
		e.look = now.Add(e.pause)
	case !now.Before(e.look):
		e.pause = min(2*e.pause, lastPause)
		e.look = now.Add(e.pause)
	}
	return min(wait, e.look.Sub(now))
}

// judge takes what came over the network.
func (e *engine) judge(now time.Time) {
	e.tcp.collect(&e.answered)
	e.ping.collect(&e.answered)
	for _, a := range e.answered {
		e.finish(a, now)
	}
	clear(e.answered)
	e.answered = e.answered[:0]
}

func (e *engine) finish(a answer, now time.Time) {
	r := a.run
	r.cancel = nil
	r.due = nextDue(r.config, r.due, now)
	e.schedule.set(r, r.due)
	r.judge(a.failure, now)
}

// alone asks in a goroutine, which ends the probe by its timeout.
func (e *engine) alone(r *run, ask func(context.Context) error) error {
	ctx, cancel := context.WithCancel(e.ctx)
	r.cancel = cancel
	e.schedule.remove(r)
	e.group.Go(func() {
		defer cancel()
		failure := ask(ctx)
		select {
		case e.answers <- answer{r, failure}:
		case <-ctx.Done():
		}
	})
	return nil
}

// take judges an answer from a goroutine, unless its run was stopped meanwhile.
func (e *engine) take(a answer) {
	if a.run.cancel != nil {
		e.finish(a, time.Now())
	}
}

// close lets go of everything and waits for it.
func (e *engine) close() {
	e.cancel()
	e.group.Wait()
	e.tcp.close()
	e.ping.close()
}
