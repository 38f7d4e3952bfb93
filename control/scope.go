package control

import (
	"net/netip"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/host"
	"github.com/tarpon-lb/tarpon/control/plan"
	"github.com/tarpon-lb/tarpon/loader"
)

// A scope is the vips that something is about; nil: all, and what else there is. With
// it a change costs what it changes, not what the router has.
type scope map[loader.Endpoint]bool

// scopeOf is the vips that changes are about; nil if they are about more than vips.
func scopeOf(changes []plan.Change) scope {
	s := scope{}
	for _, change := range changes {
		if !change.Vip.IsValid() {
			return nil
		}
		s[change.Vip] = true
	}
	return s
}

func (s scope) has(vip loader.Endpoint) bool { return s == nil || s[vip] }

// vips goes over those of a configuration that are in the scope.
func (s scope) vips(c *config.Config) func(func(config.Vip) bool) {
	return func(yield func(config.Vip) bool) {
		for i := range c.Vips {
			if s.has(c.Vips[i].Endpoint) && !yield(c.Vips[i]) {
				return
			}
		}
	}
}

// reals are the addresses of the scope's reals.
func (s scope) reals(c *config.Config) map[netip.Addr]bool {
	addrs := map[netip.Addr]bool{}
	for vip := range s.vips(c) {
		for _, real := range vip.Reals {
			addrs[real.Address.Addr()] = true
		}
	}
	return addrs
}

// addresses are those that the scope's vips have on this machine.
func addresses(s scope, of *config.Config) map[host.Address]bool {
	addresses := map[host.Address]bool{}
	for vip := range s.vips(of) {
		if vip.Enabled {
			addresses[vipAddress(of, vip)] = true
		}
	}
	return addresses
}
