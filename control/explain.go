package control

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/explain"
	"github.com/tarpon-lb/tarpon/loader"
)

// A dryRun is a packet on its leg, to be let through a program.
type dryRun struct {
	packet  explain.Packet
	frame   []byte
	ifindex int
	router  explain.Router
}

// Explain implements api.Controller. The program runs outside of the owning
// goroutine: to load it takes a moment.
func (c *Controller) Explain(ctx context.Context, p api.Packet) (api.Explanation, error) {
	run, err := ask(ctx, c, func() (dryRun, error) { return c.dryRun(p) })
	if err != nil {
		return api.Explanation{}, err
	}
	hooks := []loader.Hook{loader.HookXDP, loader.HookTC}
	if run.router.Mode == loader.TC {
		hooks = hooks[1:]
	}
	var traces []loader.Trace
	for _, hook := range hooks {
		trace, err := c.Loader.DryRun(hook, run.ifindex, run.frame)
		if err != nil {
			return api.Explanation{}, err
		}
		traces = append(traces, trace)
		if trace.Reason != "to_tc" {
			break
		}
	}
	return explain.Explain(run.packet, run.router, traces...), nil
}

func (c *Controller) dryRun(p api.Packet) (run dryRun, err error) {
	if run.packet, err = c.packet(p); err != nil {
		return run, err
	}
	leg, why, err := c.legOf(run.packet.From.Addr(), p.Leg)
	if err != nil {
		return run, err
	}
	attached := slices.IndexFunc(c.Loader.Attachments(), func(a loader.Attachment) bool { return a.Name == leg.Name })
	if attached < 0 {
		return run, invalid("leg %s (%s) has no program: see lbctl status", leg.Name, leg.Interface)
	}
	state := c.legs[leg.Interface]
	run.ifindex = state.Ifindex
	run.frame = run.packet.Frame([6]byte{2}, state.MAC)
	run.router = explain.Router{
		Leg: leg.Name, Interface: leg.Interface, Why: why, Mode: c.Loader.Attachments()[attached].Mode,
		Tables: c.have, Vips: c.vipViews(nil, nil), Interfaces: map[int]string{},
	}
	interfaces, err := c.Host.Interfaces()
	for _, i := range interfaces {
		run.router.Interfaces[i.Index] = i.Name
	}
	return run, err
}

// assumedPort is a client's whose port does not matter to who asks.
const assumedPort = 50000

// packet understands what was asked for.
func (c *Controller) packet(p api.Packet) (explain.Packet, error) {
	packet := explain.Packet{Flags: strings.ToUpper(p.TCP), Size: p.Size, TTL: p.TTL, Fragment: p.Fragment}
	if packet.TTL == 0 {
		packet.TTL = 64
	}
	var err error
	if packet.From, err = netip.ParseAddrPort(p.From); err != nil {
		address, err := netip.ParseAddr(strings.Trim(p.From, "[]"))
		if err != nil {
			return packet, invalid("--from %s: write ADDRESS or ADDRESS:PORT", p.From)
		}
		packet.From = netip.AddrPortFrom(address, assumedPort)
	}
	to, err := c.destination(p.To)
	if err != nil {
		return packet, err
	}
	packet.To, packet.Protocol = to.AddrPort, to.Protocol
	switch {
	case packet.From.Addr().Is4() != packet.To.Addr().Is4():
		return packet, invalid("%s and %s are of different families", packet.From.Addr(), packet.To.Addr())
	case packet.Protocol != loader.TCP && packet.Flags != "":
		return packet, invalid("flags are TCP's; %s is %s", p.To, packet.Protocol)
	case strings.Trim(packet.Flags, "FSRPA") != "":
		return packet, invalid("--flags %s: write letters of FSRPA, such as S or SA", p.TCP)
	case p.Size < 0 || p.Size > 9000 || p.TTL < 0 || p.TTL > 255:
		return packet, invalid("a size is at most 9000, a TTL 255")
	case packet.Protocol == loader.TCP && packet.Flags == "":
		packet.Flags = "S"
	}
	return packet, nil
}

func (c *Controller) destination(to string) (loader.Endpoint, error) {
	if at := c.config.FindVip(to); at >= 0 && c.config.Vips[at].Endpoint.Port() != 0 {
		return c.config.Vips[at].Endpoint, nil
	} else if at >= 0 {
		return loader.Endpoint{}, invalid("vip %s has every port: write --to %s:PORT", to, c.config.Vips[at].Endpoint.Addr())
	}
	endpoint, err := config.ParseVip(to)
	if err != nil || endpoint.Port() == 0 {
		return endpoint, invalid("--to %s: write a vip's name, or ADDRESS:PORT, with /udp for UDP", to)
	}
	return endpoint, nil
}

// legOf is the leg that packets of an address come in by, and why.
func (c *Controller) legOf(address netip.Addr, named string) (config.Leg, string, error) {
	if named != "" {
		leg, ok := c.config.Leg(named)
		if !ok {
			return leg, "", invalid("there is no leg %s", named)
		}
		return leg, "as was asked for", nil
	}
	name, err := c.Host.RouteTo(address)
	if err != nil {
		return config.Leg{}, "", invalid("where packets of %s come in is not known (%v): name the leg, --leg NAME", address, err)
	}
	i := slices.IndexFunc(c.config.Legs, func(leg config.Leg) bool { return leg.Interface == name })
	switch {
	case i >= 0:
		return c.config.Legs[i], fmt.Sprintf("the route to %s leaves there", address), nil
	case name == "lo":
		return config.Leg{}, "", invalid("%s is this router's own address: its packets come in by no leg", address)
	}
	return config.Leg{}, "", invalid("the route to %s leaves by %s, which is no leg: its packets are not seen; name another leg, --leg NAME", address, name)
}

func invalid(format string, values ...any) error {
	return &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf(format, values...)}
}
