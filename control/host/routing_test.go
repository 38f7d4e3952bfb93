package host

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// What the kernel says of its routes, as we understand it.
func TestRoutes(t *testing.T) {
	const links = pair + `
		ip addr add 192.0.2.1/24 dev wan
		ip addr add 10.0.0.1/24 dev lan
		ip addr add 2001:db8::1/64 dev wan nodad
	`
	for _, test := range []struct {
		name, add, prefix string
		family            int
		want              func(wan, lan int) *route // nil: none of ours
	}{
		{"connected", "true", "10.0.0.0/24", unix.AF_INET, func(_, lan int) *route { return &route{link: lan} }},
		{"default", "ip route add default via 192.0.2.254", "0.0.0.0/0", unix.AF_INET,
			func(wan, _ int) *route { return &route{link: wan, via: addr("192.0.2.254")} }},
		{"IPv6", "ip route add 2001:db8:9::/48 via 2001:db8::9", "2001:db8:9::/48", unix.AF_INET6,
			func(wan, _ int) *route { return &route{link: wan, via: addr("2001:db8::9"), metric: 1024} }},
		{"by the other family", "ip -4 route add 203.0.113.0/24 via inet6 fe80::9 dev lan", "203.0.113.0/24", unix.AF_INET,
			func(_, lan int) *route { return &route{link: lan, via: addr("fe80::9")} }},
		{"metric and MTU", "ip route add 203.0.113.0/24 via 10.0.0.9 metric 7 mtu 1300", "203.0.113.0/24", unix.AF_INET,
			func(_, lan int) *route { return &route{link: lan, via: addr("10.0.0.9"), metric: 7, mtu: 1300} }},
		{"by TOS", "ip route add 203.0.113.0/24 tos 0x10 via 10.0.0.9", "203.0.113.0/24", unix.AF_INET,
			func(_, lan int) *route { return &route{link: lan, via: addr("10.0.0.9"), choosy: true} }},
		{"multipath", "ip route add 203.0.113.0/24 nexthop via 10.0.0.9 nexthop via 192.0.2.9", "203.0.113.0/24", unix.AF_INET,
			func(_, _ int) *route { return &route{unusable: "a multipath route"} }},
		{"blackhole", "ip route add blackhole 203.0.113.0/24", "203.0.113.0/24", unix.AF_INET,
			func(_, _ int) *route { return &route{unusable: "a blackhole route"} }},
		{"link down", "ip link set lan down\nip link set wan down\nip link set wan up\nip route add 203.0.113.0/24 dev wan", "203.0.113.0/24", unix.AF_INET,
			func(wan, _ int) *route { return &route{link: wan, unusable: "a route whose link is down"} }},
		{"another table", "ip route add 203.0.113.0/24 via 10.0.0.9 table 100", "203.0.113.0/24", unix.AF_INET, nil},
		{"multicast", "ip route add multicast 232.0.0.0/8 dev lan", "232.0.0.0/8", unix.AF_INET, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, _ := openTest(t, links+test.add)
			index := h.interfaceIndexes()
			found, err := h.routing.routes(test.family, func(r route) bool { return r.dst == prefix(test.prefix) })
			if err != nil {
				t.Fatal(err)
			}
			var want []route
			if test.want != nil {
				r := test.want(index["wan"], index["lan"])
				r.dst = prefix(test.prefix)
				want = append(want, *r)
			}
			if diff := cmp.Diff(want, found, cmp.AllowUnexported(route{}), comparePrefixes, compareAddrs); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRules(t *testing.T) {
	const (
		only    = "ip rule del priority 32766\nip rule add table main priority 32766 "
		special = "there are policy rules (ip rule: priority 32766)"
	)
	for _, test := range []struct {
		name, add string
		want      string
	}{
		{"the kernel's", "true", ""},
		{"another table", "ip rule add table 100 priority 50", "there are policy rules (ip rule: priority 50)"},
		{"a prohibition", "ip rule add prohibit priority 80", "there are policy rules (ip rule: priority 80)"},
		{"main deleted", "ip rule del priority 32766", "no policy rule looks into the main table"},
		{"main for nobody", only + "not from all", special},
		{"main by source", only + "from 10.0.0.0/8", special},
		{"main by destination", only + "to 10.0.0.0/8", special},
		{"main by TOS", only + "tos 0x10", special},
		{"main by mark", only + "fwmark 1", special},
		{"main by interface", only + "iif lo", special},
		{"main by port", only + "ipproto tcp dport 80", special},
		{"main but for short prefixes", only + "suppress_prefixlength 0", special},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, _ := openTest(t, test.add)
			got, err := h.routing.policy(unix.AF_INET)
			if err != nil || got != test.want {
				t.Errorf("%q (%v), want %q", got, err, test.want)
			}
			if got, err := h.routing.policy(unix.AF_INET6); err != nil || got != "" {
				t.Errorf("IPv6: %q (%v)", got, err)
			}
		})
	}
}
