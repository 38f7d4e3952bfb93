package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// whoAmI finds this machine among the routers: by --router, by its hostname, and by an
// address that only one of them has. All that say something must say the same: else it
// is the copy of another machine. -1: that was told, or there is no pair.
func (r *report) whoAmI(c *Config, m machine) int {
	if len(c.Routers) != 2 {
		return -1
	}
	const remedy = "is it a copy of the other? correct its hostname and addresses, or `routers`"
	me, because := -1, ""
	for _, claim := range claims(c, m) {
		switch {
		case claim.router < 0:
			r.fail("routers", "", "there is no router %q (--router)%s", m.Router, didYouMean(m.Router, routerNames(c)))
			return -1
		case me >= 0 && claim.router != me:
			r.fail("routers", remedy, "this machine is %s by %s, and %s by %s", c.Routers[me].Name, because, c.Routers[claim.router].Name, claim.by)
			return -1
		}
		me, because = claim.router, claim.by
	}
	if me < 0 {
		r.fail("routers", fmt.Sprintf("start with --router %s, or correct routers[].name", strings.Join(routerNames(c), "|")),
			"this machine is %q and owns none of %s", m.Hostname, shortList(addressesOf(c, c.Routers...)))
	}
	return me
}

// A claim says which router this machine is; -1: one that does not exist.
type claim struct {
	router int
	by     string
}

func claims(c *Config, m machine) (list []claim) {
	if m.Router != "" {
		list = append(list, claim{slices.Index(routerNames(c), m.Router), "--router"})
	}
	short, _, _ := strings.Cut(m.Hostname, ".")
	for i, router := range c.Routers {
		if m.Hostname != "" && (strings.EqualFold(router.Name, m.Hostname) || strings.EqualFold(router.Name, short)) {
			list = append(list, claim{i, "its hostname"})
		}
	}
	for i, router := range c.Routers {
		if addr, ok := m.oneOf(addressesOf(c, router)); ok {
			list = append(list, claim{i, fmt.Sprintf("its address %s (%s)", addr, m.own[addr])})
		}
	}
	return list
}

func routerNames(c *Config) (names []string) {
	for _, router := range c.Routers {
		names = append(names, router.Name)
	}
	return names
}

// addressesOf are routers' own addresses, leg by leg.
func addressesOf(c *Config, routers ...Router) (list []netip.Addr) {
	for _, leg := range c.Legs {
		for _, router := range routers {
			list = append(list, router.Addresses[leg.Name]...)
		}
	}
	return list
}

// oneOf finds the first of some addresses that the machine has.
func (m machine) oneOf(list []netip.Addr) (netip.Addr, bool) {
	i := slices.IndexFunc(list, func(addr netip.Addr) bool { return m.own[addr] != "" })
	if i < 0 {
		return netip.Addr{}, false
	}
	return list[i], true
}

// shortList writes of an IPv4 address only its end if the one before begins alike.
func shortList(list []netip.Addr) string {
	words := make([]string, len(list))
	for i, addr := range list {
		words[i] = addr.String()
		if i > 0 && addr.Is4() && list[i-1].Is4() {
			a, b := addr.As4(), list[i-1].As4()
			if [3]byte(a[:3]) == [3]byte(b[:3]) {
				words[i] = fmt.Sprintf(".%d", a[3])
			}
		}
	}
	return strings.Join(words, ", ")
}

// hostPair finds what keeps this machine from being one of the routers.
func (r *report) hostPair(c *Config, me int, m machine) {
	router, other := c.Routers[me], c.Routers[1-me]
	for _, leg := range c.Legs { // with this router's interfaces
		if _, ok := m.interfaces[leg.Interface]; !ok {
			continue // told before
		}
		for _, addr := range router.Addresses[leg.Name] {
			at := fmt.Sprintf("%s.addresses.%s", routerPath(me), leg.Name)
			remedy := fmt.Sprintf("add it there, or correct %s", at)
			if name, ok := m.own[addr]; !ok {
				r.fail(at, remedy, "%s does not have %s on %s", router.Name, addr, leg.Interface)
			} else if name != leg.Interface {
				r.fail(at, remedy, "%s has %s on %s, not on %s", router.Name, addr, name, leg.Interface)
			}
		}
	}
	told := map[string]bool{}
	for i := range c.Vips {
		vip := &c.Vips[i]
		floats := func(f Floating) bool { return f.Leg == vip.Leg && f.Address.Addr().Is4() } // told before
		if vip.Endpoint.Addr().Is4() && vip.Leg != "" && vip.Leg != LegNone && !slices.ContainsFunc(c.Floating, floats) {
			r.ownsOne(fmt.Sprintf("vips[%d]", i), vip.Leg, ipv4, c, told)
		}
	}
	if !c.Pair.Foreign {
		file := cmp.Or(m.KeyFile, c.Pair.Sync.KeyFile)
		r.hostSecret("pair.sync.key_file", file, "make it: lbctl keygen --file "+file, m)
	}
	if file := c.Pair.Fence.Options[other.Name]; file != "" {
		r.hostSecret("pair.fence.options."+other.Name, file, "write the agent's options there, one key=value a line", m)
	}
}

// hostSecret wants a file that only its owner can read.
func (r *report) hostSecret(at, file, remedy string, m machine) {
	if m.Files == nil {
		return
	}
	info, err := fs.Stat(m.Files, strings.TrimPrefix(path.Clean(file), "/"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.fail(at, remedy, "there is no %s", file)
	case err != nil:
		r.fail(at, remedy, "%v", err)
	case info.Mode().Perm()&0o077 != 0:
		r.fail(at, "chmod 600 "+file, "%s can be read by others than its owner (mode %04o)", file, info.Mode().Perm())
	}
}
