package control

import (
	"context"
	"iter"
	"net/netip"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/loader"
)

// Flows implements api.Controller. The flows are read while they are told: the
// owning goroutine is not held.
func (c *Controller) Flows(ctx context.Context, f api.FlowFilter) (iter.Seq[api.Flow], error) {
	var (
		m    flowMatcher
		err  error
		have loader.Tables // its maps are replaced, never changed
	)
	if asked := c.do(ctx, func() { m, err = c.matcher(f); have = c.have }); asked != nil {
		return nil, asked
	}
	if err != nil {
		return nil, err
	}
	return func(yield func(api.Flow) bool) {
		for flow := range c.Loader.Flows() {
			vip := have.Vips[flow.Vip]
			real := have.Backends[flow.Backend].Real
			if !m.matches(flow, vip, real) {
				continue
			}
			if !yield(flowView(flow, vip, real)) {
				return
			}
		}
	}, nil
}

func flowView(flow loader.Flow, vip loader.Vip, real netip.AddrPort) api.Flow {
	address := vip.Endpoint.AddrPort
	if address.Port() == 0 {
		address = netip.AddrPortFrom(address.Addr(), flow.VipPort)
		real = netip.AddrPortFrom(real.Addr(), flow.VipPort)
	}
	return api.Flow{
		Protocol: vip.Endpoint.Protocol.String(), Client: flow.Client.String(), Vip: address.String(),
		Real: real.String(), State: flow.State.String(), Idle: int(flow.Idle / time.Second),
	}
}
