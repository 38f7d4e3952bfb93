package plan

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/tarpon-lb/tarpon/loader"
	"pgregory.net/rapid"
)

// index resolves names in the plainest way: what every vip and backend is, gathered.
func index(t loader.Tables) (map[netip.Addr]loader.AddressUse, map[loader.Endpoint][]loader.BackendID) {
	uses, reals := map[netip.Addr]loader.AddressUse{}, map[loader.Endpoint][]loader.BackendID{}
	for e := range t.Names {
		if e.Port() == 0 {
			uses[e.Addr()] |= loader.AddressVipAnyPort
		} else {
			uses[e.Addr()] |= loader.AddressVip
		}
	}
	for id, b := range t.Backends {
		vip := t.Vips[b.Vip].Endpoint
		if vip.Port() == 0 {
			uses[b.Real.Addr()] |= loader.AddressRealAnyPort
			continue
		}
		uses[b.Real.Addr()] |= loader.AddressReal
		if !b.Removed {
			e := loader.Endpoint{AddrPort: b.Real, Protocol: vip.Protocol}
			reals[e] = append(reals[e], id)
		}
	}
	return uses, reals
}

// An update of the vips that changed is the same as all tables made anew.
func TestUpdateIsWhatTablesAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have := loader.NewTables()
		var vips []Vip
		for range rapid.IntRange(1, 8).Draw(t, "rounds") {
			was := map[loader.Endpoint]string{}
			for _, vip := range vips {
				was[vip.Endpoint] = fmt.Sprint(vip)
			}
			next := wish(t)
			for _, vip := range vips { // some stay as they are
				if rapid.Bool().Draw(t, "stays") && !wishes(next, vip.Endpoint) {
					next = append(next, vip)
				}
			}
			vips = next
			var changed []Vip
			var gone []loader.Endpoint
			for _, vip := range vips {
				if was[vip.Endpoint] != fmt.Sprint(vip) {
					changed = append(changed, vip)
				}
			}
			for e := range was {
				if !wishes(vips, e) {
					gone = append(gone, e)
				}
			}
			busy := map[loader.BackendID]bool{}
			for id := range have.Backends {
				busy[id] = rapid.Bool().Draw(t, "busy")
			}
			free := func(id loader.BackendID) bool { return !busy[id] }
			before := fmt.Sprint(have)
			want, _, err := Tables(have, vips, free)
			if err != nil {
				t.Fatal(err)
			}
			got, steps, err := Update(have, changed, gone, free)
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("the update is\n%+v\nall anew\n%+v", got, want)
			}
			if all := Diff(have, got); fmt.Sprint(all) != fmt.Sprint(steps) {
				t.Fatalf("the steps are\n%v\nwhat differs\n%v", steps, all)
			}
			if fmt.Sprint(have) != before {
				t.Fatal("what the kernel has was changed under those who read it")
			}
			uses, reals := index(got)
			if fmt.Sprint(uses) != fmt.Sprint(got.Addresses) {
				t.Fatalf("addresses are used as %v, the table says %v", uses, got.Addresses)
			}
			for e, id := range got.Reals {
				if list := reals[e]; len(list) == 1 && id != list[0] || len(list) > 1 && id != loader.Ambiguous || len(list) == 0 {
					t.Fatalf("real %s is of backends %v, the table says %d", e, list, id)
				}
			}
			if len(reals) != len(got.Reals) {
				t.Fatalf("%d reals, the table has %d", len(reals), len(got.Reals))
			}
			have = got
		}
	})
}

// What a daemon left behind that died half way is put right by the next one.
func TestTablesPutRight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		busy := func(loader.BackendID) bool { return false }
		have, _, err := Tables(loader.NewTables(), wish(t), busy)
		if err != nil {
			t.Fatal(err)
		}
		addr := netip.MustParseAddr("192.0.2.1")
		stale := loader.Endpoint{AddrPort: netip.AddrPortFrom(addr, 8080), Protocol: loader.TCP}
		have.Addresses[addr] |= loader.AddressRealAnyPort
		have.Addresses[netip.MustParseAddr("192.0.2.99")] = loader.AddressVip
		have.Names[stale], have.Reals[stale] = 77, 78
		have.Vips[79] = loader.Vip{Endpoint: stale}
		want, steps, err := Tables(have, wish(t), busy)
		if err != nil {
			t.Fatal(err)
		}
		if all := Diff(have, want); fmt.Sprint(all) != fmt.Sprint(steps) {
			t.Fatalf("the steps are\n%v\nwhat differs\n%v", steps, all)
		}
		uses, reals := index(want)
		if _, ok := want.Names[stale]; ok || fmt.Sprint(uses) != fmt.Sprint(want.Addresses) || len(reals) != len(want.Reals) || want.Vips[79] != (loader.Vip{}) {
			t.Fatalf("left: %+v", want)
		}
	})
}

func wishes(vips []Vip, e loader.Endpoint) bool {
	for _, vip := range vips {
		if vip.Endpoint == e {
			return true
		}
	}
	return false
}

func BenchmarkUpdate(b *testing.B) {
	var vips []Vip
	for i := range 16000 {
		vip := Vip{Scheduler: "mh", Endpoint: loader.Endpoint{
			AddrPort: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i / 256), byte(i)}), 80), Protocol: loader.TCP,
		}}
		for r := range 4 {
			n := i*4 + r
			vip.Reals = append(vip.Reals, Real{
				Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(1 + n/65536), byte(n / 256), byte(n)}), 8080), Weight: 1, Up: true,
			})
		}
		vips = append(vips, vip)
	}
	none := func(loader.BackendID) bool { return false }
	have, _, err := Tables(loader.NewTables(), vips, none)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := Tables(have, vips, none); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("one", func(b *testing.B) {
		changed := vips[5]
		changed.Reals = changed.Reals[:3]
		for b.Loop() {
			if _, steps, err := Update(have, []Vip{changed}, nil, none); err != nil || len(steps) == 0 {
				b.Fatal(err)
			}
		}
	})
}
