package control

import (
	"context"
	"iter"
	"net/netip"
	"slices"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/event"
	"github.com/tarpon-lb/tarpon/control/host"
	"github.com/tarpon-lb/tarpon/healthcheck"
	"go.uber.org/zap"
)

// Events implements api.Controller. Readers do not meet the owning goroutine.
func (c *Controller) Events(ctx context.Context, since uint64, follow bool) (iter.Seq[api.Event], error) {
	return c.events.After(ctx, since, follow), nil
}

// said is what events said last of what goes on.
type said struct {
	lostHops map[netip.Addr]bool
	repaired map[string]time.Time
	full     *uint64 // flows that had found no slot; nil: not known yet
	sysctls  sysctlsSet
}

// sysctlsSet has the last change of each sysctl by this router.
type sysctlsSet map[string]sysctlSet

type sysctlSet struct {
	change host.SysctlChange
	at     time.Time
}

// heldFor is how long a sysctl must have stayed as it was set, that the same change is
// news again. Configuration management sets it back every half hour.
const heldFor = time.Hour

// isNews: what somebody else sets back again and again, always to the same value, is told
// once.
func (s sysctlsSet) isNews(change host.SysctlChange, now time.Time) bool {
	last, known := s[change.Name]
	s[change.Name] = sysctlSet{change, now}
	return !known || last.change != change || now.Sub(last.at) >= heldFor
}

func (c *Controller) tellHealth(key checkKey, state healthcheck.State) {
	vip, real := zap.String("vip", vipText(key.vip)), zap.String("real", realText(key.real))
	if state.Up {
		c.events.Info(event.RealUp, "real up", vip, real)
		return
	}
	c.events.Warn(event.RealDown, "real down", vip, real, zap.String("error", state.Error))
}

// tellLeg compares what an interface was with what it is. That it is in order from
// the start is no news.
func (c *Controller) tellLeg(name string, was host.LegState, known bool, is host.LegState) {
	before, now := legTrouble(was), legTrouble(is)
	if known && before == now || !known && now == "" {
		return
	}
	if now == "" {
		c.events.Info(event.InterfaceUp, "interface up", zap.String("interface", name))
		return
	}
	c.events.Warn(event.InterfaceDown, "interface down", zap.String("interface", name), zap.String("reason", now))
}

func legTrouble(s host.LegState) string {
	switch {
	case s.Ifindex == 0:
		return "there is none of this name"
	case !s.Up:
		return "it is down or has no carrier"
	}
	return ""
}

// tellNextHops says which reals are without their next hop, and have it again. That
// one is not known yet at a start is no news. Many for one reason are one event.
func (c *Controller) tellNextHops(paths map[netip.Addr]host.Path) {
	lost, found := map[string][]netip.Addr{}, []netip.Addr{}
	for addr, path := range paths {
		was := c.paths[addr]
		switch {
		case was.NextHop != (host.NextHop{}) && path.Reason != "":
			lost[path.Reason] = append(lost[path.Reason], addr)
			c.said.lostHops[addr] = true
		case path.Reason == "" && c.said.lostHops[addr]:
			found = append(found, addr)
			delete(c.said.lostHops, addr)
		}
	}
	for reason, reals := range lost {
		c.events.Warn(event.NextHopLost, "next hop lost, the FIB is asked", sorted(reals), zap.String("reason", reason))
	}
	if len(found) > 0 {
		c.events.Info(event.NextHopFound, "next hop found again", sorted(found))
	}
}

func sorted(reals []netip.Addr) zap.Field {
	slices.SortFunc(reals, netip.Addr.Compare)
	return zap.Stringers("real", reals)
}

// tellCapacity says what the flow tables lack, or will soon.
func (c *Controller) tellCapacity() {
	near := func(family string, flows, most int) {
		if flows*10 > most*9 {
			c.events.Seldom(event.FlowsNearMaximum, family+" flow table nearly full",
				zap.Int("flows", flows), zap.Int("max", most))
		}
	}
	near("IPv4", c.sweep.Flows4, c.config.Flows.MaxIPv4)
	near("IPv6", c.sweep.Flows6, c.config.Flows.MaxIPv6)
	capacity, err := c.Loader.Capacity()
	if err != nil {
		return // status says so
	}
	if c.said.full != nil && capacity.Full > *c.said.full {
		c.events.Seldom(event.InsertsFailed, "flow table full: flows go by the schedule alone",
			zap.Uint64("flows", capacity.Full-*c.said.full))
	}
	c.said.full = &capacity.Full
}
