package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/tarpon-lb/tarpon/loader"
)

// Diff is the steps from have to want, in an order in which no packet meets a
// half state: what is referred to comes before what refers to it, and goes after.
func Diff(have, want loader.Tables) []loader.Step {
	var steps []loader.Step
	add := func(step loader.Step) { steps = append(steps, step) }

	var last []loader.VipID // an empty one is to refuse clients: not before it has its schedule
	each(others(have.Vips, want.Vips, same), func(id loader.VipID) {
		if have.Vips[id].DropEmpty && !want.Vips[id].DropEmpty {
			last = append(last, id)
			return
		}
		add(loader.PutVip{ID: id, Vip: want.Vips[id]})
	})
	each(others(have.Backends, want.Backends, same), func(id loader.BackendID) {
		add(loader.PutBackend{ID: id, Backend: want.Backends[id]})
	})
	eachEndpoint(others(have.Reals, want.Reals, same), func(real loader.Endpoint) {
		add(loader.PutReal{Real: real, ID: want.Reals[real]})
	})
	each(others(have.Schedules, want.Schedules, sameSchedule), func(id loader.VipID) {
		add(loader.PutSchedule{ID: id, Schedule: want.Schedules[id]})
	})
	each(last, func(id loader.VipID) { add(loader.PutVip{ID: id, Vip: want.Vips[id]}) })
	eachEndpoint(others(have.Names, want.Names, same), func(e loader.Endpoint) {
		add(loader.PutName{Endpoint: e, ID: want.Names[e]})
	})
	eachAddress(others(have.Addresses, want.Addresses, same), func(addr netip.Addr) {
		add(loader.PutAddress{Addr: addr, Use: want.Addresses[addr]})
	})
	return append(steps, deletions(have, want)...)
}

func deletions(have, want loader.Tables) []loader.Step {
	var steps []loader.Step
	add := func(step loader.Step) { steps = append(steps, step) }

	eachAddress(gone(have.Addresses, want.Addresses), func(addr netip.Addr) { add(loader.DeleteAddress{Addr: addr}) })
	eachEndpoint(gone(have.Names, want.Names), func(e loader.Endpoint) { add(loader.DeleteName{Endpoint: e}) })
	eachEndpoint(gone(have.Reals, want.Reals), func(real loader.Endpoint) { add(loader.DeleteReal{Real: real}) })
	each(gone(have.Vips, want.Vips), func(id loader.VipID) {
		if s := have.Schedules[id]; len(s.Slots) > 0 {
			add(loader.PutSchedule{ID: id, Schedule: loader.Schedule{Kind: s.Kind}})
		}
	})
	each(gone(have.Backends, want.Backends), func(id loader.BackendID) { add(loader.DeleteBackend{ID: id}) })
	each(gone(have.Vips, want.Vips), func(id loader.VipID) { add(loader.DeleteVip{ID: id}) })
	return steps
}

// others are the keys whose values are wanted, and are not there.
func others[K comparable, V any](have, want map[K]V, same func(a, b V) bool) (keys []K) {
	for key, value := range want {
		if old, ok := have[key]; !ok || !same(old, value) {
			keys = append(keys, key)
		}
	}
	return keys
}

// gone are the keys that are there, and are not wanted.
func gone[K comparable, V any](have, want map[K]V) (keys []K) {
	for key := range have {
		if _, ok := want[key]; !ok {
			keys = append(keys, key)
		}
	}
	return keys
}

func same[V comparable](a, b V) bool { return a == b }

// sameSchedule knows at once that what was carried over is the same.
func sameSchedule(a, b loader.Schedule) bool {
	if a.Kind != b.Kind || len(a.Slots) != len(b.Slots) {
		return false
	}
	return len(a.Slots) == 0 || &a.Slots[0] == &b.Slots[0] || slices.Equal(a.Slots, b.Slots)
}

// each goes by id: steps have one order, so logs and tests do.
func each[K cmp.Ordered](keys []K, do func(K)) {
	slices.Sort(keys)
	for _, key := range keys {
		do(key)
	}
}

func eachEndpoint(keys []loader.Endpoint, do func(loader.Endpoint)) {
	slices.SortFunc(keys, func(a, b loader.Endpoint) int {
		return cmp.Or(a.AddrPort.Compare(b.AddrPort), cmp.Compare(a.Protocol, b.Protocol))
	})
	for _, key := range keys {
		do(key)
	}
}

func eachAddress(keys []netip.Addr, do func(netip.Addr)) {
	slices.SortFunc(keys, netip.Addr.Compare)
	for _, key := range keys {
		do(key)
	}
}
