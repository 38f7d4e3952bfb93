package plan

import (
	"fmt"
	"maps"
	"net/netip"

	"github.com/tarpon-lb/tarpon/control/schedule"
	"github.com/tarpon-lb/tarpon/loader"
)

// An update makes want of what the kernel has, vip by vip.
type update struct {
	have, want loader.Tables
	ids        *ids

	// What may be another in want than in have.
	vips      map[loader.VipID]bool
	backends  map[loader.BackendID]bool
	names     map[loader.Endpoint]bool
	addresses map[netip.Addr]bool
	reals     map[loader.Endpoint]bool
}

func newUpdate(have loader.Tables) *update {
	return &update{
		have: have,
		want: loader.Tables{
			Vips: maps.Clone(have.Vips), Backends: maps.Clone(have.Backends), Schedules: maps.Clone(have.Schedules),
			Names: maps.Clone(have.Names), Addresses: maps.Clone(have.Addresses), Reals: maps.Clone(have.Reals),
		},
		ids:  newIDs(have),
		vips: map[loader.VipID]bool{}, backends: map[loader.BackendID]bool{}, names: map[loader.Endpoint]bool{},
		addresses: map[netip.Addr]bool{}, reals: map[loader.Endpoint]bool{},
	}
}

// forget takes a vip's name, its schedule and its backends away.
func (u *update) forget(e loader.Endpoint) {
	id, ok := u.ids.vips[e]
	if !ok {
		return
	}
	delete(u.want.Names, e)
	u.touchVip(id, e)
	u.unschedule(id)
	for backend := range u.ids.backends(id) {
		u.remove(backend, e)
	}
}

// forgetAll does so with all, even what a daemon left behind that died half way.
func (u *update) forgetAll() {
	for e, id := range u.have.Names {
		u.touchVip(id, e)
	}
	clear(u.want.Names)
	for id, vip := range u.have.Vips {
		u.touchVip(id, vip.Endpoint)
		u.unschedule(id)
	}
	for id, backend := range u.have.Backends {
		u.remove(id, u.have.Vips[backend.Vip].Endpoint)
	}
	for addr := range u.have.Addresses {
		u.addresses[addr] = true
	}
	for real := range u.have.Reals {
		u.reals[real] = true
	}
}

func (u *update) unschedule(id loader.VipID) {
	if s, ok := u.want.Schedules[id]; ok {
		u.want.Schedules[id] = loader.Schedule{Kind: s.Kind}
	}
}

func (u *update) remove(id loader.BackendID, vip loader.Endpoint) {
	backend := u.want.Backends[id]
	backend.Removed = true
	u.want.Backends[id] = backend
	u.touchReal(id, vip, backend.Real)
}

// to finishes an update with vips that are wished for.
func (u *update) to(vips []Vip, free func(loader.BackendID) bool) (loader.Tables, []loader.Step, error) {
	for _, vip := range vips {
		if err := u.wish(vip); err != nil {
			return u.have, nil, err
		}
	}
	u.giveUp(free)
	u.index()
	return u.want, Diff(u.touched(u.have), u.touched(u.want)), nil
}

func (u *update) touchVip(id loader.VipID, e loader.Endpoint) {
	u.vips[id], u.names[e], u.addresses[e.Addr()] = true, true, true
}

func (u *update) touchReal(id loader.BackendID, vip loader.Endpoint, real netip.AddrPort) {
	u.backends[id], u.addresses[real.Addr()] = true, true
	u.reals[loader.Endpoint{AddrPort: real, Protocol: vip.Protocol}] = true
}

// wish makes a vip be there.
func (u *update) wish(vip Vip) error {
	scheduler, ok := schedule.ByName(vip.Scheduler)
	if !ok {
		return fmt.Errorf("vip %s: there is no scheduler %q", vip.Endpoint, vip.Scheduler)
	}
	id, err := u.ids.vip(vip.Endpoint)
	if err != nil {
		return err
	}
	u.touchVip(id, vip.Endpoint)
	u.want.Names[vip.Endpoint] = id
	u.want.Vips[id] = loader.Vip{
		Endpoint: vip.Endpoint, Timeouts: vip.Timeouts, DropEmpty: vip.DropEmpty,
		RejectMidStream: !scheduler.Deterministic,
	}
	var choices []schedule.Choice
	for _, real := range vip.Reals {
		backend, err := u.ids.backend(id, real.Address)
		if err != nil {
			return err
		}
		u.touchReal(backend, vip.Endpoint, real.Address)
		u.want.Backends[backend] = loader.Backend{
			Vip: id, Real: real.Address, Down: !real.Up || real.Cut, Reset: vip.Reset || real.Cut,
		}
		if real.Weight > 0 {
			choices = append(choices, schedule.Choice{
				ID: backend, Name: real.Address.String(), Weight: real.Weight, Down: !real.Up,
			})
		}
	}
	u.want.Schedules[id] = loader.Schedule{
		Kind: scheduler.Kind, Slots: scheduler.Slots(vip.Endpoint.String(), choices),
	}
	return nil
}

// giveUp ends removed backends that no flow has, and then vips that have neither a
// name nor a backend.
func (u *update) giveUp(free func(loader.BackendID) bool) {
	var inUse [mostIDs + 1]bool // by vip
	for _, id := range u.want.Names {
		inUse[id] = true
	}
	for id, backend := range u.want.Backends {
		if backend.Removed && free(id) {
			delete(u.want.Backends, id)
			u.touchReal(id, u.want.Vips[backend.Vip].Endpoint, backend.Real)
			continue
		}
		inUse[backend.Vip] = true
	}
	for id := range u.want.Vips {
		if !inUse[id] {
			delete(u.want.Vips, id)
			delete(u.want.Schedules, id)
			u.vips[id] = true
		}
	}
}

// index fills the maps that resolve names to ids, for what was touched.
func (u *update) index() {
	t := u.want
	for addr := range u.addresses {
		delete(t.Addresses, addr)
	}
	for real := range u.reals {
		delete(t.Reals, real)
	}
	for e := range t.Names {
		switch {
		case !u.addresses[e.Addr()]:
		case e.Port() == 0:
			t.Addresses[e.Addr()] |= loader.AddressVipAnyPort
		default:
			t.Addresses[e.Addr()] |= loader.AddressVip
		}
	}
	for id, backend := range t.Backends {
		addr := backend.Real.Addr()
		if !u.addresses[addr] {
			continue
		}
		vip := t.Vips[backend.Vip].Endpoint
		if vip.Port() == 0 {
			t.Addresses[addr] |= loader.AddressRealAnyPort
			continue
		}
		t.Addresses[addr] |= loader.AddressReal
		real := loader.Endpoint{AddrPort: backend.Real, Protocol: vip.Protocol}
		if backend.Removed || !u.reals[real] {
			continue
		}
		if _, several := t.Reals[real]; several {
			id = loader.Ambiguous
		}
		t.Reals[real] = id
	}
}

// touched is the part of tables that may be another.
func (u *update) touched(t loader.Tables) loader.Tables {
	return loader.Tables{
		Vips: only(t.Vips, u.vips), Schedules: only(t.Schedules, u.vips), Backends: only(t.Backends, u.backends),
		Names: only(t.Names, u.names), Addresses: only(t.Addresses, u.addresses), Reals: only(t.Reals, u.reals),
	}
}

func only[K comparable, V any](m map[K]V, keys map[K]bool) map[K]V {
	part := make(map[K]V, len(keys))
	for key := range keys {
		if value, ok := m[key]; ok {
			part[key] = value
		}
	}
	return part
}
