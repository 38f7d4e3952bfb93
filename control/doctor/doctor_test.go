package doctor

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/loader"
)

// well is a router with nothing to find.
func well() Facts {
	const vip = "192.0.2.100:80/tcp"
	return Facts{
		Kernel: Kernel{Release: "6.12.1", Major: 6, Minor: 12, JIT: true},
		Legs: []Leg{
			{Name: "wan", Interface: "eth0", Role: loader.Outside, Up: true, MTU: 1500, Attached: true, Mode: loader.Native},
			{Name: "lan", Interface: "eth1", Role: loader.Inside, Up: true, MTU: 1500, Attached: true, Mode: loader.Native},
		},
		IPv6: true, IPv6Forwarding: true,
		Tables: []Table{{Family: "IPv4", Flows: 799, Max: 1000}, {Family: "IPv6", Max: 1000}},
		Backends: []Backend{
			{Vip: vip, Real: "10.0.0.11:80", CheckedUp: true, Waiting: 50, Answered: 1, Oldest: time.Minute, PacketsOut: 9},
			{Vip: vip, Real: "10.0.0.12:80", CheckedUp: true, Waiting: 50, Oldest: 0},
			{Vip: vip, Real: "10.0.0.13:80", CheckedUp: true, Waiting: 2, Oldest: time.Minute},
		},
		Reasons: map[string]uint64{"forward_in": 7},
		Pair: api.Pair{
			Paired: true, Own: api.PairRouter{Name: "lb1"}, Peer: api.PairRouter{Name: "lb2"}, InSync: api.InSync{Yes: true},
			Heartbeats: []api.Heartbeat{{Leg: "hb", Up: true}}, Adverts: api.Adverts{Interval: 0.1},
		},
	}
}

func TestFindings(t *testing.T) {
	if findings := Findings(well()); len(findings) > 0 {
		t.Errorf("found on a router that is well: %+v", findings)
	}
	for _, test := range []struct {
		name  string
		spoil func(*Facts)
		want  string // how it begins: severity kind where: what -> remedy
	}{
		{"a real whose answers go elsewhere", func(f *Facts) {
			f.Backends[2].Waiting, f.Backends[2].Gateway = 3, netip.MustParseAddr("10.0.0.254")
		}, "fault no_replies 10.0.0.13:80 of vip 192.0.2.100:80/tcp: 3 flows wait for an answer, and never did one come back through this router, though it answers the router's own checks -> make this router the real's default gateway: ip route replace default via 10.0.0.254; then see its firewall"},
		{"a real whose answers go elsewhere since a while", func(f *Facts) {
			f.Backends[2].Waiting, f.Backends[2].PacketsOut, f.Backends[2].CheckedUp = 3, 5, false
		}, "fault no_replies 10.0.0.13:80 of vip 192.0.2.100:80/tcp: 3 flows wait for an answer, and none has one -> see whether the service"},
		{"a duplicate address", func(f *Facts) {
			f.Duplicates = []Duplicate{{netip.MustParseAddr("192.0.2.100"), "wan", "eth0", "02:00:00:00:00:09"}}
		}, "fault duplicate_address leg wan (eth0): 02:00:00:00:00:09 has 192.0.2.100 too -> take"},
		{"a leg without a program", func(f *Facts) { f.Legs[0].Attached = false }, "fault leg_not_attached leg wan (eth0): no program runs on it -> see lbctl status"},
		{"a leg that is down", func(f *Facts) { f.Legs[0].Up = false }, "fault leg_down leg wan (eth0): it is down, or has no carrier -> ip link set eth0 up"},
		{"a driver without XDP", func(f *Facts) { f.Legs[0].Mode, f.Legs[0].Reason = loader.TC, "the driver refuses XDP" },
			"warning mode leg wan (eth0): mode tc, not native: the driver refuses XDP -> a driver"},
		{"a bond", func(f *Facts) { f.Legs[0].Reason = "a bond: what comes in by its ports goes by TC" },
			"note mode leg wan (eth0): mode native, but a bond: what comes in"},
		{"TC by configuration", func(f *Facts) {
			f.Legs[0].Wanted, f.Legs[0].Mode, f.Legs[0].Reason = loader.TC, loader.TC, "the configuration says so"
		}, "note mode leg wan (eth0): mode tc, not native: the configuration says so"},
		{"generic by configuration", func(f *Facts) {
			f.Legs[0].Wanted, f.Legs[0].Mode, f.Legs[0].Reason = loader.Generic, loader.Generic, "the configuration says so"
		}, "warning mode leg wan (eth0): mode generic, not native: the configuration says so -> write"},
		{"another program", func(f *Facts) { f.Legs[1].Others = []Owner{{"xdp", "program 9, filter"}} },
			"warning other_program leg lan (eth1): somebody else's XDP program runs there too: program 9, filter -> see"},
		{"an offload", func(f *Facts) { f.Legs[1].Offloads = []string{"rx-lro"} }, "warning offload leg lan (eth1): rx-lro is on, and should not be -> ethtool -K eth1 rx-lro off"},
		{"a small MTU inside", func(f *Facts) { f.Legs[1].MTU = 1400 },
			"warning mtu leg lan (eth1): its MTU is 1400, below that of leg wan, 1500: large packets of clients are refused with ICMP -> ip link set eth1 mtu 1500"},
		{"a large MTU inside", func(f *Facts) { f.Legs[1].MTU = 9000 }, ""},
		{"forwarding is off", func(f *Facts) { f.Sysctls = []Sysctl{{"net.ipv4.conf.eth0.forwarding", "0", "1"}} },
			"fault sysctl net.ipv4.conf.eth0.forwarding: it is 0, not 1 -> find"},
		{"redirects are sent", func(f *Facts) { f.Sysctls = []Sysctl{{"net.ipv4.conf.eth0.send_redirects", "1", "0"}} },
			"warning sysctl net.ipv4.conf.eth0.send_redirects: it is 1, not 0 -> find"},
		{"no IPv6 forwarding", func(f *Facts) { f.IPv6Forwarding = false }, "warning ipv6_forwarding net.ipv6.conf.all.forwarding: it is 0"},
		{"no IPv6 at all", func(f *Facts) { f.IPv6, f.IPv6Forwarding = false, false }, ""},
		{"clients beside the reals", func(f *Facts) { f.Reasons["drop_needs_full_nat"] = 12 }, "warning needs_full_nat clients on the reals' own network: 12 packets"},
		{"clients beside the reals, where it may be", func(f *Facts) {
			f.Reasons["drop_needs_full_nat"] = 12
			f.Shared = []Shared{
				{"lan", "eth1", netip.MustParsePrefix("10.0.0.0/24"), []string{"a:1/tcp", "b:2/tcp", "c:3/tcp", "d:4/tcp", "e:5/tcp"}},
				{"lan", "eth1", netip.MustParsePrefix("2001:db8:2::/64"), []string{"f:6/udp"}},
			}
		}, "warning needs_full_nat leg lan (eth1): 12 packets were dropped: the real would have answered such a client directly, past this router; " +
			"10.0.0.0/24 has reals of vip a:1/tcp, b:2/tcp, c:3/tcp and 2 more, 2001:db8:2::/64 has reals of vip f:6/udp -> " +
			"let these clients use a real's address, or put them on another network; then lbctl stats --zero " +
			"(who may it be: ip neigh show dev eth1; is it: lbctl explain --from CLIENT --to a:1/tcp)"},
		{"reals beside nobody", func(f *Facts) { f.Shared = []Shared{{Leg: "lan"}} }, ""},
		{"a table that fills", func(f *Facts) { f.Tables[0].Flows = 800 }, "warning table_fills flow table of IPv4: 800 flows of 1000 -> raise flows.max_ipv4"},
		{"a table that was full", func(f *Facts) { f.Reasons["flow_full"] = 3 }, "note table_was_full flow tables: 3 flows found no slot"},
		{"a rule for a vip", func(f *Facts) {
			f.Mentions = []Mention{{"nftables inet filter input", "192.0.2.100:80/tcp", "address"}}
		},
			"warning firewall_rule nftables inet filter input: it names the address of vip 192.0.2.100:80/tcp, whose traffic netfilter does not see -> filter"},
		{"a rule for its port", func(f *Facts) { f.Mentions = []Mention{{"nftables inet filter input", "192.0.2.100:80/tcp", "port"}} },
			"note firewall_rule nftables inet filter input: it names the port of vip 192.0.2.100:80/tcp"},
		{"no link", func(f *Facts) { f.Pair.Heartbeats[0].Up = false }, "warning pair_no_link pair: there is no connection to lb2 -> does it run?"},
		{"two configurations", func(f *Facts) {
			f.Pair.Agreement = api.Agreement{
				State: "conflict", Own: api.RevisionID{Revision: 43, SHA256: "a1b2c3d4"}, Peer: api.RevisionID{Revision: 43, SHA256: "0f1e2d3c"}, Remedy: "decide",
			}
		}, "fault pair_conflict pair: lb1 runs revision 43 a1b2c3, lb2 another one, 43 0f1e2d -> decide"},
		{"not in sync, just so", func(f *Facts) { f.Pair.InSync.Yes, f.NotInSync = false, 59*time.Second }, ""},
		{"not in sync", func(f *Facts) { f.Pair.InSync.Yes, f.NotInSync = false, time.Minute },
			"warning pair_not_in_sync pair: not in sync with lb2 for 1m0s: a failover would cut connections -> lbctl pair status"},
		{"a neighbour that does not follow", func(f *Facts) {
			f.Pair.Transition = &api.Transition{Silent: []string{"neighbour 192.0.2.1 does not answer to 192.0.2.100"}}
		}, "fault neighbour_silent pair: neighbour 192.0.2.1 does not answer to 192.0.2.100 -> it has"},
		{"fast adverts", func(f *Facts) { f.Pair.Adverts = api.Adverts{Interval: 0.09, Sent: 1000, Late: 2} },
			"warning pair_fast_adverts pair: adverts are 90 ms apart: an active router that is busy for three of them loses the service (2 of 1000 were late) -> write `pair.advert: 100ms` or more"},
		{"another VRID", func(f *Facts) { f.Pair.OtherVRIDs = []api.OtherVRID{{VRID: 51, Interface: "eth0", From: "192.0.2.7"}} },
			"note other_vrid eth0: 192.0.2.7 uses VRID 51 there"},
		{"a foreign peer", func(f *Facts) {
			f.Pair.Foreign, f.Pair.InSync.Yes, f.NotInSync, f.Pair.Heartbeats = true, false, time.Hour, nil
		}, "note pair_foreign pair: lb2 is no Tarpon (peer: vrrp): when the service moves, its connections break; changes"},
		{"no JIT", func(f *Facts) { f.Kernel.JIT = false }, "warning no_jit kernel 6.12.1: BPF programs are interpreted"},
		{"run times", func(f *Facts) { f.Kernel.Stats = true }, "warning bpf_stats kernel 6.12.1: every program's run time"},
		{"6.1", func(f *Facts) { f.Kernel = Kernel{Release: "6.1.0-50", Major: 6, Minor: 1, JIT: true} }, "note no_tcx kernel 6.1.0-50: before 6.6"},
		{"something unknown", func(f *Facts) { f.Miss("sysctls", errors.New("no /proc")) }, "note unknown doctor: sysctls: no /proc"},
	} {
		facts := well()
		test.spoil(&facts)
		var lines []string
		for _, f := range Findings(facts) {
			lines = append(lines, strings.Join([]string{f.Severity, f.Kind, f.Where + ":", f.What, "->", f.Remedy}, " "))
		}
		got := strings.Join(lines, "\n")
		if len(lines) > 1 || !strings.HasPrefix(got, test.want) || test.want == "" && got != "" {
			t.Errorf("%s:\n%s\nwant:\n%s", test.name, got, test.want)
		}
	}
}

func TestTheWorstIsFirst(t *testing.T) {
	facts := well()
	facts.Kernel.Minor = 1
	facts.Kernel.JIT = false
	facts.Backends[2].Waiting = 3
	var got []string
	for _, f := range Findings(facts) {
		got = append(got, f.Severity)
	}
	if want := []string{api.SeverityFault, api.SeverityWarning, api.SeverityNote}; !cmp.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// The rules are what nft 1.0.6 printed.
func TestMentions(t *testing.T) {
	ruleset, err := os.ReadFile("testdata/ruleset.json")
	if err != nil {
		t.Fatal(err)
	}
	vips := map[string]loader.Endpoint{}
	for _, vip := range []string{
		"192.0.2.100:80", "192.0.2.101:8443", "192.0.2.102:81", "203.0.113.1:22", "203.0.113.2:8100", "203.0.113.3:81",
		"198.51.100.1:1", "[2001:db8::1]:80", "[2001:db8::2]:81",
	} {
		vips[vip] = loader.Endpoint{AddrPort: netip.MustParseAddrPort(vip), Protocol: loader.TCP}
	}
	got, err := Mentions(ruleset, vips)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, m := range got {
		lines = append(lines, m.Rule+": "+m.What+" of "+m.Vip)
	}
	want := []string{
		"nftables inet t, set s: address of [2001:db8::1]:80",
		// ip daddr 192.0.2.100 tcp dport 80
		"nftables inet t in: address of 192.0.2.100:80", "nftables inet t in: port of [2001:db8::1]:80",
		// tcp dport {22, 80}; ip saddr 192.0.0.0/8 is about others
		"nftables inet t in: port of 192.0.2.100:80", "nftables inet t in: port of 203.0.113.1:22",
		// ip daddr 192.0.2.0/24
		"nftables inet t in: network of 192.0.2.100:80", "nftables inet t in: network of 192.0.2.101:8443", "nftables inet t in: network of 192.0.2.102:81",
		// tcp dport 8000-9000
		"nftables inet t in: port of 192.0.2.101:8443", "nftables inet t in: port of 203.0.113.2:8100",
		// ip daddr 198.51.100.1 tcp dport 443 dnat to 10.0.0.11:8443
		"nftables ip nat pre: port of 192.0.2.101:8443", "nftables ip nat pre: address of 198.51.100.1:1",
	}
	if d := cmp.Diff(want, lines); d != "" {
		t.Error(d)
	}
	if _, err := Mentions([]byte("{"), vips); err == nil {
		t.Error("half a ruleset is taken")
	}
}
