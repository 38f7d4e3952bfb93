package pair

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tarpon-lb/tarpon/control/pair/handover"
	"github.com/tarpon-lb/tarpon/control/pair/link"
	"github.com/tarpon-lb/tarpon/control/pair/replica"
)

// Switchover moves the service to the other router, whichever that is. Done is called
// once, in the controller's goroutine.
func (p *Pair) Switchover(why string, force bool, done func(error)) {
	switch {
	case p.conf.Foreign && p.active:
		p.leaveForeign(why, force, done)
	case p.conf.Foreign:
		done(fmt.Errorf("the other router is no Tarpon: have it give the service away, by %s", "stopping its VRRP"))
	case !p.linked:
		done(fmt.Errorf("there is no connection to %s", p.side.Peer.Name))
	case p.held() && !force:
		done(errors.New("the roles are held: lbctl pair release, or --force"))
	case p.active:
		p.handover.Begin(time.Now(), why, force, done)
	default:
		p.handover.Request(time.Now(), why, force, done)
	}
}

// Leaving hands over before this router ends, if the other one can take it; else all
// stays as it is, as when it is alone. Done is called once.
func (p *Pair) Leaving(done func(handedOver bool)) {
	switch {
	case !p.active:
		done(false)
	case p.conf.Foreign:
		p.leaveForeign("it is stopped", false, func(err error) {
			p.Events.Fail("hand over before the end", err)
			done(err == nil)
		})
	case !p.linked || p.held() || !p.status.Load().InSync():
		done(false)
	default:
		p.handover.Begin(time.Now(), p.side.Own.Name+" is stopped", false, func(err error) {
			p.Events.Fail("hand over before the end", err)
			done(err == nil)
		})
	}
}

func (p *Pair) held() bool { return p.Controller.Held() || p.peer.Hold }

// What follows is handover.Router.

type handoverRouter struct{ *Pair }

func (r handoverRouter) Send(m handover.Message) { r.send(link.Role, m) }

func (r handoverRouter) Unfit(force bool) error {
	p := r.Pair
	status := p.status.Load()
	switch {
	case force:
		return nil
	case p.facts.Fault != "":
		return errors.New("fault: " + p.facts.Fault)
	case p.held():
		return errors.New("the roles are held")
	case p.peer.Fault == "" && !status.InSync():
		return errors.New("not in sync: " + behind(status))
	}
	return nil
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

func (r handoverRouter) Yield()  { r.speaker.Yield("hands over to "+r.side.Peer.Name, false) }
func (r handoverRouter) Resume() { r.speaker.Take("took back from " + r.side.Peer.Name) }
func (r handoverRouter) Leave()  { r.becomeStandby("handed over to " + r.side.Peer.Name) }

func (r handoverRouter) Take(why string) {
	p := r.Pair
	p.speaker.Take(why)
	p.becomeActive(why)
	p.verifying = map[string]bool{}
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
	p.running.Go(func() { // neighbours that are off answer nobody: they keep nothing from going on
		select {
		case <-time.After(verifyTime):
			p.post(func() { p.took(nil) })
		case <-p.ctx.Done():
		}
	})
}

// verifyTime is how long the neighbours may take to be proven at a switchover.
const verifyTime = time.Second

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
func (p *Pair) send(kind link.Kind, content any) {
	if p.link == nil {
		return
	}
	body, err := json.Marshal(content)
	if err != nil {
		p.Events.Fail("write to "+p.side.Peer.Name, err)
		return
	}
	select {
	case p.outbox <- message{kind, body}:
	default: // the link is stuck: what it carries is told again when it comes back
	}
}
