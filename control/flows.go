package control

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/loader"
)

// Flows implements api.Controller. The flows are read while they are told: the
// owning goroutine is not held.
func (c *Controller) Flows(ctx context.Context, f api.FlowFilter) (iter.Seq[api.Flow], error) {
	var have loader.Tables // its maps are replaced, never changed
	m, err := ask(ctx, c, func() (flowMatcher, error) {
		have = c.have
		return c.matcher(f)
	})
	if err != nil {
		return nil, err
	}
	return func(yield func(api.Flow) bool) {
		for flow := range c.Loader.Flows() {
			vip := have.Vips[flow.Vip].Endpoint
			real := realOf(flow, vip, have.Backends[flow.Backend].Real)
			if m.matches(flow, vip, real) && !yield(flowView(flow, vip, real)) {
				return
			}
		}
	}, nil
}

// realOf is where a flow goes: on an any-port vip, to the port that the client chose.
func realOf(flow loader.Flow, vip loader.Endpoint, real netip.AddrPort) netip.AddrPort {
	if vip.Port() == 0 {
		return netip.AddrPortFrom(real.Addr(), flow.VipPort)
	}
	return real
}

func flowView(flow loader.Flow, vip loader.Endpoint, real netip.AddrPort) api.Flow {
	address := vip.AddrPort
	if address.Port() == 0 {
		address = netip.AddrPortFrom(address.Addr(), flow.VipPort)
	}
	return api.Flow{
		Protocol: vip.Protocol.String(), Client: flow.Client.String(), Vip: address.String(),
		Real: real.String(), State: flow.State.String(), Idle: int(flow.Idle / time.Second),
	}
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
	if m.state = f.State; m.state != "" && !isState(m.state) {
		return m, invalid("state of a flow", f.State)
	}
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

func isState(name string) bool {
	for s := loader.Handshake; s <= loader.UDPReplied; s++ {
		if s.String() == name {
			return true
		}
	}
	return false
}

func (m flowMatcher) matches(flow loader.Flow, vip loader.Endpoint, real netip.AddrPort) bool {
	return (!m.vip.IsValid() || vip == m.vip) &&
		(!m.real.IsValid() || real.Addr() == m.real && (m.port == 0 || m.port == real.Port())) &&
		(!m.client.IsValid() || m.client.Contains(flow.Client.Addr())) &&
		(m.state == "" || flow.State.String() == m.state)
}
