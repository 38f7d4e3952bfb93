package host

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestGateways(t *testing.T) {
	const links = `
		ip link add wan type veth peer name lan
		ip link set wan up
		ip link set lan up
		ip addr add 192.0.2.10/24 dev wan
		ip addr add 198.51.100.10/24 dev lan
		ip addr add 2001:db8::10/64 dev wan nodad
	`
	for _, test := range []struct {
		name, routes string
		want         []string
	}{
		{"none", "ip route add 203.0.113.0/24 via 192.0.2.1", nil},
		{"both families", "ip route add default via 192.0.2.1\nip route add default via 2001:db8::1", []string{"192.0.2.1", "2001:db8::1"}},
		{"several metrics, one gateway", "ip route add default via 192.0.2.1 metric 5\nip route add default via 192.0.2.1 metric 6", []string{"192.0.2.1"}},
		{"multipath", "ip route add default nexthop via 192.0.2.1 nexthop via 198.51.100.1", []string{"192.0.2.1", "198.51.100.1"}},
		{"multipath, link-local", "ip route add default nexthop via fe80::1 dev wan nexthop via fe80::1 dev lan", []string{"fe80::1%lan", "fe80::1%wan"}},
		{"nexthop object", "ip nexthop add id 7 via 192.0.2.1 dev wan\nip route add default nhid 7", []string{"192.0.2.1"}},
		{"by the other family", "ip -4 route add default via inet6 fe80::2 dev lan", []string{"fe80::2%lan"}},
		{"another table", "ip route add default via 198.51.100.9 table 100", []string{"198.51.100.9"}},
		{"no gateway", "ip route add default dev wan", nil},
		{"blackhole", "ip route add blackhole default", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, _ := openTest(t, links+test.routes)
			addrs, err := h.Gateways()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, addr := range addrs {
				got = append(got, addr.String())
			}
			slices.Sort(got)
			if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
