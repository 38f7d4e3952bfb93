package pair

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tarpon-lb/tarpon/control/event"
	"github.com/tarpon-lb/tarpon/control/pair/handover"
	"github.com/tarpon-lb/tarpon/control/pair/link"
	"github.com/tarpon-lb/tarpon/control/pair/replica"
	"go.uber.org/zap"
)

// Switchover moves the service to the other router, whichever that is. Done is called
// once, in the controller's goroutine.
func (p *Pair) Switchover(why string, force bool, done func(error)) {
	switch {
	case p.conf.Foreign && !p.active:
		done(fmt.Errorf("%s is no Tarpon and cannot be asked: have it give the service away there, as by stopping its VRRP", p.side.Peer.Name))
	case !p.conf.Foreign && !p.linked:
		done(fmt.Errorf("there is no connection to %s", p.side.Peer.Name))
	case p.held() && !force:
		done(errors.New("the roles are held: lbctl pair release, or --force"))
	case p.conf.Foreign || p.active:
		p.handOver(why, force, done)
	default:
		p.handover.Request(time.Now(), why, force, done)
	}
}

// Leaving hands over before this router ends, if the other one can take it; else all
// stays as it is, as when it is alone. What was handed over is not taken back, whoever
// follows. A switchover that is under way, in either direction, comes to its end first:
// half of one is an outage. Done is called once.
func (p *Pair) Leaving(done func(handedOver bool)) {
	p.handover.Then(func() { p.leaving(done) })
}

func (p *Pair) leaving(done func(handedOver bool)) {
	p.ending = true
	p.handover.Ends()
	switch {
	case p.ctx.Err() != nil: // the pair itself has ended meanwhile
		done(false)
	case !p.active:
		done(false)
	case !p.conf.Foreign && (!p.linked || p.held() || p.lacks() != ""):
		done(false)
	default: // a foreign one, held or not: it takes over when it hears nothing
		p.handOver(p.side.Own.Name+" is stopped", false, func(err error) {
			p.Events.Fail("hand over before the end", err)
			done(err == nil)
		})
	}
}

// handOver gives the service to the other router, whatever that is. Done is called once.
func (p *Pair) handOver(why string, force bool, done func(error)) {
	if p.conf.Foreign {
		p.leaveForeign(why, force, done)
		return
	}
	p.handover.Begin(time.Now(), why, force, done)
}

func (p *Pair) held() bool { return p.Controller.Held() || p.peer.Hold }

// What follows is handover.Router.

type handoverRouter struct{ *Pair }

func (r handoverRouter) Send(m handover.Message) { r.send(link.Role, m) }

func (r handoverRouter) Unfit(force bool) error {
	p := r.Pair
	switch {
	case force:
		return nil
	case p.facts.Fault != "":
		return errors.New("fault: " + p.facts.Fault)
	case p.held():
		return errors.New("the roles are held")
	case p.peer.Fault == "" && p.lacks() != "":
		return errors.New("not in sync: " + p.lacks())
	}
	return nil
}

// lacks is what keeps the pair from being in sync; empty: nothing. Of flows it is as they
// were a moment ago, of the configuration as it is: a switchover may follow a change at
// once.
func (p *Pair) lacks() string {
	for _, fact := range p.status.Load().Missing {
		if fact != replica.SameRevision {
			return fact.String()
		}
	}
	if !p.same {
		return replica.SameRevision.String()
	}
	return ""
}

func (r handoverRouter) Flush() {
	p := r.Pair
	p.running.Go(func() {
		ctx, cancel := context.WithTimeout(p.ctx, 2*time.Second)
		defer cancel()
		if err := p.replica.Flush(ctx); err == nil {
			p.post(func() { p.handover.Flushed(time.Now()) })
		}
	})
}

func (r handoverRouter) Yield() { r.speaker.Yield("hands over to "+r.side.Peer.Name, false) }
func (r handoverRouter) Leave() { r.becomeStandby("handed over to " + r.side.Peer.Name) }

func (r handoverRouter) Resume() {
	r.stuck = time.Now()
	r.speaker.Take("took back from " + r.side.Peer.Name)
}

func (r handoverRouter) Take(why string) {
	p := r.Pair
	p.speaker.Take(why)
	p.becomeActive(why)
	p.verifying, p.verifyBy = map[string]bool{}, time.Now().Add(verifyTime)
	if p.conf.Announce.Verify {
		for leg := range p.Controller.Moving() {
			if leg != "" {
				p.verifying[leg] = true
			}
		}
	}
	if len(p.verifying) == 0 {
		p.took(nil)
		return
	}
	p.running.Go(func() {
		select {
		case <-time.After(verifyTime):
			p.post(p.verified)
		case <-p.ctx.Done():
		}
	})
}

// verifyTime is how long the neighbours may take to be proven at a switchover.
const verifyTime = time.Second

// verified ends the verification when its time is over. Neighbours that are off answer
// nobody, and one among others that does not follow is served by the old router: neither
// keeps the service from moving. Where no neighbour follows the network does not.
func (p *Pair) verified() {
	if time.Now().Before(p.verifyBy) {
		return // that was the time of an earlier one
	}
	for leg := range p.verifying {
		e, err := p.announcer.Ignored(leg)
		p.Events.Fail("ask who follows on "+leg, err)
		if e != nil {
			p.Events.Warn(event.NeighbourSilent, e.String(), zap.String("leg", leg))
			p.took(fmt.Errorf("%s; no neighbour on %s follows", e, leg))
			return
		}
	}
	p.took(nil)
}

// took ends the verification of a handover, once.
func (p *Pair) took(err error) {
	if p.verifying != nil {
		p.verifying = nil
		p.handover.Took(err)
	}
}

func (r handoverRouter) Drop() {
	p := r.Pair
	p.verifying = nil
	p.speaker.Yield("gives back to "+p.side.Peer.Name, false)
	p.becomeStandby("gave back to " + p.side.Peer.Name)
}

func (r handoverRouter) OtherSpeaks() bool {
	return r.peer.Role == roleActive && time.Since(r.peerAt) < time.Second
}

func behind(s *replica.Status) string {
	if s.InSync() {
		return ""
	}
	return s.Missing[0].String()
}

// send gives a message to the link; the goroutine that carries it keeps the order.
func (p *Pair) send(kind link.Kind, content any) { p.tell(kind, content, nil) }

func (p *Pair) tell(kind link.Kind, content any, sent chan struct{}) {
	if p.link == nil {
		return
	}
	body, err := json.Marshal(content)
	if err != nil {
		p.Events.Fail("write to "+p.side.Peer.Name, err)
		return
	}
	select {
	case p.outbox <- message{kind, body, sent}:
	default: // the link is stuck: what it carries is told again when it comes back
	}
}
