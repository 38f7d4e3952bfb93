package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// ValidateStay refuses that a router of a pair runs alone from now on: both would be
// active. Only `lbctl pair leave` hands over and withdraws first. The error is an
// *Errors.
func ValidateStay(file string, running, next *Config) error {
	r := &report{places: next.places}
	if running.Paired() && !next.Paired() {
		r.fail("routers", "to leave the pair: lbctl pair leave", "they were taken out: this router would be active alone, beside the other one")
	}
	return r.errors(file)
}

// maxAdvertised keeps adverts of IPv6 addresses within the smallest MTU.
const maxAdvertised = 64

func (r *report) validatePair(c *Config) {
	_, written := r.places["routers"]
	switch n := len(c.Routers); {
	case n == 0 && !written:
		return
	case n != 2:
		r.fail("routers", "a single router has no `routers`", "exactly two are a pair, here: %d", n)
		return
	}
	r.validateIdentities(c)
	if r.validateOwnAddresses(c) {
		r.validateHolders(c)
		r.validateHeartbeats(c)
	}
	r.validateElection(&c.Pair)
	r.validateTracks(c)
	r.validateServices(c)
}

func routerPath(i int) string { return fmt.Sprintf("routers[%d]", i) }

// validateIdentities keeps the two apart.
func (r *report) validateIdentities(c *Config) {
	a, b := c.Routers[0], c.Routers[1]
	if strings.EqualFold(a.Name, b.Name) && a.Name != "" {
		r.fail("routers[1].name", "", "%q is the name of the router at line %d", b.Name, r.places["routers[0]"].Line)
	}
	if a.Priority == b.Priority && a.Priority != 0 {
		r.fail("routers[1].priority", "write a higher one for the router that is to be active first",
			"%d is the priority of both routers", b.Priority)
	}
	for _, key := range b.Keys {
		if key != "" && slices.Contains(a.Keys, key) {
			r.fail("routers[1].key", "make each its own: lbctl keygen", "both routers have the key %s", key[:len("sha256:")+6])
		}
	}
	for i, router := range c.Routers {
		if len(router.Keys) == 0 && !c.Pair.Foreign {
			r.fail(routerPath(i)+".key", "on that router: lbctl keygen", "the pin of the router's key is missing")
		}
		interfaces := map[string]string{}
		for _, leg := range c.legsOf(router) {
			if other, ok := interfaces[leg.Interface]; ok && len(router.Interfaces) > 0 && leg.Interface != "" {
				r.fail(routerPath(i)+".interfaces", "", "%s would be the interface of %s and %s", leg.Interface, other, leg.Name)
			}
			interfaces[leg.Interface] = leg.Name
		}
	}
}

// validateOwnAddresses wants addresses that a machine can have, each once. False: a
// router has none at all.
func (r *report) validateOwnAddresses(c *Config) bool {
	type at struct {
		addr netip.Addr
		leg  string // of a link-local one
	}
	seen, all := map[at]string{}, true
	for i, router := range c.Routers {
		if len(router.Addresses) == 0 {
			r.fail(routerPath(i)+".addresses", "", "required: its own, by leg, such as {wan: 192.168.26.201}")
			all = false
		}
		for _, leg := range slices.Sorted(maps.Keys(router.Addresses)) {
			path, kinds := routerPath(i)+".addresses."+leg, map[addressKind]bool{}
			for _, addr := range router.Addresses[leg] {
				kind, key := kindOf(addr), at{addr, ""}
				switch {
				case kind == noAddress:
					continue
				case kind == linkLocal:
					key.leg = leg
				case unusable(addr) != "":
					r.fail(path, "", "%s cannot be a router's: it is %s", addr, unusable(addr))
					continue
				}
				if other, ok := seen[key]; ok {
					r.fail(path, "", "%s is the address of %s already", addr, other)
				} else if kinds[kind] {
					r.fail(path, "", "%s: one of IPv4, one of IPv6 and a link-local one are enough on a leg", addr)
				}
				seen[key], kinds[kind] = strings.TrimSpace(router.Name+" on "+leg), true
			}
		}
	}
	return all
}

// validateHolders wants every router to have an address of its own where it holds
// floating ones: what it says while it is a standby must have another sender. On every
// interface the kernel makes a link-local one by itself.
func (r *report) validateHolders(c *Config) {
	told := map[string]bool{}
	for i, f := range c.Floating {
		addr := f.Address.Addr()
		if owner := c.ownerOf(addr); owner != "" {
			r.fail(fmt.Sprintf("floating[%d].address", i), "take an address that neither router has",
				"%s is %s's own address: it would not move", addr, owner)
		}
		kind := kindOf(addr)
		if kind == noAddress || kind == linkLocal {
			continue
		}
		r.ownsOne(fmt.Sprintf("floating[%d]", i), f.Leg, kind, c, told)
	}
}

// ownsOne wants an address of a kind of both routers on a leg, and tells of it once.
func (r *report) ownsOne(path, leg string, kind addressKind, c *Config, told map[string]bool) {
	if _, ok := c.Leg(leg); !ok {
		return
	}
	for i, router := range c.Routers {
		at := fmt.Sprintf("%s.addresses.%s", routerPath(i), leg)
		key := at + familyOf(kind)
		if !router.address(leg, kind).IsValid() && !router.unread(leg) && !told[key] {
			told[key] = true
			r.fail(path, "add "+at+", an address that does not move", "%s has no %s address of its own on leg %s", router.Name, familyOf(kind), leg)
		}
	}
}

func familyOf(kind addressKind) string {
	if kind == ipv4 {
		return "IPv4"
	}
	return "IPv6"
}

// validateHeartbeats wants a way to the peer on every leg that is to have one.
func (r *report) validateHeartbeats(c *Config) {
	const path = "pair.heartbeats"
	legs := c.Pair.Heartbeats
	if len(legs) == 0 {
		r.fail(path, "add addresses of both to `routers`", "there is no leg on which both routers have an address")
	}
	if c.Pair.Foreign && len(legs) > 1 {
		r.fail(path, "write the leg of the other router's instance, such as heartbeats: ["+legs[0]+"]",
			"a peer that speaks VRRP only has one heartbeat leg, here: %s", andList(legs))
		return
	}
	for i, leg := range legs {
		at := fmt.Sprintf("%s[%d]", path, i)
		if _, ok := c.Leg(leg); !ok {
			if leg != "" {
				r.noLeg(at, leg, c)
			}
			continue
		}
		if slices.Contains(legs[:i], leg) {
			r.fail(at, "", "%s appears twice", leg)
			continue
		}
		r.validateHeartbeat(at, leg, c)
	}
}

func (r *report) validateHeartbeat(at, leg string, c *Config) {
	for i, router := range c.Routers {
		if len(router.Addresses[leg]) == 0 {
			r.fail(at, fmt.Sprintf("add %s.addresses.%s, or leave the leg out", routerPath(i), leg), "%s has no address on %s", router.Name, leg)
			return
		}
	}
	if len(c.linksOn(leg, c.Routers[0], c.Routers[1])) > 0 {
		return
	}
	if c.Routers[0].unread(leg) || c.Routers[1].unread(leg) {
		return
	}
	var common []addressKind
	for _, kind := range []addressKind{ipv4, global, linkLocal} {
		if c.Routers[0].address(leg, kind).IsValid() && c.Routers[1].address(leg, kind).IsValid() {
			common = append(common, kind)
		}
	}
	switch {
	case len(common) == 0:
		r.fail(at, "", "on %s the routers have no addresses of one family", leg)
	case c.Pair.Version == 2 && common[0] != ipv4:
		r.fail(at, "", "version 2 of VRRP is for IPv4: on %s both routers have IPv6 only", leg)
	case c.Pair.Foreign && common[0] == global:
		r.fail(at, "add them to `routers`", "VRRP of IPv6 is spoken from link-local addresses: on %s both routers need one", leg)
	default:
		r.fail("pair.advertise", "write one that the pair holds, such as a vip's; of IPv6 a link-local one first",
			"adverts on %s go by %s and have no address to name", leg, familyOf(common[0]))
	}
}

func (r *report) validateElection(p *Pair) {
	if p.Version == 2 && p.Advert%time.Second != 0 {
		r.fail("pair.advert", "write whole seconds, as the other router has them, such as advert: 1s",
			"version 2 of VRRP has no %s", formatDuration(p.Advert))
	}
	if p.Version != 2 && p.V2Password != "" {
		r.fail("pair.v2_password", "leave it out, or write version: 2", "version %d of VRRP has no password", p.Version)
	}
	if p.PreemptDelay > 0 && !p.Preempt {
		r.fail("pair.preempt_delay", "leave it out, or write preempt: true", "without preempt there is nothing to delay")
	}
}

// validateAdvertised wants adverts to name what the pair holds.
func (r *report) validateAdvertised(c *Config) {
	list := c.Pair.Advertise
	families := map[bool]bool{}
	for i, addr := range list {
		at := fmt.Sprintf("pair.advertise[%d]", i)
		held := func(f Floating) bool { return f.Address.Addr() == addr }
		isVip := func(v Vip) bool { return v.Endpoint.Addr() == addr }
		switch {
		case !addr.IsValid():
			continue
		case slices.Contains(list[:i], addr):
			r.fail(at, "", "%s appears twice", addr)
		case !slices.ContainsFunc(c.Floating, held) && !slices.ContainsFunc(c.Vips, isVip):
			r.fail(at, "add it to `floating`", "%s is neither a floating address nor a vip's", addr)
		case addr.Is6() && !families[false] && kindOf(addr) != linkLocal:
			r.fail(at, "put a link-local one before it", "%s: the first IPv6 address of an advert is a link-local one", addr)
		}
		families[addr.Is4()] = true
	}
	if c.Pair.Foreign && len(families) > 1 {
		r.fail("pair.advertise", "name addresses of one family; all others follow", "a peer that speaks VRRP only elects in one family")
	}
	if len(list) > maxAdvertised {
		r.fail("pair.advertise", "", "%d addresses: at most %d", len(list), maxAdvertised)
	}
}

func (r *report) validateTracks(c *Config) {
	for i, track := range c.Pair.Tracks {
		at := fmt.Sprintf("pair.track[%d]", i)
		if _, ok := c.Leg(track.Leg); track.Leg != "" && !ok {
			r.noLeg(at+".leg", track.Leg, c)
		}
		if slices.ContainsFunc(c.Pair.Tracks[:i], func(t Track) bool { return t.Kind != "" && t.subject() == track.subject() }) {
			r.fail(at, "", "%s is tracked already", track.subject())
		}
		addr := track.Gateway
		switch owner := c.ownerOf(addr); {
		case !addr.IsValid():
		case owner != "":
			r.fail(at+".gateway", "", "%s is %s's own address", addr, owner)
		case slices.ContainsFunc(c.Floating, func(f Floating) bool { return f.Address.Addr() == addr }):
			r.fail(at+".gateway", "", "%s is a floating address", addr)
		case unusable(addr) != "" && kindOf(addr) != linkLocal:
			r.fail(at+".gateway", "", "%s cannot be a gateway: it is %s", addr, unusable(addr))
		}
	}
}

// subject is what a track watches.
func (t Track) subject() string {
	switch t.Kind {
	case TrackGateway:
		return fmt.Sprintf("the gateway %s on %s", t.Gateway, t.Leg)
	case TrackQuorum:
		return "the quorum of " + t.Quorum
	case TrackScript:
		return t.Script
	}
	return "leg " + t.Leg
}

func (r *report) validateQuorums(c *Config) {
	for i, track := range c.Pair.Tracks {
		if track.Kind == TrackQuorum && track.Quorum != "" && c.FindVip(track.Quorum) < 0 {
			r.fail(fmt.Sprintf("pair.track[%d].quorum", i), "", "there is no vip %q", track.Quorum)
		}
	}
}

func (r *report) validateServices(c *Config) {
	for i, service := range c.Pair.Services {
		if slices.ContainsFunc(c.Pair.Services[:i], func(s Service) bool { return s.Name != "" && s.Name == service.Name }) {
			r.fail(fmt.Sprintf("pair.services[%d]", i), "", "%s appears twice", service.Name)
		}
	}
	if c.Pair.Fence.Agent == "" {
		return
	}
	var missing []string
	for _, router := range c.Routers {
		if _, ok := c.Pair.Fence.Options[router.Name]; !ok && router.Name != "" {
			missing = append(missing, router.Name)
		}
	}
	if len(missing) > 0 {
		r.fail("pair.fence.options", "add `"+missing[0]+": FILE`", "required: files that say how to shoot %s", andList(missing))
	}
}
