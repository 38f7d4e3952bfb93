package control

import (
	"net/netip"
	"time"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/event"
	"github.com/tarpon-lb/tarpon/control/host"
	"github.com/tarpon-lb/tarpon/control/pair/announce"
	"go.uber.org/zap"
)

// announceLeg has the neighbours of a leg hear that its addresses are here, and by
// which MAC: they may know another one, for as long as they please. The router's own
// ones too, which its health checks come from.
func (c *Controller) announceLeg(leg config.Leg) {
	if c.config.Paired() {
		if c.pair != nil {
			c.pair.Restored(leg.Name)
		}
		return
	}
	device, err := c.Host.Interface(leg.Interface)
	if err != nil {
		return // it is gone already
	}
	var addresses []netip.Addr
	for _, a := range device.Addresses {
		if addr := a.Prefix.Addr(); !addr.IsLinkLocalUnicast() || a.Ours {
			addresses = append(addresses, addr)
		}
	}
	c.announce(leg, device.Index, addresses)
}

// announceAdded is for addresses that were just added. A pair says by itself what it
// takes over.
func (c *Controller) announceAdded(added []host.Address) {
	for _, leg := range c.config.DataLegs() {
		var addresses []netip.Addr
		for _, a := range added {
			if a.Interface == leg.Interface {
				addresses = append(addresses, a.Prefix.Addr())
			}
		}
		if !c.config.Paired() {
			c.announce(leg, c.legs[leg.Interface].Ifindex, addresses)
		}
	}
}

// announce says each address a few times, and hears of others who have it meanwhile.
func (c *Controller) announce(leg config.Leg, ifindex int, addresses []netip.Addr) {
	if ifindex == 0 || len(addresses) == 0 {
		return
	}
	a := announce.New(announce.Options{})
	err := a.Listen(announce.Leg{Name: leg.Name, Ifindex: ifindex})
	if err == nil {
		err = a.Announce(leg.Name, addresses, nil)
	}
	c.complain("announce addresses", err)
	go c.hearAnswers(a, time.After(2*time.Second+time.Duration(len(addresses))*10*time.Millisecond))
}

func (c *Controller) hearAnswers(a *announce.Announcer, end <-chan time.Time) {
	defer a.Close()
	for {
		select {
		case e := <-a.Events():
			if e.Kind == announce.Conflict {
				c.tellConflict(e)
			}
		case <-end:
			return
		case <-c.ended:
			return
		}
	}
}

func (c *Controller) tellConflict(e announce.Event) {
	c.events.Seldom(event.AddressConflict, e.String(), zap.String("leg", e.Leg))
}
