package pair

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tarpon-lb/tarpon/control/event"
	"github.com/tarpon-lb/tarpon/control/host"
	"github.com/tarpon-lb/tarpon/control/pair/announce"
	"github.com/tarpon-lb/tarpon/control/pair/vrrp"
	"go.uber.org/zap"
)

// Active says whether this router has the addresses that move.
func (p *Pair) Active() bool { return p.active }

// becomeActive adds the addresses, then tells the neighbours. The adverts are out
// already.
func (p *Pair) becomeActive(why string) {
	began := time.Now()
	p.active, p.decided, p.told = true, true, p.speaker.Snapshot().Announces
	p.lead()
	p.Events.Fail("add the addresses", p.Controller.SetActive(true))
	p.seen.tookRole(roleActive, why, began)
	p.announce()
	p.Loader.RenewReplicated()
	p.services.Run()
	p.Events.Info(event.PairActive, "this router has the addresses", zap.String("reason", why), zap.Duration("took", time.Since(began)))
	p.fire("active", why)
	p.review()
}

// becomeStandby removes them. What still reaches this router is translated as before.
func (p *Pair) becomeStandby(why string) {
	began := time.Now()
	p.active = false
	p.services.Rest(true, nil) // after a handover they rest; else the other router has the addresses already
	for leg, addresses := range p.Controller.Moving() {
		if leg != "" {
			p.Events.Fail("withdraw the addresses", p.announcer.Withdraw(leg, addresses))
		}
	}
	p.Events.Fail("remove the addresses", p.Controller.SetActive(false))
	p.seen.tookRole(roleStandby, why, began)
	p.lead()
	p.Events.Info(event.PairStandby, "this router has given the addresses away", zap.String("reason", why))
	p.fire("standby", why)
	p.review()
}

// lead says whose flows count, and who ends silent ones.
func (p *Pair) lead() {
	active := p.active
	p.Loader.HoldReplicated(!active && p.linked)
	p.call(func() { p.replica.Lead(active) })
}

// announce tells the neighbours who has the addresses now.
func (p *Pair) announce() {
	for leg, addresses := range p.Controller.Moving() {
		if leg == "" {
			continue
		}
		err := p.announcer.Announce(leg, addresses, p.Controller.Neighbours(leg))
		p.Events.Fail("announce on "+leg, err)
	}
}

// takeAnnounced hears of neighbours.
func (p *Pair) takeAnnounced(e announce.Event) {
	p.seen.heard(e)
	switch e.Kind {
	case announce.Unanswered:
		p.Events.Warn(event.NeighbourSilent, e.String(), zap.String("leg", e.Leg))
	case announce.Answered:
		p.Events.Info(event.NeighbourFollows, e.String(), zap.String("leg", e.Leg))
	case announce.Verified:
		delete(p.verifying, e.Leg)
		if p.verifying != nil && len(p.verifying) == 0 {
			p.took(nil)
		}
	case announce.Conflict:
		if p.isPeer(e.MAC) {
			return
		}
		p.Events.Warn(event.AddressConflict, e.String(), zap.String("leg", e.Leg))
	case announce.Failed:
		p.Events.Seldom(event.Failed, e.String())
	}
}

// isPeer: what the other router says of an address is no news while it is connected: that
// both are active would be known. A split brain is, and its MAC then.
func (p *Pair) isPeer(mac host.MAC) bool {
	return p.linked && slices.Contains(strings.Fields(p.peer.MACs), mac.String())
}

// ownMACs are those of the data legs, in order.
func (p *Pair) ownMACs() string {
	var list []string
	for _, mac := range p.macs {
		list = append(list, mac.String())
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// probe asks who has the addresses, before the first takeover.
func (p *Pair) probe() {
	p.probing = true
	moving := p.Controller.Moving()
	legs := map[string]host.Interface{}
	for leg := range moving {
		if device, ok := p.Controller.Device(leg); ok {
			legs[leg] = device
		}
	}
	p.running.Go(func() {
		who := ""
		for range 2 {
			who = cmp.Or(who, askAll(legs, moving))
		}
		p.post(func() {
			p.probing = false
			p.speaker.Probed(who)
		})
	})
}

// askAll says in words who has one of the addresses; empty: nobody.
func askAll(legs map[string]host.Interface, moving map[string][]netip.Addr) string {
	for leg, device := range legs {
		found, err := host.Probe(device, moving[leg], 200*time.Millisecond)
		if err != nil {
			continue // without carrier nobody answers
		}
		for address, mac := range found {
			return fmt.Sprintf("%s has %s, says %s", mac, address, leg)
		}
	}
	return ""
}

// carriers keeps since when every leg with moving addresses has had carrier. One where
// the peer has been heard since passes frames by now: nothing is to be waited for there.
func (p *Pair) carriers(now vrrp.Instant) (since vrrp.Instant) {
	for leg := range p.Controller.Moving() {
		if leg == "" {
			continue
		}
		if _, up := p.Controller.Interface(leg); !up {
			delete(p.carrier, leg)
			return 0
		}
		if _, known := p.carrier[leg]; !known {
			p.carrier[leg] = now
		}
		if p.heardOn(leg) < p.carrier[leg] {
			since = max(since, p.carrier[leg])
		}
	}
	return max(since, 1) // nothing to wait for
}

// heardOn is when the peer's last advert came in on a leg; 0: none did.
func (p *Pair) heardOn(leg string) (at vrrp.Instant) {
	if p.speaker == nil {
		return 0
	}
	heard := p.speaker.Snapshot().Links
	for i, l := range p.side.Links {
		if l.Leg == leg {
			at = max(at, heard[i].At)
		}
	}
	return at
}

// deaf: no heartbeat leg has carrier.
func (p *Pair) deaf() bool {
	return !slices.ContainsFunc(p.conf.Heartbeats, func(leg string) bool {
		_, up := p.Controller.Interface(leg)
		return up
	})
}
