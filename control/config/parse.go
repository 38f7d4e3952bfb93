package config

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/tarpon-lb/tarpon/loader"
	"go.yaml.in/yaml/v4"
)

const (
	maxLegs  = 16
	maxFlows = 1 << 26
	// The program keeps a timeout in 16 bits of 1.07 s.
	maxTimeout = 19 * time.Hour
)

// Parse reads a file strictly, fills in the defaults and validates. The error is
// an *Errors with every fault; file is only for its text.
func Parse(file string, data []byte) (*Config, error) {
	c, r := parse(data)
	if err := r.errors(file); err != nil {
		return nil, err
	}
	return c, nil
}

// ParseOn is Parse and ValidateHost in one, so that the faults of both are told at
// once.
func ParseOn(file string, data []byte, facts Facts) (*Config, error) {
	c, r := parse(data)
	if c != nil {
		c = r.validateHost(c, facts)
	}
	if err := r.errors(file); err != nil {
		return nil, err
	}
	return c, nil
}

// parse returns what it could read, with zero values where it could not; nil if
// that was nothing.
func parse(data []byte) (*Config, *report) {
	c, r := parsePart(data)
	if c != nil {
		r.validateWhole(c)
	}
	return c, r
}

// parsePart is parse without what only a file with all its vips can be asked.
func parsePart(data []byte) (*Config, *report) {
	c := newConfig()
	d := &decoder{report: report{places: c.places}}
	root := d.document(data)
	if root == nil && len(d.list) > 0 {
		return nil, &d.report
	}
	if root == nil {
		root = &yaml.Node{Kind: yaml.MappingNode}
	}
	d.config(root, c)
	if len(d.list) == 0 {
		c.spots = spotsOf(data, root)
	}
	d.failUnread()
	d.validate(c)
	return c, &d.report
}

func (d *decoder) config(root *yaml.Node, c *Config) {
	sections := map[string]*yaml.Node{}
	keys := fields{}
	for _, name := range []string{"version", "legs", "floating", "flows", "checks", "metrics", "defaults", "vips", "routers", "pair"} {
		keys[name] = func(n *yaml.Node, path string) { sections[path] = n }
	}
	if !d.mapping(root, "", keys) {
		return
	}
	// In the order of who refers to whom, whatever the file's is.
	read := func(name string, with reader) {
		if n := sections[name]; n != nil {
			with(n, name)
		}
	}
	read("version", d.version(c))
	if n := sections["legs"]; n == nil || isNull(n) {
		d.fail("legs", "for example legs: {wan: {role: outside, interface: eth0}}", "required: the router's interfaces")
	}
	read("legs", d.legs(c))
	read("floating", d.floating(c))
	read("flows", d.flows(c))
	read("checks", d.checks(c))
	read("metrics", d.metrics(c))
	defaults := newDefaults(c)
	read("defaults", func(n *yaml.Node, path string) { d.mapping(n, path, d.vipDefaults(&defaults, c)) })
	read("vips", func(n *yaml.Node, path string) {
		d.sequence(n, path, func(n *yaml.Node, path string) { c.Vips = append(c.Vips, d.vip(n, path, defaults, c)) })
	})
	read("routers", func(n *yaml.Node, path string) {
		d.sequence(n, path, func(n *yaml.Node, path string) { c.Routers = append(c.Routers, d.router(n, path, c)) })
	})
	d.pair(sections["pair"], c)
}

func (d *decoder) version(c *Config) reader {
	return func(n *yaml.Node, path string) {
		if s, ok := d.text(n, path); ok && s != "1" {
			d.failNode(n, path, "write version: 1, or install the version that reads it", "format %s is not known here", s)
		}
	}
}

func (d *decoder) legs(c *Config) reader {
	return func(n *yaml.Node, path string) {
		keys := fields{}
		for i := 0; n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
			key := n.Content[i]
			keys[key.Value] = func(n *yaml.Node, path string) {
				c.Legs = append(c.Legs, d.leg(n, path, key.Value))
				if why := badLabel(key.Value); key.Value == LegNone || why != "" {
					d.failNode(key, path, "", "%q cannot be a leg's name%s", key.Value, strings.TrimSuffix(": "+why, ": "))
				}
			}
		}
		if d.mapping(n, path, keys) && len(c.Legs) > maxLegs {
			d.failNode(n, path, "", "%d legs: at most %d", len(c.Legs), maxLegs)
		}
	}
}

func (d *decoder) leg(n *yaml.Node, path, name string) Leg {
	leg := Leg{Name: name}
	ok := d.mapping(n, path, fields{
		"role": choice(d, &leg.Role, []string{"outside", "inside", "both", "pair"},
			[]loader.Role{loader.Outside, loader.Inside, loader.Both, RolePair}),
		"interface": d.interfaceName(&leg.Interface),
		"mode": choice(d, &leg.Mode, []string{"auto", "native", "tc", "generic"},
			[]loader.Mode{loader.Auto, loader.Native, loader.TC, loader.Generic}),
	})
	if ok {
		d.required(n, path, "role", "outside, inside, both or pair")
		d.required(n, path, "interface", "such as eth0")
	}
	return leg
}

func (d *decoder) interfaceName(to *string) reader {
	return func(n *yaml.Node, path string) {
		s, ok := d.text(n, path)
		if !ok {
			return
		}
		if s == "" || s == "lo" || len(s) > 15 || s == "." || s == ".." || strings.ContainsAny(s, "/: \t") {
			d.failNode(n, path, "see: ip link", "%q cannot be a leg's interface", s)
			return
		}
		*to = s
	}
}

func (d *decoder) floating(c *Config) reader {
	one := func(n *yaml.Node, path string) {
		var f Floating
		ok := d.mapping(n, path, fields{
			"address": func(n *yaml.Node, path string) {
				d.address(n, path, "address", func(s string) (err error) {
					f.Address, err = netip.ParsePrefix(s)
					if err != nil || f.Address.Addr().Is4In6() {
						f.Address = netip.Prefix{}
						return fmt.Errorf("%q is not an address with its prefix, such as 10.0.0.254/24", s)
					}
					return nil
				})
			},
			"leg": d.str(&f.Leg),
		})
		if ok {
			d.required(n, path, "address", "such as 10.0.0.254/24")
			d.required(n, path, "leg", "the leg that has the address")
		}
		c.Floating = append(c.Floating, f)
	}
	return func(n *yaml.Node, path string) { d.sequence(n, path, one) }
}

func (d *decoder) flows(c *Config) reader {
	return func(n *yaml.Node, path string) {
		d.mapping(n, path, fields{
			"max_ipv4": d.integer(&c.Flows.MaxIPv4, 1, maxFlows),
			"max_ipv6": d.integer(&c.Flows.MaxIPv6, 1, maxFlows),
			"timeouts": d.timeouts(&c.Flows.Timeouts),
		})
	}
}

func (d *decoder) timeouts(t *loader.Timeouts) reader {
	return func(n *yaml.Node, path string) {
		keys := fields{}
		for _, timeout := range timeoutsOf(t) {
			keys[timeout.key] = d.duration(timeout.value, time.Second, maxTimeout, time.Second)
		}
		d.mapping(n, path, keys)
	}
}

// A timeout is one of a set, by its key in the file.
type timeout struct {
	key   string
	value *time.Duration
}

// timeoutsOf lists a set's timeouts in the order of the file.
func timeoutsOf(t *loader.Timeouts) []timeout {
	return []timeout{
		{"handshake", &t.Handshake}, {"established", &t.Established}, {"closing", &t.Closing},
		{"closed", &t.Closed}, {"udp", &t.UDP}, {"udp_unreplied", &t.UDPUnreplied},
	}
}
