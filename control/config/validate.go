package config

import (
	"fmt"
	"net/netip"

	"github.com/tarpon-lb/tarpon/loader"
)

// maxVips and maxBackends are how many ids the program has for vips, and for
// (vip, real) pairs.
const (
	maxVips     = 65535
	maxBackends = 65535
)

// Validate finds what is wrong between parts that are each right. Parse has done
// it already; it is for configurations made otherwise. The error is an *Errors.
func Validate(file string, c *Config) error {
	r := &report{places: c.places}
	r.validate(c)
	r.validateWhole(c)
	return r.errors(file)
}

// ValidateFlows finds a table that would not hold the flows that are live. The error is
// an *Errors.
func ValidateFlows(file string, next *Config, live4, live6 int) error {
	r := &report{places: next.places}
	for _, table := range []struct {
		key       string
		live, max int
	}{
		{"max_ipv4", live4, next.Flows.MaxIPv4},
		{"max_ipv6", live6, next.Flows.MaxIPv6},
	} {
		if table.live > table.max {
			r.fail("flows."+table.key, "write more, or wait until flows have ended", "%d flows are live, more than %d", table.live, table.max)
		}
	}
	return r.errors(file)
}

// validate skips what could not be read: zero endpoints and addresses.
func (r *report) validate(c *Config) {
	r.validateLegs(c)
	r.validateFloating(c)
	r.validatePair(c)
	r.validateVips(c)
	vips := map[netip.Addr]bool{}
	for _, vip := range c.Vips {
		vips[vip.Endpoint.Addr()] = true
	}
	for i := range c.Vips {
		if vip := &c.Vips[i]; vip.Endpoint.IsValid() {
			r.validateReals(fmt.Sprintf("vips[%d]", i), vip, c, vips)
		}
	}
}

// validateWhole finds what is wrong with all vips together, and with what refers to
// one of them.
func (r *report) validateWhole(c *Config) {
	backends := 0
	for i := range c.Vips {
		backends += len(c.Vips[i].Reals)
	}
	if len(c.Vips) > maxVips {
		r.fail("vips", "", "%d vips: at most %d", len(c.Vips), maxVips)
	}
	if backends > maxBackends {
		r.fail("vips", "", "%d reals behind all vips: at most %d", backends, maxBackends)
	}
	r.validateQuorums(c)
	r.validateAdvertised(c)
}

func (r *report) validateLegs(c *Config) {
	interfaces := map[string]string{}
	inside := len(c.Legs) == 0
	for _, leg := range c.Legs {
		if other, ok := interfaces[leg.Interface]; ok && leg.Interface != "" {
			r.fail("legs."+leg.Name+".interface", "a router with one interface has one leg, of role both",
				"%s is the interface of leg %s already", leg.Interface, other)
		}
		interfaces[leg.Interface] = leg.Name
		inside = inside || leg.Role == 0 || leg.Role&loader.Inside != 0
	}
	if !inside {
		r.fail("legs", "give the leg of the reals the role inside, or both if it is the only one",
			"no leg has the role inside or both: replies of reals would not be seen")
	}
}

func (r *report) validateFloating(c *Config) {
	seen := map[netip.Addr]int{}
	for i, f := range c.Floating {
		path := fmt.Sprintf("floating[%d]", i)
		r.servingLeg(path+".leg", f.Leg, c)
		addr := f.Address.Addr()
		if !addr.IsValid() {
			continue
		}
		if why := unusable(addr); why != "" && !(addr.Is6() && addr.IsLinkLocalUnicast()) {
			r.fail(path+".address", "", "%s cannot be a floating address: it is %s", addr, why)
		}
		if why := networkEnd(f.Address); why != "" {
			r.fail(path+".address", "", "%s is the %s of its network", addr, why)
		}
		if first, ok := seen[addr]; ok {
			r.fail(path+".address", "", "%s appears twice (line %d)", addr, r.places[fmt.Sprintf("floating[%d].address", first)].Line)
			continue
		}
		seen[addr] = i
	}
}

// servingLeg wants a leg that there is, and that carries more than heartbeats.
func (r *report) servingLeg(path, name string, c *Config) {
	switch leg, ok := c.Leg(name); {
	case name == "":
	case !ok:
		r.noLeg(path, name, c)
	case leg.Role == RolePair:
		r.fail(path, "take a leg of another role", "%s has the role pair: it carries heartbeats only", name)
	}
}

func (r *report) noLeg(path, name string, c *Config) {
	known := []string{}
	for _, leg := range c.Legs {
		known = append(known, leg.Name)
	}
	r.fail(path, "", "there is no leg %q%s", name, didYouMean(name, known))
}

func (r *report) validateVips(c *Config) {
	endpoints, labels, addresses := map[loader.Endpoint]int{}, map[string]int{}, map[netip.Addr]int{}
	line := func(i int, key string) int { return r.places[fmt.Sprintf("vips[%d].%s", i, key)].Line }
	for i := range c.Vips {
		vip := &c.Vips[i]
		path, addr := fmt.Sprintf("vips[%d]", i), vip.Endpoint.Addr()
		if !addr.IsValid() {
			continue
		}
		if first, ok := endpoints[vip.Endpoint]; ok {
			r.twice(path+".vip", FormatVip(vip.Endpoint), line(first, "vip"), vip.Endpoint.Protocol)
		} else {
			endpoints[vip.Endpoint] = i
		}
		if first, ok := labels[vip.Name]; ok && vip.Name != "" {
			r.fail(path+".name", "", "%q is the name of the vip at line %d", vip.Name, line(first, "vip"))
		} else {
			labels[vip.Name] = i
		}
		r.validateVip(path, vip, c)
		first, ok := addresses[addr]
		if !ok {
			addresses[addr] = i
		} else if other := &c.Vips[first]; !sameHome(vip, other) {
			r.twoHomes(path, vip, other, line(first, "vip"))
		}
	}
}

// twice adds a vip that exists already; the endpoint stands with the path, since
// that is what people look for.
func (r *report) twice(path, endpoint string, line int, protocol loader.Protocol) {
	remedy := ""
	if protocol == loader.TCP {
		remedy = "(without /tcp it means the same vip)"
	}
	r.failAt(r.places[path], path+" "+endpoint, remedy, "already defined at line %d", line)
}

// sameHome says whether two vips of one address are at one place. A leg that is
// not written follows from the network; ValidateHost compares again.
func sameHome(a, b *Vip) bool {
	return a.Prefix == b.Prefix && (a.Leg == b.Leg || a.Leg == "" || b.Leg == "")
}

func (r *report) twoHomes(path string, vip, other *Vip, line int) {
	r.fail(path, "vips of one address share leg and prefix", "%s has leg %s and prefix %d here, leg %s and prefix %d at line %d",
		vip.Endpoint.Addr(), orAny(vip.Leg), vip.Prefix, orAny(other.Leg), other.Prefix, line)
}

func orAny(leg string) string {
	if leg == "" {
		return "by network"
	}
	return leg
}

func (r *report) validateVip(path string, vip *Vip, c *Config) {
	addr := vip.Endpoint.Addr()
	_, known := c.Leg(vip.Leg)
	if vip.Leg != LegNone {
		r.servingLeg(path+".leg", vip.Leg, c)
	}
	if owner := c.ownerOf(addr); owner != "" {
		r.fail(path+".vip", "take an address that neither router has", "%s is %s's own address: it would not move", addr, owner)
	}
	switch why := unusable(addr); {
	case why == "":
	case addr.IsLinkLocalUnicast() && known:
	case addr.IsLinkLocalUnicast():
		r.fail(path+".vip", "add `leg: NAME`", "%s is a link-local address: it needs a leg", addr)
	default:
		r.fail(path+".vip", "", "%s cannot be a vip: it is %s", addr, why)
	}
	if why := networkEnd(netip.PrefixFrom(addr, vip.Prefix)); why != "" {
		r.fail(path+".prefix", "", "%s is the %s of %s", addr, why, netip.PrefixFrom(addr, vip.Prefix).Masked())
	}
	for i, f := range c.Floating {
		if f.Address.Addr() == addr && (f.Leg != vip.Leg || f.Address.Bits() != vip.Prefix) {
			r.fail(path, "leave leg and prefix out: the floating address has them",
				"%s is floating[%d], with leg %s and prefix %d; here they are %s and %d",
				addr, i, f.Leg, f.Address.Bits(), orAny(vip.Leg), vip.Prefix)
		}
	}
	if vip.needsPort(vip.Check) {
		r.fail(path+".check.port", "", "required, the vip has every port (port 0)")
	}
}

// needsPort says whether a check of an any-port vip does not know where to knock.
func (v *Vip) needsPort(check Check) bool {
	asks := check.Type == CheckTCP || check.Type == CheckHTTP || check.Type == CheckHTTPS
	return v.Endpoint.Port() == 0 && asks && check.Port == 0
}

func (r *report) validateReals(path string, vip *Vip, c *Config, vips map[netip.Addr]bool) {
	addresses, labels := map[netip.AddrPort]int{}, map[string]int{}
	line := func(i int) int { return r.places[fmt.Sprintf("%s.reals[%d]", path, i)].Line }
	inherited := vip.needsPort(vip.Check) // told once, at the vip
	for i, real := range vip.Reals {
		path := fmt.Sprintf("%s.reals[%d]", path, i)
		if !real.Address.IsValid() {
			continue
		}
		if first, ok := addresses[real.Address]; ok {
			r.fail(path, "", "%s appears twice (line %d)", real, line(first))
		} else {
			addresses[real.Address] = i
		}
		if first, ok := labels[real.Name]; ok && real.Name != "" {
			r.fail(path+".name", "", "%q is the name of the real at line %d", real.Name, line(first))
		} else {
			labels[real.Name] = i
		}
		r.validateRealAddress(path, real.Address.Addr(), vip, c, vips)
		if vip.needsPort(real.Check) && !inherited {
			r.fail(path+".check.port", "", "required, the vip has every port (port 0)")
		}
	}
}

func (r *report) validateRealAddress(path string, addr netip.Addr, vip *Vip, c *Config, vips map[netip.Addr]bool) {
	const remedy = "a real is another machine"
	switch {
	case addr.Is4() != vip.Endpoint.Addr().Is4():
		r.fail(path, "", "%s is %s, the vip is %s; NAT keeps the family", addr, family(addr), family(vip.Endpoint.Addr()))
	case unusable(addr) != "":
		r.fail(path, "", "%s cannot be a real: it is %s", addr, unusable(addr))
	case addr == vip.Endpoint.Addr():
		r.fail(path, remedy, "%s is the vip's own address", addr)
	case vips[addr]:
		r.fail(path, remedy, "%s is a vip's address", addr)
	case c.ownerOf(addr) != "":
		r.fail(path, remedy, "%s is %s's own address", addr, c.ownerOf(addr))
	}
	for i, f := range c.Floating {
		if f.Address.Addr() == addr && !vips[addr] {
			r.fail(path, remedy, "%s is a floating address (floating[%d])", addr, i)
		}
	}
}

func family(addr netip.Addr) string {
	if addr.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// unusable says why an address can be neither a vip's nor a real's; empty: it can.
func unusable(addr netip.Addr) string {
	switch {
	case addr.IsUnspecified():
		return "the unspecified address"
	case addr.IsLoopback():
		return "a loopback address"
	case addr.IsMulticast():
		return "a multicast address"
	case addr.IsLinkLocalUnicast():
		return "a link-local address"
	case addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "the broadcast address"
	case addr.Is4() && addr.As4()[0] >= 240:
		return "a reserved address (240.0.0.0/4)"
	case addr.Is4() && addr.As4()[0] == 0:
		return "no host's address (0.0.0.0/8)"
	}
	return ""
}

// networkEnd says which end of an IPv4 network an address is; empty: neither.
func networkEnd(p netip.Prefix) string {
	if !p.IsValid() || !p.Addr().Is4() || p.Bits() > 30 {
		return ""
	}
	if p.Addr() == p.Masked().Addr() {
		return "network address"
	}
	last := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		last[bit/8] |= 0x80 >> (bit % 8)
	}
	if p.Addr() == netip.AddrFrom4(last) {
		return "broadcast address"
	}
	return ""
}
