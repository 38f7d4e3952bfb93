package control

import (
	"slices"
	"time"

	"github.com/tarpon-lb/tarpon/control/host"
)

const (
	// firstHops is how long a start waits for its first routes and neighbours.
	firstHops = 2 * time.Second
	// relight is how long it waits for carrier that was there before: more than most
	// drivers' resets and a link's negotiation take, and less than who started the
	// daemon waits for it.
	relight = 10 * time.Second
)

// lit are the interfaces of the legs that have carrier.
func (c *Controller) lit() (names []string) {
	devices, err := c.Host.Interfaces()
	c.complain("read the interfaces", err)
	for _, leg := range c.config.DataLegs() {
		if interfaceOf(leg, devices).Carrier {
			names = append(names, leg.Interface)
		}
	}
	return names
}

// awaitNetwork gives the routes of a restart a moment, so that the fast path is whole
// before anything else happens; the FIB serves as well until then. Interfaces that were
// lit before their program came have longer: with native XDP many drivers reset the
// link, and every real's first check would find it down.
func (c *Controller) awaitNetwork(lit []string) {
	told := false
	take := func(change host.Change) {
		told = true
		c.takeChange(change)
	}
	takeUntil(c.watcher.Changes(), take, firstHops, func() bool { return told })
	takeUntil(c.watcher.Changes(), take, relight, func() bool { return !dark(lit, c.legs) })
}

// dark says whether one of these interfaces is known to be without carrier.
func dark(names []string, legs map[string]host.LegState) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		state, known := legs[name]
		return known && !state.Up
	})
}

// takeUntil takes changes until enough is known, for so long at most.
func takeUntil(changes <-chan host.Change, take func(host.Change), limit time.Duration, enough func() bool) {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for !enough() {
		select {
		case change := <-changes:
			take(change)
		case <-timeout.C:
			return
		}
	}
}
