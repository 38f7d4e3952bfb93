package config

import (
	"slices"

	"github.com/tarpon-lb/tarpon/loader"
	"go.yaml.in/yaml/v4"
)

// Schedulers are those that a vip may have.
var schedulers = []string{"mh", "wrr", "rr"}

// vipDefaults are the keys of `defaults`.
type vipDefaults struct {
	node      *yaml.Node
	scheduler string
	check     Check // Type "": tcp for tcp vips, none for udp ones
	initial   bool
	reset     bool
	drop      bool
	timeouts  loader.Timeouts
}

func (d *decoder) scheduler(to *string) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		s, ok := d.text(n, path)
		if ok && !slices.Contains(schedulers, s) {
			d.fail(n, path, "", "%q: write mh, wrr or rr", s)
			return
		}
		*to = s
	}
}

func (d *decoder) defaults(base vipDefaults, c *Config) vipDefaults {
	base.timeouts = c.Flows.Timeouts
	if base.node == nil || isNull(base.node) {
		return base
	}
	d.mapping(base.node, "defaults", fields{
		"scheduler":  d.scheduler(&base.scheduler),
		"check":      d.checkOf(&base.check, c.Checks),
		"initial":    d.choice(&base.initial, "up", "down"),
		"on_fail":    d.choice(&base.reset, "reset", "keep"),
		"when_empty": d.choice(&base.drop, "drop", "reject"),
		"timeouts":   func(n *yaml.Node, path string) { d.timeouts(n, path, &base.timeouts) },
	})
	return base
}

func (d *decoder) vip(n *yaml.Node, path string, base vipDefaults, c *Config) (Vip, bool) {
	v := Vip{
		Enabled: true, Scheduler: base.scheduler, Check: base.check, InitialUp: base.initial,
		Reset: base.reset, DropEmpty: base.drop, Timeouts: base.timeouts, Line: n.Line,
	}
	var reals *yaml.Node
	prefix := -1
	ok := d.mapping(n, path, fields{
		"vip": func(n *yaml.Node, path string) {
			if n.Kind == yaml.SequenceNode {
				d.fail(n, path, `write it in quotes, as "[2001:db8::10]:53/udp"`, "an IPv6 vip must be quoted in YAML")
				return
			}
			s, ok := d.text(n, path)
			if !ok {
				return
			}
			endpoint, err := ParseVip(s)
			if err != nil {
				d.fail(n, path, "", "%v", err)
				return
			}
			v.Endpoint = endpoint
		},
		"name":               d.str(&v.Name),
		"enabled":            d.boolean(&v.Enabled),
		"leg":                d.str(&v.Leg),
		"prefix":             d.integer(&prefix, 1, 128),
		"scheduler":          d.scheduler(&v.Scheduler),
		"check":              d.checkOf(&v.Check, c.Checks),
		"initial":            d.choice(&v.InitialUp, "up", "down"),
		"on_fail":            d.choice(&v.Reset, "reset", "keep"),
		"when_empty":         d.choice(&v.DropEmpty, "drop", "reject"),
		"timeouts":           func(n *yaml.Node, path string) { d.timeouts(n, path, &v.Timeouts) },
		"shares_own_address": d.boolean(&v.SharesOwnAddress),
		"reals":              func(n *yaml.Node, _ string) { reals = n },
	})
	if !ok {
		return v, false
	}
	if !v.Endpoint.IsValid() {
		if value(n, "vip") == nil {
			d.fail(n, path+".vip", "", "required: ADDRESS:PORT/PROTOCOL")
		}
		return v, false
	}
	if v.Check.Type == "" {
		v.Check = c.Checks["tcp"]
		if v.Endpoint.Protocol == loader.UDP {
			v.Check = c.Checks["none"]
		}
	}
	bits := v.Endpoint.Addr().BitLen()
	if v.Prefix = prefix; prefix < 0 {
		v.Prefix = bits
	} else if prefix > bits {
		d.fail(n, path+".prefix", "", "%d: at most %d", prefix, bits)
	}
	if reals != nil {
		d.sequence(reals, path+".reals", func(n *yaml.Node, path string) {
			if real, ok := d.real(n, path, &v, c); ok {
				v.Reals = append(v.Reals, real)
			}
		})
	}
	return v, true
}

func (d *decoder) real(n *yaml.Node, path string, v *Vip, c *Config) (Real, bool) {
	r := Real{Weight: 1, Enabled: true, Check: v.Check, Line: n.Line}
	address := func(n *yaml.Node, path string) {
		if n.Kind == yaml.SequenceNode {
			d.fail(n, path, `write it in quotes, as "[2001:db8::11]:53"`, "an IPv6 real must be quoted in YAML")
			return
		}
		s, ok := d.text(n, path)
		if !ok {
			return
		}
		parsed, err := ParseReal(s, v.Endpoint.Port())
		if err != nil {
			d.fail(n, path, "", "%v", err)
			return
		}
		r.Address = parsed
	}
	if n.Kind == yaml.MappingNode {
		d.mapping(n, path, fields{
			"real": address, "name": d.str(&r.Name), "weight": d.integer(&r.Weight, 0, 65535),
			"enabled": d.boolean(&r.Enabled), "check": d.checkOf(&r.Check, c.Checks),
		})
		if value(n, "real") == nil {
			d.fail(n, path+".real", "", "required: ADDRESS[:PORT]")
		}
	} else {
		address(n, path)
	}
	return r, r.Address.IsValid()
}

// value is a mapping's value of a key, nil if it has none.
func value(n *yaml.Node, key string) *yaml.Node {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}
