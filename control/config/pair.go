package config

import (
	"net/netip"
	"slices"
	"time"

	"github.com/tarpon-lb/tarpon/loader"
	"go.yaml.in/yaml/v4"
)

// RolePair is the role of a leg that carries heartbeats and sync only: no program is
// attached to it.
const RolePair loader.Role = 1 << 7

// A Pair is what two routers agree on. Zero for a router alone.
type Pair struct {
	VRID         int
	Foreign      bool     // peer: vrrp; the other router runs keepalived, FRR, ...
	Heartbeats   []string // legs, in the order in which they are preferred
	Multicast    bool     // transport: multicast
	Version      int      // of VRRP: 2 or 3
	PseudoHeader bool     // checksum: pseudo-header
	V2Password   string
	Advertise    []netip.Addr // what adverts name, of every family that they go by
	Advert       time.Duration
	Preempt      bool
	PreemptDelay time.Duration
	Settle       time.Duration
	Announce     Announce
	Sync         Sync
	Tracks       []Track
	Hooks        []Hook
	Services     []Service
	Fence        Fence
}

// Announce says how neighbours learn that an address has moved.
type Announce struct {
	Repeat  int
	Refresh time.Duration // 0: never
	Verify  bool
}

// Sync is the TLS link between the routers.
type Sync struct {
	Port     int
	KeyFile  string
	Interval time.Duration // between batches of flows
}

// Paired says whether the router is one of a pair.
func (c *Config) Paired() bool { return len(c.Routers) > 0 }

// defaultPair says nothing of heartbeats and of what adverts name: those follow from
// the rest of the file.
func defaultPair() Pair {
	return Pair{
		Version: 3, Advert: 200 * time.Millisecond, Settle: 5 * time.Second,
		Announce: Announce{Repeat: 5, Refresh: time.Minute, Verify: true},
		Sync:     Sync{Port: 4711, KeyFile: "/etc/tarpon/pair.key", Interval: 20 * time.Millisecond},
	}
}

// defaultHeartbeats are the legs on which both routers have an address.
func (c *Config) defaultHeartbeats() (legs []string) {
	for _, leg := range c.Legs {
		if !slices.ContainsFunc(c.Routers, func(r Router) bool { return len(r.Addresses[leg.Name]) == 0 }) {
			legs = append(legs, leg.Name)
		}
	}
	return legs
}

// defaultAdvertise is the first floating address of each family, of IPv6 the first
// link-local one (RFC 9568 section 5.2.9). A foreign peer elects in one family only.
func (c *Config) defaultAdvertise() (list []netip.Addr) {
	for _, kind := range []addressKind{ipv4, linkLocal} {
		i := slices.IndexFunc(c.Floating, func(f Floating) bool { return kindOf(f.Address.Addr()) == kind })
		if i < 0 || c.Pair.Foreign && (len(list) > 0 || !c.meet(kind)) {
			continue
		}
		list = append(list, c.Floating[i].Address.Addr())
	}
	return list
}

// meet says whether both routers have an address of a kind on a heartbeat leg.
func (c *Config) meet(kind addressKind) bool {
	return slices.ContainsFunc(c.Pair.Heartbeats, func(leg string) bool {
		return !slices.ContainsFunc(c.Routers, func(r Router) bool { return !r.address(leg, kind).IsValid() })
	})
}

// maxAdvert is 12 bits of hundredths of a second (RFC 9568 section 5.2.7).
const maxAdvert = 4095 * 10 * time.Millisecond

// pair reads what the routers agree on; n is nil if the file does not say it.
func (d *decoder) pair(n *yaml.Node, c *Config) {
	const needed = "required: 1 to 255, another than any VRRP router's on these networks"
	if !c.Paired() {
		if _, written := d.places["routers"]; n != nil && !written {
			d.fail("pair", "add `routers`, or leave `pair` out", "there are no routers to be one")
		}
		return
	}
	p := &c.Pair
	*p = defaultPair()
	if n == nil {
		d.failAt(d.places["routers"], "pair.vrid", "add `pair: {vrid: NUMBER}`", needed)
	} else if d.mapping(n, "pair", d.pairKeys(p, c)) && valueOf(n, "vrid") == nil {
		d.failNode(n, "pair.vrid", "", needed)
	}
	if len(p.Heartbeats) == 0 {
		p.Heartbeats = c.defaultHeartbeats()
	}
	if len(p.Advertise) == 0 {
		p.Advertise = c.defaultAdvertise()
	}
}

func (d *decoder) pairKeys(p *Pair, c *Config) fields {
	return fields{
		"vrid":          d.integer(&p.VRID, 1, 255),
		"peer":          d.boolean(&p.Foreign, "vrrp", "tarpon"),
		"heartbeats":    list(d, &p.Heartbeats, d.word),
		"transport":     d.boolean(&p.Multicast, "multicast", "unicast"),
		"version":       d.integer(&p.Version, 2, 3),
		"checksum":      d.boolean(&p.PseudoHeader, "pseudo-header", "rfc9568"),
		"v2_password":   d.matching(&p.V2Password, v2Text, "a password of version 2 has up to 8 letters, digits or signs"),
		"advertise":     list(d, &p.Advertise, d.addr),
		"advert":        d.duration(&p.Advert, 10*time.Millisecond, maxAdvert, 10*time.Millisecond),
		"preempt":       d.boolean(&p.Preempt, "true", "false"),
		"preempt_delay": d.duration(&p.PreemptDelay, 0, time.Hour, time.Millisecond),
		"settle":        d.duration(&p.Settle, 0, time.Hour, time.Millisecond),
		"announce": d.keys(fields{
			"repeat":  d.integer(&p.Announce.Repeat, 1, 20),
			"refresh": d.duration(&p.Announce.Refresh, 0, 24*time.Hour, time.Second),
			"verify":  d.boolean(&p.Announce.Verify, "true", "false"),
		}),
		"sync": d.keys(fields{
			"port":     d.integer(&p.Sync.Port, 1, 65535),
			"key_file": d.wholePath(&p.Sync.KeyFile),
			"interval": d.duration(&p.Sync.Interval, time.Millisecond, 10*time.Second, time.Millisecond),
		}),
		"track":    list(d, &p.Tracks, d.track),
		"hooks":    list(d, &p.Hooks, d.hook),
		"services": list(d, &p.Services, d.service),
		"fence":    d.fence(&p.Fence, c),
	}
}
