package host

import (
	"net/netip"
	"slices"
)

// A routeTable is one family's main table: the longest matching prefix and, of
// routes to the same prefix, the least metric.
type routeTable struct {
	byPrefix map[netip.Prefix]route
	lengths  []int // the prefix lengths in use, longest first
	// others counts routes that were not kept because they lead to nobody we
	// know; any of them may hold for some client.
	others int
}

func newRouteTable(routes []route, others int) routeTable {
	t := routeTable{byPrefix: make(map[netip.Prefix]route, len(routes)), others: others}
	for _, r := range routes {
		t.byPrefix[r.dst] = better(t.byPrefix, r)
		if !slices.Contains(t.lengths, r.dst.Bits()) {
			t.lengths = append(t.lengths, r.dst.Bits())
		}
	}
	slices.Sort(t.lengths)
	slices.Reverse(t.lengths)
	return t
}

// better returns which of r and the route that is there counts.
func better(there map[netip.Prefix]route, r route) route {
	old, found := there[r.dst]
	switch {
	case r.choosy || found && old.choosy:
		return route{dst: r.dst, choosy: true, unusable: "routes that choose by TOS or source"}
	case !found || r.metric < old.metric:
		return r
	case r.metric == old.metric && (r.link != old.link || r.via != old.via):
		return route{dst: r.dst, metric: r.metric, unusable: "several routes of one metric"}
	}
	return old
}

// lookup finds the route of addr.
func (t *routeTable) lookup(addr netip.Addr) (route, bool) {
	for _, bits := range t.lengths {
		prefix, err := addr.Prefix(bits)
		if err != nil {
			continue
		}
		if r, found := t.byPrefix[prefix]; found {
			return r, true
		}
	}
	return route{}, false
}

// prefixes lists all but the default one, without those within another.
func (t *routeTable) prefixes() []netip.Prefix {
	var list []netip.Prefix
	for prefix := range t.byPrefix {
		if prefix.Bits() > 0 {
			list = append(list, prefix)
		}
	}
	return withoutCovered(list)
}

// withoutCovered sorts prefixes and drops those that lie within another.
func withoutCovered(list []netip.Prefix) []netip.Prefix {
	slices.SortFunc(list, netip.Prefix.Compare) // a prefix comes before what lies in it
	var kept []netip.Prefix
	for _, prefix := range list {
		if n := len(kept); n > 0 && kept[n-1].Overlaps(prefix) {
			continue
		}
		kept = append(kept, prefix)
	}
	return kept
}

// maxOtherRoutes is how many routes that lead to no address of ours are kept.
// Beyond, it is a full table of the Internet, too big to keep and to list at
// each of its changes.
const maxOtherRoutes = 4096

// A routeFilter keeps, of a dump, the routes that lead to one of the targets,
// the default routes, and some of the others.
type routeFilter struct {
	targets []netip.Addr // sorted
	kept    int
	others  int
}

func newRouteFilter(targets []netip.Addr) *routeFilter {
	targets = slices.Clone(targets)
	slices.SortFunc(targets, netip.Addr.Compare)
	return &routeFilter{targets: targets}
}

func (f *routeFilter) keep(r route) bool {
	if f.concerns(r.dst) {
		return true
	}
	if f.kept < maxOtherRoutes {
		f.kept++
		return true
	}
	f.others++
	return false
}

// concerns reports whether a route to prefix can be a target's.
func (f *routeFilter) concerns(prefix netip.Prefix) bool {
	if prefix.Bits() == 0 {
		return true
	}
	i, _ := slices.BinarySearchFunc(f.targets, prefix.Addr(), netip.Addr.Compare)
	return i < len(f.targets) && prefix.Contains(f.targets[i])
}
