package config

import (
	"go.yaml.in/yaml/v4"
)

// schedulers are the words of `scheduler`.
func schedulers() []string { return []string{"mh", "wrr", "rr"} }

func (d *decoder) scheduler(to *string) reader { return choice(d, to, schedulers(), schedulers()) }

func (d *decoder) defaults(base *vipDefaults, c *Config) reader {
	return func(n *yaml.Node, path string) {
		d.mapping(n, path, fields{
			"scheduler":  d.scheduler(&base.scheduler),
			"check":      d.checkOf(&base.check, c),
			"initial":    d.boolean(&base.initial, "up", "down"),
			"on_fail":    d.boolean(&base.reset, "reset", "keep"),
			"when_empty": d.boolean(&base.drop, "drop", "reject"),
			"timeouts":   d.timeouts(&base.timeouts),
		})
	}
}

// vip reads one vip. A vip whose endpoint could not be read is zero.
func (d *decoder) vip(n *yaml.Node, path string, base vipDefaults, c *Config) Vip {
	// The endpoint first: defaults follow from it.
	v := Vip{}
	if endpoint := valueOf(n, "vip"); endpoint != nil {
		d.address(endpoint, path+".vip", "vip", func(s string) (err error) {
			v.Endpoint, err = ParseVip(s)
			return err
		})
	}
	known := v.Endpoint.IsValid()
	if known {
		v = base.vip(v.Endpoint, c)
	}
	bits := v.Endpoint.Addr().BitLen()
	if !known {
		bits = 128
	}
	var reals *yaml.Node
	ok := d.mapping(n, path, fields{
		"vip":                func(*yaml.Node, string) {},
		"name":               d.label(&v.Name),
		"enabled":            d.boolean(&v.Enabled, "true", "false"),
		"leg":                d.str(&v.Leg),
		"prefix":             d.integer(&v.Prefix, 1, bits),
		"scheduler":          d.scheduler(&v.Scheduler),
		"check":              d.checkOf(&v.Check, c),
		"initial":            d.boolean(&v.InitialUp, "up", "down"),
		"on_fail":            d.boolean(&v.Reset, "reset", "keep"),
		"when_empty":         d.boolean(&v.DropEmpty, "drop", "reject"),
		"timeouts":           d.timeouts(&v.Timeouts),
		"shares_own_address": d.boolean(&v.SharesOwnAddress, "true", "false"),
		"reals":              func(n *yaml.Node, _ string) { reals = n },
	})
	if ok {
		d.required(n, path, "vip", "ADDRESS:PORT/PROTOCOL")
	}
	if reals != nil {
		d.sequence(reals, path+".reals", func(n *yaml.Node, path string) {
			v.Reals = append(v.Reals, d.real(n, path, &v, c))
		})
	}
	if !known {
		return Vip{}
	}
	return v
}

// real reads a real in its short or its long form. One whose address could not be
// read is zero.
func (d *decoder) real(n *yaml.Node, path string, v *Vip, c *Config) Real {
	r := Real{Weight: defaultWeight, Enabled: true, Check: v.Check}
	address := func(n *yaml.Node, path string) {
		d.address(n, path, "real", func(s string) (err error) {
			if !v.Endpoint.IsValid() {
				_, err = parseAddrPort(s, 0)
				return err
			}
			r.Address, err = ParseReal(s, v.Endpoint.Port())
			return err
		})
	}
	if n.Kind != yaml.MappingNode || isBare(n) {
		address(n, path)
		return r
	}
	d.mapping(n, path, fields{
		"real": address, "name": d.label(&r.Name), "weight": d.integer(&r.Weight, 0, 65535),
		"enabled": d.boolean(&r.Enabled, "true", "false"), "check": d.checkOf(&r.Check, c),
	})
	d.required(n, path, "real", "ADDRESS[:PORT]")
	return r
}
