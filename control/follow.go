package control

import (
	"net/netip"
	"slices"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/loader"
)

// followLeg makes of a leg what its interface has become: one that went, or was
// renamed, is no leg until one of its name comes. changed: it has become another in
// what the program must know of it.
func (c *Controller) followLeg(leg config.Leg, changed bool) {
	ifindex := c.legs[leg.Interface].Ifindex
	attached, ok := c.attachment(leg)
	if ok && attached.Ifindex != ifindex {
		c.complain("set addresses", c.setAddresses()) // never one without a program behind it
		c.complain("leave the leg", c.Loader.DetachLeg(attached.Ifindex))
		delete(c.defaults, attached.Ifindex)
		ok = false
	}
	if ifindex != 0 && (!ok || changed) {
		c.restoreLeg(leg)
	}
}

func (c *Controller) attachment(leg config.Leg) (loader.Attachment, bool) {
	all := c.Loader.Attachments()
	i := slices.IndexFunc(all, func(a loader.Attachment) bool { return a.Name == leg.Name })
	if i < 0 {
		return loader.Attachment{}, false
	}
	return all[i], true
}

// restoreLeg attaches a leg while the router runs, with all that belongs to one.
func (c *Controller) restoreLeg(leg config.Leg) {
	ifindex := c.legs[leg.Interface].Ifindex
	c.setSysctls()
	if err := c.attachLeg(leg, ifindex); err != nil {
		c.complain("attach the leg; tried again", err)
		return
	}
	if route, ok := c.defaults[ifindex]; ok {
		c.setLegRoutes(ifindex, route)
	}
	c.setNextHops(nil)
	c.complain("set addresses", c.setAddresses())
	c.announceLeg(leg)
}

// facts are what this machine is to the next configuration: also without the
// interfaces, for now, that the running one has.
func (c *Controller) facts() (config.Facts, error) {
	facts, err := facts(c.Host, c.Identity)
	facts.Awaits = func(name string) bool {
		return slices.ContainsFunc(c.config.Legs, func(leg config.Leg) bool { return leg.Interface == name })
	}
	facts.LegOf = func(addr netip.Addr) string {
		for i := range c.config.Vips {
			if vip := &c.config.Vips[i]; vip.Endpoint.Addr() == addr && vip.Leg != config.LegNone {
				return vip.Leg
			}
		}
		return ""
	}
	return facts, err
}

// placeVips finds the legs of vips that had none when their networks were not here yet.
func (c *Controller) placeVips() {
	unplaced := func(vip config.Vip) bool { return vip.Leg == "" }
	if !slices.ContainsFunc(c.config.Vips, unplaced) {
		return
	}
	facts, err := c.facts()
	if err != nil {
		c.complain("look at the machine", err)
		return
	}
	file, err := c.file.On(c.ConfigFile, facts)
	if err != nil {
		c.complain("find the vips' legs", err)
		return
	}
	if slices.EqualFunc(file.Config.Vips, c.file.Config.Vips, func(a, b config.Vip) bool { return a.Leg == b.Leg }) {
		return
	}
	c.complain("put the vips on their legs", c.run(file, nil))
}
