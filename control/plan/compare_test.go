package plan

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/control/config"
)

const base = `
legs:
  wan: {role: outside, interface: eth0}
  lan: {role: inside, interface: eth1}
floating:
  - {address: 10.0.0.1/24, leg: lan}
checks:
  web: {type: http, path: /up}
vips:
  - vip: 192.0.2.1:80
    name: shop
    leg: wan
    reals:
      - 10.0.0.11:8080
      - {real: 10.0.0.12:8080, weight: 2}
  - vip: "[2001:db8::1]:53/udp"
    leg: wan
    reals: ["[2001:db8:1::11]:53"]
`

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCompare(t *testing.T) {
	const reals = "      - 10.0.0.11:8080\n      - {real: 10.0.0.12:8080, weight: 2}\n"
	const dns = "  - vip: \"[2001:db8::1]:53/udp\"\n    leg: wan\n    reals: [\"[2001:db8:1::11]:53\"]\n"
	for _, test := range []struct {
		name, from, to string
		want           string // a change a line; ! before one that ends flows
		summary        string
	}{
		{"nothing", "", "", "", "nothing but comments, order or layout"},
		{"a comment", "    name: shop\n", "    name: shop # the shop\n", "", "nothing but comments, order or layout"},
		{"order", reals, "      - {real: 10.0.0.12:8080, weight: 2}\n      - 10.0.0.11:8080\n", "", "nothing but comments, order or layout"},
		{"real added", reals, reals + "      - 10.0.0.13:8080\n",
			"vip shop: real 10.0.0.13:8080 added", "vip shop: real 10.0.0.13:8080 added"},
		{"real removed", "      - 10.0.0.11:8080\n", "", "!vip shop: real 10.0.0.11:8080 removed", "vip shop: real 10.0.0.11:8080 removed"},
		{"weight 0", "weight: 2", "weight: 0", "vip shop: real 10.0.0.12:8080: weight 2 -> 0", "vip shop: real 10.0.0.12:8080: weight 2 -> 0"},
		{"real disabled", "weight: 2", "weight: 2, enabled: false",
			"!vip shop: real 10.0.0.12:8080: enabled true -> false", "vip shop: real 10.0.0.12:8080: enabled true -> false"},
		{"real's check", "weight: 2", "weight: 2, check: none",
			"vip shop: real 10.0.0.12:8080: check tcp -> none", "vip shop: real 10.0.0.12:8080: check tcp -> none"},
		{"vip's settings", "    name: shop\n", "    name: store\n    scheduler: wrr\n    on_fail: reset\n    timeouts: {established: 1h}\n",
			"vip store: name shop -> store, scheduler mh -> wrr, on_fail keep -> reset, timeouts changed",
			"vip store: name shop -> store, scheduler mh -> wrr, on_fail keep -> reset, timeouts changed"},
		{"vip's check", "    name: shop\n", "    name: shop\n    check: web\n", "vip shop: check tcp -> web", "vip shop: check tcp -> web"},
		{"vip disabled", "    name: shop\n", "    name: shop\n    enabled: false\n", "!vip shop: enabled true -> false", "vip shop: enabled true -> false"},
		{"no name", "    name: shop\n", "", "vip 192.0.2.1:80/tcp: no name", "vip 192.0.2.1:80/tcp: no name"},
		{"vip removed", dns, "", "!vip [2001:db8::1]:53/udp removed, with real [2001:db8:1::11]:53", "vip [2001:db8::1]:53/udp removed, with real [2001:db8:1::11]:53"},
		{"vip added", dns, dns + "  - {vip: 192.0.2.2:80, leg: wan}\n", "vip 192.0.2.2:80/tcp added", "vip 192.0.2.2:80/tcp added"},
		{"another port", "192.0.2.1:80", "192.0.2.1:81",
			"vip shop added, with 2 reals\n!vip shop removed, with 2 reals", "vip shop added, with 2 reals; vip shop removed, with 2 reals"},
		{"a check's definition", "path: /up", "path: /healthy", "check web changed", "check web changed"},
		{"all timeouts", "checks:\n", "flows: {timeouts: {udp: 1m}}\nchecks:\n", "flows: timeouts changed", "flows: timeouts changed"},
		{"size", "checks:\n", "flows: {max_ipv4: 1000}\nchecks:\n", "flows: max_ipv4 1048576 -> 1000", "flows: max_ipv4 1048576 -> 1000"},
		{"metrics", "checks:\n", "metrics: {listen: \"\"}\nchecks:\n", "metrics: listen 127.0.0.1:9712 -> off", "metrics: listen 127.0.0.1:9712 -> off"},
		{"legs and floating", "eth1}\nfloating:\n  - {address: 10.0.0.1/24, leg: lan}\n", "eth2}\n  dmz: {role: inside, interface: eth1}\n",
			"leg dmz added\nleg lan changed\nfloating 10.0.0.1/24 removed", "1 setting added, 1 setting changed, 1 setting removed"},
		{"many", reals, "      - 10.0.0.21:8080\n      - 10.0.0.22:8080\n",
			"vip shop: real 10.0.0.21:8080 added\nvip shop: real 10.0.0.22:8080 added\n!vip shop: real 10.0.0.11:8080 removed\n!vip shop: real 10.0.0.12:8080 removed",
			"2 reals added, 2 reals removed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := strings.Replace(base, test.from, test.to, 1)
			if text == base && test.from != "" {
				t.Fatalf("%q is not in the file", test.from)
			}
			changes := Compare(parse(t, base), parse(t, text))
			var lines []string
			for _, c := range changes {
				lines = append(lines, choice(c.Ends, "!", "")+c.String())
			}
			if diff := cmp.Diff(test.want, strings.Join(lines, "\n")); diff != "" {
				t.Error(diff)
			}
			if got := Summary(changes); got != test.summary {
				t.Errorf("in short: %q, want %q", got, test.summary)
			}
		})
	}
}

// No field of a vip or a real can change without being told.
func TestEveryFieldIsCompared(t *testing.T) {
	alter := func(t *testing.T, v reflect.Value) {
		switch v.Kind() {
		case reflect.String:
			v.SetString(v.String() + "x")
		case reflect.Bool:
			v.SetBool(!v.Bool())
		case reflect.Int:
			v.SetInt(v.Int() + 1)
		case reflect.Struct: // timeouts, a check
			field := v.FieldByName("Established")
			if !field.IsValid() {
				field = v.FieldByName("Interval")
				v.FieldByName("Name").SetString("") // written in place
			}
			field.SetInt(field.Int() + 1)
		default:
			t.Fatalf("a field of kind %s", v.Kind())
		}
	}
	vip, real := reflect.TypeFor[config.Vip](), reflect.TypeFor[config.Real]()
	for of, key := range map[reflect.Type]string{vip: "Endpoint", real: "Address"} {
		for field := range of.Fields() {
			if field.Name == key || field.Name == "Reals" {
				continue
			}
			t.Run(of.Name()+"."+field.Name, func(t *testing.T) {
				old, next := parse(t, base), parse(t, base)
				changed := &next.Vips[0]
				value := reflect.ValueOf(changed).Elem()
				if of == real {
					value = reflect.ValueOf(&changed.Reals[0]).Elem()
				}
				alter(t, value.FieldByName(field.Name))
				if changes := Compare(old, next); len(changes) != 1 {
					t.Errorf("%d changes: %v", len(changes), changes)
				}
			})
		}
	}
}
