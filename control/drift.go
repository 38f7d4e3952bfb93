package control

import (
	"context"
	"time"

	"github.com/tarpon-lb/tarpon/control/event"
	"github.com/tarpon-lb/tarpon/control/plan"
	"github.com/tarpon-lb/tarpon/loader"
	"go.uber.org/zap"
)

const (
	// driftInterval is how often is looked for what somebody else changed in the
	// kernel; on a large router less often, so that it takes 1/driftShare of a core.
	driftInterval = 10 * time.Second
	driftShare    = 200
	// toldAgain is after how long the repair of one thing is told again.
	toldAgain = time.Minute
)

// repairDrift puts back what somebody else changed in the kernel, until the context
// ends. The owning goroutine is asked for what it wants, and to repair; the tables are
// read outside of it.
func (c *Controller) repairDrift(ctx context.Context) {
	for pause := driftInterval; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		begun, writes := time.Now(), 0
		want, err := ask(ctx, c, func() (loader.Tables, error) {
			c.repairLegs()
			writes = c.writes
			return c.have, nil
		})
		if err != nil {
			return
		}
		holds, err := c.Loader.Holds(want)
		c.complain("look at the kernel's tables", err)
		pause = max(driftInterval, driftShare*time.Since(begun))
		if holds || err != nil {
			continue
		}
		_ = c.do(ctx, func() {
			if writes == c.writes { // else it is a change of ours that was seen
				c.repairTables()
			}
		})
	}
}

// repairTables makes the kernel's tables what they were made.
func (c *Controller) repairTables() {
	have, err := c.Loader.Tables()
	if err != nil {
		c.complain("read the kernel's tables", err)
		return
	}
	steps := plan.Diff(have, c.have)
	if len(steps) == 0 { // it is in a part of the records that tables do not tell
		have.Vips, have.Backends = nil, nil
		steps = plan.Diff(have, c.have)
	}
	var what []string
	for i, step := range steps {
		what = append(what, step.String())
		if put, ok := step.(loader.PutBackend); ok {
			put.Anew = true
			steps[i] = put
		}
	}
	if err := c.Loader.Apply(steps); err != nil {
		c.complain("repair the kernel's tables", err)
		return
	}
	c.setNextHops(nil)
	c.tellRepaired(what...)
}

// repairLegs attaches again what somebody detached, and what could not be attached.
func (c *Controller) repairLegs() {
	for _, leg := range c.config.DataLegs() {
		attached, ok := c.attachment(leg)
		if !ok {
			c.followLeg(leg, false)
			continue
		}
		fault, err := c.Loader.LegFault(attached.Ifindex)
		c.complain("look at a leg", err)
		if fault != "" {
			c.tellRepaired("leg " + leg.Name + ": " + fault)
			c.restoreLeg(leg)
		}
	}
	c.placeVips()
}

// tellRepaired names what was repaired, the same once a minute.
func (c *Controller) tellRepaired(what ...string) {
	const most = 20
	var news []string
	for _, one := range what {
		if time.Since(c.said.repaired[one]) >= toldAgain {
			c.said.repaired[one] = time.Now()
			news = append(news, one)
		}
	}
	for one, at := range c.said.repaired {
		if time.Since(at) >= toldAgain {
			delete(c.said.repaired, one)
		}
	}
	if len(news) > 0 {
		c.events.Warn(event.Repaired, "repaired what somebody else changed in the kernel",
			zap.Strings("what", news[:min(len(news), most)]), zap.Int("things", len(news)))
	}
}
