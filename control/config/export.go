package config

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tarpon-lb/tarpon/loader"
	"go.yaml.in/yaml/v4"
)

// Export writes a configuration as a file: what differs from the defaults, in the
// order of docs/config.md. Parse reads it as an Equal one. What a vip has from
// `defaults` stands at the vip.
func Export(c *Config) []byte {
	root := block()
	put(root, "version", scalar(strconv.Itoa(c.Version)))
	legs := block()
	for _, leg := range c.Legs {
		n := flowMapping()
		put(n, "role", scalar(roleName(leg.Role)))
		put(n, "interface", scalar(leg.Interface))
		if leg.Mode != loader.Auto {
			put(n, "mode", scalar(leg.Mode.String()))
		}
		put(legs, leg.Name, n)
	}
	put(root, "legs", legs)
	if len(c.Floating) > 0 {
		list := sequenceOf(0)
		for _, f := range c.Floating {
			n := flowMapping()
			put(n, "address", scalar(f.Address.String()))
			put(n, "leg", scalar(f.Leg))
			list.Content = append(list.Content, n)
		}
		put(root, "floating", list)
	}
	if flows := exportFlows(c.Flows); len(flows.Content) > 0 {
		put(root, "flows", flows)
	}
	checks := block()
	for _, name := range slices.Sorted(maps.Keys(c.Checks)) {
		if _, builtin := builtinChecks()[name]; !builtin {
			put(checks, name, exportCheck(c.Checks[name]))
		}
	}
	if len(checks.Content) > 0 {
		put(root, "checks", checks)
	}
	if c.Metrics != defaultMetrics() {
		n := flowMapping()
		put(n, "listen", scalar(c.Metrics.String()))
		put(root, "metrics", n)
	}
	vips := sequenceOf(0)
	for i := range c.Vips {
		vips.Content = append(vips.Content, exportVip(&c.Vips[i], c))
	}
	put(root, "vips", vips)
	if c.Paired() {
		routers := sequenceOf(0)
		for _, router := range c.Routers {
			routers.Content = append(routers.Content, exportRouter(router, c))
		}
		put(root, "routers", routers)
		put(root, "pair", exportPair(c))
	}
	return []byte(strings.Join(indents{item: 2, list: 2}.blockLines(root), "\n") + "\n")
}

func block() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode} }

func roleName(role loader.Role) string {
	switch role {
	case loader.Outside:
		return "outside"
	case loader.Inside:
		return "inside"
	case RolePair:
		return "pair"
	}
	return "both"
}

func exportFlows(f Flows) *yaml.Node {
	n := block()
	putUnless(n, "max_ipv4", strconv.Itoa(f.MaxIPv4), f.MaxIPv4 == defaultMaxIPv4)
	putUnless(n, "max_ipv6", strconv.Itoa(f.MaxIPv6), f.MaxIPv6 == defaultMaxIPv6)
	exportTimeouts(n, f.Timeouts, defaultTimeouts())
	return n
}

func exportTimeouts(n *yaml.Node, is, base loader.Timeouts) {
	timeouts, other := flowMapping(), timeoutsOf(&base)
	for i, timeout := range timeoutsOf(&is) {
		putUnless(timeouts, timeout.key, formatDuration(*timeout.value), *timeout.value == *other[i].value)
	}
	if len(timeouts.Content) > 0 {
		put(n, "timeouts", timeouts)
	}
}

func exportCheck(c Check) *yaml.Node {
	n, base := flowMapping(), defaultCheck(c.Type)
	put(n, "type", scalar(string(c.Type)))
	putUnless(n, "port", strconv.Itoa(int(c.Port)), c.Port == 0)
	putUnless(n, "interval", formatDuration(c.Interval), c.Interval == base.Interval)
	putUnless(n, "timeout", formatDuration(c.Timeout), c.Timeout == min(base.Timeout, c.Interval))
	putUnless(n, "rise", strconv.Itoa(c.Rise), c.Rise == base.Rise)
	putUnless(n, "fall", strconv.Itoa(c.Fall), c.Fall == base.Fall)
	putUnless(n, "jitter", fmt.Sprintf("%d%%", int(math.Round(c.Jitter*100))), c.Jitter == base.Jitter)
	putUnless(n, "method", c.Method, c.Method == base.Method)
	putUnless(n, "path", c.Path, c.Path == base.Path)
	putUnless(n, "host", c.Host, c.Host == base.Host)
	if !slices.Equal(c.Status, base.Status) {
		list := sequenceOf(yaml.FlowStyle)
		for _, r := range c.Status {
			text := fmt.Sprintf("%d-%d", r.First, r.Last)
			if r.First == r.Last {
				text = strconv.Itoa(r.First)
			}
			list.Content = append(list.Content, scalar(text))
		}
		put(n, "status", list)
	}
	putUnless(n, "body", c.Body, c.Body == base.Body)
	putUnless(n, "verify", "false", c.Verify == base.Verify)
	putUnless(n, "ca", c.CA, c.CA == base.CA)
	putUnless(n, "sni", c.SNI, c.SNI == base.SNI)
	putList(n, "run", c.Run)
	return n
}

// checkNode is a check as vips and reals have it: by name, or in place.
func checkNode(c Check) *yaml.Node {
	if c.Name != "" {
		return scalar(c.Name)
	}
	return exportCheck(c)
}

func sameCheck(a, b Check) bool { return same(checkNode(a), checkNode(b)) }

func exportVip(v *Vip, c *Config) *yaml.Node {
	n, base := block(), newVip(v.Endpoint, newDefaults(c), c)
	put(n, "vip", scalar(FormatVip(v.Endpoint)))
	putUnless(n, "name", v.Name, v.Name == "")
	putUnless(n, "enabled", "false", v.Enabled)
	putUnless(n, "leg", v.Leg, v.Leg == base.Leg)
	putUnless(n, "prefix", strconv.Itoa(v.Prefix), v.Prefix == base.Prefix)
	putUnless(n, "scheduler", v.Scheduler, v.Scheduler == base.Scheduler)
	if !sameCheck(v.Check, base.Check) {
		put(n, "check", checkNode(v.Check))
	}
	putUnless(n, "initial", "up", !v.InitialUp)
	putUnless(n, "on_fail", "reset", !v.Reset)
	putUnless(n, "when_empty", "drop", !v.DropEmpty)
	exportTimeouts(n, v.Timeouts, base.Timeouts)
	putUnless(n, "shares_own_address", "true", !v.SharesOwnAddress)
	reals := sequenceOf(0)
	for _, real := range v.Reals {
		item := flowMapping()
		put(item, "real", scalar(real.String()))
		putUnless(item, "name", real.Name, real.Name == "")
		putUnless(item, "weight", strconv.Itoa(real.Weight), real.Weight == defaultWeight)
		putUnless(item, "enabled", "false", real.Enabled)
		if !sameCheck(real.Check, v.Check) {
			put(item, "check", checkNode(real.Check))
		}
		if len(item.Content) == 2 {
			item = item.Content[1]
		}
		reals.Content = append(reals.Content, item)
	}
	if len(reals.Content) > 0 {
		put(n, "reals", reals)
	}
	return n
}

func putUnless(n *yaml.Node, key, value string, isDefault bool) {
	if !isDefault {
		put(n, key, scalar(value))
	}
}

// putList puts what is not empty.
func putList(n *yaml.Node, key string, texts []string) {
	if len(texts) == 0 {
		return
	}
	list := sequenceOf(yaml.FlowStyle)
	for _, text := range texts {
		list.Content = append(list.Content, scalar(text))
	}
	put(n, key, list)
}

// formatDuration writes a time as the file has it: 15m, not 15m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	if d >= time.Minute && d%time.Minute == 0 {
		s = strings.TrimSuffix(s, "0s")
	}
	if d >= time.Hour && d%time.Hour == 0 {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
