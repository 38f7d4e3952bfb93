package packet

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/loader"
)

// stressTime is how long the stress runs; STRESS=60s for longer.
func stressTime(t *testing.T) time.Duration {
	t.Helper()
	if text := os.Getenv("STRESS"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	return 5 * time.Second
}

// TestTableUnderStress hammers the smallest table from several threads with the
// same few keys, more than it holds, by packets and by puts, while the sweeper and a
// listing run. What must
// hold: one entry a key at most, each with its own vip's backend; and every entry
// that was ever made is either there or was ended by somebody who counted it.
func TestTableUnderStress(t *testing.T) {
	r := newRig(t, 100, services) // one page: 256 slots
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var (
		stop     atomic.Bool
		ended    atomic.Int64
		put      atomic.Int64 // entries made by puts
		gaveWay  atomic.Int64 // to puts
		group    sync.WaitGroup
		runs     atomic.Int64
		backends = map[loader.VipID]loader.BackendID{1: 1, 11: 7}
	)
	vips := []string{"192.0.2.100:80", "192.0.2.106:80"} // different reals: no tuple of one is the other's
	before := r.counted(t, loader.HookXDP)
	for worker := range 4 {
		group.Go(func() {
			r.enter(t)
			random := rand.New(rand.NewPCG(seed, uint64(worker)))
			for !stop.Load() {
				key := random.IntN(300)
				p := in(P{
					From: fmt.Sprintf("203.0.113.%d:%d", key%50+1, 1024+key/50), To: vips[random.IntN(2)],
					Flags: []string{"S", "S", "A", "FA", "R"}[random.IntN(5)],
				})
				if _, _, err := r.Run(loader.HookXDP, r.wan, p.Frame()); err != nil {
					t.Error(err)
					return
				}
				runs.Add(1)
			}
		})
	}
	group.Go(func() {
		random := rand.New(rand.NewPCG(seed, 98))
		for !stop.Load() {
			puts := make([]loader.FlowPut, 32)
			for i := range puts {
				key := random.IntN(300)
				puts[i] = loader.FlowPut{
					Client:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(key%50 + 1)}), uint16(1024+key/50)),
					Backend: backends[[]loader.VipID{1, 11}[random.IntN(2)]],
					State:   loader.Handshake + loader.State(random.IntN(6)),
				}
			}
			results, err := r.PutFlows(puts)
			if err != nil {
				t.Error(err)
				return
			}
			for _, result := range results {
				if result.Outcome == loader.PutInserted {
					put.Add(1)
				}
				if result.Evicted {
					gaveWay.Add(1)
				}
			}
		}
	})
	group.Go(func() {
		random := rand.New(rand.NewPCG(seed, 99))
		for !stop.Load() {
			if random.IntN(2) == 0 {
				ended.Add(int64(r.Sweep().Ended))
				continue
			}
			ended.Add(int64(r.EndFlows(func(loader.Flow) bool { return random.IntN(8) == 0 })))
		}
	})
	group.Go(func() {
		for !stop.Load() {
			for flow := range r.Flows() {
				if flow.Backend == 0 || flow.Vip == 0 {
					t.Errorf("a listing found %+v", flow)
				}
			}
		}
	})
	time.Sleep(stressTime(t))
	stop.Store(true)
	group.Wait()
	for range 2 { // gives back what was left half done, and ends what is silent by now
		ended.Add(int64(r.Sweep().Ended))
	}

	type key struct {
		client netip.AddrPort
		vip    loader.VipID
	}
	live := map[key]loader.Flow{}
	for flow := range r.Flows() {
		k := key{flow.Client, flow.Vip}
		if other, twice := live[k]; twice {
			t.Errorf("two entries of one key: %+v and %+v", flow, other)
		}
		live[k] = flow
		if want := backends[flow.Vip]; flow.Backend != want {
			t.Errorf("%+v has another vip's backend, want %d", flow, want)
		}
	}
	after := r.counted(t, loader.HookXDP)
	moved := func(reason string) int64 { return int64(after[reason] - before[reason]) }
	made, evicted := moved("flow_new")+put.Load(), moved("flow_evicted")+gaveWay.Load()
	if got, want := int64(len(live)), made-evicted-ended.Load(); got != want {
		t.Errorf("%d entries are there; %d made - %d evicted - %d ended = %d", got, made, evicted, ended.Load(), want)
	}
	if moved("flow_new") < 100 || moved("flow_evicted") == 0 || put.Load() == 0 {
		t.Errorf("too little happened: %d runs, %d made, %d evicted", runs.Load(), moved("flow_new"), moved("flow_evicted"))
	}
	t.Logf("%d packets: %d entries made, %d of them put, %d moved, %d evicted, %d ended, %d found no slot", runs.Load(),
		made, put.Load(), moved("flow_moved"), evicted, ended.Load(), moved("flow_full"))
}
