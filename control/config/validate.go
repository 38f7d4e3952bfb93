package config

import (
	"fmt"
	"net/netip"

	"github.com/tarpon-lb/tarpon/loader"
	"go.yaml.in/yaml/v4"
)

// validate finds what is wrong between parts that are each right.
func (d *decoder) validate(c *Config) {
	d.validateLegs(c)
	floating := map[netip.Addr]bool{}
	for i, f := range c.Floating {
		path := fmt.Sprintf("floating[%d]", i)
		if _, ok := c.Leg(f.Leg); !ok {
			d.fail(nil, path+".leg", "", "there is no leg %q", f.Leg)
		}
		if floating[f.Address.Addr()] {
			d.fail(nil, path, "", "%s appears twice", f.Address.Addr())
		}
		floating[f.Address.Addr()] = true
	}
	d.validateVips(c, floating)
}

func (d *decoder) validateLegs(c *Config) {
	interfaces := map[string]string{}
	for _, leg := range c.Legs {
		if other, ok := interfaces[leg.Interface]; ok {
			d.fail(nil, "legs."+leg.Name, "", "has the interface %s, as leg %s has", leg.Interface, other)
		}
		interfaces[leg.Interface] = leg.Name
	}
}

func (d *decoder) validateVips(c *Config, floating map[netip.Addr]bool) {
	endpoints := map[loader.Endpoint]int{}
	labels := map[string]int{}
	first := map[netip.Addr]*Vip{} // of each address
	for i := range c.Vips {
		vip := &c.Vips[i]
		path, at := fmt.Sprintf("vips[%d]", i), &yaml.Node{Line: vip.Line, Column: 1}
		written := FormatVip(vip.Endpoint)
		if line, ok := endpoints[vip.Endpoint]; ok {
			d.fail(at, path+".vip "+written, "(without /tcp it means the same vip)", "already defined at line %d", line)
		}
		endpoints[vip.Endpoint] = vip.Line
		if line, ok := labels[vip.Name]; ok && vip.Name != "" {
			d.fail(at, path+".name", "", "%q is the name of the vip at line %d", vip.Name, line)
		}
		labels[vip.Name] = vip.Line
		if why := unusableAddress(vip.Endpoint.Addr()); why != "" {
			d.fail(at, path+".vip "+written, "", "%s cannot be a vip: it is %s", vip.Endpoint.Addr(), why)
		}
		if _, ok := c.Leg(vip.Leg); vip.Leg != "" && vip.Leg != LegNone && !ok {
			d.fail(at, path+".leg", "", "there is no leg %q", vip.Leg)
		}
		if vip.Check.Type != CheckNone && vip.Endpoint.Port() == 0 && vip.Check.Port == 0 {
			d.fail(at, path+".check.port", "", "required, the vip has every port (port 0)")
		}
		if other := first[vip.Endpoint.Addr()]; other == nil {
			first[vip.Endpoint.Addr()] = vip
		} else if other.Leg != vip.Leg || other.Prefix != vip.Prefix {
			d.fail(at, path, "", "has the address of the vip at line %d, but another leg or prefix", other.Line)
		}
	}
	for i := range c.Vips {
		d.validateReals(fmt.Sprintf("vips[%d]", i), &c.Vips[i], first, floating)
	}
}

func (d *decoder) validateReals(path string, vip *Vip, vips map[netip.Addr]*Vip, floating map[netip.Addr]bool) {
	lines := map[netip.AddrPort]int{}
	for i, real := range vip.Reals {
		at := &yaml.Node{Line: real.Line, Column: 1}
		path := fmt.Sprintf("%s.reals[%d]", path, i)
		addr := real.Address.Addr()
		if line, ok := lines[real.Address]; ok {
			d.fail(at, path, "", "%s appears twice (line %d)", real, line)
		}
		lines[real.Address] = real.Line
		switch {
		case addr.Is4() != vip.Endpoint.Addr().Is4():
			d.fail(at, path, "", "%s is %s, the vip is %s; NAT keeps the family", addr, family(addr), family(vip.Endpoint.Addr()))
		case unusableAddress(addr) != "":
			d.fail(at, path, "", "%s cannot be a real: it is %s", addr, unusableAddress(addr))
		case vips[addr] != nil:
			d.fail(at, path, "", "%s is a vip's address; a real is another machine", addr)
		case floating[addr]:
			d.fail(at, path, "", "%s is a floating address; a real is another machine", addr)
		}
		if real.Check.Type != CheckNone && real.Address.Port() == 0 && real.Check.Port == 0 {
			d.fail(at, path+".check.port", "", "required, the vip has every port (port 0)")
		}
	}
}

func family(addr netip.Addr) string {
	if addr.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// unusableAddress says why an address can be neither a vip's nor a real's; empty:
// it can.
func unusableAddress(addr netip.Addr) string {
	switch {
	case addr.IsUnspecified():
		return "the unspecified address"
	case addr.IsLoopback():
		return "a loopback address"
	case addr.IsMulticast():
		return "a multicast address"
	case addr.IsLinkLocalUnicast():
		return "a link-local address"
	case addr.Is4() && addr.As4()[0] >= 240:
		return "reserved or broadcast"
	case addr.Is4() && addr.As4()[0] == 0:
		return "in 0.0.0.0/8"
	}
	return ""
}

// An Interface is what a machine's interface is to a configuration.
type Interface struct {
	Name     string
	Networks []netip.Prefix // own addresses with their prefix lengths
}

// Place fills in the leg of every vip that does not name one, by the networks of
// the machine's interfaces, and says what cannot be on this machine. The result is
// a copy.
func Place(file string, c *Config, interfaces []Interface) (*Config, error) {
	d := &decoder{errors: &Errors{File: file}}
	placed := *c
	placed.Vips = append([]Vip(nil), c.Vips...)
	networks := map[string][]netip.Prefix{}
	for _, i := range interfaces {
		networks[i.Name] = append([]netip.Prefix{}, i.Networks...)
	}
	own := map[netip.Addr]string{}
	for _, leg := range c.Legs {
		list, ok := networks[leg.Interface]
		if !ok {
			d.fail(nil, "legs."+leg.Name+".interface", "see: ip link", "there is no interface %s", leg.Interface)
		}
		for _, network := range list {
			own[network.Addr()] = leg.Interface
		}
	}
	floating := map[netip.Addr]bool{}
	for _, f := range c.Floating {
		floating[f.Address.Addr()] = true
	}
	for i := range placed.Vips {
		vip := &placed.Vips[i]
		path := fmt.Sprintf("vips[%d]", i)
		d.place(path, vip, c, networks)
		for j, real := range vip.Reals {
			if name, ok := own[real.Address.Addr()]; ok && !floating[real.Address.Addr()] {
				d.fail(&yaml.Node{Line: real.Line, Column: 1}, fmt.Sprintf("%s.reals[%d]", path, j), "",
					"%s is this router's own address (%s); a real is another machine", real.Address.Addr(), name)
			}
		}
	}
	if len(d.errors.List) > 0 {
		return nil, d.errors.sorted()
	}
	return &placed, nil
}

// place finds the one outside leg in whose network a vip is.
func (d *decoder) place(path string, vip *Vip, c *Config, networks map[string][]netip.Prefix) {
	if vip.Leg != "" {
		return
	}
	var found []string
	candidates := ""
	for _, leg := range c.Legs {
		if leg.Role&loader.Outside == 0 {
			continue
		}
		for _, network := range networks[leg.Interface] {
			if network.Addr().Is4() != vip.Endpoint.Addr().Is4() || network.IsSingleIP() || network.Addr().IsLinkLocalUnicast() {
				continue
			}
			candidates += fmt.Sprintf(", %s: %s", leg.Name, network.Masked())
			if network.Contains(vip.Endpoint.Addr()) && (len(found) == 0 || found[len(found)-1] != leg.Name) {
				found = append(found, leg.Name)
			}
		}
	}
	at := &yaml.Node{Line: vip.Line, Column: 1}
	if len(candidates) > 2 {
		candidates = " (" + candidates[2:] + ")"
	}
	switch len(found) {
	case 1:
		vip.Leg = found[0]
	case 0:
		d.fail(at, path, "add `leg: NAME`, or `leg: none` if the network routes it to you",
			"%s is in no network of an outside leg%s", vip.Endpoint.Addr(), candidates)
	default:
		d.fail(at, path, "add `leg: NAME`", "%s is in networks of several outside legs%s", vip.Endpoint.Addr(), candidates)
	}
}
