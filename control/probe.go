package control

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/host"
	"github.com/tarpon-lb/tarpon/control/pair/announce"
)

// probeNew asks on the legs, before addresses are added for the first time, whether
// another machine has them (RFC 5227 section 2.1). Nobody waits for its answer, and it
// keeps no address away: the configuration says that it is here, and a machine that
// answers for everything must not decide what a router serves. It is told. An address
// that is here already, as after a restart, is not asked for. For those that come all at
// once, by a takeover, a pair asks itself, before.
func (c *Controller) probeNew(want, made map[host.Address]bool) {
	added := maps.Clone(want)
	maps.DeleteFunc(added, func(a host.Address, _ bool) bool { return made[a] })
	if len(added) == 0 || c.config.Paired() && len(made) == 0 {
		return
	}
	devices, err := c.Host.Interfaces()
	c.complain("read the interfaces", err)
	for _, leg := range c.config.DataLegs() {
		device := interfaceOf(leg, devices)
		if addresses := missing(device, added); device.Carrier && len(addresses) > 0 {
			c.probe(leg, device, addresses)
		}
	}
}

// missing are the wanted addresses that an interface does not have yet, with whatever
// prefix.
func missing(device host.Interface, want map[host.Address]bool) (list []netip.Addr) {
	for a := range want {
		has := func(h host.InterfaceAddress) bool { return h.Prefix.Addr() == a.Prefix.Addr() }
		if a.Interface == device.Name && !slices.ContainsFunc(device.Addresses, has) {
			list = append(list, a.Prefix.Addr())
		}
	}
	return list
}

// probe asks at once, and once more in case that a frame was lost.
func (c *Controller) probe(leg config.Leg, device host.Interface, addresses []netip.Addr) {
	question, err := host.Ask(device, addresses)
	if err != nil {
		c.complain("ask who else has an address", err)
		return
	}
	go func() {
		found, _ := question.Answers(probeWait)
		again, _ := host.Probe(device, addresses, probeWait) // fails where the leg goes: nobody answers
		maps.Copy(found, again)
		for address, mac := range found {
			c.tellConflict(announce.Event{Kind: announce.Conflict, Leg: leg.Name, Address: address, MAC: mac})
		}
	}()
}
