package host

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

var (
	wanMAC     = MAC{2, 0, 0, 0, 0, 1}
	lanMAC     = MAC{2, 0, 0, 0, 0, 2}
	gatewayMAC = MAC{2, 0, 0, 0, 0, 9}
	realMAC    = MAC{2, 0, 0, 0, 0, 11}
)

// Indices of the interfaces in routerView.
const (
	wan = iota + 1
	lan
	other // no leg
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func connected(prefix string, link int) route {
	return route{dst: netip.MustParsePrefix(prefix), link: link}
}

func via(prefix, gateway string, link int) route {
	return route{dst: netip.MustParsePrefix(prefix), link: link, via: addr(gateway)}
}

// routerView is a router with two legs, its gateway and one real.
func routerView(change func(*view)) *view {
	v := &view{
		legs: map[int]bool{wan: true, lan: true},
		links: map[int]link{
			wan:   {"wan", wanMAC, true, 1500, true},
			lan:   {"lan", lanMAC, true, 9000, true},
			other: {"tun0", MAC{}, false, 1400, true},
		},
		own: map[netip.Addr]bool{addr("192.0.2.1"): true, addr("10.0.0.1"): true, addr("192.0.2.100"): true, addr("127.0.0.1"): true},
		neighbours: map[neighbourKey]neighbour{
			{wan, addr("192.0.2.254")}: {mac: gatewayMAC, state: unix.NUD_REACHABLE},
			{lan, addr("10.0.0.11")}:   {mac: realMAC, state: unix.NUD_STALE},
		},
	}
	v.routes[ipv4] = newRouteTable([]route{
		via("0.0.0.0/0", "192.0.2.254", wan), connected("192.0.2.0/24", wan), connected("10.0.0.0/24", lan),
	}, 0)
	v.routes[ipv6] = newRouteTable(nil, 0)
	if change != nil {
		change(v)
	}
	return v
}

// withRoutes replaces what leads to the real.
func withRoutes(routes ...route) func(*view) {
	return func(v *view) { v.routes[ipv4] = newRouteTable(routes, 0) }
}

func withNeighbour(link int, address string, n neighbour) func(*view) {
	return func(v *view) { v.neighbours[neighbourKey{link, addr(address)}] = n }
}

func TestPathOfAReal(t *testing.T) {
	direct := NextHop{lan, lanMAC, realMAC, 9000}
	lanReal := neighbourKey{lan, addr("10.0.0.11")}
	for _, test := range []struct {
		name   string
		change func(*view)
		real   string
		want   Path
		via    neighbourKey
	}{
		{"on the leg's network", nil, "10.0.0.11", Path{NextHop: direct}, lanReal},
		{"by a gateway", nil, "203.0.113.9", Path{NextHop: NextHop{wan, wanMAC, gatewayMAC, 1500}}, neighbourKey{wan, addr("192.0.2.254")}},
		{"the longer prefix", withRoutes(connected("10.0.0.0/8", wan), connected("10.0.0.0/24", lan)), "10.0.0.11", Path{NextHop: direct}, lanReal},
		{"the lesser metric", withRoutes(route{dst: netip.MustParsePrefix("10.0.0.0/24"), link: wan, metric: 9}, connected("10.0.0.0/24", lan)), "10.0.0.11", Path{NextHop: direct}, lanReal},
		{"a route's MTU", withRoutes(route{dst: netip.MustParsePrefix("10.0.0.0/24"), link: lan, mtu: 1400}), "10.0.0.11",
			Path{NextHop: NextHop{lan, lanMAC, realMAC, 1400}}, lanReal},
		{"a route's MTU above the interface's", withRoutes(route{dst: netip.MustParsePrefix("10.0.0.0/24"), link: lan, mtu: 65000}), "10.0.0.11", Path{NextHop: direct}, lanReal},

		{"own address", nil, "10.0.0.1", Path{Reason: "it is an address of this machine"}, neighbourKey{}},
		{"no route", withRoutes(connected("192.0.2.0/24", wan)), "10.0.0.11", Path{Reason: "no route"}, neighbourKey{}},
		{"no route of the family", nil, "2001:db8::11", Path{Reason: "no route"}, neighbourKey{}},
		{"policy rules", func(v *view) { v.policy[ipv4] = "there are rules" }, "10.0.0.11", Path{Reason: "there are rules"}, neighbourKey{}},
		{"policy rules of the other family", func(v *view) { v.policy[ipv6] = "there are rules" }, "10.0.0.11", Path{NextHop: direct}, lanReal},
		{"two routes of one metric", withRoutes(connected("10.0.0.0/24", wan), connected("10.0.0.0/24", lan)), "10.0.0.11",
			Path{Reason: "several routes of one metric to 10.0.0.0/24"}, neighbourKey{}},
		{"one route by TOS", withRoutes(connected("10.0.0.0/24", lan), route{dst: netip.MustParsePrefix("10.0.0.0/24"), link: wan, choosy: true}), "10.0.0.11",
			Path{Reason: "routes that choose by TOS or source to 10.0.0.0/24"}, neighbourKey{}},
		{"the one by TOS first", withRoutes(route{dst: netip.MustParsePrefix("10.0.0.0/24"), link: wan, choosy: true}, connected("10.0.0.0/24", lan)), "10.0.0.11",
			Path{Reason: "routes that choose by TOS or source to 10.0.0.0/24"}, neighbourKey{}},
		{"a blackhole", withRoutes(route{dst: netip.MustParsePrefix("10.0.0.0/24"), unusable: "a blackhole route"}), "10.0.0.11",
			Path{Reason: "a blackhole route to 10.0.0.0/24"}, neighbourKey{}},
		{"by no leg", withRoutes(connected("10.0.0.0/24", other)), "10.0.0.11",
			Path{Reason: "the route to 10.0.0.0/24 leaves by tun0, which is no leg"}, neighbourKey{}},
		{"not Ethernet", func(v *view) { withRoutes(connected("10.0.0.0/24", other))(v); v.legs[other] = true }, "10.0.0.11",
			Path{Reason: "tun0 is not Ethernet"}, neighbourKey{}},
		{"the interface is gone", withRoutes(connected("10.0.0.0/24", 77)), "10.0.0.11",
			Path{Reason: "the interface of the route to 10.0.0.0/24 is gone"}, neighbourKey{}},
		{"link down", func(v *view) { v.links[lan] = link{"lan", lanMAC, true, 9000, false} }, "10.0.0.11",
			Path{Reason: "lan is down or has no carrier"}, lanReal},

		{"no neighbour", nil, "10.0.0.12", Path{Reason: "10.0.0.12 does not answer on lan"}, neighbourKey{lan, addr("10.0.0.12")}},
		{"neighbour failed", withNeighbour(lan, "10.0.0.11", neighbour{mac: realMAC, state: unix.NUD_FAILED}), "10.0.0.11",
			Path{Reason: "10.0.0.11 does not answer on lan"}, lanReal},
		{"neighbour without a MAC", withNeighbour(lan, "10.0.0.11", neighbour{state: unix.NUD_REACHABLE}), "10.0.0.11",
			Path{Reason: "10.0.0.11 does not answer on lan"}, lanReal},
		{"neighbour of another link", withNeighbour(wan, "10.0.0.12", neighbour{mac: realMAC, state: unix.NUD_REACHABLE}), "10.0.0.12",
			Path{Reason: "10.0.0.12 does not answer on lan"}, neighbourKey{lan, addr("10.0.0.12")}},
		{"the administrator's neighbour", withNeighbour(lan, "10.0.0.11", neighbour{mac: gatewayMAC, state: unix.NUD_PERMANENT}), "10.0.0.11",
			Path{NextHop: NextHop{lan, lanMAC, gatewayMAC, 9000}}, lanReal},
	} {
		t.Run(test.name, func(t *testing.T) {
			path, via := routerView(test.change).path(addr(test.real))
			path.OnLink = 0 // TestOnLink's
			if diff := cmp.Diff(test.want, path); diff != "" {
				t.Error(diff)
			}
			if via != test.via {
				t.Errorf("depends on %v, want %v", via, test.via)
			}
		})
	}
}

func TestOnLink(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*view)
		real   string
		want   int
	}{
		{"on the leg's network", nil, "10.0.0.11", 24},
		{"in a wider route by a gateway too", withRoutes(via("10.0.0.0/8", "10.0.0.254", lan), connected("10.0.0.0/24", lan)), "10.0.0.11", 24},
		{"without a default route", withRoutes(connected("10.0.0.0/24", lan)), "10.0.0.11", 24},
		{"with policy rules", func(v *view) { v.policy[ipv4] = "there are rules" }, "10.0.0.11", 24},
		{"while its link is down", withRoutes(route{dst: netip.MustParsePrefix("10.0.0.0/24"), link: lan, unusable: "a route whose link is down"}), "10.0.0.11", 24},
		{"behind a gateway", withRoutes(via("10.0.0.0/8", "192.0.2.254", wan)), "10.0.0.11", 0},
		{"no route", withRoutes(connected("192.0.2.0/24", wan)), "10.0.0.11", 0},
		{"a blackhole", withRoutes(route{dst: netip.MustParsePrefix("10.0.0.0/24"), unusable: "a blackhole route"}), "10.0.0.11", 0},
	} {
		if path, _ := routerView(test.change).path(addr(test.real)); path.OnLink != test.want {
			t.Errorf("%s: %d bits, want %d", test.name, path.OnLink, test.want)
		}
	}
}

func TestDefaultRoute(t *testing.T) {
	hop := NextHop{wan, wanMAC, gatewayMAC, 1500}
	gateway := []neighbourKey{{wan, addr("192.0.2.254")}}
	networks := []string{"10.0.0.0/24", "192.0.2.0/24"}
	withDefault := func(others ...route) func(*view) {
		return withRoutes(append(others, via("0.0.0.0/0", "192.0.2.254", wan))...)
	}
	many := func(n int) (list []route) {
		for i := range n {
			list = append(list, via(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16).String(), "192.0.2.9", wan))
		}
		return list
	}
	for _, test := range []struct {
		name      string
		change    func(*view)
		hop       NextHop
		connected []string
		reason    string
		gateways  []neighbourKey
	}{
		{"a gateway", nil, hop, networks, "", gateway},
		{"networks in one another", withDefault(connected("10.0.0.0/8", lan), connected("10.1.0.0/16", lan), connected("192.0.2.0/24", wan)), hop,
			[]string{"10.0.0.0/8", "192.0.2.0/24"}, "", gateway},
		{"own address in no network, a vip among them", func(v *view) {
			withDefault(connected("10.0.0.0/24", lan))(v)
			v.own[addr("198.51.100.7")] = true
		}, hop, []string{"10.0.0.0/24", "192.0.2.1/32", "198.51.100.7/32"}, "", gateway},
		{"as many as can be listed", func(v *view) { withDefault(many(MaxConnected)...)(v); v.own = nil }, hop, prefixesOf(many(MaxConnected)), "", gateway},
		{"one more", func(v *view) { withDefault(many(MaxConnected + 1)...)(v); v.own = nil }, NextHop{}, nil,
			"9 prefixes have other routes than the default one (at most 8 can be listed)", gateway},
		{"a full table", func(v *view) { v.routes[ipv4].others = 1 }, NextHop{}, nil, "more routes than can be listed", gateway},
		{"none", withRoutes(connected("10.0.0.0/24", lan)), NextHop{}, nil, "no default route", nil},
		{"without a gateway", withRoutes(connected("0.0.0.0/0", wan)), NextHop{}, nil, "the default route has no gateway", nil},
		{"multipath", withRoutes(route{dst: netip.MustParsePrefix("0.0.0.0/0"), unusable: "a multipath route"}), NextHop{}, nil, "a multipath route to 0.0.0.0/0", nil},
		{"policy rules", func(v *view) { v.policy[ipv4] = "there are rules" }, NextHop{}, nil, "there are rules", nil},
		{"the gateway is silent", withNeighbour(wan, "192.0.2.254", neighbour{}), NextHop{}, nil, "192.0.2.254 does not answer on wan", gateway},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, gateways := routerView(test.change).defaultRoute(map[netip.Addr]bool{addr("192.0.2.100"): true})
			var connected []string
			for _, prefix := range d.Connected {
				connected = append(connected, prefix.String())
			}
			if d.Hop4 != test.hop || d.Reason4 != test.reason {
				t.Errorf("got %v, %q; want %v, %q", d.Hop4, d.Reason4, test.hop, test.reason)
			}
			if diff := cmp.Diff(test.connected, connected); diff != "" {
				t.Error("connected:", diff)
			}
			if diff := cmp.Diff(test.gateways, gateways, cmp.Comparer(func(a, b neighbourKey) bool { return a == b })); diff != "" {
				t.Error("depends on:", diff)
			}
			if d.Hop6 != (NextHop{}) || d.Reason6 != "no default route" {
				t.Errorf("IPv6: %v, %q", d.Hop6, d.Reason6)
			}
		})
	}
}

func prefixesOf(routes []route) (list []string) {
	for _, r := range routes {
		list = append(list, r.dst.String())
	}
	return list
}

func TestPolicy(t *testing.T) {
	kernels := []rule{{0, unix.RT_TABLE_LOCAL, false}, {32766, unix.RT_TABLE_MAIN, false}, {32767, unix.RT_TABLE_DEFAULT, false}}
	for _, test := range []struct {
		name  string
		rules []rule
		want  string
	}{
		{"the kernel's", kernels, ""},
		{"IPv6 has no default table", kernels[:2], ""},
		{"another table", append([]rule{{100, 7, false}}, kernels...), "there are policy rules (ip rule: priority 100)"},
		{"the main table for some packets", []rule{kernels[0], {32766, unix.RT_TABLE_MAIN, true}}, "there are policy rules (ip rule: priority 32766)"},
		{"another table in the main one's place", []rule{kernels[0], {32766, 7, false}}, "there are policy rules (ip rule: priority 32766)"},
		{"no main table", kernels[:1], "no policy rule looks into the main table"},
	} {
		if got := policyReason(test.rules); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// Of a full table only what leads to a target is kept for sure.
func TestRouteFilter(t *testing.T) {
	f := newRouteFilter([]netip.Addr{addr("10.9.0.1"), addr("10.0.0.11")})
	for prefix, want := range map[string]bool{
		"0.0.0.0/0": true, "10.0.0.0/24": true, "10.0.0.11/32": true, "10.0.0.12/32": false, "10.9.0.0/16": true, "10.10.0.0/16": false, "::/0": true,
	} {
		if got := f.concerns(netip.MustParsePrefix(prefix)); got != want {
			t.Errorf("%s concerns a target: %v, want %v", prefix, got, want)
		}
	}
	f.kept = maxOtherRoutes
	if f.keep(connected("198.51.100.0/24", lan)) || !f.keep(connected("10.0.0.0/24", lan)) || f.others != 1 {
		t.Errorf("over the limit a target's route is dropped, or another is kept; %d others", f.others)
	}
}
