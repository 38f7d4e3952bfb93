package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/loader"
)

const pins = `"sha256:1111111111111111111111111111111111111111111111111111111111111111"`

// pairFile is a valid file of a pair; its lines are replaced in tests.
const pairFile = `legs:
  wan: {role: outside, interface: eth0}
  lan: {role: inside, interface: eth1}
  hb: {role: pair, interface: eth2}
floating:
  - {address: 10.0.0.254/24, leg: lan}
vips:
  - vip: 192.168.26.200:80
    name: shop
    reals: [10.0.0.11]
routers:
  - name: lb1
    addresses: {wan: 192.168.26.201, lan: 10.0.0.252, hb: 172.31.0.1}
    priority: 150
    key: "sha256:1111111111111111111111111111111111111111111111111111111111111111"
  - name: lb2
    addresses: {wan: 192.168.26.202, lan: 10.0.0.253, hb: 172.31.0.2}
    interfaces: {wan: ens1f0}
    key: ["sha256:2222222222222222222222222222222222222222222222222222222222222222"]
pair:
  vrid: 77
`

// with replaces parts of a file, each of which must be there.
func with(t *testing.T, file string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(file, pairs[i]) {
			t.Fatalf("%q is not in the file", pairs[i])
		}
		file = strings.Replace(file, pairs[i], pairs[i+1], 1)
	}
	return file
}

// pair adds a key to `pair`.
func inPair(lines string) []string { return []string{"  vrid: 77\n", "  vrid: 77\n" + lines} }

func TestPairFaults(t *testing.T) {
	const lb1 = "{wan: 192.168.26.201, lan: 10.0.0.252, hb: 172.31.0.1}"
	const lb2 = "{wan: 192.168.26.202, lan: 10.0.0.253, hb: 172.31.0.2}"
	const second = "  - name: lb2\n    addresses: " + lb2 + "\n    interfaces: {wan: ens1f0}\n    key: [\"sha256:2222222222222222222222222222222222222222222222222222222222222222\"]\n"
	tests := []struct {
		name   string
		change []string // what, by what
		want   string   // "": none
	}{
		{"fine", nil, ""},

		// of the routers
		{"one router", []string{second, ""}, "12:3   routers: exactly two are a pair, here: 1\n       a single router has no `routers`"},
		{"three routers", []string{second, second + second}, "routers: exactly two are a pair, here: 3"},
		{"no name", []string{"name: lb1\n    ", ""}, "12:5   routers[0].name: required: the machine's hostname, such as lb1"},
		{"name empty", []string{"name: lb1", `name: ""`}, `routers[0].name: "": a name has letters`},
		{"one name", []string{"name: lb2", "name: LB1"}, "16:11  routers[1].name: \"LB1\" is the name of the router at line 12"},
		{"one priority", []string{"    priority: 150\n", ""}, "15:5   routers[1].priority: 100 is the priority of both routers\n       write a higher one for the router that is to be active first"},
		{"priority 255", []string{"150", "255"}, "14:15  routers[0].priority: 255: write a number from 1 to 254"},
		{"one key", []string{"[\"sha256:2222222222222222222222222222222222222222222222222222222222222222\"]", `["sha256:` + strings.Repeat("2", 64) + `", ` + pins + "]"},
			"19:10  routers[1].key: both routers have the key sha256:111111\n       make each its own: lbctl keygen"},
		{"no key", []string{"    key: " + pins + "\n", ""}, "12:5   routers[0].key: the pin of the router's key is missing\n       on that router: lbctl keygen"},
		{"no pin", []string{pins, "sha256:9f86d0"}, `15:10  routers[0].key: "sha256:9f86d0" is no pin: write sha256: and 64 hexadecimal digits, as lbctl keygen prints`},
		{"no keys", []string{pins, "[]"}, "routers[0].key: "},
		{"no addresses", []string{lb1, "{}"}, "13:16  routers[0].addresses: required: its own, by leg"},
		{"addresses missing", []string{"    addresses: " + lb1 + "\n", ""}, "routers[0].addresses: required: its own, by leg, such as {wan: 192.168.26.201}"},
		{"addresses of an unknown leg", []string{"hb: 172.31.0.1}", "hb: 172.31.0.1, la: 10.0.0.9}"}, `13:71  routers[0].addresses.la: unknown key; did you mean "lan"?`},
		{"address with a prefix", []string{"172.31.0.1}", "172.31.0.1/24}"}, `"172.31.0.1/24" is not an IP address, such as 192.0.2.1 or 2001:db8::1`},
		{"address without address", []string{"172.31.0.1}", "[]}"}, "routers[0].addresses.hb: at least one is needed here"},
		{"address of loopback", []string{"172.31.0.1}", "[172.31.0.1, 127.0.0.1]}"}, "127.0.0.1 cannot be a router's: it is a loopback address"},
		{"one address", []string{"172.31.0.2", "172.31.0.1"}, "17:59  routers[1].addresses.hb: 172.31.0.1 is the address of lb1 on hb already"},
		{"one address on two legs", []string{"hb: 172.31.0.2", "hb: 192.168.26.202"}, "routers[1].addresses.wan: 192.168.26.202 is the address of lb2 on hb already"},
		{"one link-local address on two legs", []string{"lan: 10.0.0.252, hb: 172.31.0.1", `lan: [10.0.0.252, fe80::1], hb: [172.31.0.1, fe80::1]`}, ""},
		{"one link-local address on a leg", []string{"hb: 172.31.0.1", "hb: [172.31.0.1, fe80::1]", "hb: 172.31.0.2", "hb: [172.31.0.2, fe80::1]"}, "routers[1].addresses.hb: fe80::1 is the address of lb1 on hb already"},
		{"two addresses of a family", []string{"hb: 172.31.0.1", "hb: [172.31.0.1, 172.31.0.9]"}, "172.31.0.9: one of IPv4, one of IPv6 and a link-local one are enough on a leg"},
		{"interfaces", []string{"ens1f0", "eth1"}, "18:17  routers[1].interfaces: eth1 would be the interface of wan and lan"},
		{"interface", []string{"ens1f0", "lo"}, "18:23  routers[1].interfaces.wan: \"lo\" cannot be a leg's interface"},
		{"secret in the file", []string{pins, pins + "\n    private_key: x"}, "routers[0].private_key: unknown key"},

		// what they hold
		{"floating without own address", []string{", lan: 10.0.0.253", ""}, "6:5    floating[0]: lb2 has no IPv4 address of its own on leg lan\n       add routers[1].addresses.lan, an address that does not move"},
		{"floating of IPv6 without own address", []string{"lan}\nvips", "lan}\n  - {address: \"2001:db8::1/64\", leg: lan}\nvips", "lan: 10.0.0.252", "lan: [10.0.0.252, fe80::1, 2001:db8::2]"},
			"7:5    floating[1]: lb2 has no IPv6 address of its own on leg lan"},
		{"link-local floating without own address", []string{"lan}\nvips", "lan}\n  - {address: \"fe80::1/64\", leg: lan}\nvips"}, ""},
		{"floating is a router's", []string{"10.0.0.254/24", "10.0.0.253/24"}, "6:15   floating[0].address: 10.0.0.253 is lb2's own address: it would not move"},
		{"floating on a pair leg", []string{"10.0.0.254/24, leg: lan", "172.31.0.9/24, leg: hb"}, "6:35   floating[0].leg: hb has the role pair: it carries heartbeats only"},
		{"vip is a router's", []string{"192.168.26.200:80", "192.168.26.202:80\n    shares_own_address: true"}, "8:10   vips[0].vip: 192.168.26.202 is lb2's own address: it would not move"},
		{"vip on a pair leg", []string{"    name: shop\n", "    name: shop\n    leg: hb\n"}, "10:10  vips[0].leg: hb has the role pair"},
		{"real is a router's", []string{"[10.0.0.11]", "[10.0.0.253]"}, "10:13  vips[0].reals[0]: 10.0.0.253 is lb2's own address\n       a real is another machine"},
		{"real is floating", []string{"[10.0.0.11]", "[10.0.0.254]"}, "10.0.0.254 is a floating address (floating[0])"},

		// the election
		{"no pair", []string{"pair:\n  vrid: 77\n", ""}, "12:3   pair.vrid: required: 1 to 255, another than any VRRP router's on these networks\n       add `pair: {vrid: NUMBER}`"},
		{"no vrid", []string{"vrid: 77", "preempt: true"}, "21:3   pair.vrid: required: 1 to 255"},
		{"pair empty", []string{"pair:\n  vrid: 77\n", "pair:\n"}, "pair.vrid: required: 1 to 255"},
		{"vrid 0", []string{"vrid: 77", "vrid: 0"}, "21:9   pair.vrid: 0: write a number from 1 to 255"},
		{"vrid 256", []string{"vrid: 77", "vrid: 256"}, "256: write a number from 1 to 255"},
		{"unknown key", inPair("  virtual_router_id: 5\n"), "22:3   pair.virtual_router_id: unknown key"},
		{"peer", inPair("  peer: keepalived\n"), `22:9   pair.peer: "keepalived": write vrrp or tarpon`},
		{"heartbeat on no leg", inPair("  heartbeats: [hb, lam]\n"), `22:20  pair.heartbeats[1]: there is no leg "lam"; did you mean "lan"?`},
		{"heartbeat without both addresses", append(inPair("  heartbeats: [hb]\n"), ", hb: 172.31.0.2", ""), "22:16  pair.heartbeats[0]: lb2 has no address on hb\n       add routers[1].addresses.hb, or leave the leg out"},
		{"by default only legs with both", []string{", hb: 172.31.0.2", ""}, ""},
		{"heartbeat twice", inPair("  heartbeats: [hb, hb]\n"), "22:20  pair.heartbeats[1]: hb appears twice"},
		{"heartbeat of two families", append(inPair("  heartbeats: [hb]\n"), "172.31.0.2", "fd00::2"), "on hb the routers have no addresses of one family"},
		{"heartbeats nowhere", []string{lb2, "{dmz: 10.1.0.1, lan: 10.0.0.253}", "{wan: 192.168.26.201, lan: 10.0.0.252", "{dmz: 10.1.0.2, lan: 10.0.0.252", "  hb:", "  dmz: {role: inside, interface: eth3}\n  hb:"}, ""},
		{"two heartbeats with vrrp", inPair("  peer: vrrp\n  heartbeats: [hb, lan]\n"), "23:15  pair.heartbeats: a peer that speaks VRRP only has one heartbeat leg, here: hb and lan\n       write the leg of the other router's instance, such as heartbeats: [hb]"},
		{"all heartbeats with vrrp", inPair("  peer: vrrp\n"), "21:3   pair.heartbeats: a peer that speaks VRRP only has one heartbeat leg, here: wan, lan and hb"},
		{"one heartbeat with vrrp", inPair("  peer: vrrp\n  heartbeats: [lan]\n"), ""},
		{"no keys with vrrp", append(inPair("  peer: vrrp\n  heartbeats: [lan]\n"), "    key: "+pins+"\n", ""), ""},
		{"two families with vrrp", append(inPair("  peer: vrrp\n  heartbeats: [lan]\n  advertise: [10.0.0.254, fe80::1]\n"), "leg: lan}\nv", "leg: lan}\n  - {address: fe80::1/64, leg: lan}\nv"),
			"25:14  pair.advertise: a peer that speaks VRRP only elects in one family"},
		{"v2 with 200ms", inPair("  version: 2\n"), "21:3   pair.advert: version 2 of VRRP has no 200ms\n       write whole seconds, as the other router has them, such as advert: 1s"},
		{"v2 with 1500ms", inPair("  version: 2\n  advert: 1500ms\n"), "23:11  pair.advert: version 2 of VRRP has no 1.5s"},
		{"v2 with 2s", inPair("  version: 2\n  advert: 2s\n  v2_password: secret\n"), ""},
		{"version", inPair("  version: 4\n"), "22:12  pair.version: 4: write a number from 2 to 3"},
		{"v2 over IPv6", append(inPair("  version: 2\n  advert: 1s\n  heartbeats: [hb]\n"), "172.31.0.1", "fd00::1", "172.31.0.2", "fd00::2"), "version 2 of VRRP is for IPv4: on hb both routers have IPv6 only"},
		{"password with v3", inPair("  v2_password: secret\n"), "22:16  pair.v2_password: version 3 of VRRP has no password"},
		{"password too long", inPair("  version: 2\n  advert: 1s\n  v2_password: ninechars\n"), "a password of version 2 has up to 8"},
		{"advert of 5ms", inPair("  advert: 5ms\n"), "22:11  pair.advert: 5ms: write a time from 10ms to 40.95s"},
		{"advert of 41s", inPair("  advert: 41s\n"), "41s: write a time from 10ms to 40.95s"},
		{"advert of 15ms", inPair("  advert: 15ms\n"), "15ms: write a multiple of 10ms"},
		{"advert of 40.95s", inPair("  advert: 40.95s\n"), ""},
		{"preempt_delay without preempt", inPair("  preempt_delay: 30s\n"), "22:18  pair.preempt_delay: without preempt there is nothing to delay\n       leave it out, or write preempt: true"},
		{"preempt_delay", inPair("  preempt_delay: 30s\n  preempt: true\n"), ""},
		{"nothing to advertise", []string{"floating:\n  - {address: 10.0.0.254/24, leg: lan}\n", "", "  vrid: 77\n", "  vrid: 77\n  heartbeats: [hb]\n"}, "pair.advertise: adverts on hb go by IPv4 and have no address to name"},
		{"a vip advertised", []string{"floating:\n  - {address: 10.0.0.254/24, leg: lan}\n", "", "  vrid: 77\n", "  vrid: 77\n  advertise: [192.168.26.200]\n"}, ""},
		{"a stranger advertised", inPair("  advertise: [10.0.0.254, 10.0.0.9]\n"), "22:27  pair.advertise[1]: 10.0.0.9 is neither a floating address nor a vip's\n       add it to `floating`"},
		{"advertised twice", inPair("  advertise: [10.0.0.254, 10.0.0.254]\n"), "pair.advertise[1]: 10.0.0.254 appears twice"},
		{"IPv6 advertised", append(inPair("  advertise: [10.0.0.254, \"2001:db8::10\"]\n"), "vips:\n", "vips:\n  - {vip: \"[2001:db8::10]:80\", leg: wan}\n"), "2001:db8::10: the first IPv6 address of an advert is a link-local one\n       put a link-local one before it"},

		// the rest
		{"sync port", inPair("  sync: {port: 0}\n"), "22:16  pair.sync.port: 0: write a number from 1 to 65535"},
		{"sync interval", inPair("  sync: {interval: 0s}\n"), "0s: write a time from 1ms to 10s"},
		{"sync key", inPair("  sync: {key_file: pair.key}\n"), `"pair.key": write the whole path, from /`},
		{"announce", inPair("  announce: {repeat: 0}\n"), "pair.announce.repeat: 0: write a number from 1 to 20"},
		{"track nothing", inPair("  track: [{weight: 5}]\n"), "22:11  pair.track[0]: a leg, a gateway, a quorum or a script is needed here"},
		{"track a word", inPair("  track: [wan]\n"), "pair.track[0]: keys with values are needed here"},
		{"track two", inPair("  track: [{leg: wan, script: /x}]\n"), `pair.track[0].leg: unknown key; there are: fall, interval, rise, script, timeout, weight`},
		{"track no leg", inPair("  track: [{leg: wam}]\n"), `pair.track[0].leg: there is no leg "wam"; did you mean "wan"?`},
		{"track a leg twice", inPair("  track: [{leg: wan}, {leg: wan, weight: 3}]\n"), "pair.track[1]: leg wan is tracked already"},
		{"track weight", inPair("  track: [{leg: wan, weight: 254}]\n"), "254: write a number from 1 to 253"},
		{"track gateway alone", inPair("  track: [{gateway: 192.168.26.1}]\n"), "pair.track[0].leg: required: the leg that the gateway is on"},
		{"track gateway is a router", inPair("  track: [{gateway: 192.168.26.202, leg: wan}]\n"), "pair.track[0].gateway: 192.168.26.202 is lb2's own address"},
		{"track gateway is floating", inPair("  track: [{gateway: 10.0.0.254, leg: lan}]\n"), "pair.track[0].gateway: 10.0.0.254 is a floating address"},
		{"track gateway is many", inPair("  track: [{gateway: 224.0.0.1, leg: lan}]\n"), "224.0.0.1 cannot be a gateway: it is a multicast address"},
		{"track no vip", inPair("  track: [{quorum: shoq}]\n"), `22:20  pair.track[0].quorum: there is no vip "shoq"`},
		{"track a vip by address", inPair("  track: [{quorum: 192.168.26.200:80}]\n"), ""},
		{"track at_least", inPair("  track: [{quorum: shop, at_least: 0}]\n"), "0: write a number from 1 to"},
		{"track script", inPair("  track: [{script: check}]\n"), `"check": write the whole path, from /`},
		{"track script too long", inPair("  track: [{script: /x, interval: 1s, timeout: 2s}]\n"), "pair.track[0].timeout: 2s is longer than the interval, 1s"},
		{"hook for nothing", inPair("  hooks: [{run: [/x]}]\n"), "22:11  pair.hooks[0].on: required: a list of active, standby, fault and split-brain"},
		{"hook for no event", inPair("  hooks: [{run: [/x], on: []}]\n"), "at least one event is needed here, such as active"},
		{"hook for what is not", inPair("  hooks: [{run: [/x], on: [master]}]\n"), `pair.hooks[0].on[0]: "master": write active, standby, fault or split-brain`},
		{"hook by shell", inPair("  hooks: [{run: notify --all, on: [active]}]\n"), "pair.hooks[0].run: a list is needed here"},
		{"hook without program", inPair("  hooks: [{on: [active]}]\n"), "pair.hooks[0].run: required"},
		{"service of both kinds", inPair("  services: [{unit: a.service, start: [/x]}]\n"), "pair.services[0].start: unknown key"},
		{"service without suffix", inPair("  services: [{unit: vsftpd}]\n"), `"vsftpd": a unit is named with its suffix, such as vsftpd.service`},
		{"service without status", inPair("  services: [{name: mux, start: [/x], stop: [/y]}]\n"), "pair.services[0].status: required: the program and its arguments"},
		{"service twice", inPair("  services: [{unit: a.service}, {unit: a.service, critical: true}]\n"), "pair.services[1]: a.service appears twice"},
		{"fence without agent", inPair("  fence: {options: {lb1: /a, lb2: /b}}\n"), "22:10  pair.fence.agent: required"},
		{"fence agent", inPair("  fence: {agent: \"fence_ipmilan -v\", options: {lb1: /a, lb2: /b}}\n"), "an agent is a program such as fence_ipmilan"},
		{"fence one", inPair("  fence: {agent: fence_dummy, options: {lb1: /a}}\n"), "22:40  pair.fence.options: required: files that say how to shoot lb2\n       add `lb2: FILE`"},
		{"fence none", inPair("  fence: {agent: fence_dummy}\n"), "files that say how to shoot lb1 and lb2"},
		{"fence another", inPair("  fence: {agent: fence_dummy, options: {lb1: /a, lb2: /b, lb3: /c}}\n"), `pair.fence.options.lb3: unknown key; did you mean "lb1"?`},
		{"fence secrets", inPair("  fence: {agent: fence_dummy, options: {lb1: {password: x}, lb2: /b}}\n"), "pair.fence.options.lb1: one value is needed here"},
		{"fence on_fail", inPair("  fence: {agent: fence_dummy, options: {lb1: /a, lb2: /b}, on_fail: retry}\n"), `"retry": write proceed or wait`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse("f", []byte(with(t, pairFile, test.change...)))
			if test.want == "" && err != nil {
				t.Error(err)
			}
			if test.want != "" {
				oneFault(t, func() error { return err }, test.want)
			}
		})
	}
	oneFault(t, func() error { _, err := Parse("f", []byte(legs+"pair: {vrid: 7}\n")); return err },
		"4:7    pair: there are no routers to be one\n       add `routers`, or leave `pair` out")
	oneFault(t, func() error { _, err := Parse("f", []byte(legs+"routers: []\n")); return err },
		"4:10   routers: exactly two are a pair, here: 0")
}

// pairLab is lb2.
func pairLab() Facts {
	return Facts{
		Hostname: "lb2.example.org",
		Interfaces: []Interface{
			{Name: "lo", Networks: prefixes("127.0.0.1/8")},
			{Name: "ens1f0", Networks: prefixes("192.168.26.202/24")},
			{Name: "eth1", Networks: prefixes("10.0.0.253/24")},
			{Name: "eth2", Networks: prefixes("172.31.0.2/24")},
		},
		Files: fstest.MapFS{
			"etc/tarpon/pair.key":  {Mode: 0o600},
			"etc/tarpon/open.key":  {Mode: 0o640},
			"etc/tarpon/fence.lb1": {Mode: 0o600},
		},
	}
}

func TestPairOnAMachine(t *testing.T) {
	tests := []struct {
		name   string
		change []string
		facts  func(*Facts)
		want   string // "lb2": no fault, it is lb2
	}{
		{"full hostname", nil, nil, "lb2"},
		{"short hostname", nil, func(f *Facts) { f.Hostname = "LB2" }, "lb2"},
		{"full name", []string{"name: lb2", "name: lb2.example.org"}, nil, "lb2.example.org"},
		{"by address", nil, func(f *Facts) { f.Hostname = "router-7" }, "lb2"},
		{"by --router", nil, func(f *Facts) { f.Hostname, f.Router = "", "lb2" }, "lb2"},
		{"no router of that name", nil, func(f *Facts) { f.Router = "lb3" }, "12:3   routers: there is no router \"lb3\" (--router); did you mean \"lb1\"?"},
		{"no match", nil, func(f *Facts) {
			f.Hostname = "lb3"
			for i := range f.Interfaces {
				f.Interfaces[i].Networks = prefixes("192.168.26.9/24")
			}
		}, "12:3   routers: this machine is \"lb3\" and owns none of 192.168.26.201, .202, 10.0.0.252, .253, 172.31.0.1, .2\n       start with --router lb1|lb2, or correct routers[].name"},
		{"a clone", nil, func(f *Facts) { f.Hostname = "lb1" },
			"12:3   routers: this machine is lb1 by its hostname, and lb2 by its address 192.168.26.202 (ens1f0)\n       is it a copy of the other? correct its hostname and addresses, or `routers`"},
		{"--router and hostname", nil, func(f *Facts) { f.Router = "lb1" }, "this machine is lb1 by --router, and lb2 by its hostname"},
		{"addresses of both", nil, func(f *Facts) { f.Interfaces[2].Networks = prefixes("10.0.0.252/24", "10.0.0.253/24"); f.Hostname = "" },
			"this machine is lb1 by its address 10.0.0.252 (eth1), and lb2 by its address 192.168.26.202 (ens1f0)"},

		{"own address is missing", nil, func(f *Facts) { f.Interfaces[2].Networks = prefixes("10.0.0.9/24") },
			"17:43  routers[1].addresses.lan: lb2 does not have 10.0.0.253 on eth1\n       add it there, or correct routers[1].addresses.lan"},
		{"own address is elsewhere", nil, func(f *Facts) {
			f.Interfaces[2].Networks = nil
			f.Interfaces[3].Networks = prefixes("172.31.0.2/24", "10.0.0.253/24")
		}, "routers[1].addresses.lan: lb2 has 10.0.0.253 on eth2, not on eth1"},
		{"interface is missing", nil, func(f *Facts) { f.Interfaces[1].Name = "ens1f1" }, "18:23  routers[1].interfaces.wan: there is no interface ens1f0; did you mean \"ens1f1\"?"},
		{"interface of the legs is missing", nil, func(f *Facts) { f.Interfaces[2].Name = "eth9" }, "3:34   legs.lan.interface: there is no interface eth1"},
		{"floating is there", nil, func(f *Facts) { f.Interfaces[2].Networks = prefixes("10.0.0.253/24", "10.0.0.254/24") },
			"6:15   floating[0].address: 10.0.0.254 is on eth1 already: both routers would have it\n       take it off the machine: the active router adds it"},
		{"floating in another network", []string{"10.0.0.254/24", "10.1.0.254/24"}, nil,
			"6:15   floating[0].address: lb2 has no address of its own in 10.1.0.0/24 on eth1 (its own: 10.0.0.253)\n       give eth1 one there that does not move, or correct the address and its prefix"},
		{"floating in a second network", []string{"10.0.0.254/24", "10.1.0.254/24"}, func(f *Facts) { f.Interfaces[2].Networks = prefixes("10.0.0.253/24", "10.1.0.9/24") }, "lb2"},
		{"floating in a larger network", []string{"10.0.0.254/24", "10.0.0.254/16"}, nil, "lb2 has no address of its own in 10.0.0.0/16 on eth1"},
		{"floating in a smaller network", []string{"10.0.0.254/24", "10.0.0.254/28"}, nil, "lb2"},
		{"floating alone in its network", []string{"10.0.0.254/24", "10.1.0.254/32"}, nil, "lb2"},
		{"floating of IPv6 in another network", []string{"lan}\nvips", "lan}\n  - {address: \"2001:db8:1::1/64\", leg: lan}\nvips",
			"lan: 10.0.0.252", "lan: [10.0.0.252, 2001:db8::252]", "lan: 10.0.0.253", "lan: [10.0.0.253, 2001:db8::253]"},
			func(f *Facts) { f.Interfaces[2].Networks = prefixes("10.0.0.253/24", "2001:db8::253/64") },
			"floating[1].address: lb2 has no address of its own in 2001:db8:1::/64 on eth1"},
		{"floating on an interface that is awaited", []string{"10.0.0.254/24", "10.1.0.254/24"}, func(f *Facts) {
			f.Interfaces = slices.Delete(f.Interfaces, 2, 3)
			f.Awaits = func(string) bool { return true }
		}, "lb2"},
		{"floating alone", []string{pairFile, legs + "floating:\n  - {address: 10.1.0.254/24, leg: lan}\n"}, func(f *Facts) { *f = lab() }, ""},
		{"vip with the prefix of another network", []string{"192.168.26.200:80\n", "192.168.27.200:80\n    leg: wan\n    prefix: 24\n"}, nil,
			"10:13  vips[0].prefix: lb2 has no address of its own in 192.168.27.0/24 on ens1f0 (its own: 192.168.26.202)"},
		{"vip is there", nil, func(f *Facts) { f.Interfaces[1].Networks = prefixes("192.168.26.202/24", "192.168.26.200/32") },
			"8:10   vips[0].vip: 192.168.26.200 is on ens1f0 already: both routers would have it"},
		{"vip without own address", []string{"{wan: 192.168.26.201, ", "{"}, nil, "8:5    vips[0]: lb1 has no IPv4 address of its own on leg wan\n       add routers[0].addresses.wan"},
		{"vip that is routed to us", []string{"{wan: 192.168.26.201, ", "{", "    name: shop\n", "    name: shop\n    leg: none\n"}, nil, "lb2"},

		{"key file is open", inPair("  sync: {key_file: /etc/tarpon/open.key}\n"), nil,
			"22:20  pair.sync.key_file: /etc/tarpon/open.key can be read by others than its owner (mode 0640)\n       chmod 600 /etc/tarpon/open.key"},
		{"no key file", inPair("  sync: {key_file: /etc/tarpon//no.key}\n"), nil,
			"pair.sync.key_file: there is no /etc/tarpon//no.key\n       make it: lbctl keygen --file /etc/tarpon//no.key"},
		{"no key with vrrp", inPair("  peer: vrrp\n  heartbeats: [lan]\n  sync: {key_file: /etc/tarpon/open.key}\n"), nil, "lb2"},
		{"fence file", inPair("  fence: {agent: fence_dummy, options: {lb1: /etc/tarpon/fence.lb1, lb2: /none}}\n"), nil, "lb2"},
		{"fence file is open", inPair("  fence: {agent: fence_dummy, options: {lb1: /etc/tarpon/open.key, lb2: /none}}\n"), nil,
			"22:46  pair.fence.options.lb1: /etc/tarpon/open.key can be read by others"},
		{"alone", []string{pairFile, legs}, func(f *Facts) { *f = lab(); f.Files = fstest.MapFS{} }, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			facts := pairLab()
			if test.facts != nil {
				test.facts(&facts)
			}
			c, err := ParseOn("f", []byte(with(t, pairFile, test.change...)), facts)
			if strings.Contains(test.want, " ") {
				oneFault(t, func() error { return err }, test.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.Self != test.want {
				t.Errorf("it is %q", c.Self)
			}
			if leg, _ := c.Leg("wan"); test.want != "" && leg.Interface != "ens1f0" {
				t.Errorf("its wan is %s", leg.Interface)
			}
		})
	}
}

func TestPairDefaults(t *testing.T) {
	c := mustParse(t, pairFile)
	want := Pair{
		VRID: 77, Heartbeats: []string{"wan", "lan", "hb"}, Version: 3, Advertise: []netip.Addr{netip.MustParseAddr("10.0.0.254")},
		Advert: 200 * time.Millisecond, Settle: 5 * time.Second,
		Announce: Announce{Repeat: 5, Refresh: time.Minute, Verify: true},
		Sync:     Sync{Port: 4711, KeyFile: "/etc/tarpon/pair.key", Interval: 20 * time.Millisecond},
	}
	if diff := cmp.Diff(want, c.Pair, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if c.Routers[1].Priority != 100 || c.Legs[2].Role != RolePair {
		t.Errorf("%+v", c)
	}
}

// What a router of the pair sees of it.
func TestSide(t *testing.T) {
	const both = "lan: [10.0.0.252, \"fe80::252\", \"2001:db8::252\"], hb: \"fd00::1\"}"
	file := with(t, pairFile,
		"lan: 10.0.0.252, hb: 172.31.0.1}", both, "lan: 10.0.0.253, hb: 172.31.0.2}", strings.NewReplacer("252", "253", "::1", "::2").Replace(both),
		"leg: lan}\n", "leg: lan}\n  - {address: 2001:db8::ff/64, leg: lan}\n  - {address: fe80::1/64, leg: lan}\n")
	links := func(s Side) (list []string) {
		for _, l := range s.Links {
			list = append(list, l.Leg+" "+l.Interface+" "+l.Own.String()+" "+l.Peer.String())
		}
		return list
	}
	tests := []struct {
		name, router string
		change       []string
		links        []string
		advertise    string
		tracks       string
	}{
		{"lb1", "lb1", nil, []string{
			"wan eth0 192.168.26.201 192.168.26.202", "lan eth1 10.0.0.252 10.0.0.253",
			"lan eth1 2001:db8::252 2001:db8::253", "hb eth2 fd00::1 fd00::2",
		}, "[10.0.0.254 fe80::1]", "leg wan, leg lan"},
		{"lb2", "lb2", inPair("  heartbeats: [hb, wan]\n  track: [{script: /x}, {leg: wan, weight: 9}]\n"), []string{
			"hb eth2 fd00::2 fd00::1", "wan ens1f0 192.168.26.202 192.168.26.201",
		}, "[10.0.0.254 fe80::1]", "/x, leg wan, leg lan"},
		{"vrrp", "lb1", inPair("  peer: vrrp\n  heartbeats: [lan]\n"), []string{"lan eth1 10.0.0.252 10.0.0.253"}, "[10.0.0.254]", "leg wan, leg lan"},
		{"vrrp by IPv6", "lb1", inPair("  peer: vrrp\n  heartbeats: [lan]\n  advertise: [fe80::1, 2001:db8::ff]\n"),
			[]string{"lan eth1 fe80::252 fe80::253"}, "[fe80::1 2001:db8::ff]", "leg wan, leg lan"},
		{"vrrp, IPv6 only", "lb1", append(inPair("  peer: vrrp\n  heartbeats: [hb]\n"), "fd00::1", "fe80::a", "fd00::2", "fe80::b"),
			[]string{"hb eth2 fe80::a fe80::b"}, "[fe80::1]", "leg wan, leg lan"},
		{"version 2", "lb2", inPair("  version: 2\n  advert: 1s\n  heartbeats: [lan]\n"), []string{"lan eth1 10.0.0.253 10.0.0.252"}, "[10.0.0.254 fe80::1]", "leg wan, leg lan"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := mustParse(t, with(t, file, test.change...))
			c.Vips[0].Leg = "wan" // as ValidateHost places it
			side, ok := c.ForRouter(test.router)
			if !ok || side.Own.Name != test.router || side.Peer.Name == test.router {
				t.Fatalf("%t %+v", ok, side)
			}
			if diff := cmp.Diff(test.links, links(side)); diff != "" {
				t.Error(diff)
			}
			var tracks []string
			for _, track := range side.Tracks {
				tracks = append(tracks, track.subject())
			}
			if got := strings.Join(tracks, ", "); got != test.tracks {
				t.Errorf("tracks %s, want %s", got, test.tracks)
			}
			var advertise []string
			for _, addr := range c.Pair.Advertise {
				advertise = append(advertise, addr.String())
			}
			if got := "[" + strings.Join(advertise, " ") + "]"; got != test.advertise {
				t.Errorf("advertises %s, want %s", got, test.advertise)
			}
		})
	}
	side, _ := mustParse(t, with(t, file, inPair("  fence: {agent: fence_dummy, options: {lb1: /one, lb2: /two}}\n")...)).ForRouter("lb2")
	for like, want := range map[string]string{"10.0.0.11": "10.0.0.253", "2001:db8::11": "2001:db8::253", "fe80::9": "fe80::253"} {
		if got := side.Address("lan", netip.MustParseAddr(like)); got.String() != want {
			t.Errorf("beside %s it has %s, want %s", like, got, want)
		}
	}
	if side.Fence != "/one" || side.Address("wan", netip.IPv6Loopback()).IsValid() || !slices.Contains(side.Legs, Leg{"wan", loader.Outside, "ens1f0", loader.Auto}) {
		t.Errorf("%+v", side)
	}
	if _, ok := mustParse(t, file).ForRouter("lb3"); ok {
		t.Error("lb3 has a side")
	}
}

// A router joins a pair by its file and leaves it only by a command.
func TestStay(t *testing.T) {
	alone, paired := mustParse(t, legs), mustParse(t, pairFile)
	for _, fine := range [][2]*Config{{alone, alone}, {alone, paired}, {paired, paired}} {
		if err := ValidateStay("f", fine[0], fine[1]); err != nil {
			t.Error(err)
		}
	}
	oneFault(t, func() error { return ValidateStay("f", paired, alone) },
		"routers: they were taken out: this router would be active alone, beside the other one\n       to leave the pair: lbctl pair leave")
}

// What the pair refers to stays, though an edit of one vip reads that vip alone.
func TestEditKnowsWhatThePairNeeds(t *testing.T) {
	var vips strings.Builder
	for n := range 9 {
		fmt.Fprintf(&vips, "  - {vip: 192.168.26.%d:80, name: vip%d}\n", 100+n, n)
	}
	facts := pairLab()
	f, err := Open("f", []byte(with(t, pairFile, append(inPair("  advertise: [10.0.0.254, 192.168.26.104]\n  track: [{quorum: vip3}]\n"),
		"routers:\n", vips.String()+"routers:\n")...)), facts)
	if err != nil {
		t.Fatal(err)
	}
	rename := func(vip string) func([]byte) ([]byte, error) {
		return func(d []byte) ([]byte, error) { return EditVip(d, vip, []Setting{{Key: "name", Value: "other"}}) }
	}
	if f.editVip("vip5", facts, rename("vip5")) == nil {
		t.Error("an edit of another vip reads the whole file")
	}
	for vip, edit := range map[string]func([]byte) ([]byte, error){
		"vip3": rename("vip3"),
		"vip4": func(d []byte) ([]byte, error) { return DeleteVip(d, "vip4") },
	} {
		if _, err := f.Edit(vip, facts, edit); err == nil {
			t.Errorf("%s was taken away", vip)
		}
	}
}
