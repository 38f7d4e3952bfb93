package config

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"time"

	"github.com/tarpon-lb/tarpon/loader"
	"go.yaml.in/yaml/v4"
)

const (
	maxFileSize = 16 << 20
	maxLegs     = 16
)

// Parse reads a file strictly and fills in the defaults. The error is an *Errors
// with every fault. name is only for messages.
func Parse(name string, data []byte) (*Config, error) {
	errs := &Errors{File: name}
	d := &decoder{errors: errs}
	root := d.document(data)
	if root == nil && len(errs.List) > 0 {
		return nil, errs.sorted()
	}
	c := d.config(root)
	if len(errs.List) == 0 {
		d.validate(c)
	}
	if len(errs.List) > 0 {
		return nil, errs.sorted()
	}
	return c, nil
}

// document is the file's mapping; nil for an empty file, or after a fault.
func (d *decoder) document(data []byte) *yaml.Node {
	if len(data) > maxFileSize {
		d.fail(nil, "", "", "the file is over %d MiB", maxFileSize>>20)
		return nil
	}
	for i, line := range bytes.Split(data, []byte("\n")) {
		indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
		if at := bytes.IndexByte(indent, '\t'); at >= 0 && len(bytes.TrimSpace(line)) > 0 {
			d.fail(&yaml.Node{Line: i + 1, Column: at + 1}, "", "", "a tab in the indentation: YAML wants spaces")
		}
	}
	if len(d.errors.List) > 0 {
		return nil
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		d.syntax(data, err)
		return nil
	}
	if len(document.Content) == 0 || isNull(document.Content[0]) {
		return nil
	}
	d.refuseAliases(&document)
	if len(d.errors.List) > 0 {
		return nil
	}
	return document.Content[0]
}

// A bare IPv6 address in brackets is a list to YAML: the commonest syntax error.
var bareIPv6 = regexp.MustCompile(`(?:vip|real):\s+(\[[0-9A-Fa-f]*:[0-9A-Fa-f:.]*\][^\s,}#]*)|-\s+(\[[0-9A-Fa-f]*:[0-9A-Fa-f:.]*\]:[^\s,}#]*)`)

var syntaxLine = regexp.MustCompile(`line (\d+)`)

func (d *decoder) syntax(data []byte, err error) {
	for i, line := range bytes.Split(data, []byte("\n")) {
		at := bareIPv6.FindSubmatchIndex(line)
		if at == nil {
			continue
		}
		start, end := at[2], at[3]
		if start < 0 {
			start, end = at[4], at[5]
		}
		d.fail(&yaml.Node{Line: i + 1, Column: start + 1}, "", fmt.Sprintf("write %q", line[start:end]),
			"an IPv6 address with a port must be quoted in YAML: %s", line[start:end])
	}
	if len(d.errors.List) > 0 {
		return
	}
	place := &yaml.Node{Line: 1, Column: 1}
	if m := syntaxLine.FindStringSubmatch(err.Error()); m != nil {
		place.Line, _ = strconv.Atoi(m[1])
	}
	d.fail(place, "", "", "not YAML: %v", err)
}

// refuseAliases: an edit under an alias would change another vip.
func (d *decoder) refuseAliases(n *yaml.Node) {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		d.fail(n, "", "write the value out", "anchors and aliases are not taken: an edit of one vip would change another")
		return
	}
	for _, child := range n.Content {
		d.refuseAliases(child)
	}
}

func (d *decoder) config(root *yaml.Node) *Config {
	version := 1
	defaults := vipDefaults{scheduler: "mh"}
	var vips, checks, floating *yaml.Node
	c := &Config{
		Flows:  Flows{MaxIPv4: defaultMaxIPv4, MaxIPv6: defaultMaxIPv6, Timeouts: defaultTimeouts},
		Checks: map[string]Check{"tcp": defaultCheck(CheckTCP), "none": defaultCheck(CheckNone)},
	}
	for name, check := range c.Checks {
		check.Name = name
		c.Checks[name] = check
	}
	if root == nil {
		d.fail(nil, "legs", "", "required: which interfaces are the router's")
		return c
	}
	keep := func(to **yaml.Node) func(*yaml.Node, string) {
		return func(n *yaml.Node, _ string) { *to = n }
	}
	hasLegs := false
	d.mapping(root, "", fields{
		"version":  d.integer(&version, 1, 1),
		"legs":     func(n *yaml.Node, path string) { hasLegs = true; c.Legs = d.legs(n, path) },
		"floating": keep(&floating),
		"flows":    func(n *yaml.Node, path string) { d.flows(n, path, &c.Flows) },
		"checks":   keep(&checks),
		"metrics":  d.later,
		"defaults": func(n *yaml.Node, path string) { defaults.node = n },
		"vips":     keep(&vips),
		"routers":  d.later,
		"pair":     d.later,
	})
	if !hasLegs {
		d.fail(nil, "legs", "", "required: which interfaces are the router's")
	}
	if floating != nil {
		c.Floating = d.floating(floating)
	}
	if checks != nil && !isNull(checks) {
		d.checks(checks, c.Checks)
	}
	base := d.defaults(defaults, c)
	if vips != nil {
		d.sequence(vips, "vips", func(n *yaml.Node, path string) {
			if vip, ok := d.vip(n, path, base, c); ok {
				c.Vips = append(c.Vips, vip)
			}
		})
	}
	return c
}

func (d *decoder) legs(n *yaml.Node, path string) []Leg {
	if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		d.fail(n, path, "for example `wan: {role: outside, interface: eth0}`", "names with an interface each are needed here")
		return nil
	}
	if len(n.Content)/2 > maxLegs {
		d.fail(n, path, "", "%d legs: at most %d", len(n.Content)/2, maxLegs)
	}
	var legs []Leg
	keys := fields{}
	for i := 0; i < len(n.Content); i += 2 {
		name := n.Content[i].Value
		keys[name] = func(n *yaml.Node, path string) {
			if name == LegNone {
				d.fail(n, path, "", "the name %q means no leg", LegNone)
			}
			legs = append(legs, d.leg(n, path, name))
		}
	}
	d.mapping(n, path, keys)
	return legs
}

func (d *decoder) leg(n *yaml.Node, path, name string) Leg {
	leg := Leg{Name: name}
	ok := d.mapping(n, path, fields{
		"role": func(n *yaml.Node, path string) {
			switch s, ok := d.text(n, path); s {
			case "outside":
				leg.Role = loader.Outside
			case "inside":
				leg.Role = loader.Inside
			case "both":
				leg.Role = loader.Both
			case "pair":
				d.later(n, path)
				leg.Role = loader.Inside
			default:
				if ok {
					d.fail(n, path, "", "%q: write outside, inside or both", s)
				}
				leg.Role = loader.Inside
			}
		},
		"interface": d.str(&leg.Interface),
		"mode": func(n *yaml.Node, path string) {
			s, ok := d.text(n, path)
			for _, mode := range []loader.Mode{loader.Auto, loader.Native, loader.TC, loader.Generic} {
				if s == mode.String() {
					leg.Mode = mode
					return
				}
			}
			if ok {
				d.fail(n, path, "", "%q: write auto, native, tc or generic", s)
			}
		},
	})
	if ok && leg.Role == 0 {
		d.fail(n, path+".role", "", "required: outside, inside or both")
	}
	if ok && leg.Interface == "" {
		d.fail(n, path+".interface", "", "required")
	}
	return leg
}

func (d *decoder) floating(n *yaml.Node) (list []Floating) {
	d.sequence(n, "floating", func(n *yaml.Node, path string) {
		var f Floating
		d.mapping(n, path, fields{
			"address": func(n *yaml.Node, path string) {
				s, ok := d.text(n, path)
				if !ok {
					return
				}
				prefix, err := netip.ParsePrefix(s)
				if err != nil {
					d.fail(n, path, "", "%q is not an address with a prefix, such as 10.0.0.254/24", s)
					return
				}
				f.Address = prefix
			},
			"leg": d.str(&f.Leg),
		})
		if !f.Address.IsValid() && len(d.errors.List) == 0 {
			d.fail(n, path+".address", "", "required")
		}
		if f.Leg == "" {
			d.fail(n, path+".leg", "", "required: the leg that has the address")
		}
		list = append(list, f)
	})
	return list
}

func (d *decoder) flows(n *yaml.Node, path string, f *Flows) {
	const most = 1 << 26
	d.mapping(n, path, fields{
		"max_ipv4": d.integer(&f.MaxIPv4, 1, most),
		"max_ipv6": d.integer(&f.MaxIPv6, 1, most),
		"timeouts": func(n *yaml.Node, path string) { d.timeouts(n, path, &f.Timeouts) },
	})
}

// Timeouts are kept in the program in 16 bits of 1.07 s.
func (d *decoder) timeouts(n *yaml.Node, path string, t *loader.Timeouts) {
	if isNull(n) {
		return
	}
	const most = 19 * time.Hour
	timeout := func(to *time.Duration) func(*yaml.Node, string) {
		return func(n *yaml.Node, path string) {
			value := *to
			d.duration(&value, time.Second, most)(n, path)
			if value%time.Second != 0 {
				d.fail(n, path, "", "%s: whole seconds", value)
			}
			*to = value
		}
	}
	d.mapping(n, path, fields{
		"handshake": timeout(&t.Handshake), "established": timeout(&t.Established),
		"closing": timeout(&t.Closing), "closed": timeout(&t.Closed),
		"udp": timeout(&t.UDP), "udp_unreplied": timeout(&t.UDPUnreplied),
	})
}

// IsErrors says whether an error is a list of a file's faults.
func IsErrors(err error) (*Errors, bool) {
	var list *Errors
	ok := errors.As(err, &list)
	return list, ok
}
