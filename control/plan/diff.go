package plan

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/tarpon-lb/tarpon/loader"
)

// Diff is the steps from have to want, in an order in which no packet meets a
// half state: what is referred to comes before what refers to it, and goes after.
func Diff(have, want loader.Tables) []loader.Step {
	var steps []loader.Step
	add := func(step loader.Step) { steps = append(steps, step) }

	each(want.Vips, func(id loader.VipID, vip loader.Vip) {
		if old, ok := have.Vips[id]; !ok || old != vip {
			add(loader.PutVip{ID: id, Vip: vip})
		}
	})
	each(want.Backends, func(id loader.BackendID, backend loader.Backend) {
		if old, ok := have.Backends[id]; !ok || old != backend {
			add(loader.PutBackend{ID: id, Backend: backend})
		}
	})
	eachEndpoint(want.Reals, func(real loader.Endpoint, id loader.BackendID) {
		if old, ok := have.Reals[real]; !ok || old != id {
			add(loader.PutReal{Real: real, ID: id})
		}
	})
	each(want.Schedules, func(id loader.VipID, s loader.Schedule) {
		if old, ok := have.Schedules[id]; !ok || old.Kind != s.Kind || !slices.Equal(old.Slots, s.Slots) {
			add(loader.PutSchedule{ID: id, Schedule: s})
		}
	})
	eachEndpoint(want.Names, func(e loader.Endpoint, id loader.VipID) {
		if old, ok := have.Names[e]; !ok || old != id {
			add(loader.PutName{Endpoint: e, ID: id})
		}
	})
	for _, addr := range slices.SortedFunc(maps.Keys(want.Addresses), netip.Addr.Compare) {
		if use := want.Addresses[addr]; have.Addresses[addr] != use {
			add(loader.PutAddress{Addr: addr, Use: use})
		}
	}
	return append(steps, deletions(have, want)...)
}

func deletions(have, want loader.Tables) []loader.Step {
	var steps []loader.Step
	for _, addr := range slices.SortedFunc(maps.Keys(have.Addresses), netip.Addr.Compare) {
		if _, ok := want.Addresses[addr]; !ok {
			steps = append(steps, loader.DeleteAddress{Addr: addr})
		}
	}
	eachEndpoint(have.Names, func(e loader.Endpoint, _ loader.VipID) {
		if _, ok := want.Names[e]; !ok {
			steps = append(steps, loader.DeleteName{Endpoint: e})
		}
	})
	eachEndpoint(have.Reals, func(real loader.Endpoint, _ loader.BackendID) {
		if _, ok := want.Reals[real]; !ok {
			steps = append(steps, loader.DeleteReal{Real: real})
		}
	})
	each(have.Schedules, func(id loader.VipID, s loader.Schedule) {
		if _, ok := want.Vips[id]; !ok && len(s.Slots) > 0 {
			steps = append(steps, loader.PutSchedule{ID: id, Schedule: loader.Schedule{Kind: s.Kind}})
		}
	})
	each(have.Backends, func(id loader.BackendID, _ loader.Backend) {
		if _, ok := want.Backends[id]; !ok {
			steps = append(steps, loader.DeleteBackend{ID: id})
		}
	})
	each(have.Vips, func(id loader.VipID, _ loader.Vip) {
		if _, ok := want.Vips[id]; !ok {
			steps = append(steps, loader.DeleteVip{ID: id})
		}
	})
	return steps
}

// each goes by id: steps have one order, so logs and tests do.
func each[K cmp.Ordered, V any](m map[K]V, do func(K, V)) {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		do(key, m[key])
	}
}

func eachEndpoint[V any](m map[loader.Endpoint]V, do func(loader.Endpoint, V)) {
	keys := slices.SortedFunc(maps.Keys(m), func(a, b loader.Endpoint) int {
		return cmp.Or(a.AddrPort.Compare(b.AddrPort), cmp.Compare(a.Protocol, b.Protocol))
	})
	for _, key := range keys {
		do(key, m[key])
	}
}
