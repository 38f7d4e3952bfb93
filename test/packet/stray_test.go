package packet

import (
	"maps"
	"net"
	"net/netip"
	"testing"

	"github.com/tarpon-lb/tarpon/loader"
)

// A standby counts who sends it packets of flows, by hook; an active router nobody.
func TestStrays(t *testing.T) {
	for hook, name := range map[loader.Hook]string{loader.HookXDP: "xdp", loader.HookTC: "tc"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1000, services)
			from := func(source net.HardwareAddr, p P) P { p.SrcMAC = source; return p }
			history := []step{
				{in: syn("192.0.2.100:80")},
				{in: from(realMAC, in(P{From: client, To: "192.0.2.100:80"}))},
				{in: in(P{From: client6, To: "[2001:db8:1::100]:80", Flags: "S"})},
				{on: "lan", in: fromReal(P{From: "10.0.0.11:8080", To: client, Flags: "SA"})},
				{on: "lan", in: fromReal(P{From: "[2001:db8:2::11]:8080", To: client6, Flags: "SA"})},
				{in: syn("192.0.2.100:81")},                                                         // no vip's port
				{in: in(P{From: client, To: "192.0.2.1:22"})},                                       // the router's own
				{in: from(realMAC, P{From: client, To: "192.0.2.100:80", DstMAC: clientMAC})},       // not for us
				{on: "lan", in: fromReal(P{From: "10.0.0.11:40000", To: "10.0.0.1:9", Flags: "S"})}, // a real's own
			}
			play := func() map[loader.Stray]uint64 {
				for _, s := range history {
					ifindex := r.wan
					if s.on == "lan" {
						ifindex = r.lan
					}
					if hook == loader.HookTC && net.HardwareAddr(s.in.Frame()[:6]).String() == clientMAC.String() {
						continue // whom a frame is for is the kernel's to say there
					}
					_, _, err := r.Run(hook, ifindex, s.in.Frame())
					must(err)
				}
				strays, err := r.Strays()
				must(err)
				return strays
			}
			if strays := play(); len(strays) != 0 {
				t.Errorf("an active router counts %v", strays)
			}
			vip4, vip6 := netip.MustParseAddr("192.0.2.100"), netip.MustParseAddr("2001:db8:1::100")
			want := map[loader.Stray]uint64{
				{Ifindex: r.wan, MAC: [6]byte(clientMAC), Vip: vip4}: 1,
				{Ifindex: r.wan, MAC: [6]byte(realMAC), Vip: vip4}:   1,
				{Ifindex: r.wan, MAC: [6]byte(clientMAC), Vip: vip6}: 1,
				{Ifindex: r.lan, MAC: [6]byte(realMAC)}:              2,
			}
			for range 2 { // the count begins anew
				must(r.WatchStrays(true))
				if strays := play(); !maps.Equal(strays, want) {
					t.Errorf("a standby counts %v, want %v", strays, want)
				}
			}
			must(r.WatchStrays(false))
			if strays := play(); !maps.Equal(strays, want) {
				t.Errorf("active again, it counts on: %v", strays)
			}
		})
	}
}
