package config

import (
	"net/netip"
	"slices"
)

// A Side is the pair as one of its routers sees it.
type Side struct {
	Own, Peer Router
	Legs      []Leg  // with this router's interfaces
	Links     []Link // heartbeats: legs as they are preferred, IPv4 before IPv6
	Tracks    []Track
	Fence     string // the file of how the peer is shot; empty: it is not
}

// A Link is one way to the peer, of one family.
type Link struct {
	Leg       string
	Interface string
	Own, Peer netip.Addr // without zones
}

// ForRouter is the pair as a router sees it. False: there is none of that name, or the
// configuration was found not to be valid.
func (c *Config) ForRouter(name string) (Side, bool) {
	i := slices.IndexFunc(c.Routers, func(r Router) bool { return r.Name == name })
	if i < 0 || len(c.Routers) != 2 {
		return Side{}, false
	}
	s := Side{Own: c.Routers[i], Peer: c.Routers[1-i]}
	s.Legs = c.legsOf(s.Own)
	for _, leg := range c.Pair.Heartbeats {
		s.Links = append(s.Links, c.linksOn(leg, s.Own, s.Peer)...)
	}
	s.Tracks = c.tracks()
	s.Fence = c.Pair.Fence.Options[s.Peer.Name]
	return s, true
}

// Interface is this router's of a leg; empty: there is no such leg.
func (s Side) Interface(leg string) string { return interfaceOf(s.Legs, leg) }

func interfaceOf(legs []Leg, name string) string {
	for _, leg := range legs {
		if leg.Name == name {
			return leg.Interface
		}
	}
	return ""
}

// Address is the router's own address on a leg in the family of another address, and
// of its scope if there is one; invalid: it has none.
func (s Side) Address(leg string, like netip.Addr) netip.Addr {
	kinds := []addressKind{ipv4}
	switch kindOf(like) {
	case global:
		kinds = []addressKind{global, linkLocal}
	case linkLocal:
		kinds = []addressKind{linkLocal, global}
	}
	for _, kind := range kinds {
		if addr := s.Own.address(leg, kind); addr.IsValid() {
			return addr
		}
	}
	return netip.Addr{}
}

// linksOn are the ways from one router to the other on a leg: of each family in which
// adverts have an address to name. A foreign peer speaks IPv6 from link-local addresses
// (RFC 9568 section 5.1.2.1), version 2 speaks none.
func (c *Config) linksOn(leg string, own, peer Router) (links []Link) {
	families := [][]addressKind{{ipv4}, {global, linkLocal}}
	switch {
	case c.Pair.Version == 2:
		families = families[:1]
	case c.Pair.Foreign:
		families[1] = []addressKind{linkLocal}
	}
	name := interfaceOf(c.legsOf(own), leg)
	for _, kinds := range families {
		named := func(addr netip.Addr) bool { return addr.Is4() == (kinds[0] == ipv4) }
		if !slices.ContainsFunc(c.Pair.Advertise, named) {
			continue
		}
		for _, kind := range kinds {
			if a, b := own.address(leg, kind), peer.address(leg, kind); a.IsValid() && b.IsValid() {
				links = append(links, Link{leg, name, a, b})
				break
			}
		}
	}
	return links
}

// tracks are those of the file, and without being named the legs of what the pair
// holds. The legs of vips are those that ValidateHost has found.
func (c *Config) tracks() []Track {
	tracks := slices.Clone(c.Pair.Tracks)
	held := map[string]bool{}
	for _, f := range c.Floating {
		held[f.Leg] = true
	}
	for i := range c.Vips {
		if c.Vips[i].Enabled {
			held[c.Vips[i].Leg] = true
		}
	}
	for _, leg := range c.Legs {
		named := func(t Track) bool { return t.Kind == TrackLeg && t.Leg == leg.Name }
		if held[leg.Name] && !slices.ContainsFunc(tracks, named) {
			tracks = append(tracks, Track{Kind: TrackLeg, Leg: leg.Name})
		}
	}
	return tracks
}
