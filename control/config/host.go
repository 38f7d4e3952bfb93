package config

import (
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"github.com/tarpon-lb/tarpon/loader"
)

// Facts are what a machine is to a configuration.
type Facts struct {
	Interfaces []Interface
	// Listeners are asked for where a vip is one of the machine's own addresses; nil: none.
	Listeners func() ([]Listener, error)
	// Gateways of its default routes; a link-local one has its interface as its zone.
	Gateways []netip.Addr
	Hostname string
	KeyFile  string // instead of pair.sync.key_file; empty: that
	Router   string // which one of a pair it is said to be (tarpond --router); empty: not
	Files    fs.FS  // from /; nil: not looked at
	// Awaits says of an interface that is not there whether it may come; nil: none may.
	Awaits func(name string) bool
	// LegOf is the leg that an address has had until now, empty: none. It has it still
	// where no network says another: they go with an interface, or when that is down.
	// Nil: no address has one.
	LegOf func(netip.Addr) string
}

// An Interface is one of a machine.
type Interface struct {
	Name   string
	Kind   string // bond, bridge, vlan, vrf, ...; others do not matter
	Master string // the interface it is a port of
	Parent string // what a VLAN stands on
	// Own addresses with their prefixes; not those that Tarpon added.
	Networks []netip.Prefix
}

// A Listener is a socket that takes connections or datagrams; with the unspecified
// address it does so on every one (an IPv6 one for both families).
type Listener struct {
	Address  netip.AddrPort
	Protocol loader.Protocol
}

func (f Facts) listeners() ([]Listener, error) {
	if f.Listeners == nil {
		return nil, nil
	}
	return f.Listeners()
}

func (l Listener) takes(addr netip.Addr) bool {
	return l.Address.Addr() == addr || l.Address.Addr().IsUnspecified() && (l.Address.Addr().Is6() || addr.Is4())
}

// machine is Facts made ready to be asked.
type machine struct {
	Facts
	interfaces map[string]Interface
	own        map[netip.Addr]string // own address -> interface
}

func newMachine(facts Facts) machine {
	m := machine{Facts: facts, interfaces: map[string]Interface{}, own: map[netip.Addr]string{}}
	for _, i := range facts.Interfaces {
		m.interfaces[i.Name] = i
		for _, network := range i.Networks {
			m.own[network.Addr()] = i.Name
		}
	}
	return m
}

// awaits says whether an interface is missing for now.
func (m machine) awaits(name string) bool {
	_, here := m.interfaces[name]
	return !here && m.Awaits != nil && m.Awaits(name)
}

// isGateway says whether an address of an interface is a default gateway's there.
func (m machine) isGateway(addr netip.Addr, name string) bool {
	if addr.Is6() && addr.IsLinkLocalUnicast() {
		addr = addr.WithZone(name)
	}
	return slices.Contains(m.Gateways, addr)
}

// ValidateHost finds what of a configuration cannot be on a machine. The result is
// a copy in which every vip has its leg, that of its address's network if the file
// names none; of a pair it says which router this is, and the legs have its
// interfaces. While an interface is awaited whose networks these may be, a vip can be
// without a leg. The error is an *Errors.
func ValidateHost(file string, c *Config, facts Facts) (*Config, error) {
	r := &report{places: c.places}
	placed := r.validateHost(c, facts)
	if err := r.errors(file); err != nil {
		return nil, err
	}
	return placed, nil
}

func (r *report) validateHost(c *Config, facts Facts) *Config {
	m := newMachine(facts)
	placed := *c
	placed.Vips = slices.Clone(c.Vips)
	me := r.whoAmI(c, m)
	if me >= 0 {
		placed.Self, placed.Legs = c.Routers[me].Name, c.legsOf(c.Routers[me])
	}
	for _, leg := range placed.Legs {
		if me >= 0 || !c.Paired() { // else nobody knows its interface
			r.hostLeg(leg, c.interfacePath(me, leg.Name), m)
		}
	}
	r.hostFloating(&placed, m)
	first := map[netip.Addr]int{}
	for i := range placed.Vips {
		vip := &placed.Vips[i]
		if !vip.Endpoint.IsValid() {
			continue
		}
		path := fmt.Sprintf("vips[%d]", i)
		r.place(path, vip, &placed, m)
		r.hostVip(path, vip, &placed, m)
		j, ok := first[vip.Endpoint.Addr()]
		if !ok {
			first[vip.Endpoint.Addr()] = i
		} else if sameHome(&c.Vips[i], &c.Vips[j]) && !sameHome(vip, &placed.Vips[j]) {
			r.twoHomes(path, vip, &placed.Vips[j], r.places[fmt.Sprintf("vips[%d].vip", j)].Line)
		}
		for j, real := range vip.Reals {
			if name, ok := m.own[real.Address.Addr()]; ok && c.ownerOf(real.Address.Addr()) == "" {
				r.fail(fmt.Sprintf("%s.reals[%d]", path, j), "a real is another machine",
					"%s is this router's own address (%s)", real.Address.Addr(), name)
			}
		}
	}
	if me >= 0 {
		r.hostPair(&placed, me, m)
	}
	return &placed
}

// interfacePath is where a file says which interface a leg has on a router; -1: alone.
func (c *Config) interfacePath(router int, leg string) string {
	if router >= 0 && c.Routers[router].Interfaces[leg] != "" {
		return fmt.Sprintf("%s.interfaces.%s", routerPath(router), leg)
	}
	return "legs." + leg + ".interface"
}

// hostLeg takes the path of where the file names the interface.
func (r *report) hostLeg(leg Leg, path string, m machine) {
	if leg.Interface == "" {
		return
	}
	i, ok := m.interfaces[leg.Interface]
	switch {
	case ok:
	case m.awaits(leg.Interface):
		return
	default:
		known := []string{}
		for _, i := range m.Interfaces {
			if i.Name != "lo" {
				known = append(known, i.Name)
			}
		}
		r.fail(path, "see: ip link", "there is no interface %s%s", leg.Interface, didYouMean(leg.Interface, known))
		return
	}
	modes := "its modes are tc and generic"
	switch kind := m.interfaces[i.Master].Kind; kind {
	case "bond":
		modes = "mode: auto takes what its kind of bond can do"
		fallthrough
	case "bridge", "team", "openvswitch":
		r.fail(path, fmt.Sprintf("write interface: %s; %s", i.Master, modes),
			"%s is a port of the %s %s, which takes its packets", i.Name, kind, i.Master)
	}
	if i.Kind == "vlan" && leg.Mode == loader.Native {
		r.fail("legs."+leg.Name+".mode", "write mode: auto, which takes tc", "%s is a VLAN on %s: it has no native mode", i.Name, orUnknown(i.Parent))
	}
}

func orUnknown(name string) string {
	if name == "" {
		return "another interface"
	}
	return name
}

func (r *report) hostFloating(c *Config, m machine) {
	for i, f := range c.Floating {
		path := fmt.Sprintf("floating[%d].address", i)
		leg, _ := c.Leg(f.Leg)
		switch name, ok := m.own[f.Address.Addr()]; {
		case !ok || c.ownerOf(f.Address.Addr()) != "":
		case c.Paired():
			r.onBoth(path, f.Address.Addr(), name)
		case name != leg.Interface:
			r.fail(path, "take it from there, or name the leg of that interface", "%s is on %s already", f.Address.Addr(), name)
		}
		if m.isGateway(f.Address.Addr(), leg.Interface) {
			r.fail(path, "", "%s is this router's default gateway", f.Address.Addr())
		}
		r.besideOwn(path, f.Address, leg, c, m)
	}
}

// besideOwn wants an address of this router's own in the network of one that moves: else
// the network's route, and the sender of what goes there, would be the moving one, and
// gone on the standby. A router alone has nothing else there, and moves nothing. That it
// has an own address of the family on the leg at all was asked before.
func (r *report) besideOwn(path string, moving netip.Prefix, leg Leg, c *Config, m machine) {
	addr, kind := moving.Addr(), kindOf(moving.Addr())
	router := slices.Index(routerNames(c), c.Self)
	if router < 0 || kind == noAddress || kind == linkLocal || moving.IsSingleIP() || c.ownerOf(addr) != "" || m.own[addr] != "" {
		return
	}
	own := c.Routers[router].address(leg.Name, kind)
	if m.own[own] != leg.Interface {
		return
	}
	for _, network := range m.interfaces[leg.Interface].Networks {
		if network.Bits() <= moving.Bits() && network.Contains(addr) {
			return
		}
	}
	r.fail(path, "give "+leg.Interface+" one there that does not move, or correct the address and its prefix",
		"%s has no address of its own in %s on %s (its own: %s)", c.Self, moving.Masked(), leg.Interface, own)
}

// onBoth refuses to move an address that a router has for itself.
func (r *report) onBoth(path string, addr netip.Addr, name string) {
	r.fail(path, "take it off the machine: the active router adds it", "%s is on %s already: both routers would have it", addr, name)
}

// hostVip keeps a vip from taking what the machine itself needs.
func (r *report) hostVip(path string, vip *Vip, c *Config, m machine) {
	addr, port := vip.Endpoint.Addr(), vip.Endpoint.Port()
	leg, ok := c.Leg(vip.Leg)
	if m.isGateway(addr, leg.Interface) {
		r.fail(path+".vip", "", "%s is this router's default gateway", addr)
	}
	if ok {
		r.besideOwn(path+".prefix", netip.PrefixFrom(addr, vip.Prefix), leg, c, m)
		for _, network := range m.interfaces[leg.Interface].Networks {
			if why := networkEnd(netip.PrefixFrom(addr, network.Bits())); network.Contains(addr) && why != "" {
				r.fail(path+".vip", "", "%s is the %s of %s (%s)", addr, why, network.Masked(), leg.Interface)
			}
		}
	}
	name, own := m.own[addr]
	floating := slices.ContainsFunc(c.Floating, func(f Floating) bool { return f.Address.Addr() == addr })
	if !own || floating || c.ownerOf(addr) != "" {
		return
	}
	if c.Paired() {
		r.onBoth(path+".vip", addr, name)
		return
	}
	if vip.SharesOwnAddress {
		return
	}
	const remedy = "take another address, or add `shares_own_address: true` (lbctl: --shares-own-address)"
	if port == 0 {
		r.fail(path+".vip", remedy, "%s is this router's own address (%s): a vip with every port would take all of it, ssh included", addr, name)
		return
	}
	listeners, err := m.listeners()
	if err != nil {
		r.fail(path+".vip", "", "%s is this router's own address (%s), and what listens on it cannot be seen: %s", addr, name, err)
	}
	for _, l := range listeners {
		if l.Protocol == vip.Endpoint.Protocol && l.Address.Port() == port && l.takes(addr) {
			r.fail(path+".vip", remedy, "%s is this router's own address (%s), and something listens on port %d", addr, name, port)
			return
		}
	}
}

// place finds the one outside leg in whose network a vip is.
func (r *report) place(path string, vip *Vip, c *Config, m machine) {
	if vip.Leg != "" {
		return
	}
	var found, candidates, outside []string
	missing := false // an interface: that was told, or it is awaited
	for _, leg := range c.Legs {
		if leg.Role&loader.Outside == 0 {
			continue
		}
		outside = append(outside, leg.Name)
		missing = missing || m.interfaces[leg.Interface].Name == ""
		for _, network := range legNetworks(leg, c, m) {
			if network.Addr().Is4() != vip.Endpoint.Addr().Is4() {
				continue
			}
			candidates = append(candidates, leg.Name+": "+network.String())
			if network.Contains(vip.Endpoint.Addr()) && !slices.Contains(found, leg.Name) {
				found = append(found, leg.Name)
			}
		}
	}
	names := ""
	if len(candidates) > 0 {
		names = " (" + strings.Join(candidates, ", ") + ")"
	}
	// Not the address is wrong: a key is missing beside it.
	fail := func(remedy, what string) {
		r.failAt(r.places[path+".vip"], path, remedy, "%s is in %s%s", vip.Endpoint.Addr(), what, names)
	}
	before := ""
	if m.LegOf != nil && len(found) == 0 {
		before = m.LegOf(vip.Endpoint.Addr())
	}
	switch _, known := c.Leg(before); {
	case len(found) == 1:
		vip.Leg = found[0]
	case known:
		vip.Leg = before
	case missing:
	case len(found) > 1:
		fail("add `leg: "+strings.Join(found, "` or `leg: ")+"`", "networks of several outside legs")
	case len(outside) > 0:
		fail("add `leg: "+outside[0]+"`, or `leg: none` if the network routes it to you", "no network of an outside leg")
	default:
		fail("add `leg: NAME`, or `leg: none` if the network routes it to you", "no network of an outside leg")
	}
}

// legNetworks are the networks that a leg is in by its own addresses and by its
// floating ones.
func legNetworks(leg Leg, c *Config, m machine) (networks []netip.Prefix) {
	add := func(p netip.Prefix) {
		if p.IsValid() && !p.IsSingleIP() && !p.Addr().IsLinkLocalUnicast() && !slices.Contains(networks, p.Masked()) {
			networks = append(networks, p.Masked())
		}
	}
	for _, network := range m.interfaces[leg.Interface].Networks {
		add(network)
	}
	for _, f := range c.Floating {
		if f.Leg == leg.Name {
			add(f.Address)
		}
	}
	return networks
}
