package control

import (
	"net/netip"
	"slices"
	"time"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/event"
	"github.com/tarpon-lb/tarpon/control/host"
	"github.com/tarpon-lb/tarpon/loader"
	"go.uber.org/zap"
)

// attachLegs sets the sysctls and offloads that the legs need, and runs the programs
// on them. What is on interfaces that are no legs any more goes. A leg whose interface
// is missing is awaited: see followLeg.
func (c *Controller) attachLegs() error {
	devices, err := c.Host.Interfaces()
	if err != nil {
		return err
	}
	index := map[string]int{}
	for _, device := range devices {
		index[device.Name] = device.Index
	}
	here := slices.DeleteFunc(c.config.DataLegs(), func(leg config.Leg) bool { return index[leg.Interface] == 0 })
	for _, leg := range here {
		// First: with forwarding the kernel turns LRO off by itself, and for good.
		c.turnOffloadsOff(leg, false)
	}
	c.setSysctls()
	slices.SortStableFunc(here, func(a, b config.Leg) int { return loader.InsideFirst(a.Role, b.Role) })
	for _, leg := range here {
		if err := c.attachLeg(leg, index[leg.Interface]); err != nil {
			return err
		}
	}
	err = c.Loader.DetachOthers()
	c.restoreOffloads()
	return err
}

func (c *Controller) attachLeg(leg config.Leg, ifindex int) error {
	c.turnOffloadsOff(leg, false)
	attached, err := c.Loader.AttachLeg(loader.Leg{
		Name: leg.Name, Interface: leg.Interface, Ifindex: ifindex, Role: leg.Role, Mode: leg.Mode,
	})
	if err != nil {
		return err
	}
	c.turnOffloadsOff(leg, attached.Mode == loader.Native)
	c.events.Info(event.LegAttached, "leg attached", zap.String("leg", leg.Name), zap.String("interface", leg.Interface),
		zap.Stringer("mode", attached.Mode), zap.String("reason", attached.Reason))
	return nil
}

// interfaceOf is a leg's among the machine's; the zero Interface: there is none.
func interfaceOf(leg config.Leg, devices []host.Interface) host.Interface {
	i := slices.IndexFunc(devices, func(d host.Interface) bool { return d.Name == leg.Interface })
	if i < 0 {
		return host.Interface{}
	}
	return devices[i]
}

// sysctlsFor says which interfaces need theirs, and whether the router is one-armed.
func sysctlsFor(legs []config.Leg) (interfaces []string, oneArmed bool) {
	for _, leg := range legs {
		interfaces = append(interfaces, leg.Interface)
		oneArmed = oneArmed || leg.Role == loader.Both
	}
	return interfaces, oneArmed
}

// setSysctls is repairSysctls for legs that came: all that is set is news, and so is the
// first time that somebody sets it back.
func (c *Controller) setSysctls() {
	clear(c.said.sysctls)
	c.repairSysctls()
	clear(c.said.sysctls)
}

func (c *Controller) repairSysctls() {
	done, err := c.Host.SetSysctls(sysctlsFor(c.config.DataLegs()))
	for _, change := range done.Changes {
		if c.said.sysctls.isNews(change, time.Now()) {
			c.events.Info(event.SysctlSet, "sysctl set", zap.Stringer("sysctl", change))
		}
	}
	c.complain("set sysctls", err)
}

// watch says whose next hops are wanted.
func (c *Controller) watch() {
	var legs []string
	for _, leg := range c.config.Legs {
		legs = append(legs, leg.Interface)
	}
	seen := map[netip.Addr]bool{}
	var reals []netip.Addr
	for _, vip := range c.config.Vips {
		for _, real := range vip.Reals {
			if addr := real.Address.Addr(); !seen[addr] {
				seen[addr] = true
				reals = append(reals, addr)
			}
		}
	}
	c.watcher.Want(legs, reals)
}

// takeChange acts on what became of interfaces, routes and neighbours.
func (c *Controller) takeChange(change host.Change) {
	for _, note := range change.Notes {
		c.events.Seldom(event.Network, note)
	}
	for name, state := range change.Legs {
		was, known := c.legs[name]
		c.legs[name] = state
		c.tellLeg(name, was, known, state)
		for _, leg := range c.config.DataLegs() {
			if leg.Interface == name {
				c.followLeg(leg, known && (state.MAC != was.MAC || state.MTU != was.MTU))
				if known && state.Up && !was.Up {
					c.announceLeg(leg)
				}
			}
		}
	}
	for ifindex, route := range change.Defaults {
		c.defaults[ifindex] = route
		c.setLegRoutes(ifindex, route)
	}
	c.tellNextHops(change.NextHops)
	changed := map[netip.Addr]bool{}
	for addr, path := range change.NextHops {
		c.paths[addr] = path
		changed[addr] = true
	}
	c.setNextHops(changed)
	if c.pair != nil {
		c.pair.Review()
	}
	if change.Own {
		for ifindex, route := range c.defaults {
			c.setLegRoutes(ifindex, route)
		}
		c.complain("set addresses", c.setAddresses())
	}
	if len(change.Lost) > 0 {
		c.events.Warn(event.AddressLost, "addresses are gone, adding them again", zap.Stringers("addresses", change.Lost))
		c.complain("set addresses", c.setAddresses())
	}
	c.placeVips()
}

// setNextHops writes the next hops of these reals' backends; nil: of all.
func (c *Controller) setNextHops(of map[netip.Addr]bool) {
	for id, backend := range c.have.Backends {
		addr := backend.Real.Addr()
		if of != nil && !of[addr] {
			continue
		}
		path, known := c.paths[addr]
		if !known {
			continue
		}
		c.complain("set a next hop", c.Loader.SetNextHop(id, nextHop(path.NextHop)))
		c.complain("set a real's network", c.Loader.SetOnLink(id, path.OnLink))
	}
}

func (c *Controller) setLegRoutes(ifindex int, route host.DefaultRoute) {
	routes := loader.LegRoutes{
		Default4: nextHop(route.Hop4), Default6: nextHop(route.Hop6), Connected: route.Connected,
	}
	interfaces, err := c.Host.Interfaces()
	c.complain("read the interfaces", err)
	for _, device := range interfaces {
		if device.Index != ifindex {
			continue
		}
		if !slices.ContainsFunc(c.config.DataLegs(), func(leg config.Leg) bool { return leg.Interface == device.Name }) {
			return
		}
		for _, a := range device.Addresses {
			switch addr := a.Prefix.Addr(); {
			case a.Ours && routes.Own4.IsValid(), addr.IsLinkLocalUnicast():
			case addr.Is4() && !routes.Own4.IsValid():
				routes.Own4 = addr
			case addr.Is6() && !routes.Own6.IsValid():
				routes.Own6 = addr
			}
		}
	}
	c.complain("set a leg's routes", c.Loader.SetLegRoutes(ifindex, routes))
}

func nextHop(h host.NextHop) loader.NextHop {
	return loader.NextHop{Ifindex: h.Ifindex, Source: h.Source, Destination: h.Destination, MTU: h.MTU}
}
