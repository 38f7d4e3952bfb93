package control

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/count"
	"github.com/tarpon-lb/tarpon/control/event"
	"github.com/tarpon-lb/tarpon/control/operational"
	"github.com/tarpon-lb/tarpon/loader"
	"go.uber.org/zap"
)

// Drain implements api.Controller.
func (c *Controller) Drain(ctx context.Context, vip, real string, deadline time.Duration) (api.Operated, error) {
	return c.operate(ctx, vip, real, operational.Drained, func(before operational.Decision, stands bool) *operational.Decision {
		d := operational.Decision{Kind: operational.Drained, Author: api.Caller(ctx), Since: time.Now().Round(0)}
		if stands {
			d.Author, d.Since = before.Author, before.Since
		}
		if deadline > 0 {
			d.Deadline = time.Now().Add(deadline).Round(0)
		}
		return &d
	})
}

// Disable implements api.Controller.
func (c *Controller) Disable(ctx context.Context, vip, real string) (api.Operated, error) {
	return c.operate(ctx, vip, real, operational.Disabled, func(before operational.Decision, stands bool) *operational.Decision {
		if stands {
			return &before
		}
		return &operational.Decision{Kind: operational.Disabled, Author: api.Caller(ctx), Since: time.Now().Round(0)}
	})
}

// Undrain implements api.Controller.
func (c *Controller) Undrain(ctx context.Context, vip, real string) (api.Operated, error) {
	return c.operate(ctx, vip, real, operational.Drained, noDecision)
}

// Enable implements api.Controller.
func (c *Controller) Enable(ctx context.Context, vip, real string) (api.Operated, error) {
	return c.operate(ctx, vip, real, operational.Disabled, noDecision)
}

func noDecision(operational.Decision, bool) *operational.Decision { return nil }

// operate puts a decision in the place of the one that stands; nil: of none.
func (c *Controller) operate(ctx context.Context, vip, real string, kind operational.Kind,
	decide func(before operational.Decision, stands bool) *operational.Decision,
) (api.Operated, error) {
	return ask(ctx, c, func() (api.Operated, error) {
		target, subject, err := c.target(vip, real)
		if err != nil {
			return api.Operated{}, err
		}
		before, stands := c.operational.Find(target, kind)
		next := decide(before, stands)
		told := api.Operated{Message: c.operatedText(target, subject, kind, next)}
		if stands == (next != nil) && (next == nil || *next == before) {
			told.Message = "unchanged: " + told.Message
			return told, nil
		}
		told.FlowsLeft = c.liveFlows().left(target)
		told.Changed = true
		if err := c.decide(target, kind, next); err != nil {
			return api.Operated{}, err
		}
		if err := c.run(c.file, scope{target.Vip: true}); err != nil {
			undo := (*operational.Decision)(nil)
			if stands {
				undo = &before
			}
			c.complain("go back to the old operational state", c.decide(target, kind, undo))
			c.complain("go back to the old operational state", c.run(c.file, nil))
			return api.Operated{}, err
		}
		if c.pair != nil {
			c.pair.OperationalChanged()
		}
		if next != nil {
			told.Message += "; " + count.Of(told.FlowsLeft, "flow") + " left (now)"
		}
		c.events.Info(event.Decided, "operational state changed", zap.String("author", api.Caller(ctx)), zap.String("what", told.Message))
		return told, nil
	})
}

func (c *Controller) decide(target operational.Target, kind operational.Kind, d *operational.Decision) error {
	if d == nil {
		return c.operational.Clear(target, kind)
	}
	return c.operational.Set(target, *d)
}

// target finds what an operator names.
func (c *Controller) target(vip, real string) (t operational.Target, subject string, err error) {
	at := c.file.Config.FindVip(vip)
	if at < 0 {
		return t, "", &api.Error{Code: api.CodeMissing, Message: "there is no vip " + vip}
	}
	v := &c.file.Config.Vips[at]
	t.Vip, subject = v.Endpoint, "vip "+config.FormatVip(v.Endpoint)
	if v.Name != "" {
		subject = "vip " + v.Name
	}
	if real == "" {
		return t, subject, nil
	}
	if at = v.FindReal(real); at < 0 {
		return t, "", &api.Error{Code: api.CodeMissing, Message: fmt.Sprintf("%s has no real %s", subject, real)}
	}
	t.Real = v.Reals[at].Address
	return t, subject + ": real " + v.Reals[at].String(), nil
}

// operatedText says what is so now.
func (c *Controller) operatedText(t operational.Target, subject string, kind operational.Kind, d *operational.Decision) string {
	switch {
	case d != nil && !d.Deadline.IsZero():
		return fmt.Sprintf("%s %s; what is left at %s is reset", subject, kind, d.Deadline.Format(time.TimeOnly))
	case d != nil:
		return fmt.Sprintf("%s %s", subject, kind)
	case kind == operational.Drained:
		return subject + " not drained"
	case c.disabledInFile(t):
		return subject + " not disabled here, but in the configuration still (enabled: false)"
	}
	return subject + " not disabled"
}

func (c *Controller) disabledInFile(t operational.Target) bool {
	for _, vip := range c.file.Config.Vips {
		if vip.Endpoint != t.Vip {
			continue
		}
		return !vip.Enabled && !t.Real.IsValid() || slices.ContainsFunc(vip.Reals, func(r config.Real) bool {
			return r.Address == t.Real && !r.Enabled
		})
	}
	return false
}

// inForce is a configuration with what the operator disabled.
func (c *Controller) inForce(written *config.Config) *config.Config {
	disabled := map[operational.Target]bool{}
	for target, d := range c.operational.All {
		if d.Kind == operational.Disabled {
			disabled[target] = true
		}
	}
	if len(disabled) == 0 {
		return written
	}
	inForce := *written
	inForce.Vips = slices.Clone(written.Vips)
	for i := range inForce.Vips {
		vip := &inForce.Vips[i]
		vip.Enabled = vip.Enabled && !disabled[operational.Target{Vip: vip.Endpoint}]
		off := func(r config.Real) bool { return disabled[operational.Target{Vip: vip.Endpoint, Real: r.Address}] }
		if !slices.ContainsFunc(vip.Reals, off) {
			continue
		}
		vip.Reals = slices.Clone(vip.Reals)
		for j := range vip.Reals {
			vip.Reals[j].Enabled = vip.Reals[j].Enabled && !off(vip.Reals[j])
		}
	}
	return &inForce
}

// drained says whether a real gets no new flows, and whether those it has are cut.
func (c *Controller) drained(vip config.Vip, real netip.AddrPort) (drained, cut bool) {
	d, drained := c.operational.Find(operational.Target{Vip: vip.Endpoint, Real: real}, operational.Drained)
	return drained, drained && d.Over(time.Now())
}

// awaitDeadlines sets the clock for the next drain that ends.
func (c *Controller) awaitDeadlines() {
	c.deadline.Stop()
	now, next := time.Now(), time.Time{}
	for _, d := range c.operational.All {
		if !d.Deadline.IsZero() && !d.Over(now) && (next.IsZero() || d.Deadline.Before(next)) {
			next = d.Deadline
		}
	}
	if !next.IsZero() {
		c.deadline.Reset(next.Sub(now))
	}
}

// decided is the vips that decisions are about.
func (c *Controller) decided() scope {
	s := scope{}
	for target := range c.operational.All {
		s[target.Vip] = true
	}
	return s
}

// forgetRemoved ends decisions about what is no longer in the configuration; not
// while it may be rolled back.
func (c *Controller) forgetRemoved() {
	if !c.running.ConfirmBy.IsZero() {
		return
	}
	exists := map[operational.Target]bool{{}: true} // the pair
	for vip := range c.decided().vips(c.file.Config) {
		exists[operational.Target{Vip: vip.Endpoint}] = true
		for _, real := range vip.Reals {
			exists[operational.Target{Vip: vip.Endpoint, Real: real.Address}] = true
		}
	}
	c.complain("forget what was decided about what is removed",
		c.operational.Keep(func(t operational.Target) bool { return exists[t] }))
}

// decisions goes over those that stand, in the API's words.
func (c *Controller) decisions(counted map[loader.BackendID]loader.Live) iter.Seq2[operational.Target, api.Decision] {
	return func(yield func(operational.Target, api.Decision) bool) {
		live := sync.OnceValue(func() liveFlows { return c.named(counted) })
		for target, d := range c.operational.All {
			if target == (operational.Target{}) {
				continue
			}
			if !yield(target, api.Decision{
				Vip: vipText(target.Vip), Real: realText(target.Real), State: string(d.Kind), Author: d.Author,
				Since: d.Since, Deadline: d.Deadline, FlowsLeft: live().left(target),
			}) {
				return
			}
		}
	}
}

// left is how many flows a vip or a real has.
func (f liveFlows) left(t operational.Target) int {
	if t.Real.IsValid() {
		return f.reals[checkKey{t.Vip, t.Real}]
	}
	return f.vips[t.Vip]
}
