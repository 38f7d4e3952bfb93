package pair

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/event"
	"github.com/tarpon-lb/tarpon/control/pair/agree"
	"github.com/tarpon-lb/tarpon/control/pair/handover"
	"github.com/tarpon-lb/tarpon/control/pair/link"
	"github.com/tarpon-lb/tarpon/control/pair/replica"
	"go.uber.org/zap"
)

// openLink prepares the line to the other router, and what goes over it.
func (p *Pair) openLink() error {
	if p.conf.Foreign {
		return nil
	}
	key, err := link.LoadKey(p.KeyFile)
	if err != nil {
		return err
	}
	table, err := p.Loader.Replication()
	if err != nil {
		return err
	}
	c := link.Config{
		Name: p.side.Own.Name, Peer: p.side.Peer.Name, Key: key, Software: p.Version,
		Port: uint16(p.conf.Sync.Port), Tell: p.tellLink,
	}
	for _, pin := range p.side.Peer.Keys {
		c.Pins = append(c.Pins, link.Pin(pin))
	}
	c.Paths = paths(p.side.Links)
	if p.link, err = link.New(c); err != nil {
		return err
	}
	p.replica = replica.New(replica.Config{
		Table: table, Interval: p.conf.Sync.Interval,
		Send: func(frame []byte) error { return p.link.Send(link.Flows, frame) },
	})
	p.link.Handle(link.Flows, p.replica.Receive)
	p.link.Handle(link.Facts, p.takeFacts)
	p.link.Handle(link.Role, handled(p, func(m handover.Message) { p.handover.Receive(time.Now(), m) }))
	p.link.Handle(link.Revisions, handled(p, p.takeRevisions))
	p.link.Handle(link.Health, handled(p, p.takeHealth))
	p.link.Handle(link.Operational, func(body []byte) {
		data := append([]byte(nil), body...)
		p.post(func() { p.Controller.TakeOperational(data) })
	})
	return nil
}

// paths are the heartbeat links as TCP is to know them: an address of a link alone is one
// only with the interface it is on (RFC 4007).
func paths(links []config.Link) []link.Path {
	list := make([]link.Path, len(links))
	for i, l := range links {
		list[i] = link.Path{Name: l.Leg, Own: l.Own, Peer: l.Peer}
		if l.Own.Is6() && l.Own.IsLinkLocalUnicast() {
			list[i].Own, list[i].Peer = l.Own.WithZone(l.Interface), l.Peer.WithZone(l.Interface)
		}
	}
	return list
}

// handled has a kind of messages taken in the controller's goroutine.
func handled[T any](p *Pair, take func(T)) func([]byte) {
	return func(body []byte) {
		var m T
		if err := json.Unmarshal(body, &m); err != nil {
			p.Events.Fail("understand "+p.side.Peer.Name, err)
			return
		}
		p.post(func() { take(m) })
	}
}

// tellLink hears of the line, from goroutines of the link.
func (p *Pair) tellLink(e link.Event) {
	switch e.Kind {
	case link.Stranger:
		p.Events.Seldom(event.LinkStranger, fmt.Sprintf("a connection was refused: %s", e))
	case link.Refused:
		p.Events.Seldom(event.LinkRefused, "not connected: "+e.Err.Error())
	case link.Up, link.Down:
		p.Events.Info(event.Link, e.String())
	case link.Carrier: // these goroutines keep no order: it is as it is when it is heard
		go p.post(func() { p.linkIs(p.link.State()) })
	}
}

// linkIs: another connection carries data, or none.
func (p *Pair) linkIs(over link.State) {
	up := over.Carrier != ""
	if !up && !p.linked {
		return
	}
	p.linked = up
	p.Loader.HoldReplicated(!p.active && up)
	p.call(func() { p.replica.Connected(over.Protocol) })
	p.health.news, p.health.peer = true, nil
	if up {
		p.Events.Info(event.Link, "connected to "+p.side.Peer.Name, zap.String("version", over.Software), zap.Int("protocol", over.Protocol))
		p.agreement.Up()
		p.sendOperational()
	} else {
		p.Events.Info(event.Link, "not connected to "+p.side.Peer.Name)
		p.agreement.Down()
		p.handover.Down()
	}
	p.agreed()
	p.review()
}

// OperationalChanged: something was decided here.
func (p *Pair) OperationalChanged() {
	p.sendOperational()
	p.review()
}

func (p *Pair) sendOperational() {
	if p.link == nil {
		return
	}
	select {
	case p.outbox <- message{kind: link.Operational, body: p.Controller.Operational()}:
	default:
	}
}

// carry sends, in a goroutine of its own: the link may have no room for a while.
func (p *Pair) carry() {
	for {
		select {
		case m := <-p.outbox:
			if err := p.link.Send(m.kind, m.body); err != nil && m.kind != link.Facts {
				p.Events.Seldom(event.Link, "what was to be told got lost", zap.Error(err))
			}
			if m.sent != nil {
				close(m.sent)
			}
		case <-p.ctx.Done():
			return
		}
	}
}

// call has something asked of the replica, in order, and does not wait for it.
func (p *Pair) call(f func()) {
	if p.replica == nil {
		return
	}
	select {
	case p.calls <- f:
	case <-p.ctx.Done():
	}
}

// askReplica does so, and keeps its status at hand.
func (p *Pair) askReplica() {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case f := <-p.calls:
			f()
		case <-ticker.C:
			s := p.replica.Status()
			was := p.status.Swap(&s)
			if was, is := behind(was), behind(&s); was != is {
				p.post(func() { p.tellSync(was, is) })
			}
		case <-p.ctx.Done():
			return
		}
	}
}

// tellSync tells that the pair came to be in sync, or is no longer.
func (p *Pair) tellSync(was, is string) {
	switch {
	case is == "":
		p.Events.Info(event.PairSync, "in sync with "+p.side.Peer.Name)
	case was == "":
		p.Events.Info(event.PairSync, "not in sync with "+p.side.Peer.Name+": "+is)
	}
	p.review()
}

// agreed tells the replica whether both have one configuration.
func (p *Pair) agreed() {
	same := p.agreement.State() == agree.Same
	if same != p.same {
		p.same = same
		p.call(func() { p.replica.Revision(same) })
	}
}
