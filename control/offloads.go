package control

import (
	"slices"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/event"
	"github.com/tarpon-lb/tarpon/control/host"
	"github.com/tarpon-lb/tarpon/loader"
	"go.uber.org/zap"
)

// offloadsOff are those that a leg must not have. LRO never goes with forwarding.
// Drivers refuse XDP beside HW-GRO, so it is off wherever XDP may run; and XDP takes
// a frame without its VLAN tag for one of the untagged network.
func offloadsOff(mode loader.Mode, native bool) []string {
	off := slices.Clone(host.LRO)
	if mode == loader.Auto || mode == loader.Native {
		off = append(off, host.HWGRO...)
	}
	if native {
		off = append(off, host.RxVLAN...)
	}
	return off
}

// turnOffloadsOff is no condition of a leg: it says what a driver refuses.
func (c *Controller) turnOffloadsOff(leg config.Leg, native bool) {
	off, err := c.Host.TurnOff(leg.Interface, offloadsOff(leg.Mode, native)...)
	if len(off) > 0 {
		c.events.Info(event.OffloadsOff, "offloads turned off", zap.String("leg", leg.Name), zap.String("interface", leg.Interface), zap.Strings("offloads", off))
	}
	if err != nil {
		c.events.Seldom(event.OffloadsStay, "offloads stay on", zap.String("leg", leg.Name), zap.Error(err))
	}
}

// restoreOffloads turns on again what legs need off no longer.
func (c *Controller) restoreOffloads() {
	off := map[string][]string{} // by interface
	for _, a := range c.Loader.Attachments() {
		off[a.Interface] = offloadsOff(a.Leg.Mode, a.Mode == loader.Native)
	}
	restored, err := c.Host.RestoreOffloads(func(o host.MadeOffload) bool {
		return slices.Contains(off[o.Interface], o.Offload)
	})
	for _, o := range restored {
		c.events.Info(event.OffloadOn, "offload turned on again", zap.String("interface", o.Interface), zap.String("offload", o.Offload))
	}
	c.complain("restore offloads", err)
}
