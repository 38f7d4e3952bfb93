package host

import (
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// A NextHop is the frame that a packet leaves in. Comparable; the zero value
// is "not known: ask the FIB".
type NextHop struct {
	Ifindex             int
	Source, Destination MAC
	MTU                 int
}

// A Path is the way to a real: its next hop, or why there is none to write down.
type Path struct {
	NextHop NextHop
	Reason  string
	// OnLink is the length of the prefix that the real is in, on a link of this
	// machine; 0: it is behind a gateway, or nobody knows.
	OnLink int
}

// A DefaultRoute is where replies to clients leave: by Hop4 or Hop6, unless the
// client's address is in one of Connected, or the hop is zero: then the FIB is
// asked. Connected has at most MaxConnected prefixes per family; they are all
// that the main table has beside the default route, and the machine's own
// addresses.
type DefaultRoute struct {
	Hop4, Hop6       NextHop
	Connected        []netip.Prefix
	Reason4, Reason6 string // why a hop is zero
}

// MaxConnected is how many prefixes per family a DefaultRoute can have.
const MaxConnected = 8

func (d DefaultRoute) equal(other DefaultRoute) bool {
	return d.Hop4 == other.Hop4 && d.Hop6 == other.Hop6 &&
		d.Reason4 == other.Reason4 && d.Reason6 == other.Reason6 &&
		slices.Equal(d.Connected, other.Connected)
}

// link is what a next hop needs of an interface.
type link struct {
	name     string
	mac      MAC
	ethernet bool
	mtu      int
	up       bool // and has carrier
}

// neighbour is an entry of a neighbour cache.
type neighbour struct {
	mac     MAC // zero: not known
	state   int // NUD_*
	managed bool
}

// usable: it has an address, and nobody has found it wrong. A stale entry is
// as good as a fresh one: managed neighbours are asked again by the kernel.
func (n neighbour) usable() bool {
	return n.mac != MAC{} && n.state&(unix.NUD_INCOMPLETE|unix.NUD_FAILED) == 0
}

// fixed entries were made by an administrator or need no resolution.
func (n neighbour) fixed() bool { return n.state&(unix.NUD_PERMANENT|unix.NUD_NOARP) != 0 }

// family numbers IPv4 and IPv6 in arrays.
type family int

const (
	ipv4 family = iota
	ipv6
	families
)

func familyOf(addr netip.Addr) family {
	if addr.Is4() {
		return ipv4
	}
	return ipv6
}

// view is all that next hops follow from. The functions on it are pure.
type view struct {
	legs       map[int]bool // indexes of interfaces that the program may redirect to
	links      map[int]link
	routes     [families]routeTable
	policy     [families]string // why the main table does not decide alone
	own        map[netip.Addr]bool
	neighbours map[neighbourKey]neighbour
}

// path returns the way to addr, and the neighbour that it depends on (of index
// 0 if no neighbour would help).
func (v *view) path(addr netip.Addr) (Path, neighbourKey) {
	r, found := v.routes[familyOf(addr)].lookup(addr)
	var path Path
	if found && r.link != 0 && !r.via.IsValid() {
		path.OnLink = r.dst.Bits()
	}
	var via neighbourKey
	switch policy := v.policy[familyOf(addr)]; {
	case policy != "":
		path.Reason = policy
	case v.own[addr]:
		path.Reason = "it is an address of this machine"
	case !found:
		path.Reason = "no route"
	default:
		path.NextHop, via, path.Reason = v.hop(r, addr)
	}
	return path, via
}

// hop returns the next hop of a packet to addr by a route.
func (v *view) hop(r route, addr netip.Addr) (NextHop, neighbourKey, string) {
	if r.unusable != "" {
		return NextHop{}, neighbourKey{}, fmt.Sprintf("%s to %s", r.unusable, r.dst)
	}
	out, found := v.links[r.link]
	switch {
	case !found:
		return NextHop{}, neighbourKey{}, fmt.Sprintf("the interface of the route to %s is gone", r.dst)
	case !v.legs[r.link]:
		return NextHop{}, neighbourKey{}, fmt.Sprintf("the route to %s leaves by %s, which is no leg", r.dst, out.name)
	case !out.ethernet:
		return NextHop{}, neighbourKey{}, out.name + " is not Ethernet"
	}
	via := neighbourKey{r.link, addr}
	if r.via.IsValid() {
		via.Addr = r.via
	}
	if !out.up {
		return NextHop{}, via, out.name + " is down or has no carrier"
	}
	neighbour := v.neighbours[via]
	if !neighbour.usable() {
		return NextHop{}, via, fmt.Sprintf("%s does not answer on %s", via.Addr, out.name)
	}
	mtu := out.mtu
	if r.mtu > 0 && r.mtu < mtu {
		mtu = r.mtu
	}
	return NextHop{r.link, out.mac, neighbour.mac, mtu}, via, ""
}

// defaultRoute returns the way of replies to clients, the same for every leg
// that they come in by, as there are no policy rules; and the gateways that it
// depends on. vips are own addresses that the program knows by itself.
func (v *view) defaultRoute(vips map[netip.Addr]bool) (DefaultRoute, []neighbourKey) {
	var (
		d    DefaultRoute
		vias []neighbourKey
	)
	for f, unspecified := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		hop, via, connected, reason := v.familyDefault(family(f), unspecified, vips)
		if via.Index != 0 {
			vias = append(vias, via)
		}
		if reason == "" {
			d.Connected = append(d.Connected, connected...)
		}
		if family(f) == ipv4 {
			d.Hop4, d.Reason4 = hop, reason
		} else {
			d.Hop6, d.Reason6 = hop, reason
		}
	}
	return d, vias
}

func (v *view) familyDefault(f family, unspecified netip.Addr, vips map[netip.Addr]bool) (NextHop, neighbourKey, []netip.Prefix, string) {
	none := func(via neighbourKey, reason string) (NextHop, neighbourKey, []netip.Prefix, string) {
		return NextHop{}, via, nil, reason
	}
	if v.policy[f] != "" {
		return none(neighbourKey{}, v.policy[f])
	}
	r, found := v.routes[f].byPrefix[netip.PrefixFrom(unspecified, 0)]
	if !found {
		return none(neighbourKey{}, "no default route")
	}
	if r.connected() {
		return none(neighbourKey{}, "the default route has no gateway")
	}
	hop, via, reason := v.hop(r, unspecified)
	if reason != "" {
		return none(via, reason)
	}
	if v.routes[f].others > 0 {
		return none(via, "more routes than can be listed")
	}
	connected := v.exceptions(f, vips)
	if len(connected) > MaxConnected {
		return none(via, fmt.Sprintf("%d prefixes have other routes than the default one (at most %d can be listed)", len(connected), MaxConnected))
	}
	return hop, via, connected, ""
}

// exceptions lists the prefixes in which the default route does not hold: those
// of all other routes, and own addresses outside of these (a reply to a health
// check must reach this machine). A vip is not listed: the program knows it.
func (v *view) exceptions(f family, vips map[netip.Addr]bool) []netip.Prefix {
	list := v.routes[f].prefixes()
	for addr := range v.own {
		if familyOf(addr) == f && !vips[addr] && !addr.IsLoopback() {
			list = append(list, netip.PrefixFrom(addr, addr.BitLen()))
		}
	}
	return withoutCovered(list)
}
