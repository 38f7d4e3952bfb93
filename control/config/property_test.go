package config

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/loader"
	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"
)

// drawConfig draws a valid configuration.
func drawConfig(t *rapid.T) *Config {
	c := newConfig()
	c.Legs = []Leg{{"wan", loader.Outside, "eth0", loader.Auto}, {"lan", loader.Inside, "eth1", loader.TC}}
	if rapid.Bool().Draw(t, "floating") {
		c.Floating = []Floating{{netip.MustParsePrefix("10.0.0.254/24"), "lan"}, {netip.MustParsePrefix("192.0.2.3/24"), "wan"}}
	}
	c.Flows.MaxIPv4 = rapid.SampledFrom([]int{defaultMaxIPv4, 5000}).Draw(t, "max")
	c.Flows.Timeouts.Established = rapid.SampledFrom([]time.Duration{15 * time.Minute, 2 * time.Hour}).Draw(t, "established")
	c.Metrics.Listen = rapid.SampledFrom([]netip.AddrPort{{}, defaultMetrics().Listen, mustAddrPort("[::]:1")}).Draw(t, "metrics")
	web := defaultCheck(CheckHTTP)
	web.Name, web.Path, web.Body = "web", "/healthz", "it's \"up\": #1"
	c.Checks["web"] = web
	for range rapid.IntRange(0, 4).Draw(t, "vips") {
		v, _ := drawVip(t, c)
		if c.FindVip(FormatVip(v.Endpoint)) < 0 && c.FindVip(v.Name) < 0 {
			c.Vips = append(c.Vips, v)
		}
	}
	if len(c.Floating) > 0 && rapid.Bool().Draw(t, "pair") {
		drawPair(t, c)
	}
	return c
}

// drawPair makes a configuration one of a pair; edits may take its quorum's vip away.
func drawPair(t *rapid.T, c *Config) {
	addrs := func(list ...string) (out []netip.Addr) {
		for _, s := range list {
			out = append(out, netip.MustParseAddr(s))
		}
		return out
	}
	c.Legs = append(c.Legs, Leg{"hb", RolePair, "eth2", loader.Auto})
	c.Routers = []Router{
		{Name: "lb1", Addresses: map[string][]netip.Addr{"wan": addrs("192.0.2.250"), "lan": addrs("10.0.0.1", "fe80::1"), "hb": addrs("172.31.0.1")}, Priority: 150, Keys: []string{"sha256:" + strings.Repeat("a", 64)}},
		{Name: "lb2", Addresses: map[string][]netip.Addr{"wan": addrs("192.0.2.251"), "lan": addrs("10.0.0.2")}, Interfaces: map[string]string{"wan": "ens1"}, Priority: 100, Keys: []string{"sha256:" + strings.Repeat("b", 64), "sha256:" + strings.Repeat("c", 64)}},
	}
	p := defaultPair()
	c.Pair = p
	p.VRID = rapid.IntRange(1, 255).Draw(t, "vrid")
	p.Heartbeats = rapid.SampledFrom([][]string{{"wan", "lan"}, {"lan"}, {"lan", "wan"}}).Draw(t, "heartbeats")
	p.Advertise = rapid.SampledFrom([][]netip.Addr{addrs("10.0.0.254"), addrs("192.0.2.3", "10.0.0.254")}).Draw(t, "advertise")
	p.Advert = rapid.SampledFrom([]time.Duration{200 * time.Millisecond, time.Second}).Draw(t, "advert")
	p.Announce.Verify = rapid.Bool().Draw(t, "verify")
	p.Sync.Port = rapid.SampledFrom([]int{4711, 1}).Draw(t, "port")
	p.Tracks = rapid.SampledFrom([][]Track{nil, {{Kind: TrackLeg, Leg: "hb", Weight: 3}}}).Draw(t, "tracks")
	if rapid.Bool().Draw(t, "quorum") {
		p.Tracks = append(slices.Clone(p.Tracks), Track{Kind: TrackQuorum, Quorum: "shop", AtLeast: 1})
	}
	p.Hooks = rapid.SampledFrom([][]Hook{nil, {{On: []string{"active", "fault"}, Run: []string{"/x", "it's"}, Timeout: time.Second}}}).Draw(t, "hooks")
	unit := defaultService()
	unit.Name, unit.Unit = "a.service", "a.service"
	p.Services = rapid.SampledFrom([][]Service{nil, {unit}}).Draw(t, "services")
	if rapid.Bool().Draw(t, "fence") {
		p.Fence = defaultFence()
		p.Fence.Agent, p.Fence.Options = "fence_dummy", map[string]string{"lb1": "/etc/a", "lb2": "/etc/b"}
	}
	c.Pair = p
}

func drawEndpoint(t *rapid.T) loader.Endpoint {
	return loader.Endpoint{
		AddrPort: rapid.SampledFrom([]netip.AddrPort{
			mustAddrPort("192.0.2.1:80"), mustAddrPort("192.0.2.1:443"), mustAddrPort("192.0.2.2:80"),
			mustAddrPort("192.0.2.3:80"), mustAddrPort("[2001:db8::10]:53"), mustAddrPort("192.0.2.9:0"),
		}).Draw(t, "endpoint"),
		Protocol: rapid.SampledFrom([]loader.Protocol{loader.TCP, loader.UDP}).Draw(t, "protocol"),
	}
}

// drawVip draws a vip with its reals, and the settings that make it.
func drawVip(t *rapid.T, c *Config) (Vip, []Setting) {
	v := newVip(drawEndpoint(t), newDefaults(c), c)
	var settings []Setting
	if v.needsPort(v.Check) {
		settings = append(settings, Setting{Key: "check", Value: "none"})
	}
	for range rapid.IntRange(0, 3).Draw(t, "settings") {
		settings = append(settings, drawVipSetting(t))
	}
	for _, s := range settings {
		setVip(&v, s, c)
	}
	for range rapid.IntRange(0, 3).Draw(t, "reals") {
		real, _ := drawReal(t, &v, c)
		if v.FindReal(real.String()) < 0 && (real.Name == "" || v.FindReal(real.Name) < 0) {
			v.Reals = append(v.Reals, real)
		}
	}
	return v, settings
}

func drawVipSetting(t *rapid.T) Setting {
	return rapid.SampledFrom([]Setting{
		{Key: "name", Value: "shop"}, {Key: "name", Value: "123"}, {Key: "name", Unset: true},
		{Key: "scheduler", Value: "rr"}, {Key: "scheduler", Value: "mh"}, {Key: "scheduler", Unset: true},
		{Key: "enabled", Value: "false"}, {Key: "on_fail", Value: "reset"}, {Key: "initial", Value: "up"},
		{Key: "when_empty", Value: "drop"}, {Key: "leg", Value: "wan"}, {Key: "check", Value: "none"},
		{Key: "check", Value: "web"}, CheckSetting("http:/x"), CheckSetting("https:/x"), {Key: "timeouts.udp", Value: "7s"},
		{Key: "timeouts.udp", Unset: true}, {Key: "timeouts.closing", Value: "9s"}, {Key: "shares_own_address", Value: "true"},
	}).Draw(t, "setting")
}

// setVip is what a setting means to the value.
func setVip(v *Vip, s Setting, c *Config) {
	base := newVip(v.Endpoint, newDefaults(c), c)
	is := func(value string) bool { return !s.Unset && s.Value == value }
	switch s.Key {
	case "name":
		v.Name = s.Value
	case "scheduler":
		v.Scheduler = s.Value
		if s.Unset {
			v.Scheduler = base.Scheduler
		}
	case "enabled":
		v.Enabled = !is("false")
	case "on_fail":
		v.Reset = is("reset")
	case "initial":
		v.InitialUp = is("up")
	case "when_empty":
		v.DropEmpty = is("drop")
	case "leg":
		v.Leg = s.Value
	case "shares_own_address":
		v.SharesOwnAddress = is("true")
	case "check":
		was := v.Check
		v.Check = checkOfSetting(s, c)
		for i := range v.Reals {
			if sameCheck(v.Reals[i].Check, was) { // Export leaves out what the vip says
				v.Reals[i].Check = v.Check
			}
		}
	case "timeouts.udp":
		v.Timeouts.UDP, _ = time.ParseDuration(s.Value)
		if s.Unset {
			v.Timeouts.UDP = base.Timeouts.UDP
		}
	case "timeouts.closing":
		v.Timeouts.Closing, _ = time.ParseDuration(s.Value)
	default:
		panic(s.Key)
	}
}

func checkOfSetting(s Setting, c *Config) Check {
	if s.Fields == nil {
		return c.Checks[s.Value]
	}
	check := defaultCheck(CheckType(s.Fields[0].Value))
	check.Path = s.Fields[1].Value
	return check
}

func drawReal(t *rapid.T, v *Vip, c *Config) (Real, []Setting) {
	addr := rapid.SampledFrom([]string{"10.0.0.11", "10.0.0.12", "10.0.0.13"}).Draw(t, "real")
	if v.Endpoint.Addr().Is6() {
		addr = strings.Replace(addr, "10.0.0.", "2001:db8:1::", 1)
	}
	port := v.Endpoint.Port()
	if port != 0 {
		port = rapid.SampledFrom([]uint16{port, 8080}).Draw(t, "port")
	}
	r := Real{Address: netip.AddrPortFrom(netip.MustParseAddr(addr), port), Weight: 1, Enabled: true, Check: v.Check}
	var settings []Setting
	for range rapid.IntRange(0, 2).Draw(t, "settings") {
		settings = append(settings, drawRealSetting(t))
		setReal(&r, settings[len(settings)-1], v, c)
	}
	return r, settings
}

func drawRealSetting(t *rapid.T) Setting {
	return rapid.SampledFrom([]Setting{
		{Key: "name", Value: "web1"}, {Key: "name", Value: "web-2"}, {Key: "weight", Value: "0"}, {Key: "weight", Value: "7"},
		{Key: "weight", Unset: true}, {Key: "enabled", Value: "false"}, {Key: "check", Value: "none"}, {Key: "check", Unset: true},
	}).Draw(t, "setting")
}

func setReal(r *Real, s Setting, v *Vip, c *Config) {
	switch s.Key {
	case "name":
		r.Name = s.Value
	case "weight":
		r.Weight = 1
		if !s.Unset {
			fmt.Sscan(s.Value, &r.Weight)
		}
	case "enabled":
		r.Enabled = s.Value != "false"
	case "check":
		r.Check = v.Check
		if !s.Unset {
			r.Check = checkOfSetting(s, c)
		}
	default:
		panic(s.Key)
	}
}

func clone(c *Config) *Config {
	out := *c
	out.Checks = maps.Clone(c.Checks)
	out.Vips = slices.Clone(c.Vips)
	for i := range out.Vips {
		out.Vips[i].Reals = slices.Clone(out.Vips[i].Reals)
	}
	return &out
}

// drawEdit draws an edit of bytes, and the same of a value. node is what it may
// touch: the path of a vip, or empty for an addition to the vips.
func drawEdit(t *rapid.T, c *Config) (name string, bytes func([]byte) ([]byte, error), value func(*Config), node string) {
	if len(c.Vips) == 0 || rapid.IntRange(0, 4).Draw(t, "add vip") == 0 {
		v, settings := drawVip(t, c)
		reals := []NewReal{}
		for _, r := range v.Reals {
			reals = append(reals, NewReal{Real: r.String()})
		}
		for i, r := range v.Reals {
			v.Reals[i] = Real{Address: r.Address, Weight: 1, Enabled: true, Check: v.Check}
		}
		return "add vip " + FormatVip(v.Endpoint), func(d []byte) ([]byte, error) { return AddVip(d, FormatVip(v.Endpoint), settings, reals) },
			func(c *Config) { c.Vips = append(c.Vips, v) }, ""
	}
	i := rapid.IntRange(0, len(c.Vips)-1).Draw(t, "vip")
	v := c.Vips[i]
	vip, node := FormatVip(v.Endpoint), fmt.Sprintf("vips[%d]", i)
	kind := rapid.SampledFrom([]string{"delete", "edit", "add real", "delete real", "edit real"}).Draw(t, "edit")
	if len(v.Reals) == 0 && strings.HasSuffix(kind, "e real") || len(v.Reals) == 0 && kind == "edit real" {
		kind = "add real"
	}
	switch kind {
	case "delete":
		return kind + " " + vip, func(d []byte) ([]byte, error) { return DeleteVip(d, vip) },
			func(c *Config) { c.Vips = slices.Delete(c.Vips, i, i+1) }, node
	case "edit":
		settings := []Setting{drawVipSetting(t), drawVipSetting(t)}
		return kind + " " + vip, func(d []byte) ([]byte, error) { return EditVip(d, vip, settings) }, func(c *Config) {
			for _, s := range settings {
				setVip(&c.Vips[i], s, c)
			}
		}, node
	case "add real":
		real, settings := drawReal(t, &v, c)
		return kind, func(d []byte) ([]byte, error) { return AddReal(d, vip, NewReal{real.String(), settings}) },
			func(c *Config) { c.Vips[i].Reals = append(c.Vips[i].Reals, real) }, node
	}
	j := rapid.IntRange(0, len(v.Reals)-1).Draw(t, "real")
	real := v.Reals[j].String()
	if kind == "delete real" {
		return kind, func(d []byte) ([]byte, error) { return DeleteReal(d, vip, real) },
			func(c *Config) { c.Vips[i].Reals = slices.Delete(c.Vips[i].Reals, j, j+1) }, node
	}
	settings := []Setting{drawRealSetting(t), drawRealSetting(t)}
	return kind, func(d []byte) ([]byte, error) { return EditReal(d, vip, real, settings) }, func(c *Config) {
		for _, s := range settings {
			setReal(&c.Vips[i].Reals[j], s, &c.Vips[i], c)
		}
	}, node
}

// TestEditsAreEditsOfTheValue: in whatever style a file is written, an edit of its
// bytes means the same edit of its value, is refused if that value is not valid,
// and touches the lines of the edited vip only.
func TestEditsAreEditsOfTheValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawConfig(t)
		if Validate("f", c) != nil {
			t.Skip("not valid")
		}
		data := drawStyle(t, Export(c))
		for range rapid.IntRange(1, 4).Draw(t, "edits") {
			read, err := Parse("f", data)
			if err != nil {
				t.Fatalf("%v\n%s", err, data)
			}
			if diff := diffConfigs(c, read); diff != "" {
				t.Fatalf("styled file means something else: %s\n%s", diff, data)
			}
			name, edit, change, node := drawEdit(t, c)
			want := clone(c)
			change(want)
			got, err := edit(data)
			if (err != nil) != (Validate("f", want) != nil) && !unchangedAdd(name, c, want) {
				t.Fatalf("%s: %v, but the value: %v\n%s", name, err, Validate("f", want), data)
			}
			if err != nil || unchangedAdd(name, c, want) {
				continue
			}
			is, err := Parse("f", got)
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, got)
			}
			if diff := diffConfigs(want, is); diff != "" {
				t.Fatalf("%s: -want +got %s\n%s\nfrom\n%s", name, diff, got, data)
			}
			touchesOnly(t, name, node, data, got)
			c, data = want, got
		}
	})
}

// unchangedAdd: adding what is there, just so, is no fault and no change.
func unchangedAdd(name string, c, want *Config) bool {
	return strings.HasPrefix(name, "add") && Validate("f", want) != nil && Validate("f", c) == nil
}

func diffConfigs(a, b *Config) string {
	x, y := *a, *b
	x.places, y.places = nil, nil
	x.spots, y.spots = nil, nil
	return cmp.Diff(x, y, cmp.AllowUnexported(Config{}), cmp.Comparer(func(a, b loader.Endpoint) bool { return a == b }),
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b []Real) bool {
			return len(a) == len(b) && (len(a) == 0 || cmp.Equal(fmt.Sprint(a), fmt.Sprint(b)))
		}),
		cmp.Comparer(func(a, b []Vip) bool { return fmt.Sprint(a) == fmt.Sprint(b) }))
}

// touchesOnly fails if lines outside a vip have changed. A list that gets its first
// item, or loses its last, may change the line of its key.
func touchesOnly(t *rapid.T, name, node string, before, after []byte) {
	if bytes.Equal(before, after) {
		return
	}
	was, is := strings.Split(string(before), "\n"), strings.Split(string(after), "\n")
	first := 0
	for first < len(was) && first < len(is) && was[first] == is[first] {
		first++
	}
	last := len(was)
	for k := len(is); last > first && k > first && was[last-1] == is[k-1]; k-- {
		last--
	}
	root, _ := load(before)
	list := valueOf(root, "vips")
	if list == nil || !isBlock(list) || !isBlock(root) {
		return // one line may be everything
	}
	var from, to int
	if len(list.Content) > 0 {
		from, to = list.Line-1, len(was)
		var i int
		if n, _ := fmt.Sscanf(node, "vips[%d]", &i); n == 1 {
			from = list.Content[i].Line - 2 // a dash may stand alone
			if i+1 < len(list.Content) {
				to = list.Content[i+1].Line
			}
		}
	} else {
		from = 0
	}
	if len(list.Content) == 1 {
		from = 0
	}
	if first < from || last > to && to > 0 {
		t.Fatalf("%s of %q touched lines %d to %d, not within %d to %d:\n%s\nfrom\n%s", name, node, first+1, last, from+1, to, after, before)
	}
	for _, comment := range commentsOf(before) {
		if node == "" && !bytes.Contains(after, []byte(comment)) {
			t.Fatalf("%s lost %q:\n%s\nfrom\n%s", name, comment, after, before)
		}
	}
}

func commentsOf(data []byte) (list []string) {
	for _, line := range strings.Split(string(data), "\n") {
		if at := strings.Index(line, "# c"); at >= 0 {
			list = append(list, strings.TrimSpace(line[at:]))
		}
	}
	return list
}

// drawStyle writes the same file in another way: brackets or dashes, other
// indentation, comments, blank lines, line breaks.
func drawStyle(t *rapid.T, data []byte) []byte {
	root, err := load(data)
	if err != nil {
		t.Fatal(err)
	}
	if sections := root.Content; rapid.Bool().Draw(t, "vips last") { // of the sections
		at := indexOf(root, "vips")
		root.Content = slices.Concat(sections[:at], sections[at+2:], sections[at:at+2])
	}
	restyle(t, root, 0)
	in := indents{rapid.IntRange(2, 4).Draw(t, "item"), rapid.IntRange(0, 4).Draw(t, "list")}
	lines := in.blockLines(root)
	var out []string
	comment := func() string { return fmt.Sprintf("# c%d ", len(out)) }
	for _, line := range lines {
		switch rapid.IntRange(0, 9).Draw(t, "line") {
		case 0:
			out = append(out, spaces(rapid.IntRange(0, 8).Draw(t, "column"))+comment())
		case 1:
			out = append(out, "")
		case 2:
			line += "  " + comment()
		case 3:
			line = breakFlow(t, line, comment())
		}
		out = append(out, line)
	}
	br := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "line break")
	text := strings.ReplaceAll(strings.Join(out, "\n"), "\n", br)
	if rapid.Bool().Draw(t, "last line break") {
		text += br
	}
	return []byte(text)
}

// breakFlow spreads a list in brackets over several lines.
func breakFlow(t *rapid.T, line, comment string) string {
	open, end := strings.IndexByte(line, '['), strings.LastIndexByte(line, ']')
	if open < 0 || end != len(line)-1 || strings.ContainsAny(line[open+1:end], "[{\"") || end == open+1 {
		return line
	}
	items := strings.Split(line[open+1:end], ", ")
	out := line[:open+1] + "\n"
	for i, item := range items {
		out += spaces(12) + item
		if i+1 < len(items) || rapid.Bool().Draw(t, "last comma") {
			out += ","
		}
		if rapid.Bool().Draw(t, "comment") {
			out += "  " + comment
		}
		out += "\n"
	}
	return out + spaces(10) + "]"
}

func restyle(t *rapid.T, n *yaml.Node, depth int) {
	flow := rapid.IntRange(0, 9).Draw(t, "flow")
	switch {
	case depth == 0 && flow != 0, depth > 0 && flow < 6:
		n.Style = 0
	case n.Kind != yaml.ScalarNode:
		n.Style = yaml.FlowStyle
		return
	}
	for _, child := range n.Content {
		restyle(t, child, depth+1)
	}
}
