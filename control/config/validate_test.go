package config

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/tarpon-lb/tarpon/loader"
)

const legs = "legs:\n  wan: {role: outside, interface: eth0}\n  lan: {role: inside, interface: eth1}\n"

// TestFaults: one fault in a file gives one message, with what, where and remedy.
func TestFaults(t *testing.T) {
	vip := func(lines string) string { return legs + "vips:\n  - vip: 192.168.26.200:80\n" + lines }
	tests := []struct{ name, file, want string }{
		{"empty file", "", "legs: required: the router's interfaces"},
		{"only a comment", "# nothing\n", "legs: required"},
		{"legs empty", "legs:\n", "legs: required"},
		{"a list for a file", "- a\n", "1:1    keys with values are needed here"},
		{"a word for a file", "tarpon\n", "keys with values are needed here"},
		{"not utf-8", "legs: \xff\n", "is not UTF-8"},
		{"byte order mark", "\ufeff" + legs, "1:1    the file begins with a byte order mark"},
		{"control character", legs + "# \x01\n", "4:3    a control character"},
		{"odd line break", legs + "# a\u2028b\n", "4:4    a control character or an odd line break"},
		{"tab", "legs:\n\twan: {}\n", "2:1    a tab in the indentation\n       indent with spaces"},
		{"second document", legs + "---\nvips: []\n", "4:1    not YAML: a second document begins here, only one is read"},
		{"not closed", "legs: {wan: [\n", "not YAML: did not find"},
		{"anchor", "legs:\n  wan: &a {role: both, interface: eth0}\n", "2:8    anchors (&) and aliases (*) are not taken"},
		{"tag", "legs: !!map {wan: {role: both, interface: eth0}}\n", "1:7    tags (!!map) are not taken"},
		{"merge", "legs:\n  <<: {role: both, interface: eth0}\n", "\"<<\" cannot be a leg's name"},
		{"key is a list", legs + "? [a]\n: b\n", "4:3    a key is one word"},
		{"key twice", legs + "vips: []\nvips: []\n", "5:1    vips: already given at line 4"},
		{"unknown key", legs + "vip: []\n", "4:1    vip: unknown key; did you mean \"vips\"?"},
		{"unknown key, unlike", legs + "zebra: []\n", "zebra: unknown key; there are: checks, defaults"},
		{"version", "version: 2\n" + legs, "1:10   version: format 2 is not known here\n       write version: 1"},

		{"metrics without port", legs + "metrics: {listen: 127.0.0.1}\n", "4:19   metrics.listen: 127.0.0.1: a port from 1 to 65535 is needed, such as :9712"},
		{"metrics by name", legs + "metrics: {listen: \"localhost:9712\"}\n", "metrics.listen: \"localhost:9712\" is not an IP address with a port"},
		{"metrics of every address", legs + "metrics: {listen: \":9712\"}\n", "metrics.listen: \":9712\" is not an IP address with a port"},
		{"metrics port", legs + "metrics: {listen: \"127.0.0.1:09712\"}\n", "09712: write decimal numbers without leading zeros"},
		{"metrics unquoted", legs + "metrics:\n  listen: [::1]:9712\n", "5:11   metrics.listen: an IPv6 address must be quoted in YAML"},
		{"metrics elsewhere", legs + "metrics: {listen: \"\", path: /}\n", "metrics.path: unknown key; there are: listen"},
		{"metrics alone", legs + "metrics: 127.0.0.1:9712\n", "metrics: "},

		{"role", "legs: {wan: {role: out, interface: eth0}}\n", "\"out\": write outside, inside, both or pair"},
		{"no role", "legs: {wan: {interface: eth0}}\n", "1:13   legs.wan.role: required"},
		{"no interface", "legs: {wan: {role: both}}\n", "legs.wan.interface: required"},
		{"lo", "legs: {wan: {role: both, interface: lo}}\n", "\"lo\" cannot be a leg's interface\n       see: ip link"},
		{"mode", "legs: {wan: {role: both, interface: eth0, mode: xdp}}\n", "write auto, native, tc or generic"},
		{"leg none", "legs: {none: {role: both, interface: eth0}}\n", "\"none\" cannot be a leg's name"},
		{"shared interface", "legs:\n  a: {role: outside, interface: eth0}\n  b: {role: inside, interface: eth0}\n",
			"3:32   legs.b.interface: eth0 is the interface of leg a already\n       a router with one interface has one leg, of role both"},
		{"no inside", "legs: {wan: {role: outside, interface: eth0}}\n", "no leg has the role inside or both"},

		{"floating without leg", legs + "floating: [{address: 10.0.0.254/24}]\n", "4:12   floating[0].leg: required"},
		{"floating without prefix", legs + "floating: [{address: 10.0.0.254, leg: lan}]\n", "is not an address with its prefix"},
		{"floating, unknown leg", legs + "floating: [{address: 10.0.0.254/24, leg: lam}]\n", "floating[0].leg: there is no leg \"lam\"; did you mean \"lan\"?"},
		{"floating broadcast", legs + "floating: [{address: 10.0.0.255/24, leg: lan}]\n", "10.0.0.255 is the broadcast address of its network"},
		{"floating network", legs + "floating: [{address: 10.0.0.0/24, leg: lan}]\n", "10.0.0.0 is the network address of its network"},
		{"floating twice", legs + "floating:\n- {address: 10.0.0.254/24, leg: lan}\n- {address: 10.0.0.254/25, leg: wan}\n", "6:13   floating[1].address: 10.0.0.254 appears twice (line 5)"},
		{"floating unquoted", legs + "floating: [{address: [fe80::1]/64, leg: lan}]\n", "an IPv6 address must be quoted in YAML"},

		{"max_ipv4", legs + "flows: {max_ipv4: 0}\n", "flows.max_ipv4: 0: write a number from 1 to 67108864"},
		{"max_ipv6", legs + "flows: {max_ipv6: 1_000}\n", "1_000: write a decimal number"},
		{"timeout without unit", legs + "flows: {timeouts: {udp: 300}}\n", "flows.timeouts.udp: \"300\": write a time with its unit"},
		{"timeout fraction", legs + "flows: {timeouts: {udp: 1500ms}}\n", "1500ms: write a multiple of 1s"},
		{"timeout too long", legs + "flows: {timeouts: {udp: 20h}}\n", "20h: write a time from 1s to 19h"},

		{"check without type", legs + "checks: {a: {port: 80}}\n", "4:13   checks.a.type: required"},
		{"check type", legs + "checks: {a: {type: tpc}}\n", "\"tpc\": write tcp, http, https, ping, exec or none"},
		{"check tcp", legs + "checks: {tcp: {type: http}}\n", "4:10   checks.tcp: the check \"tcp\" exists already"},
		{"check timeout", legs + "checks: {a: {type: tcp, interval: 500ms, timeout: 1s}}\n", "checks.a.timeout: 1s is longer than the interval, 500ms"},
		{"check interval", legs + "checks: {a: {type: tcp, interval: 50ms}}\n", "50ms: write a time from 100ms to 1h"},
		{"check rise", legs + "checks: {a: {type: tcp, rise: 0}}\n", "0: write a number from 1 to 1000"},
		{"check jitter", legs + "checks: {a: {type: tcp, jitter: 0.1}}\n", "write a percentage from 0% to 50%"},
		{"check path", legs + "checks: {a: {type: http, path: healthz}}\n", "a path begins with /"},
		{"check path with line break", legs + "checks: {a: {type: http, path: \"/a\\r\\nX: y\"}}\n", "a path begins with / and has no spaces"},
		{"check body", legs + "checks: {a: {type: http, body: \"(\"}}\n", "is not a regular expression"},
		{"check status", legs + "checks: {a: {type: http, status: [200, 99]}}\n", "checks.a.status[1]: \"99\": write a status such as 200 or 200-299"},
		{"check no status", legs + "checks: {a: {type: http, status: []}}\n", "at least one status"},
		{"check of other type", legs + "checks: {a: {type: tcp, path: /}}\n", "4:31   checks.a.path: only http and https checks have it, this one is of type tcp\n       leave it out, or write type: http or https"},
		{"check without port", legs + "checks: {a: {type: ping, port: 80}}\n", "checks.a.port: only tcp, http, https and exec checks have it, this one is of type ping\n       leave it out, or write type: tcp, http, https or exec"},
		{"check of plain http", legs + "checks: {a: {type: http, verify: false}}\n", "checks.a.verify: only https checks have it, this one is of type http\n       leave it out, or write type: https"},
		{"check without program", legs + "checks: {a: {type: exec}}\n", "4:13   checks.a.run: required: the program and its arguments, such as [/etc/tarpon/check-db, -q]"},
		{"check of no program", legs + "checks: {a: {type: exec, run: []}}\n", "4:31   checks.a.run: the program is needed here"},
		{"check by shell", legs + "checks: {a: {type: exec, run: /etc/check -q}}\n", "4:31   checks.a.run: a list is needed here"},
		{"check by PATH", legs + "checks: {a: {type: exec, run: [check, /x]}}\n", "4:32   checks.a.run[0]: \"check\": write the program's whole path, from /\n       there is no shell that would look for it"},
		{"check argument", legs + "checks: {a: {type: exec, run: [/x, [y]]}}\n", "checks.a.run[1]: one value is needed here"},
		{"check verify", legs + "checks: {a: {type: https, verify: no}}\n", "\"no\": write true or false"},
		{"check ca", legs + "checks: {a: {type: https, ca: ca.pem}}\n", "checks.a.ca: \"ca.pem\": a file of certificates is named by its whole path, from /"},
		{"check sni", legs + "checks: {a: {type: https, sni: \"shop.example:443\"}}\n", "checks.a.sni: \"shop.example:443\": a name has letters, digits, dots and hyphens"},
		{"unknown check", vip("    check: wep\n"), "6:12   vips[0].check: there is no check \"wep\"; there are: none, tcp\n       define it under `checks:`"},

		{"no vip", legs + "vips:\n  - name: x\n", "5:5    vips[0].vip: required: ADDRESS:PORT/PROTOCOL"},
		{"vip is a name", legs + "vips:\n  - vip: shop:80\n", "\"shop:80\" is not an IP address with a port"},
		{"vip protocol", legs + "vips:\n  - vip: 192.168.26.200:80/sctp\n", "protocol \"sctp\": write /tcp or /udp"},
		{"vip port", legs + "vips:\n  - vip: 192.168.26.200:080\n", "080: write decimal numbers without leading zeros"},
		{"vip mapped", legs + "vips:\n  - vip: \"[::ffff:1.2.3.4]:80\"\n", "is not an IP address with a port"},
		{"vip zone", legs + "vips:\n  - vip: \"[fe80::1%eth0]:80\"\n", "is not an IP address with a port"},
		{"vip unquoted", legs + "vips:\n  - vip: [2001:db8::1]\n", "5:10   vips[0].vip: an IPv6 vip must be quoted in YAML\n         - vip: [2001:db8::1]\n                ^  write \"[2001:db8::1]\""},
		{"real unquoted", legs + "vips:\n  - vip: \"[2001:db8::1]:80\"\n    reals: [[2001:db8::11]:53, \"[2001:db8::12]:53\"]\n",
			"6:13   vips[0].reals[0]: an IPv6 real must be quoted in YAML\n           reals: [[2001:db8::11]:53, \"[2001:db8::12]:53\"]\n                   ^  write \"[2001:db8::11]:53\""},
		{"vip is a list", legs + "vips:\n  - vip: [192.0.2.1:80]\n", "5:10   vips[0].vip: one value is needed here"},
		{"unquoted elsewhere", legs + "checks: {a: {type: http, host: [2001:db8::1]:80}}\n", "4:32   an IPv6 address must be quoted in YAML"},
		{"vip broadcast", legs + "vips:\n  - vip: 255.255.255.255:80\n", "cannot be a vip: it is the broadcast address"},
		{"vip multicast", legs + "vips:\n  - vip: 224.0.0.18:80\n", "cannot be a vip: it is a multicast address"},
		{"vip loopback", legs + "vips:\n  - vip: 127.0.0.1:80\n", "it is a loopback address"},
		{"vip unspecified", legs + "vips:\n  - vip: \"[::]:80\"\n", "it is the unspecified address"},
		{"vip link-local", legs + "vips:\n  - vip: \"[fe80::10]:80\"\n", "fe80::10 is a link-local address: it needs a leg\n       add `leg: NAME`"},
		{"vip prefix", vip("    prefix: 33\n"), "33: write a number from 1 to 32"},
		{"vip prefix end", vip("    prefix: 29\n"), "192.168.26.200 is the network address of 192.168.26.200/29"},
		{"vip leg", vip("    leg: wam\n"), "vips[0].leg: there is no leg \"wam\"; did you mean \"wan\"?"},
		{"vip name", vip("    name: a b\n"), "\"a b\": a name has letters"},
		{"vip name address", vip("    name: 10.0.0.1\n"), "a name must not be an address"},
		{"vip scheduler", vip("    scheduler: wlc\n"), "\"wlc\": write mh, wrr or rr"},
		{"vip enabled", vip("    enabled: yes\n"), "\"yes\": write true or false"},
		{"vip null", vip("    scheduler:\n"), "6:15   vips[0].scheduler: one value is needed here"},
		{"vip names", vip("    name: a\n  - vip: 192.168.26.201:80\n    name: a\n"), "8:11   vips[1].name: \"a\" is the name of the vip at line 5"},
		{"vips of one address", vip("    leg: wan\n  - vip: 192.168.26.200:81\n    leg: none\n"), "7:5    vips[1]: 192.168.26.200 has leg none and prefix 32 here, leg wan and prefix 32 at line 5"},
		{"vips of one address, prefixes", vip("  - vip: 192.168.26.200:81\n    prefix: 24\n"), "6:5    vips[1]: 192.168.26.200 has leg by network and prefix 24 here, leg by network and prefix 32 at line 5\n       vips of one address share leg and prefix"},
		{"vip and floating", vip("    leg: none\nfloating: [{address: 192.168.26.200/24, leg: wan}]\n"), "192.168.26.200 is floating[0], with leg wan and prefix 24; here they are none and 24"},
		{"any-port vip", legs + "vips:\n  - vip: 192.168.26.200/tcp\n", "5:5    vips[0].check.port: required, the vip has every port (port 0)"},
		{"any-port vip, https", legs + "vips:\n  - vip: 192.168.26.200/tcp\n    check: {type: https}\n", "6:12   vips[0].check.port: required, the vip has every port (port 0)"},
		{"any-port real", legs + "vips:\n  - vip: 192.168.26.200:0/udp\n    reals: [{real: 10.0.0.1, check: tcp}]\n", "6:37   vips[0].reals[0].check.port: required"},
		{"any-port real's port", legs + "vips:\n  - vip: 192.168.26.200/udp\n    reals: [10.0.0.1:80]\n", "the vip has every port and a real keeps the client's: leave the port out"},

		{"reals", vip("    reals: 10.0.0.1\n"), "vips[0].reals: a list is needed here"},
		{"real null", vip("    reals: [ , ]\n"), "not YAML"},
		{"real dash", vip("    reals:\n      -\n"), "vips[0].reals[0]: one value is needed here"},
		{"real no address", vip("    reals: [{weight: 1}]\n"), "vips[0].reals[0].real: required"},
		{"real port 0", vip("    reals: [\"10.0.0.1:0\"]\n"), "a real has one port, the vip has port 80"},
		{"real weight", vip("    reals: [{real: 10.0.0.1, weight: 65536}]\n"), "write a number from 0 to 65535"},
		{"real weight minus", vip("    reals: [{real: 10.0.0.1, weight: -1}]\n"), "-1: write a decimal number"},
		{"real weight hex", vip("    reals: [{real: 10.0.0.1, weight: 0x10}]\n"), "0x10: write a decimal number"},
		{"real twice", vip("    reals: [10.0.0.1, \"10.0.0.1:80\"]\n"), "6:23   vips[0].reals[1]: 10.0.0.1:80 appears twice (line 6)"},
		{"real names", vip("    reals: [{real: 10.0.0.1, name: a}, {real: 10.0.0.2, name: a}]\n"), "vips[0].reals[1].name: \"a\" is the name of the real at line 6"},
		{"real is vip", vip("    reals: [192.168.26.200]\n"), "192.168.26.200 is the vip's own address\n       a real is another machine"},
		{"real is other vip", vip("    reals: [192.168.26.201]\n  - vip: 192.168.26.201:80\n"), "vips[0].reals[0]: 192.168.26.201 is a vip's address"},
		{"real is floating", vip("    reals: [10.0.0.254]\nfloating: [{address: 10.0.0.254/24, leg: lan}]\n"), "10.0.0.254 is a floating address (floating[0])"},
		{"real loopback", vip("    reals: [127.0.0.1]\n"), "127.0.0.1 cannot be a real: it is a loopback address"},
		{"real family", vip("    reals: [\"[2001:db8::1]:80\"]\n"), "2001:db8::1 is IPv6, the vip is IPv4; NAT keeps the family"},
		{"mapping for text", vip("    name: {a: b}\n"), "vips[0].name: one value is needed here"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			oneFault(t, func() error { _, err := Parse("f", []byte(test.file)); return err }, test.want)
		})
	}
}

// An alias is told wherever it stands, beside its anchor.
func TestAliases(t *testing.T) {
	_, err := Parse("f", []byte("legs:\n  wan: &a {role: both, interface: eth0}\n  lan: *a\n"))
	for _, want := range []string{"f: 2 errors,", "\n2:8    anchors (&) and aliases (*) are not taken", "\n3:8    anchors"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got:\n%v\nwant:\n%s", err, want)
		}
	}
}

func oneFault(t *testing.T, f func() error, want string) {
	t.Helper()
	err := f()
	list, ok := err.(*Errors)
	if !ok {
		t.Fatalf("got %v", err)
	}
	if len(list.List) != 1 {
		t.Errorf("%d faults, want one", len(list.List))
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("got:\n%s\nwant:\n%s", err, want)
	}
}

func TestHostFaults(t *testing.T) {
	vip := func(endpoint, lines string) string { return legs + "vips:\n  - vip: " + endpoint + "\n" + lines }
	with := func(change func(*Facts)) Facts { f := lab(); change(&f); return f }
	listening := with(func(f *Facts) {
		f.Listeners = func() ([]Listener, error) {
			return []Listener{{mustAddrPort("[::]:22"), loader.TCP}, {mustAddrPort("127.0.0.1:25"), loader.TCP}}, nil
		}
	})
	tests := []struct {
		name, file string
		facts      Facts
		want       string // "": none
	}{
		{"fine", vip("192.168.26.200:80", ""), lab(), ""},
		{"no interface", legs, with(func(f *Facts) { f.Interfaces = f.Interfaces[:2] }), "legs.lan.interface: there is no interface eth1; did you mean \"eth0\"?\n       see: ip link"},
		{"awaited", legs, with(func(f *Facts) {
			f.Interfaces = f.Interfaces[:2]
			f.Awaits = func(name string) bool { return name == "eth1" }
		}), ""},
		{"another is awaited", legs, with(func(f *Facts) {
			f.Interfaces = f.Interfaces[:2]
			f.Awaits = func(name string) bool { return name == "eth7" }
		}), "legs.lan.interface: there is no interface eth1"},
		{"bond port", legs, with(func(f *Facts) {
			f.Interfaces[1].Master = "bond0"
			f.Interfaces = append(f.Interfaces, Interface{Name: "bond0", Kind: "bond"})
		}), "eth0 is a port of the bond bond0, which takes its packets\n       write interface: bond0; mode: auto takes what its kind of bond can do"},
		{"bridge port", legs, with(func(f *Facts) {
			f.Interfaces[2].Master = "br0"
			f.Interfaces = append(f.Interfaces, Interface{Name: "br0", Kind: "bridge"})
		}), "3:34   legs.lan.interface: eth1 is a port of the bridge br0, which takes its packets\n       write interface: br0; its modes are tc and generic"},
		{"vrf port", legs, with(func(f *Facts) {
			f.Interfaces[1].Master = "red"
			f.Interfaces = append(f.Interfaces, Interface{Name: "red", Kind: "vrf"})
		}), ""},
		{"native vlan", "legs: {net: {role: both, interface: eth0, mode: native}}\n", with(func(f *Facts) {
			f.Interfaces[1].Kind, f.Interfaces[1].Parent = "vlan", "eno1"
		}), "1:49   legs.net.mode: eth0 is a VLAN on eno1: it has no native mode\n       write mode: auto, which takes tc"},
		{"no network", vip("203.0.113.9:80", ""), lab(), "5:10   vips[0]: 203.0.113.9 is in no network of an outside leg (wan: 192.168.26.0/24)\n       add `leg: wan`, or `leg: none`"},
		{"no IPv6 network", vip("\"[2001:db8::9]:80\"", ""), lab(), "2001:db8::9 is in no network of an outside leg\n"},
		{"inside network", vip("10.0.0.200:80", ""), lab(), "10.0.0.200 is in no network of an outside leg"},
		{"leg none", vip("203.0.113.9:80", "    leg: none\n"), lab(), ""},
		{"two networks", "legs: {a: {role: both, interface: eth0}, b: {role: both, interface: eth1}}\nvips: [{vip: 192.168.26.200:80}]\n",
			with(func(f *Facts) { f.Interfaces[2].Networks = prefixes("192.168.26.3/25", "192.168.26.4/24") }),
			"is in networks of several outside legs (a: 192.168.26.0/24, b: 192.168.26.0/25, b: 192.168.26.0/24)\n       add `leg: a` or `leg: b`"},
		{"floating network", vip("203.0.113.9:80", "floating: [{address: 203.0.113.1/24, leg: wan}]\n"), lab(), ""},
		{"broadcast", vip("192.168.26.255:80", ""), lab(), "192.168.26.255 is the broadcast address of 192.168.26.0/24 (eth0)"},
		{"gateway", vip("192.168.26.1:80", ""), with(func(f *Facts) { f.Gateways = append(f.Gateways, mustAddrPort("192.168.26.1:0").Addr()) }),
			"192.168.26.1 is this router's default gateway"},
		{"floating gateway", legs + "floating: [{address: 192.168.26.1/24, leg: wan}]\n", with(func(f *Facts) { f.Gateways = append(f.Gateways, mustAddrPort("192.168.26.1:0").Addr()) }),
			"floating[0].address: 192.168.26.1 is this router's default gateway"},
		{"link-local gateway", legs + "floating: [{address: \"fe80::1/64\", leg: wan}]\n", with(func(f *Facts) { f.Gateways = []netip.Addr{netip.MustParseAddr("fe80::1%eth0")} }),
			"floating[0].address: fe80::1 is this router's default gateway"},
		{"link-local gateway elsewhere", legs + "floating: [{address: \"fe80::1/64\", leg: lan}]\n", with(func(f *Facts) { f.Gateways = []netip.Addr{netip.MustParseAddr("fe80::1%eth0")} }), ""},
		{"vip is a link-local gateway", vip("\"[fe80::1]:80\"", "    leg: wan\n"), with(func(f *Facts) { f.Gateways = []netip.Addr{netip.MustParseAddr("fe80::1%eth0")} }),
			"vips[0].vip: fe80::1 is this router's default gateway"},
		{"floating elsewhere", legs + "floating: [{address: 192.168.26.2/24, leg: lan}]\n", lab(), "192.168.26.2 is on eth0 already"},
		{"floating is there", legs + "floating: [{address: 10.0.0.1/24, leg: lan}]\n", lab(), ""},
		{"own address", vip("192.168.26.2:80", ""), listening, ""},
		{"own address, listened on", vip("192.168.26.2:22", ""), listening, "192.168.26.2 is this router's own address (eth0), and something listens on port 22\n       take another address, or add `shares_own_address: true` (lbctl: --shares-own-address)"},
		{"own address, other socket", vip("192.168.26.2:25", ""), listening, ""},
		{"own address, other protocol", vip("192.168.26.2:22/udp", ""), listening, ""},
		{"own address, shared", vip("192.168.26.2:22", "    shares_own_address: true\n"), listening, ""},
		{"own address, every port", vip("192.168.26.2/udp", ""), lab(), "192.168.26.2 is this router's own address (eth0): a vip with every port would take all of it, ssh included"},
		{"real is own", vip("192.168.26.200:80", "    reals: [10.0.0.1]\n"), lab(), "vips[0].reals[0]: 10.0.0.1 is this router's own address (eth1)\n       a real is another machine"},
		{"one address, two legs", vip("192.168.26.200:80", "    leg: lan\n  - vip: 192.168.26.200:81\n"), lab(), "192.168.26.200 has leg wan and prefix 32 here, leg lan and prefix 32 at line 5"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := ParseOn("f", []byte(test.file), test.facts)
			if test.want != "" {
				oneFault(t, func() error { return err }, test.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, vip := range c.Vips {
				if vip.Leg == "" {
					t.Errorf("vip %s has no leg", vip.Endpoint)
				}
			}
		})
	}
}

func TestChangeOfFlows(t *testing.T) {
	parse := func(s string) *Config {
		c, err := Parse("f", []byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	small := parse(legs + "flows:\n  max_ipv4: 2000\n")
	if err := ValidateFlows("f", small, 2000, 2001); err != nil {
		t.Error(err)
	}
	oneFault(t, func() error { return ValidateFlows("f", small, 2001, 0) },
		"5:13   flows.max_ipv4: 2001 flows are live, more than 2000\n       write more, or wait until flows have ended")
}
