package packet

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/loader"
)

// At the configured maximum, after 20 turnovers of established flows, which never
// give way, at most 2 inserts in 10,000 find no slot.
func TestTableAtItsMaximum(t *testing.T) {
	const most = 19660 // 60% of 32,768 slots
	r := newRig(t, most, services)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	next := 0
	establish := func(n int) {
		for range n {
			next++
			a := random.Uint32()
			client := fmt.Sprintf("%d.%d.%d.%d:%d", 32+a>>24%64, a>>16&255, a>>8&255, a&255|1, 32768+random.IntN(28000))
			for _, s := range []step{
				{in: in(P{From: client, To: "192.0.2.106:80", Flags: "S"})},
				{on: "lan", in: fromReal(P{From: "10.0.0.14:80", To: client, Flags: "SA"})},
			} {
				ifindex := r.wan
				if s.on == "lan" {
					ifindex = r.lan
				}
				if _, _, err := r.Run(loader.HookXDP, ifindex, s.in.Frame()); err != nil {
					t.Fatal(err)
				}
			}
			ack := in(P{From: client, To: "192.0.2.106:80"})
			if _, _, err := r.Run(loader.HookXDP, r.wan, ack.Frame()); err != nil {
				t.Fatal(err)
			}
		}
	}
	establish(most)
	for range 20 * 5 {
		ended := r.EndFlows(func(loader.Flow) bool { return random.IntN(5) == 0 })
		establish(ended)
	}
	counts := r.counted(t, loader.HookXDP)
	flows := 0
	for flow := range r.Flows() {
		if flow.State == loader.Established {
			flows++
		}
	}
	inserts := counts["flow_new"] + counts["flow_full"]
	t.Logf("%d inserts, %d moved, %d found no slot; %d established now", inserts, counts["flow_moved"], counts["flow_full"], flows)
	if inserts < 20*most*9/10 {
		t.Errorf("only %d inserts", inserts)
	}
	if counts["flow_full"]*10000 > 2*inserts {
		t.Errorf("%d of %d inserts found no slot, at most 2 in 10,000 may", counts["flow_full"], inserts)
	}
	if counts["flow_evicted"] > 0 && flows < most*99/100 {
		t.Errorf("%d established flows are left of %d: some were evicted", flows, most)
	}
}
