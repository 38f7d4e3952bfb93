package config

import (
	"maps"

	"go.yaml.in/yaml/v4"
)

// schedulers are the words of `scheduler`.
func schedulers() []string { return []string{"mh", "wrr", "rr"} }

// vipDefaults reads what a vip has in common with `defaults`.
func (d *decoder) vipDefaults(v *Vip, c *Config) fields {
	return fields{
		"scheduler":  choice(d, &v.Scheduler, schedulers(), schedulers()),
		"check":      d.checkOf(&v.Check, c),
		"initial":    d.boolean(&v.InitialUp, "up", "down"),
		"on_fail":    d.boolean(&v.Reset, "reset", "keep"),
		"when_empty": d.boolean(&v.DropEmpty, "drop", "reject"),
		"timeouts":   d.timeouts(&v.Timeouts),
	}
}

// vip reads one vip. A vip whose endpoint could not be read is zero.
func (d *decoder) vip(n *yaml.Node, path string, defaults Vip, c *Config) Vip {
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
		v = newVip(v.Endpoint, defaults, c)
	}
	bits := v.Endpoint.Addr().BitLen()
	if !known {
		bits = 128
	}
	var reals *yaml.Node
	keys := d.vipDefaults(&v, c)
	maps.Copy(keys, fields{
		"vip":                func(*yaml.Node, string) {},
		"name":               d.label(&v.Name),
		"enabled":            d.boolean(&v.Enabled, "true", "false"),
		"leg":                d.str(&v.Leg),
		"prefix":             d.integer(&v.Prefix, 1, bits),
		"shares_own_address": d.boolean(&v.SharesOwnAddress, "true", "false"),
		"reals":              func(n *yaml.Node, _ string) { reals = n },
	})
	if d.mapping(n, path, keys) {
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
