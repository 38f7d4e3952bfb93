package config

import (
	"strings"
	"testing"
)

const sample = `# the shop
version: 1
legs:
  wan: {role: outside, interface: eth0}   # to the clients
  lan: {role: inside, interface: eth1}
checks:
  web:
    type: http
    path: /healthz
vips:
  # first
  - vip: 192.0.2.1:80/tcp  # the shop
    name: shop
    scheduler: mh
    reals:
      - 10.0.0.11:8080    # one
      - {real: 10.0.0.12:8080, weight: 2}
      - real: 10.0.0.13:8080
        weight: 3
  # second
  - vip: "[2001:db8::10]:53/udp"
    reals: ["[2001:db8:1::11]:53", "[2001:db8:1::12]:53"] # two
  - vip: 192.0.2.2:25
    check:
      type: tcp
      port: 2525
`

func set(pairs ...string) (settings []Setting) {
	for i := 0; i < len(pairs); i += 2 {
		settings = append(settings, Setting{Key: pairs[i], Value: pairs[i+1]})
	}
	return settings
}

func edited(t *testing.T, data []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse("edited", data); err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	return string(data)
}

// diff is the lines that went and came.
func diff(before, after string) string {
	was, is := strings.Split(before, "\n"), strings.Split(after, "\n")
	for len(was) > 0 && len(is) > 0 && was[0] == is[0] {
		was, is = was[1:], is[1:]
	}
	for len(was) > 0 && len(is) > 0 && was[len(was)-1] == is[len(is)-1] {
		was, is = was[:len(was)-1], is[:len(is)-1]
	}
	out := ""
	for _, line := range was {
		out += "-" + line + "\n"
	}
	for _, line := range is {
		out += "+" + line + "\n"
	}
	return out
}

func TestEditsChangeOnlyTheirLines(t *testing.T) {
	tests := []struct {
		name string
		edit func(data []byte) ([]byte, error)
		want string
	}{
		{"add vip", func(d []byte) ([]byte, error) {
			return AddVip(d, "192.0.2.9:443/tcp", set("scheduler", "rr"), []NewReal{{Real: "10.0.0.11:443"}})
		}, "+  - vip: 192.0.2.9:443/tcp\n+    scheduler: rr\n+    reals:\n+      - 10.0.0.11:443\n"},
		{"delete vip", func(d []byte) ([]byte, error) { return DeleteVip(d, "[2001:db8::10]:53/udp") },
			"-  - vip: \"[2001:db8::10]:53/udp\"\n-    reals: [\"[2001:db8:1::11]:53\", \"[2001:db8:1::12]:53\"] # two\n"},
		{"delete last vip", func(d []byte) ([]byte, error) { return DeleteVip(d, "192.0.2.2:25") },
			"-  - vip: 192.0.2.2:25\n-    check:\n-      type: tcp\n-      port: 2525\n"},
		{"edit vip", func(d []byte) ([]byte, error) { return EditVip(d, "shop", set("scheduler", "wrr")) },
			"-    scheduler: mh\n+    scheduler: wrr\n"},
		{"edit vip, new key", func(d []byte) ([]byte, error) { return EditVip(d, "shop", set("on_fail", "reset")) },
			"+    on_fail: reset\n"},
		{"edit vip, block value", func(d []byte) ([]byte, error) { return EditVip(d, "192.0.2.2:25", set("check", "none")) },
			"-    check:\n-      type: tcp\n-      port: 2525\n+    check: none\n"},
		{"add real, block", func(d []byte) ([]byte, error) {
			return AddReal(d, "shop", NewReal{"10.0.0.14:8080", set("weight", "5")})
		},
			"+      - {real: 10.0.0.14:8080, weight: 5}\n"},
		{"add real, flow", func(d []byte) ([]byte, error) {
			return AddReal(d, "[2001:db8::10]:53/udp", NewReal{Real: "[2001:db8:1::13]:53"})
		},
			"-    reals: [\"[2001:db8:1::11]:53\", \"[2001:db8:1::12]:53\"] # two\n+    reals: [\"[2001:db8:1::11]:53\", \"[2001:db8:1::12]:53\", \"[2001:db8:1::13]:53\"] # two\n"},
		{"add real, no list", func(d []byte) ([]byte, error) { return AddReal(d, "192.0.2.2:25", NewReal{Real: "10.0.0.25:25"}) },
			"+    reals:\n+      - 10.0.0.25:25\n"},
		{"delete real, block", func(d []byte) ([]byte, error) { return DeleteReal(d, "shop", "10.0.0.13:8080") },
			"-      - real: 10.0.0.13:8080\n-        weight: 3\n"},
		{"delete real, flow", func(d []byte) ([]byte, error) { return DeleteReal(d, "[2001:db8::10]:53/udp", "[2001:db8:1::12]:53") },
			"-    reals: [\"[2001:db8:1::11]:53\", \"[2001:db8:1::12]:53\"] # two\n+    reals: [\"[2001:db8:1::11]:53\"] # two\n"},
		{"edit real, short", func(d []byte) ([]byte, error) {
			return EditReal(d, "shop", "10.0.0.11:8080", set("weight", "0"))
		},
			"-      - 10.0.0.11:8080    # one\n+      - {real: 10.0.0.11:8080, weight: 0}    # one\n"},
		{"edit real, flow", func(d []byte) ([]byte, error) {
			return EditReal(d, "shop", "10.0.0.12:8080", set("weight", "7"))
		},
			"-      - {real: 10.0.0.12:8080, weight: 2}\n+      - {real: 10.0.0.12:8080, weight: 7}\n"},
		{"edit real, block", func(d []byte) ([]byte, error) {
			return EditReal(d, "shop", "10.0.0.13:8080", set("enabled", "false"))
		},
			"+        enabled: false\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			data, err := test.edit([]byte(sample))
			after := edited(t, data, err)
			if got := diff(sample, after); got != test.want {
				t.Errorf("changed lines:\n%s\nwant:\n%s", got, test.want)
			}
		})
	}
}

func TestEditsOfASmallFile(t *testing.T) {
	for _, start := range []string{
		"legs: {wan: {role: both, interface: eth0}}",
		"legs: {wan: {role: both, interface: eth0}}\nvips: []\n",
		"legs: {wan: {role: both, interface: eth0}}\nvips:\n",
		"vips: [] # none\nlegs: {wan: {role: both, interface: eth0}}\n",
	} {
		data, err := AddVip([]byte(start), "192.0.2.1:80/tcp", nil, nil)
		edited(t, data, err)
		for _, real := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"} {
			data, err = AddReal(data, "192.0.2.1:80", NewReal{Real: real + ":80"})
			edited(t, data, err)
		}
		for _, real := range []string{"10.0.0.3", "10.0.0.1", "10.0.0.2"} {
			data, err = DeleteReal(data, "192.0.2.1:80", real)
			edited(t, data, err)
		}
		data, err = DeleteVip(data, "192.0.2.1:80")
		after := edited(t, data, err)
		if c, err := Parse("", data); err != nil || len(c.Vips) != 0 {
			t.Errorf("after deleting everything:\n%s", after)
		}
	}
}
