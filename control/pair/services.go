package pair

import (
	"errors"
	"time"

	"github.com/tarpon-lb/tarpon/control/event"
	"github.com/tarpon-lb/tarpon/control/pair/service"
	"go.uber.org/zap"
)

// stopServices ends them before the addresses go. Then is called once, with the reason
// if they do not end; see Services.Rest. They run again if they are to be started.
func (p *Pair) stopServices(hard bool, then func(error)) {
	p.services.Rest(hard || p.ending, func(err error) {
		go p.post(func() {
			if err != nil && !errors.Is(err, service.ErrRun) {
				p.stuck = time.Now()
			}
			then(err)
		})
	})
}

// stuckPause is how long a router that is well does not try again to give the addresses
// away, after a service did not stop or it had to take them back: each time services are
// stopped and started, and the addresses move.
const stuckPause = 10 * time.Minute

// leaveForeign gives the service to a router that is no Tarpon and takes it over when it
// hears a goodbye.
func (p *Pair) leaveForeign(why string, hard bool, done func(error)) {
	p.stopServices(hard, func(err error) {
		switch {
		case !p.active: // it went meanwhile
			err = nil
		case err == nil:
			p.speaker.Yield(why, true)
			p.becomeStandby(why)
		default:
			p.services.Run()
		}
		done(err)
	})
}

// tellServices hears of them, in a goroutine of theirs.
func (p *Pair) tellServices(events []service.Event) {
	for _, e := range events {
		tell := p.Events.Warn
		if e.Kind == service.Started || e.Kind == service.Stopped {
			tell = p.Events.Info
		}
		tell(event.Kind(e.Kind), e.String(), zap.String("service", e.Service))
	}
	go p.post(p.review)
}

func (r handoverRouter) Stop(hard bool) {
	p := r.Pair
	p.stops++
	turn := p.stops
	p.stopServices(hard, func(err error) {
		if turn == p.stops { // it may be an earlier handover's
			p.handover.Stopped(time.Now(), err)
		}
	})
}

func (r handoverRouter) Start() {
	if r.active {
		r.services.Run()
	}
}
