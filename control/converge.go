package control

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/event"
	"github.com/tarpon-lb/tarpon/control/host"
	"github.com/tarpon-lb/tarpon/control/plan"
	"github.com/tarpon-lb/tarpon/loader"
	"go.uber.org/zap"
)

// converge makes the kernel have what configuration and health say.
func (c *Controller) converge() error {
	c.updateHealth()
	if err := c.convergeTables(); err != nil {
		return err
	}
	c.setNextHops(nil)
	return c.setAddresses()
}

// convergeTables changes what the program balances by, and nothing else: enough
// when health changed.
func (c *Controller) convergeTables() error {
	want, err := plan.Tables(c.have, c.wish(), func(id loader.BackendID) bool { return c.free[id] })
	if err != nil {
		return err
	}
	steps := plan.Diff(c.have, want)
	for _, step := range steps {
		c.Log.Debug("step", zap.Stringer("step", step))
	}
	old := c.have
	if err := c.Loader.Apply(steps); err != nil {
		if have, readErr := c.Loader.Tables(); readErr == nil {
			c.have = have
		}
		return err
	}
	c.have = want
	clear(c.free)
	c.endRemovedVips(old)
	return nil
}

// endRemovedVips ends the flows of vips that nobody can reach any more.
func (c *Controller) endRemovedVips(old loader.Tables) {
	removed := map[loader.VipID]bool{}
	for endpoint, id := range old.Names {
		if _, ok := c.have.Names[endpoint]; !ok {
			removed[id] = true
		}
	}
	if len(removed) == 0 {
		return
	}
	ended := c.Loader.EndFlows(func(f loader.Flow) bool { return removed[f.Vip] })
	c.events.Info(event.VipsRemoved, "vips removed", zap.Int("vips", len(removed)), zap.Int("flows_ended", ended))
}

// wish is the configuration with health and the operational state.
func (c *Controller) wish() []plan.Vip {
	var vips []plan.Vip
	for _, v := range c.config.Vips {
		if !v.Enabled {
			continue
		}
		vip := plan.Vip{
			Endpoint: v.Endpoint, Scheduler: v.Scheduler, Timeouts: v.Timeouts,
			DropEmpty: v.DropEmpty, Reset: v.Reset,
		}
		for _, r := range v.Reals {
			if !r.Enabled {
				continue
			}
			real := plan.Real{Address: r.Address, Weight: r.Weight, Up: c.isUp(v, r)}
			if drained, cut := c.drained(v, r.Address); drained {
				real.Weight, real.Cut = 0, cut
			}
			vip.Reals = append(vip.Reals, real)
		}
		vips = append(vips, vip)
	}
	return vips
}

// sweepFlows ends silent flows, and gives up backends that nobody needs.
func (c *Controller) sweepFlows() {
	removed := []loader.BackendID{}
	for id, backend := range c.have.Backends {
		if backend.Removed {
			removed = append(removed, id)
		}
	}
	c.sweep = c.Loader.Sweep()
	for _, id := range removed {
		if c.sweep.Backends[id] == (loader.Live{}) {
			c.free[id] = true
		}
	}
	if len(c.free) > 0 {
		c.complain("give up removed backends", c.convergeTables())
	}
}

// setAddresses adds the addresses that should be there, and removes ours that
// should not.
func (c *Controller) setAddresses() error {
	var want []host.Address
	for _, f := range c.config.Floating {
		leg, _ := c.config.Leg(f.Leg)
		want = append(want, host.Address{Interface: leg.Interface, Prefix: f.Address})
	}
	made := c.Host.Made().Addresses()
	var wait time.Duration
	for _, vip := range c.config.Vips {
		address := c.vipAddress(vip)
		is := func(m host.MadeAddress) bool { return m.Interface == address.Interface && m.Prefix == address.Prefix }
		if !vip.Enabled || slices.Contains(want, address) {
			continue
		}
		if due := c.addressDue(vip); due > 0 && !slices.ContainsFunc(made, is) {
			wait = max(wait, due)
			continue
		}
		want = append(want, address)
	}
	if wait > 0 {
		c.settle.Reset(wait)
	}
	done, err := c.Host.SetAddresses(want)
	for _, a := range done.Added {
		c.events.Info(event.AddressAdded, "address added", zap.Stringer("address", a))
	}
	for _, a := range done.Removed {
		c.events.Info(event.AddressRemoved, "address removed", zap.Stringer("address", a))
	}
	return err
}

func (c *Controller) vipAddress(vip config.Vip) host.Address {
	name := "lo"
	if leg, ok := c.config.Leg(vip.Leg); ok {
		name = leg.Interface
	}
	return host.Address{Interface: name, Prefix: netip.PrefixFrom(vip.Endpoint.Addr(), vip.Prefix)}
}

// checkCapacity refuses tables of another size than those that run.
func (c *Controller) checkCapacity() error {
	slots4, slots6, err := loader.SlotsFor(c.config.Flows.MaxIPv4, c.config.Flows.MaxIPv6)
	if err != nil {
		return err
	}
	have, err := c.Loader.Capacity()
	if err != nil {
		return err
	}
	if slots4 != have.Slots4 || slots6 != have.Slots6 {
		return fmt.Errorf("flows.max_ipv4 and max_ipv6 cannot change on a running router yet: its tables have %d and %d slots, these need %d and %d", have.Slots4, have.Slots6, slots4, slots6)
	}
	return nil
}
