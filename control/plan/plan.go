// Package plan says what the kernel should have, and which steps lead there from
// what it has. Everything here is a function from values to values.
package plan

import (
	"fmt"
	"net/netip"

	"github.com/tarpon-lb/tarpon/control/schedule"
	"github.com/tarpon-lb/tarpon/loader"
)

// A Vip is a virtual server as it should be.
type Vip struct {
	Endpoint  loader.Endpoint
	Scheduler string
	Timeouts  loader.Timeouts
	DropEmpty bool // no usable real: drop, do not answer
	Reset     bool // established flows of a failed real are reset
	Reals     []Real
}

// A Real is a real server of a vip as it should be.
type Real struct {
	Address netip.AddrPort // port 0 on an any-port vip
	Weight  int            // 0: no new flows
	Up      bool
	Cut     bool // its flows end at their next packet, whatever the vip says
}

// Tables are what the kernel should have for these vips. Ids are kept from have;
// backends that are no longer wished for stay, as removed, until free says that no
// flow has them, and their vips with them.
func Tables(have loader.Tables, vips []Vip, free func(loader.BackendID) bool) (loader.Tables, error) {
	want := loader.NewTables()
	ids := newIDs(have)
	named := map[loader.VipID]bool{}
	for _, vip := range vips {
		id, err := ids.vip(vip.Endpoint)
		if err != nil {
			return want, err
		}
		scheduler, ok := schedule.ByName(vip.Scheduler)
		if !ok {
			return want, fmt.Errorf("vip %s: there is no scheduler %q", vip.Endpoint, vip.Scheduler)
		}
		named[id] = true
		want.Vips[id] = loader.Vip{
			Endpoint: vip.Endpoint, Timeouts: vip.Timeouts, DropEmpty: vip.DropEmpty,
			RejectMidStream: !scheduler.Deterministic,
		}
		var choices []schedule.Choice
		for _, real := range vip.Reals {
			backend, err := ids.backend(id, real.Address)
			if err != nil {
				return want, err
			}
			want.Backends[backend] = loader.Backend{
				Vip: id, Real: real.Address, Down: !real.Up || real.Cut, Reset: vip.Reset || real.Cut,
			}
			if real.Weight > 0 {
				choices = append(choices, schedule.Choice{
					ID: backend, Name: real.Address.String(), Weight: real.Weight, Down: !real.Up,
				})
			}
		}
		want.Schedules[id] = loader.Schedule{
			Kind: scheduler.Kind, Slots: scheduler.Slots(vip.Endpoint.String(), choices),
		}
	}
	keepRemoved(have, want, free)
	Index(want, named)
	return want, nil
}

// keepRemoved carries over what flows may still name.
func keepRemoved(have, want loader.Tables, free func(loader.BackendID) bool) {
	for id, backend := range have.Backends {
		if _, wished := want.Backends[id]; wished || free(id) {
			continue
		}
		backend.Removed = true
		want.Backends[id] = backend
		if _, ok := want.Vips[backend.Vip]; ok {
			continue
		}
		want.Vips[backend.Vip] = have.Vips[backend.Vip]
		if s, ok := have.Schedules[backend.Vip]; ok {
			want.Schedules[backend.Vip] = loader.Schedule{Kind: s.Kind}
		}
	}
}

// Index fills the maps that resolve names to ids. Vips that are not named are
// found by their flows alone.
func Index(t loader.Tables, named map[loader.VipID]bool) {
	for id, vip := range t.Vips {
		if !named[id] {
			continue
		}
		t.Names[vip.Endpoint] = id
		if vip.Endpoint.Port() == 0 {
			t.Addresses[vip.Endpoint.Addr()] |= loader.AddressVipAnyPort
		} else {
			t.Addresses[vip.Endpoint.Addr()] |= loader.AddressVip
		}
	}
	for id, backend := range t.Backends {
		vip := t.Vips[backend.Vip].Endpoint
		if vip.Port() == 0 {
			t.Addresses[backend.Real.Addr()] |= loader.AddressRealAnyPort
			continue
		}
		t.Addresses[backend.Real.Addr()] |= loader.AddressReal
		if backend.Removed {
			continue
		}
		real := loader.Endpoint{AddrPort: backend.Real, Protocol: vip.Protocol}
		if _, several := t.Reals[real]; several {
			id = loader.Ambiguous
		}
		t.Reals[real] = id
	}
}
