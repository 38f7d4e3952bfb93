package control

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/loader"
)

// Status implements api.Controller.
func (c *Controller) Status(ctx context.Context) (status api.Status, err error) {
	asked := c.do(ctx, func() { status, err = c.status() })
	if asked != nil {
		return status, asked
	}
	return status, err
}

func (c *Controller) status() (api.Status, error) {
	capacity, err := c.Loader.Capacity()
	if err != nil {
		return api.Status{}, err
	}
	s := api.Status{
		Version: c.Version, Revision: c.revision, Problems: []string{}, Started: c.started, Legs: c.legViews(),
		Flows: api.Capacity{
			IPv4:  api.Table{Flows: c.sweep.Flows4, Max: c.config.Flows.MaxIPv4, Slots: capacity.Slots4},
			IPv6:  api.Table{Flows: c.sweep.Flows6, Max: c.config.Flows.MaxIPv6, Slots: capacity.Slots6},
			Bytes: capacity.Bytes, Moved: capacity.Moved, Evicted: capacity.Evicted, Full: capacity.Full,
		},
	}
	for _, leg := range s.Legs {
		if leg.Mode == "" || !leg.Up {
			s.Problems = append(s.Problems, fmt.Sprintf("leg %s (%s) is down", leg.Name, leg.Interface))
		}
	}
	if edited, err := c.editedByHand(); err != nil || edited {
		s.Problems = append(s.Problems, c.ConfigFile+" was edited by hand; take it over: lbctl reload")
	}
	for _, vip := range c.config.Vips {
		if !vip.Enabled {
			continue
		}
		s.Vips++
		usable := 0
		for _, real := range vip.Reals {
			if !real.Enabled {
				continue
			}
			s.Reals++
			if c.isUp(vip, real) {
				s.RealsUp++
				usable += min(real.Weight, 1)
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
	for _, leg := range c.config.Legs {
		view := api.Leg{Name: leg.Name, Interface: leg.Interface, Role: roles[leg.Role], Up: c.legs[leg.Interface].Up}
		if a, ok := attached[leg.Name]; ok {
			view.Mode, view.Reason = a.Mode.String(), a.Reason
		}
		views = append(views, view)
	}
	return views
}

// Vips implements api.Controller.
func (c *Controller) Vips(ctx context.Context) (vips []api.Vip, err error) {
	asked := c.do(ctx, func() { vips, err = c.vipViews() })
	if asked != nil {
		return nil, asked
	}
	return vips, err
}

// backendIDs finds a backend by what it is.
func (c *Controller) backendIDs() map[checkKey]loader.BackendID {
	ids := map[checkKey]loader.BackendID{}
	for id, backend := range c.have.Backends {
		ids[checkKey{c.have.Vips[backend.Vip].Endpoint, backend.Real}] = id
	}
	return ids
}

func (c *Controller) vipViews() ([]api.Vip, error) {
	traffic, err := c.Loader.Traffic()
	if err != nil {
		return nil, err
	}
	ids := c.backendIDs()
	live := c.countFlows()
	views := []api.Vip{}
	for _, vip := range c.config.Vips {
		view := api.Vip{
			Vip: config.FormatVip(vip.Endpoint), Name: vip.Name, Enabled: vip.Enabled, Leg: vip.Leg,
			Scheduler: vip.Scheduler, Check: checkName(vip.Check), OnFail: "keep", WhenEmpty: "reject", Reals: []api.Real{},
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
				t := traffic[id]
				r.Traffic = api.Traffic{
					Connections: t.Connections, PacketsIn: t.PacketsIn, PacketsOut: t.PacketsOut,
					BytesIn: t.BytesIn, BytesOut: t.BytesOut,
				}
				r.Active, r.Inactive = live[id].Established, live[id].Other
			}
			view.Reals = append(view.Reals, r)
		}
		views = append(views, view)
	}
	return views, nil
}

// countFlows counts the live flows of every backend, now.
func (c *Controller) countFlows() map[loader.BackendID]loader.Live {
	live := map[loader.BackendID]loader.Live{}
	for flow := range c.Loader.Flows() {
		count := live[flow.Backend]
		if flow.State == loader.Established {
			count.Established++
		} else {
			count.Other++
		}
		live[flow.Backend] = count
	}
	return live
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

func checkName(check config.Check) string {
	if check.Name != "" {
		return check.Name
	}
	if check.Type == config.CheckHTTP {
		return "http:" + check.Path
	}
	return string(check.Type)
}

// Stats implements api.Controller.
func (c *Controller) Stats(ctx context.Context) (stats api.Stats, err error) {
	asked := c.do(ctx, func() {
		var reasons loader.Reasons
		if reasons, err = c.Loader.Reasons(); err != nil {
			return
		}
		stats = api.Stats{Time: time.Now(), XDP: counts(reasons.XDP), TC: counts(reasons.TC)}
		var names []string
		for _, leg := range c.config.Legs {
			names = append(names, leg.Interface)
		}
		stats.Devices, err = devices(names)
	})
	if asked != nil {
		return stats, asked
	}
	return stats, err
}

func counts(list []loader.Count) []api.Count {
	out := []api.Count{}
	for _, count := range list {
		out = append(out, api.Count(count))
	}
	return out
}

// flowMatcher is a filter understood.
type flowMatcher struct {
	vip    loader.Endpoint
	real   netip.Addr
	port   uint16
	client netip.Prefix
	state  string
}

func (c *Controller) matcher(f api.FlowFilter) (m flowMatcher, err error) {
	invalid := func(what, value string) error {
		return &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("%q is no %s", value, what)}
	}
	m.state = f.State
	if f.Vip != "" {
		at := c.config.FindVip(f.Vip)
		if at < 0 {
			return m, &api.Error{Code: api.CodeMissing, Message: "there is no vip " + f.Vip}
		}
		m.vip = c.config.Vips[at].Endpoint
	}
	if f.Real != "" {
		if address, err := netip.ParseAddrPort(f.Real); err == nil {
			m.real, m.port = address.Addr(), address.Port()
		} else if m.real, err = netip.ParseAddr(f.Real); err != nil {
			return m, invalid("real", f.Real)
		}
	}
	if f.Client != "" {
		if addr, err := netip.ParseAddr(f.Client); err == nil {
			m.client = netip.PrefixFrom(addr, addr.BitLen())
		} else if m.client, err = netip.ParsePrefix(f.Client); err != nil {
			return m, invalid("address or prefix of clients", f.Client)
		}
	}
	return m, nil
}

func (m flowMatcher) matches(flow loader.Flow, vip loader.Vip, real netip.AddrPort) bool {
	return (!m.vip.IsValid() || vip.Endpoint == m.vip) &&
		(!m.real.IsValid() || real.Addr() == m.real && (m.port == 0 || m.port == real.Port())) &&
		(!m.client.IsValid() || m.client.Contains(flow.Client.Addr())) &&
		(m.state == "" || flow.State.String() == m.state)
}
