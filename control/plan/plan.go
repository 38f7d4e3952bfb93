// Package plan says what the kernel should have, and which steps lead there from
// what it has. Everything here is a function from values to values.
package plan

import (
	"net/netip"

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

// Tables are what the kernel should have for these vips, and the steps there. Ids are
// kept from have; backends that are no longer wished for stay, as removed, until free
// says that no flow has them, and their vips with them.
func Tables(have loader.Tables, vips []Vip, free func(loader.BackendID) bool) (loader.Tables, []loader.Step, error) {
	u := newUpdate(have)
	u.forgetAll()
	return u.to(vips, free)
}

// Update is Tables where only some vips may be others than in have: these, and those
// that are gone. It costs what they cost, and a copy.
func Update(have loader.Tables, vips []Vip, gone []loader.Endpoint, free func(loader.BackendID) bool) (loader.Tables, []loader.Step, error) {
	u := newUpdate(have)
	for _, e := range gone {
		u.forget(e)
	}
	for _, vip := range vips {
		u.forget(vip.Endpoint)
	}
	return u.to(vips, free)
}
