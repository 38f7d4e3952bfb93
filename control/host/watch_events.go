package host

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// handle takes one message into the view, or notes what it makes stale. A
// neighbour's costs a look-up and what depends on that neighbour; the others
// are rare, and cost a listing that a burst of them shares.
func (w *Watcher) handle(m syscall.NetlinkMessage) {
	switch m.Header.Type {
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		if n, err := netlink.NeighDeserialize(m.Data); err == nil {
			w.setNeighbour(*n, m.Header.Type == unix.RTM_DELNEIGH)
		}
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		w.handleLink(m)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		w.handleRoute(m)
	case unix.RTM_NEWRULE, unix.RTM_DELRULE, unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		w.stale.routes = true
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		w.stale.addresses = true
	}
}

func (w *Watcher) handleLink(m syscall.NetlinkMessage) {
	// A bridge tells about its ports by messages of its own family, in which
	// DELLINK means that a port has left.
	if nl.DeserializeIfInfomsg(m.Data).Family != unix.AF_UNSPEC {
		return
	}
	header := unix.NlMsghdr(m.Header)
	l, err := netlink.LinkDeserialize(&header, m.Data)
	if err != nil {
		w.stale.everything = true
		return
	}
	index := l.Attrs().Index
	before, known := w.view.links[index]
	if m.Header.Type == unix.RTM_DELLINK {
		delete(w.view.links, index)
	} else if known && before == linkOf(l) {
		return
	} else if w.view.links != nil {
		w.view.links[index] = linkOf(l)
	}
	// IPv4 routes that go with an interface go without a message.
	w.stale.routes = true
	w.stale.paths = true
}

func (w *Watcher) handleRoute(m syscall.NetlinkMessage) {
	r, ok := parseRoute(m.Data)
	if !ok {
		return
	}
	table := &w.view.routes[familyOf(r.dst.Addr())]
	if table.others == 0 || w.filter.concerns(r.dst) {
		w.stale.routes = true
		return
	}
	// One of a full table's many: none of our next hops follows from it. Once
	// so many are gone that the rest could be kept, it is worth a listing.
	if m.Header.Type == unix.RTM_NEWROUTE {
		table.others++
	} else if table.others--; table.others == 0 {
		w.stale.routes = true
	}
}

// setNeighbour takes a neighbour's entry into the view and marks what depends
// on it.
func (w *Watcher) setNeighbour(n netlink.Neigh, gone bool) {
	key, ok := keyOf(n)
	if !ok || w.view.neighbours == nil {
		return
	}
	before := w.view.neighbours[key]
	now := neighbour{state: n.State, managed: n.FlagsExt&netlink.NTF_EXT_MANAGED != 0}
	if len(n.HardwareAddr) == len(MAC{}) {
		now.mac = MAC(n.HardwareAddr)
	}
	if gone {
		now = neighbour{}
		delete(w.view.neighbours, key)
	} else {
		w.view.neighbours[key] = now
	}
	if w.needs(key) && !now.managed && !now.fixed() {
		w.neighbours.queue(key)
		w.stale.defaults = true // wakes the loop
	}
	if before.mac == now.mac && before.usable() == now.usable() {
		return
	}
	for _, real := range w.dependents[key] {
		w.stale.reals[real] = true
	}
	if w.gateways[key] {
		w.stale.defaults = true
	}
}

// keyOf returns false for what is no neighbour of IP: a bridge's forwarding
// entry, or an address that is answered for.
func keyOf(n netlink.Neigh) (neighbourKey, bool) {
	addr, ok := netip.AddrFromSlice(n.IP)
	if !ok || n.Family != unix.AF_INET && n.Family != unix.AF_INET6 || n.Flags&netlink.NTF_PROXY != 0 {
		return neighbourKey{}, false
	}
	return neighbourKey{n.LinkIndex, addr.Unmap()}, true
}

func linkOf(l netlink.Link) link {
	attrs := l.Attrs()
	mac, ethernet := ethernetMAC(attrs)
	const running = unix.IFF_UP | unix.IFF_LOWER_UP
	return link{attrs.Name, mac, ethernet, attrs.MTU, attrs.RawFlags&running == running}
}

// list brings the view up to date.
func (w *Watcher) list() error {
	if w.stale.everything {
		if err := w.listLinks(); err != nil {
			return err
		}
		if err := w.listNeighbours(); err != nil {
			return err
		}
		w.stale.routes, w.stale.addresses, w.stale.paths = true, true, true
	}
	if w.stale.routes {
		if err := w.listRoutes(); err != nil {
			return err
		}
		w.stale.paths = true
	}
	if w.stale.addresses {
		if err := w.listAddresses(); err != nil {
			return err
		}
	}
	w.stale.everything, w.stale.routes, w.stale.addresses = false, false, false
	return nil
}

func (w *Watcher) listLinks() error {
	links, err := dump(w.host.netlink.LinkList)
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	w.view.links = make(map[int]link, len(links))
	for _, l := range links {
		w.view.links[l.Attrs().Index] = linkOf(l)
	}
	return nil
}

func (w *Watcher) listNeighbours() error {
	list, err := w.host.listNeighbours()
	if err != nil {
		return err
	}
	w.view.neighbours = make(map[neighbourKey]neighbour, len(list))
	for _, n := range list {
		w.setNeighbour(n, false)
	}
	return nil
}

func (h *Host) listNeighbours() ([]netlink.Neigh, error) {
	var all []netlink.Neigh
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := dump(func() ([]netlink.Neigh, error) { return h.netlink.NeighList(0, family) })
		if err != nil {
			return nil, fmt.Errorf("list neighbours: %w", err)
		}
		all = append(all, list...)
	}
	return all, nil
}

func (w *Watcher) listRoutes() error {
	for f, af := range []int{unix.AF_INET, unix.AF_INET6} {
		filter := *w.filter // with its counters at zero
		routes, err := w.host.routing.routes(af, filter.keep)
		if err != nil {
			return err
		}
		w.view.routes[f] = newRouteTable(routes, filter.others)
		if w.view.policy[f], err = w.host.routing.policy(af); err != nil {
			return err
		}
	}
	return nil
}

func (w *Watcher) listAddresses() error {
	have, err := w.host.listAddresses()
	if err != nil {
		return err
	}
	own := make(map[netip.Addr]bool, len(have))
	there := make(map[Address]bool, len(have))
	for _, a := range have {
		own[a.prefix.Addr()] = true
		there[Address{w.view.links[a.index].name, a.prefix}] = true
	}
	w.stale.paths = w.stale.paths || len(own) != len(w.view.own)
	for addr := range own {
		w.stale.paths = w.stale.paths || !w.view.own[addr]
	}
	w.view.own = own
	present := map[Address]bool{}
	for _, a := range w.host.wantedAddresses() {
		if there[a] {
			present[a] = true
			delete(there, a)
		} else if w.present[a] && !slices.Contains(w.pending.Lost, a) {
			w.pending.Lost = append(w.pending.Lost, a)
		}
	}
	w.pending.Own = w.pending.Own || w.others != nil && !maps.Equal(there, w.others)
	w.present, w.others = present, there
	return nil
}

// resolve makes next hops of the view, and tells those that differ.
func (w *Watcher) resolve() {
	if w.stale.paths {
		w.resolveLegs()
		w.dependents = make(map[neighbourKey][]netip.Addr, len(w.paths))
		for addr := range w.paths {
			via := w.resolveReal(addr)
			if via.Index != 0 {
				w.dependents[via] = append(w.dependents[via], addr)
			}
		}
	} else {
		for addr := range w.stale.reals {
			w.resolveReal(addr)
		}
	}
	if w.stale.paths || w.stale.defaults {
		w.resolveDefaults()
	}
	if w.stale.paths {
		w.reviewNeighbours()
	}
	clear(w.stale.reals)
	w.stale.paths, w.stale.defaults = false, false
}

func (w *Watcher) resolveReal(addr netip.Addr) neighbourKey {
	path, via := w.view.path(addr)
	if known, wanted := w.paths[addr]; wanted && (!known.told || known.Path != path) {
		w.tell(addr, path)
	}
	return via
}

func (w *Watcher) resolveLegs() {
	w.view.legs = map[int]bool{}
	now := map[string]LegState{}
	for index, l := range w.view.links {
		if slices.Contains(w.legNames, l.name) {
			w.view.legs[index] = true
			now[l.name] = LegState{index, l.mac, l.mtu, l.up}
		}
	}
	for _, name := range w.legNames {
		if told, known := w.legs[name]; !known || told != now[name] {
			w.tellLeg(name, now[name])
		}
	}
	for index := range w.defaults {
		if !w.view.legs[index] {
			delete(w.defaults, index)
			delete(w.pending.Defaults, index)
		}
	}
}

func (w *Watcher) resolveDefaults() {
	vips := map[netip.Addr]bool{}
	for _, a := range w.host.wantedAddresses() {
		if a.Prefix.IsSingleIP() {
			vips[a.Prefix.Addr()] = true
		}
	}
	d, gateways := w.view.defaultRoute(vips)
	w.gateways = map[neighbourKey]bool{}
	for _, via := range gateways {
		w.gateways[via] = true
	}
	for index := range w.view.legs {
		if told, known := w.defaults[index]; !known || !told.equal(d) {
			w.tellDefault(index, d)
		}
	}
}
