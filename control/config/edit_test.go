package config

import (
	"bytes"
	"fmt"
	"os"
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

// TestEditsInEveryStyle shows what changes in testdata/styles.yaml.
func TestEditsInEveryStyle(t *testing.T) {
	data, err := os.ReadFile("testdata/styles.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		edit func(data []byte) ([]byte, error)
	}{
		{"add vip", func(d []byte) ([]byte, error) {
			return AddVip(d, "[2001:db8::10]:53/udp", []Setting{{Key: "name", Value: "dns"}, CheckSetting("none"), {Key: "timeouts.udp", Value: "5s"}},
				[]NewReal{{Real: "[2001:db8::11]:53"}, {Real: "[2001:db8::12]:53", Settings: set("weight", "3")}})
		}},
		{"delete vip behind a dash alone", func(d []byte) ([]byte, error) { return DeleteVip(d, "192.0.2.1:81") }},
		{"delete vip behind a comment", func(d []byte) ([]byte, error) { return DeleteVip(d, "shop") }},
		{"delete last vip", func(d []byte) ([]byte, error) { return DeleteVip(d, "192.0.2.1:85/udp") }},
		{"edit name in quotes", func(d []byte) ([]byte, error) { return EditVip(d, "shop", set("name", "store")) }},
		{"edit check in block", func(d []byte) ([]byte, error) { return EditVip(d, "shop", []Setting{CheckSetting("http:/up")}) }},
		{"edit inside check", func(d []byte) ([]byte, error) {
			return EditVip(d, "shop", set("check.path", "/up", "check.port", "81"))
		}},
		{"unset block text", func(d []byte) ([]byte, error) { return EditVip(d, "shop", []Setting{{Key: "check.body", Unset: true}}) }},
		{"unset what is alone in its mapping", func(d []byte) ([]byte, error) {
			return EditVip(d, "192.0.2.1:81", []Setting{{Key: "timeouts.udp", Unset: true}})
		}},
		{"unset key in brackets", func(d []byte) ([]byte, error) { return EditVip(d, "flow", []Setting{{Key: "name", Unset: true}}) }},
		{"unset key behind a dash", func(d []byte) ([]byte, error) { return EditVip(d, "late", []Setting{{Key: "name", Unset: true}}) }},
		{"new mapping", func(d []byte) ([]byte, error) {
			return EditVip(d, "late", set("timeouts.closed", "5s", "timeouts.udp", "6s"))
		}},
		{"add real in brackets over lines", func(d []byte) ([]byte, error) { return AddReal(d, "shop", NewReal{Real: "10.0.0.14"}) }},
		{"delete real in brackets over lines", func(d []byte) ([]byte, error) { return DeleteReal(d, "shop", "10.0.0.11") }},
		{"delete last real in brackets over lines", func(d []byte) ([]byte, error) { return DeleteReal(d, "shop", "10.0.0.13") }},
		{"edit real in brackets over lines", func(d []byte) ([]byte, error) { return EditReal(d, "shop", "10.0.0.13", set("weight", "4")) }},
		{"add real to block", func(d []byte) ([]byte, error) {
			return AddReal(d, "192.0.2.1:81", NewReal{"10.0.0.13", set("weight", "3", "name", "three")})
		}},
		{"delete real with its comment", func(d []byte) ([]byte, error) { return DeleteReal(d, "192.0.2.1:81", "10.0.0.11") }},
		{"edit short real among long ones", func(d []byte) ([]byte, error) { return EditReal(d, "192.0.2.1:81", "10.0.0.11", set("name", "one")) }},
		{"add real to a vip in brackets", func(d []byte) ([]byte, error) { return AddReal(d, "flow", NewReal{Real: "10.0.0.13:8080"}) }},
		{"add real to []", func(d []byte) ([]byte, error) { return AddReal(d, "late", NewReal{Real: "10.0.0.11"}) }},
		{"add real to nothing", func(d []byte) ([]byte, error) { return AddReal(d, "192.0.2.1:84/udp", NewReal{Real: "10.0.0.11"}) }},
		{"add real without a list", func(d []byte) ([]byte, error) { return AddReal(d, "192.0.2.1:85/udp", NewReal{Real: "10.0.0.11"}) }},
	}
	var out strings.Builder
	for _, br := range []string{"\n", "\r\n"} {
		out.Reset()
		for _, test := range tests {
			before := strings.ReplaceAll(string(data), "\n", br)
			data, err := test.edit([]byte(before))
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
				continue
			}
			after := edited(t, data, err)
			if strings.Count(after, br) != strings.Count(after, "\n") {
				t.Errorf("%s: line breaks are mixed", test.name)
			}
			fmt.Fprintf(&out, "%s\n%s\n", test.name, diff(string(bytes.ReplaceAll([]byte(before), []byte("\r"), nil)), strings.ReplaceAll(after, "\r", "")))
		}
		golden(t, "styles.diff", out.String())
	}
}

// TestEditsThatAreNone: what is there already, or is not there.
func TestEditsThatAreNone(t *testing.T) {
	reals := []NewReal{{Real: "10.0.0.11:8080"}, {Real: "10.0.0.12:8080", Settings: set("weight", "2")}, {"10.0.0.13:8080", set("weight", "3")}}
	tests := []struct {
		name string
		edit func(data []byte) ([]byte, error)
		want string // "": the same bytes
	}{
		{"vip, the same", func(d []byte) ([]byte, error) {
			return AddVip(d, "192.0.2.1:80", set("name", "shop"), reals)
		}, ""},
		{"vip, another", func(d []byte) ([]byte, error) { return AddVip(d, "192.0.2.1:80", nil, nil) }, "vip 192.0.2.1:80/tcp: exists"},
		{"vip, not valid", func(d []byte) ([]byte, error) { return AddVip(d, "192.0.2.1:80", set("scheduler", "x"), nil) }, "vip 192.0.2.1:80/tcp: exists"},
		{"vip, no address", func(d []byte) ([]byte, error) { return AddVip(d, "shop", nil, nil) }, "vip \"shop\" is not an IP address"},
		{"vip, a name taken", func(d []byte) ([]byte, error) { return AddVip(d, "192.0.2.7:80", set("name", "shop"), nil) },
			"the change: 1 error, nothing was changed\n\n       vips[3].name: \"shop\" is the name of the vip at line"},
		{"vip, no such scheduler", func(d []byte) ([]byte, error) { return AddVip(d, "192.0.2.7:80", set("scheduler", "wlc"), nil) }, "\"wlc\": write mh, wrr or rr"},
		{"vip, no such check type", func(d []byte) ([]byte, error) {
			return AddVip(d, "192.0.2.7:80", []Setting{CheckSetting("ftp:/")}, nil)
		}, "\"ftp\": write tcp, http, https, ping, exec or none"},
		{"vip, more lines than one", func(d []byte) ([]byte, error) {
			return AddVip(d, "192.0.2.7:80", set("scheduler", "mh\n  - vip: 192.0.2.8:80"), nil)
		}, "write mh, wrr or rr"},
		{"vip, not text", func(d []byte) ([]byte, error) { return AddVip(d, "192.0.2.7:80", set("name", "\xff"), nil) }, "is not UTF-8 text"},
		{"delete no vip", func(d []byte) ([]byte, error) { return DeleteVip(d, "192.0.2.7:80") }, "vip 192.0.2.7:80: does not exist"},
		{"edit no vip", func(d []byte) ([]byte, error) { return EditVip(d, "store", nil) }, "vip store: does not exist"},
		{"edit, the same", func(d []byte) ([]byte, error) { return EditVip(d, "shop", set("scheduler", "mh")) }, ""},
		{"edit, the default", func(d []byte) ([]byte, error) {
			return EditVip(d, "shop", set("on_fail", "keep", "timeouts.udp", "300s"))
		}, ""},
		{"edit the address", func(d []byte) ([]byte, error) { return EditVip(d, "shop", set("vip", "192.0.2.7:80")) }, "vip: a vip is known by its address"},
		{"edit the reals", func(d []byte) ([]byte, error) { return EditVip(d, "shop", set("reals", "")) }, "reals are added, edited and deleted one by one"},
		{"edit in what is no mapping", func(d []byte) ([]byte, error) { return EditVip(d, "shop", set("name.x", "y")) }, "name is \"shop\" in the file, so that name.x cannot be set"},
		{"edit no key", func(d []byte) ([]byte, error) { return EditVip(d, "shop", set("on_fial", "y")) }, "vips[0].on_fial: unknown key; did you mean \"on_fail\"?"},
		{"real, the same", func(d []byte) ([]byte, error) { return AddReal(d, "shop", reals[1]) }, ""},
		{"real, another", func(d []byte) ([]byte, error) { return AddReal(d, "shop", NewReal{Real: "10.0.0.12:8080"}) }, "vip 192.0.2.1:80/tcp: real 10.0.0.12:8080: exists"},
		{"real, to no vip", func(d []byte) ([]byte, error) { return AddReal(d, "store", reals[0]) }, "vip store: does not exist"},
		{"real of another family", func(d []byte) ([]byte, error) { return AddReal(d, "shop", NewReal{Real: "[2001:db8::1]:80"}) }, "NAT keeps the family"},
		{"delete no real", func(d []byte) ([]byte, error) { return DeleteReal(d, "shop", "10.0.0.99") }, "vip 192.0.2.1:80/tcp: real 10.0.0.99: does not exist"},
		{"edit real, the same", func(d []byte) ([]byte, error) { return EditReal(d, "shop", "10.0.0.11:8080", set("weight", "1")) }, ""},
		{"edit real's address", func(d []byte) ([]byte, error) { return EditReal(d, "shop", "10.0.0.11:8080", set("real", "10.0.0.9")) }, "real: a real is known by its address"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			data, err := test.edit([]byte(sample))
			if test.want == "" {
				if got := edited(t, data, err); got != sample {
					t.Errorf("changed:\n%s", diff(sample, got))
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || data != nil {
				t.Errorf("got %v\nwant %s", err, test.want)
			}
		})
	}
	if _, err := AddVip(nil, "192.0.2.1:80", nil, nil); err == nil || !strings.Contains(err.Error(), "legs: required") {
		t.Errorf("empty file: %v", err)
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
