package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/tarpon-lb/tarpon/loader"
	"pgregory.net/rapid"
)

// apply is what the kernel makes of a step, in the plainest way. It refuses what
// refers to nothing.
func apply(t *rapid.T, s loader.Tables, step loader.Step) {
	switch step := step.(type) {
	case loader.PutVip:
		s.Vips[step.ID] = step.Vip
	case loader.DeleteVip:
		delete(s.Vips, step.ID)
		delete(s.Schedules, step.ID)
	case loader.PutBackend:
		if old, ok := s.Backends[step.ID]; ok && (old.Vip != step.Backend.Vip || old.Real != step.Backend.Real) {
			t.Fatalf("%s changes what flows mean: it was %+v", step, old)
		}
		s.Backends[step.ID] = step.Backend
	case loader.DeleteBackend:
		delete(s.Backends, step.ID)
	case loader.PutSchedule:
		s.Schedules[step.ID] = step.Schedule
	case loader.PutName:
		s.Names[step.Endpoint] = step.ID
	case loader.DeleteName:
		delete(s.Names, step.Endpoint)
	case loader.PutAddress:
		s.Addresses[step.Addr] = step.Use
	case loader.DeleteAddress:
		delete(s.Addresses, step.Addr)
	case loader.PutReal:
		s.Reals[step.Real] = step.ID
	case loader.DeleteReal:
		delete(s.Reals, step.Real)
	}
	dangling(t, s, step)
}

func dangling(t *rapid.T, s loader.Tables, step loader.Step) {
	for e, id := range s.Names {
		if s.Vips[id].Endpoint != e {
			t.Fatalf("after %q: the name %s leads to vip %d, which is %v", step, e, id, s.Vips[id])
		}
		if _, ok := s.Schedules[id]; !ok {
			t.Fatalf("after %q: vip %s is named and has no schedule", step, e)
		}
	}
	for id, schedule := range s.Schedules {
		for _, backend := range schedule.Slots {
			if s.Backends[backend].Vip != id {
				t.Fatalf("after %q: the schedule of vip %d has backend %d, which is %+v", step, id, backend, s.Backends[backend])
			}
		}
	}
	for id, backend := range s.Backends {
		if _, ok := s.Vips[backend.Vip]; !ok {
			t.Fatalf("after %q: backend %d has no vip", step, id)
		}
	}
	for real, id := range s.Reals {
		if id != loader.Ambiguous && s.Backends[id].Real != real.AddrPort {
			t.Fatalf("after %q: real %s leads to backend %d, which is %+v", step, real, id, s.Backends[id])
		}
	}
}

// refuses says whether a vip tells clients that it has no real.
func refuses(s loader.Tables, id loader.VipID) bool {
	return len(s.Schedules[id].Slots) == 0 && !s.Vips[id].DropEmpty
}

func clone(t loader.Tables) loader.Tables {
	return loader.Tables{
		Vips: maps.Clone(t.Vips), Backends: maps.Clone(t.Backends), Schedules: maps.Clone(t.Schedules),
		Names: maps.Clone(t.Names), Addresses: maps.Clone(t.Addresses), Reals: maps.Clone(t.Reals),
	}
}

func wish(t *rapid.T) []Vip {
	var vips []Vip
	seen := map[loader.Endpoint]bool{}
	for range rapid.IntRange(0, 5).Draw(t, "vips") {
		port := rapid.SampledFrom([]uint16{0, 80, 443}).Draw(t, "port")
		e := loader.Endpoint{
			AddrPort: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(rapid.IntRange(1, 2).Draw(t, "vip"))}), port),
			Protocol: rapid.SampledFrom([]loader.Protocol{loader.TCP, loader.UDP}).Draw(t, "protocol"),
		}
		if seen[e] {
			continue
		}
		seen[e] = true
		vip := Vip{Endpoint: e, Scheduler: rapid.SampledFrom([]string{"mh", "wrr", "rr"}).Draw(t, "scheduler"), Reset: rapid.Bool().Draw(t, "reset"), DropEmpty: rapid.Bool().Draw(t, "drop")}
		for i := range rapid.IntRange(0, 3).Draw(t, "reals") {
			vip.Reals = append(vip.Reals, Real{
				Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i*2 + rapid.IntRange(0, 1).Draw(t, "real"))}), port),
				Weight:  rapid.IntRange(0, 3).Draw(t, "weight"), Up: rapid.Bool().Draw(t, "up"),
			})
		}
		vips = append(vips, vip)
	}
	return vips
}

func TestStepsLeadFromHaveToWant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have := loader.NewTables()
		for round := range rapid.IntRange(1, 6).Draw(t, "rounds") {
			vips := wish(t)
			busy := map[loader.BackendID]bool{}
			for id := range have.Backends {
				busy[id] = rapid.Bool().Draw(t, "busy")
			}
			want, steps, err := Tables(have, vips, func(id loader.BackendID) bool { return !busy[id] })
			if err != nil {
				t.Fatal(err)
			}
			was := clone(have)
			if all := Diff(have, want); fmt.Sprint(all) != fmt.Sprint(steps) {
				t.Fatalf("the steps are\n%v\nwhat differs\n%v", steps, all)
			}
			for _, step := range steps {
				apply(t, have, step)
				for e, id := range have.Names {
					if refuses(have, id) && !refuses(was, id) && !refuses(want, id) {
						t.Fatalf("after %q: clients of %s are refused, as neither before nor after\n%v", step, e, steps)
					}
				}
			}
			if fmt.Sprint(have) != fmt.Sprint(want) { // fmt sorts maps
				t.Fatalf("round %d: the steps lead to\n%+v\nwant\n%+v", round, have, want)
			}
			if again := Diff(have, want); len(again) != 0 {
				t.Fatalf("steps from a state to itself: %v", again)
			}
			for id, backend := range was.Backends {
				if kept, ok := have.Backends[id]; busy[id] && (!ok || kept.Real != backend.Real || kept.Vip != backend.Vip) {
					t.Fatalf("backend %d has flows and became %+v", id, kept)
				}
			}
			if len(have.Names) != len(vips) {
				t.Fatalf("%d names for %d vips", len(have.Names), len(vips))
			}
		}
	})
}

func TestWhatBecomesOfAReal(t *testing.T) {
	vip := Vip{Endpoint: loader.Endpoint{AddrPort: netip.MustParseAddrPort("192.0.2.1:80"), Protocol: loader.TCP}, Scheduler: "mh", Reset: true}
	real := Real{Address: netip.MustParseAddrPort("10.0.0.1:80"), Weight: 1, Up: true}
	other := Real{Address: netip.MustParseAddrPort("10.0.0.2:80"), Weight: 1, Up: true}
	with := func(reals ...Real) []Vip {
		v := vip
		v.Reals = reals
		return []Vip{v}
	}
	drained, failed := real, real
	drained.Weight, failed.Up = 0, false
	busy := func(loader.BackendID) bool { return false }
	start, _, err := Tables(loader.NewTables(), with(real, other), busy)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name      string
		vips      []Vip
		want      string
		scheduled bool
	}{
		{"up", with(real, other), "down=false removed=false", true},
		{"drained", with(drained, other), "down=false removed=false", false},
		{"failed", with(failed, other), "down=true removed=false", false},
		{"removed", with(other), "down=false removed=true", false},
		{"vip removed", nil, "down=false removed=true", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			want, _, err := Tables(start, test.vips, busy)
			if err != nil {
				t.Fatal(err)
			}
			b := want.Backends[1]
			if got := fmt.Sprintf("down=%v removed=%v", b.Down, b.Removed); got != test.want {
				t.Errorf("backend is %s, want %s", got, test.want)
			}
			if got := slices.Contains(want.Schedules[1].Slots, 1); got != test.scheduled {
				t.Errorf("scheduled: %v, want %v", got, test.scheduled)
			}
			if _, named := want.Names[vip.Endpoint]; named != (test.vips != nil) {
				t.Errorf("named: %v", named)
			}
		})
	}
}
