package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/loader"
)

// An Action is what happens to something.
type Action string

// The actions.
const (
	Added   Action = "added"
	Removed Action = "removed"
	Changed Action = "changed"
)

// A Change is one difference between two configurations, as a person would say it.
type Change struct {
	Action  Action
	Subject string   // vip shop: real 10.0.0.13:8080; leg wan; ...
	Details []string // weight 1 -> 2; with 3 reals

	// Set if it is one of a vip, or of one of its reals.
	Vip  loader.Endpoint
	Real netip.AddrPort
	// Ends: the flows of that vip or real do not go on as they were.
	Ends bool
}

func (c Change) String() string {
	details := strings.Join(c.Details, ", ")
	switch {
	case c.Action == Changed && details != "":
		return c.Subject + ": " + details
	case details != "":
		return fmt.Sprintf("%s %s, %s", c.Subject, c.Action, details)
	}
	return fmt.Sprintf("%s %s", c.Subject, c.Action)
}

// Compare says what leads from one configuration to another: vips in the order of the
// new file, what goes behind them, and what is of the whole router first.
func Compare(old, next *config.Config) []Change {
	changes := compareRouter(old, next)
	was := make(map[loader.Endpoint]*config.Vip, len(old.Vips))
	for i := range old.Vips {
		was[old.Vips[i].Endpoint] = &old.Vips[i]
	}
	same := sameTimeouts(old, next)
	for i := range next.Vips {
		vip := &next.Vips[i]
		before, ok := was[vip.Endpoint]
		delete(was, vip.Endpoint)
		if !ok {
			changes = append(changes, Change{
				Action: Added, Subject: vipName(vip), Details: withReals(vip), Vip: vip.Endpoint,
			})
			continue
		}
		changes = append(changes, compareVip(before, vip, same)...)
	}
	for i := range old.Vips {
		if vip := &old.Vips[i]; was[vip.Endpoint] != nil {
			changes = append(changes, Change{
				Action: Removed, Subject: vipName(vip), Details: withReals(vip), Vip: vip.Endpoint, Ends: vip.Enabled,
			})
		}
	}
	return changes
}

func vipName(vip *config.Vip) string {
	if vip.Name != "" {
		return "vip " + vip.Name
	}
	return "vip " + config.FormatVip(vip.Endpoint)
}

func withReals(vip *config.Vip) []string {
	switch len(vip.Reals) {
	case 0:
		return nil
	case 1:
		return []string{"with real " + vip.Reals[0].String()}
	}
	return []string{fmt.Sprintf("with %d reals", len(vip.Reals))}
}

func compareVip(old, next *config.Vip, same func(a, b loader.Timeouts) bool) []Change {
	if reflect.DeepEqual(old, next) {
		return nil
	}
	var changes []Change
	settings := vipSettings(old, next)
	if !same(old.Timeouts, next.Timeouts) {
		settings = append(settings, setting{"timeouts", "", "changed"})
	}
	if details := differing(settings); len(details) > 0 {
		changes = append(changes, Change{
			Action: Changed, Subject: vipName(next), Details: details, Vip: next.Endpoint,
			Ends: old.Enabled && !next.Enabled,
		})
	}
	real := func(r config.Real, action Action, details []string, ends bool) {
		changes = append(changes, Change{
			Action: action, Subject: vipName(next) + ": real " + r.String(), Details: details,
			Vip: next.Endpoint, Real: r.Address, Ends: ends,
		})
	}
	was := map[netip.AddrPort]config.Real{}
	for _, r := range old.Reals {
		was[r.Address] = r
	}
	for _, r := range next.Reals {
		before, ok := was[r.Address]
		delete(was, r.Address)
		if !ok {
			real(r, Added, nil, false)
		} else if details := differing(realSettings(before, r, old, next)); len(details) > 0 {
			real(r, Changed, details, before.Enabled && !r.Enabled)
		}
	}
	for _, r := range old.Reals {
		if _, gone := was[r.Address]; gone {
			real(r, Removed, nil, r.Enabled)
		}
	}
	return changes
}

// A setting is one key of the file, before and after.
type setting struct{ key, old, next string }

func differing(settings []setting) (details []string) {
	for _, s := range settings {
		switch {
		case s.old == s.next:
		case s.old == "":
			details = append(details, s.key+" "+s.next)
		case s.next == "":
			details = append(details, "no "+s.key)
		default:
			details = append(details, fmt.Sprintf("%s %s -> %s", s.key, s.old, s.next))
		}
	}
	return details
}

func vipSettings(old, next *config.Vip) []setting {
	of := func(key string, value func(*config.Vip) any) setting {
		return setting{key, fmt.Sprint(value(old)), fmt.Sprint(value(next))}
	}
	return []setting{
		of("name", func(v *config.Vip) any { return v.Name }),
		of("enabled", func(v *config.Vip) any { return v.Enabled }),
		of("leg", func(v *config.Vip) any { return v.Leg }),
		of("prefix", func(v *config.Vip) any { return v.Prefix }),
		of("scheduler", func(v *config.Vip) any { return v.Scheduler }),
		checkSetting(old.Check, next.Check),
		of("initial", func(v *config.Vip) any { return choice(v.InitialUp, "up", "down") }),
		of("on_fail", func(v *config.Vip) any { return choice(v.Reset, "reset", "keep") }),
		of("when_empty", func(v *config.Vip) any { return choice(v.DropEmpty, "drop", "reject") }),
		of("shares_own_address", func(v *config.Vip) any { return v.SharesOwnAddress }),
	}
}

// realSettings leaves out the check of a real that has its vip's.
func realSettings(a, b config.Real, old, next *config.Vip) []setting {
	settings := []setting{
		{"name", a.Name, b.Name},
		{"weight", fmt.Sprint(a.Weight), fmt.Sprint(b.Weight)},
		{"enabled", fmt.Sprint(a.Enabled), fmt.Sprint(b.Enabled)},
	}
	if !reflect.DeepEqual(a.Check, old.Check) || !reflect.DeepEqual(b.Check, next.Check) {
		settings = append(settings, checkSetting(a.Check, b.Check))
	}
	return settings
}

// checkSetting is by name: what a name stands for is a change of its own.
func checkSetting(old, next config.Check) setting {
	a, b := CheckName(old), CheckName(next)
	if a == b && (old.Name == "" || next.Name == "") {
		old.Name, next.Name = "", ""
		return setting{"check", "", choice(reflect.DeepEqual(old, next), "", b+" changed")}
	}
	return setting{"check", a, b}
}

// CheckName is what people call a check.
func CheckName(check config.Check) string {
	switch {
	case check.Name != "":
		return check.Name
	case check.Path != "":
		return string(check.Type) + ":" + check.Path
	}
	return string(check.Type)
}

func choice(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}

// sameTimeouts says whether a vip has the timeouts it had, those aside that changed
// for all.
func sameTimeouts(old, next *config.Config) func(a, b loader.Timeouts) bool {
	return func(a, b loader.Timeouts) bool {
		return a == b || a == old.Flows.Timeouts && b == next.Flows.Timeouts
	}
}

// compareRouter compares all but the vips.
func compareRouter(old, next *config.Config) []Change {
	var changes []Change
	add := func(c []Change) { changes = append(changes, c...) }
	add(compareNamed("leg ", byName(old.Legs, legName), byName(next.Legs, legName)))
	add(compareNamed("floating ", byName(old.Floating, floatingName), byName(next.Floating, floatingName)))
	if old.Flows != next.Flows {
		add([]Change{{Action: Changed, Subject: "flows", Details: differing([]setting{
			{"max_ipv4", fmt.Sprint(old.Flows.MaxIPv4), fmt.Sprint(next.Flows.MaxIPv4)},
			{"max_ipv6", fmt.Sprint(old.Flows.MaxIPv6), fmt.Sprint(next.Flows.MaxIPv6)},
			{"timeouts", "", choice(old.Flows.Timeouts != next.Flows.Timeouts, "changed", "")},
		})}})
	}
	add(compareNamed("check ", old.Checks, next.Checks))
	if old.Metrics != next.Metrics {
		off := func(listen string) string { return choice(listen == "", "off", listen) }
		add([]Change{{Action: Changed, Subject: "metrics", Details: differing([]setting{
			{"listen", off(old.Metrics.String()), off(next.Metrics.String())},
		})}})
	}
	add(compareNamed("router ", byName(old.Routers, routerName), byName(next.Routers, routerName)))
	add(comparePair(old, next))
	return changes
}

func routerName(r config.Router) string     { return r.Name }
func legName(leg config.Leg) string         { return leg.Name }
func floatingName(f config.Floating) string { return f.Address.String() }

func byName[T any](list []T, name func(T) string) map[string]T {
	named := map[string]T{}
	for _, item := range list {
		named[name(item)] = item
	}
	return named
}

func compareNamed[T any](kind string, old, next map[string]T) []Change {
	var changes []Change
	for _, name := range slices.Sorted(maps.Keys(next)) {
		before, ok := old[name]
		switch {
		case !ok:
			changes = append(changes, Change{Action: Added, Subject: kind + name})
		case !reflect.DeepEqual(before, next[name]):
			changes = append(changes, Change{Action: Changed, Subject: kind + name})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if _, ok := next[name]; !ok {
			changes = append(changes, Change{Action: Removed, Subject: kind + name})
		}
	}
	return changes
}

// Summary is changes in half a line: one or two as they are, more counted.
func Summary(changes []Change) string {
	if len(changes) == 0 {
		return "nothing but comments, order or layout"
	}
	if len(changes) <= 2 {
		var list []string
		for _, c := range changes {
			list = append(list, c.String())
		}
		return strings.Join(list, "; ")
	}
	type kind struct {
		what   string
		action Action
	}
	count := map[kind]int{}
	var kinds []kind
	for _, c := range changes {
		k := kind{c.kind(), c.Action}
		if count[k]++; count[k] == 1 {
			kinds = append(kinds, k)
		}
	}
	var list []string
	for _, k := range kinds {
		plural := choice(count[k] == 1, "", "s")
		list = append(list, fmt.Sprintf("%d %s%s %s", count[k], k.what, plural, k.action))
	}
	return strings.Join(list, ", ")
}

func (c Change) kind() string {
	switch {
	case c.Real.IsValid():
		return "real"
	case c.Vip.IsValid():
		return "vip"
	}
	return "setting"
}
