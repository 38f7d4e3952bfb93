package control

import (
	"maps"
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

// converge makes the kernel have what configuration and health say of the vips in a
// scope; old is the configuration that it had.
func (c *Controller) converge(old *config.Config, changed scope) error {
	c.checks.Change(c.updateHealth(old, changed))
	c.beat()
	if err := c.convergeTables(changed); err != nil {
		return err
	}
	c.beat()
	if changed == nil {
		c.setNextHops(nil)
		return c.setAddresses()
	}
	reals := changed.reals(c.config)
	c.setNextHops(reals)
	if !maps.Equal(reals, changed.reals(old)) {
		c.watch()
	}
	if maps.Equal(addresses(changed, c.config), addresses(changed, old)) {
		return nil
	}
	return c.setAddresses()
}

// convergeTables changes what the program balances by, and nothing else: enough
// when health changed.
func (c *Controller) convergeTables(changed scope) error {
	if c.behind {
		changed = nil
	}
	want, steps, err := c.tables(changed)
	c.beat()
	if err != nil {
		return err
	}
	for _, step := range steps {
		c.Log.Debug("step", zap.Stringer("step", step))
	}
	old := c.have
	c.writes++
	if err := c.Loader.Apply(steps); err != nil {
		if have, readErr := c.Loader.Tables(); readErr == nil {
			c.have = have
		}
		c.behind = true
		return err
	}
	c.have, c.behind = want, false
	c.forgetZeroOf(c.free)
	clear(c.free)
	c.endRemovedVips(old)
	return nil
}

func (c *Controller) tables(changed scope) (loader.Tables, []loader.Step, error) {
	free := func(id loader.BackendID) bool { return c.free[id] }
	wish := c.wish(changed)
	if changed == nil {
		return plan.Tables(c.have, wish, free)
	}
	gone := maps.Clone(changed)
	for _, vip := range wish {
		delete(gone, vip.Endpoint)
	}
	return plan.Update(c.have, wish, slices.Collect(maps.Keys(gone)), free)
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
func (c *Controller) wish(of scope) []plan.Vip {
	var vips []plan.Vip
	for v := range of.vips(c.config) {
		if !v.Enabled {
			continue
		}
		vip := plan.Vip{
			Endpoint: v.Endpoint, Scheduler: v.Scheduler, Timeouts: v.Timeouts,
			DropEmpty: v.DropEmpty || c.addressDue(v) > 0, Reset: v.Reset,
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
		c.complain("give up removed backends", c.convergeTables(scope{}))
	}
}

// stopWaiting is for vips whose reals' first results do not come.
func (c *Controller) stopWaiting() {
	if len(c.waiting) > 0 {
		c.complain("set what an empty vip does", c.convergeTables(c.waiting))
	}
	c.complain("set addresses", c.setAddresses())
}

// addressRetry is after how long what the kernel refused is tried again.
const addressRetry = 10 * time.Second

// setAddresses adds the addresses that should be there, and removes ours that
// should not. On a standby there should be none.
func (c *Controller) setAddresses() error {
	want := map[host.Address]bool{}
	for _, f := range c.config.Floating {
		leg, _ := c.config.Leg(f.Leg)
		want[host.Address{Interface: leg.Interface, Prefix: f.Address}] = true
	}
	made := map[host.Address]bool{}
	for _, m := range c.Host.Made().Addresses() {
		made[host.Address{Interface: m.Interface, Prefix: m.Prefix}] = true
	}
	c.waiting = scope{}
	shared := map[host.Address]bool{} // with this machine, as the configuration says
	next := time.Hour
	for _, vip := range c.config.Vips {
		if !vip.Enabled {
			continue
		}
		due := c.addressDue(vip)
		if due > 0 {
			c.waiting[vip.Endpoint] = true
			next = min(next, due)
		}
		if address := vipAddress(c.config, vip); address.Interface != "" && (due == 0 || made[address]) {
			want[address] = true
			shared[address] = shared[address] || vip.SharesOwnAddress
		}
	}
	switch c.role {
	case standby:
		clear(want)
	case undecided: // what an earlier life left stays
		maps.DeleteFunc(want, func(a host.Address, _ bool) bool { return !made[a] })
	}
	c.settle.Reset(next)
	c.probeNew(want, made)
	done, err := c.Host.SetAddresses(slices.Collect(maps.Keys(want)))
	if err != nil {
		c.settle.Reset(min(next, addressRetry))
	}
	done.Foreign = slices.DeleteFunc(done.Foreign, func(a host.Address) bool { return shared[a] })
	c.tellAddresses(done)
	c.announceAdded(done.Added)
	return err
}

func (c *Controller) tellAddresses(done host.Addresses) {
	for _, a := range done.Added {
		c.events.Info(event.AddressAdded, "address added", zap.Stringer("address", a))
	}
	for _, a := range done.Foreign {
		c.events.Seldom(event.AddressForeign, a.String()+" was here before: it is used, and never removed", zap.Stringer("address", a))
	}
	for _, a := range done.Removed {
		c.events.Info(event.AddressRemoved, "address removed", zap.Stringer("address", a))
	}
}

// vipAddress has no interface while the vip's leg is not known.
func vipAddress(c *config.Config, vip config.Vip) host.Address {
	leg, _ := c.Leg(vip.Leg)
	name := leg.Interface
	if vip.Leg == config.LegNone {
		name = "lo"
	}
	return host.Address{Interface: name, Prefix: netip.PrefixFrom(vip.Endpoint.Addr(), vip.Prefix)}
}
