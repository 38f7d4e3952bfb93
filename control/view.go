package control

import (
	"context"
	"fmt"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/operational"
	"github.com/tarpon-lb/tarpon/control/plan"
	"github.com/tarpon-lb/tarpon/loader"
)

// Status implements api.Controller. Flows that decisions wait for are counted outside
// of the owning goroutine, as in Vips.
func (c *Controller) Status(ctx context.Context) (api.Status, error) {
	var live map[loader.BackendID]loader.Live
	decided, err := ask(ctx, c, func() (scope, error) { return c.decided(), nil })
	if err != nil {
		return api.Status{}, err
	}
	if len(decided) > 0 {
		live = c.Loader.Live()
	}
	return ask(ctx, c, func() (api.Status, error) { return c.status(live) })
}

func (c *Controller) status(live map[loader.BackendID]loader.Live) (api.Status, error) {
	capacity, err := c.Loader.Capacity()
	if err != nil {
		return api.Status{}, err
	}
	s := api.Status{
		Version: c.Version, Revision: c.running.Number, Problems: []string{}, Started: c.started, Legs: c.legViews(),
		Flows: api.Capacity{
			IPv4:  api.Table{Flows: c.sweep.Flows4, Max: c.config.Flows.MaxIPv4, Slots: capacity.Slots4},
			IPv6:  api.Table{Flows: c.sweep.Flows6, Max: c.config.Flows.MaxIPv6, Slots: capacity.Slots6},
			Bytes: capacity.Bytes, Moved: capacity.Moved, Evicted: capacity.Evicted, Full: capacity.Full,
		},
	}
	s.Checks.Done, s.Checks.Failed = c.checks.Counts()
	if c.pair != nil {
		view := c.pairView()
		s.Router, s.Role, s.Problems = view.Own.Name, view.Own.Role, view.Problems
	}
	for _, leg := range s.Legs {
		switch {
		case c.legs[leg.Interface].Ifindex == 0:
			s.Problems = append(s.Problems, fmt.Sprintf("leg %s: there is no interface %s; it is awaited", leg.Name, leg.Interface))
		case leg.Mode == "" || !leg.Up:
			s.Problems = append(s.Problems, fmt.Sprintf("leg %s (%s) is down", leg.Name, leg.Interface))
		}
	}
	s.Problems = append(s.Problems, c.fileProblems()...)
	edited, err := c.editedByHand()
	s.FileEdited = edited || err != nil
	if c.deaf != nil {
		s.Problems = append(s.Problems, fmt.Sprintf("metrics are not served: %v; tried again, or change metrics.listen", c.deaf))
	}
	if c.sizing.err != nil {
		s.Problems = append(s.Problems, fmt.Sprintf("the flow tables are not as flows.max_* says: %v; tried again, or change flows", c.sizing.err))
	}
	for _, d := range c.decisions(live) {
		s.Decisions = append(s.Decisions, d)
	}
	for _, vip := range c.config.Vips {
		if !vip.Enabled {
			continue
		}
		s.Vips++
		if vip.Leg == "" {
			s.Problems = append(s.Problems, "vip "+config.FormatVip(vip.Endpoint)+" has no leg until the interface of its network comes, or `leg:` names one")
		}
		usable := 0
		for _, real := range vip.Reals {
			if !real.Enabled {
				continue
			}
			s.Reals++
			if c.isUp(vip, real) {
				s.RealsUp++
				if drained, _ := c.drained(vip, real.Address); !drained {
					usable += min(real.Weight, 1)
				}
			}
		}
		if usable == 0 {
			s.Problems = append(s.Problems, "vip "+config.FormatVip(vip.Endpoint)+" has no usable real")
		}
	}
	return s, nil
}

func (c *Controller) legViews() []api.Leg {
	roles := map[loader.Role]string{loader.Outside: "outside", loader.Inside: "inside", loader.Both: "both"}
	attached := map[string]loader.Attachment{}
	for _, a := range c.Loader.Attachments() {
		attached[a.Name] = a
	}
	views := []api.Leg{}
	for _, leg := range c.config.DataLegs() {
		view := api.Leg{
			Name: leg.Name, Interface: leg.Interface, Role: roles[leg.Role], Configured: leg.Mode.String(),
			Up: c.legs[leg.Interface].Up,
		}
		if a, ok := attached[leg.Name]; ok {
			view.Mode, view.Reason = a.Mode.String(), a.Reason
		}
		views = append(views, view)
	}
	return views
}

// Vips implements api.Controller. The kernel is counted outside of the owning
// goroutine: that takes as long as the tables are large.
func (c *Controller) Vips(ctx context.Context) ([]api.Vip, error) {
	traffic, err := c.Loader.Traffic()
	if err != nil {
		return nil, err
	}
	live := c.Loader.Live()
	return ask(ctx, c, func() ([]api.Vip, error) { return c.vipViews(traffic, live), nil })
}

// backendIDs finds a backend by what it is.
func (c *Controller) backendIDs() map[checkKey]loader.BackendID {
	ids := map[checkKey]loader.BackendID{}
	for id, backend := range c.have.Backends {
		ids[checkKey{c.have.Vips[backend.Vip].Endpoint, backend.Real}] = id
	}
	return ids
}

func (c *Controller) vipViews(traffic map[loader.BackendID]loader.Traffic, live map[loader.BackendID]loader.Live) []api.Vip {
	ids := c.backendIDs()
	decisions := map[operational.Target][]api.Decision{}
	for target, d := range c.decisions(live) {
		decisions[target] = append(decisions[target], d)
	}
	views := []api.Vip{}
	for _, vip := range c.config.Vips {
		view := api.Vip{
			Vip: config.FormatVip(vip.Endpoint), Name: vip.Name, Enabled: vip.Enabled, Leg: vip.Leg,
			Scheduler: vip.Scheduler, Check: plan.CheckName(vip.Check), OnFail: "keep", WhenEmpty: "reject", Reals: []api.Real{},
			Decisions: decisions[operational.Target{Vip: vip.Endpoint}],
		}
		if vip.Reset {
			view.OnFail = "reset"
		}
		if vip.DropEmpty {
			view.WhenEmpty = "drop"
		}
		for _, real := range vip.Reals {
			r := c.realView(vip, real)
			if id, ok := ids[checkKey{vip.Endpoint, real.Address}]; ok {
				r.Traffic, r.Zero = trafficView(traffic[id]), c.zero.Traffic[id]
				r.Active, r.Inactive = live[id].Established, live[id].Other
			}
			r.Decisions = decisions[operational.Target{Vip: vip.Endpoint, Real: real.Address}]
			view.Reals = append(view.Reals, r)
		}
		views = append(views, view)
	}
	return views
}

func trafficView(t loader.Traffic) api.Traffic {
	return api.Traffic{
		Connections: t.Connections, PacketsIn: t.PacketsIn, PacketsOut: t.PacketsOut, BytesIn: t.BytesIn, BytesOut: t.BytesOut,
	}
}

func (c *Controller) realView(vip config.Vip, real config.Real) api.Real {
	view := api.Real{
		Real: real.String(), Name: real.Name, Weight: real.Weight, Enabled: real.Enabled,
		NextHop: c.paths[real.Address.Addr()].Reason,
	}
	h := c.health[checkKey{vip.Endpoint, real.Address}]
	switch {
	case !real.Enabled || !vip.Enabled:
		view.State = "disabled"
	case real.Check.Type == config.CheckNone:
		view.State = "unchecked"
	case h != nil:
		view.State, view.Checked, view.Since, view.Error = upDown(h.state.Up), h.state.Checked, h.state.Since, h.state.Error
	}
	return view
}

// Stats implements api.Controller.
func (c *Controller) Stats(ctx context.Context) (api.Stats, error) { return ask(ctx, c, c.stats) }

func (c *Controller) stats() (api.Stats, error) {
	reasons, err := c.Loader.Reasons()
	if err != nil {
		return api.Stats{}, err
	}
	var names []string
	for _, leg := range c.config.DataLegs() {
		names = append(names, leg.Interface)
	}
	counters, err := devices(names)
	return api.Stats{
		Time: time.Now(), XDP: counts(reasons.XDP), TC: counts(reasons.TC), Devices: counters, Zero: c.zeroView(),
	}, err
}

func counts(list []loader.Count) []api.Count {
	out := []api.Count{}
	for _, count := range list {
		out = append(out, api.Count(count))
	}
	return out
}
