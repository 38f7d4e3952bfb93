package explain

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/loader"
)

// A Router is what it knows that a trace does not say.
type Router struct {
	Leg, Interface string // where the packet comes in
	Why            string // it does there
	Mode           loader.Mode
	Tables         loader.Tables
	Vips           []api.Vip      // as people see them
	Interfaces     map[int]string // names by index
}

// Explain puts into words what the program makes of a packet. The traces are those of
// the hooks that saw it, in order.
func Explain(p Packet, r Router, traces ...loader.Trace) api.Explanation {
	last := traces[len(traces)-1]
	e := explainer{
		router: r, trace: last,
		Explanation: api.Explanation{
			Packet: p.String(), Outcome: outcome(last.Reason), Reason: last.Reason, Notes: last.Notes,
			Leg: r.Leg, Interface: r.Interface, Hooks: []string{},
		},
	}
	e.say("packet", "%s", e.Packet)
	e.leg(traces)
	if last.ToClient && last.Route != nil {
		e.backend()
	} else {
		e.vip(p)
	}
	e.flow()
	e.schedule()
	e.route()
	e.result(p)
	return e.Explanation
}

// An explainer gathers an explanation, step by step.
type explainer struct {
	api.Explanation
	router Router
	trace  loader.Trace
}

func (e *explainer) say(name, format string, values ...any) {
	e.Steps = append(e.Steps, api.Step{Name: name, Text: fmt.Sprintf(format, values...)})
}

func (e *explainer) leg(traces []loader.Trace) {
	for _, t := range traces {
		e.Hooks = append(e.Hooks, map[loader.Hook]string{loader.HookXDP: "xdp", loader.HookTC: "tc"}[t.Hook])
	}
	e.say("leg", "%s (%s), mode %s: %s", e.Leg, e.Interface, e.router.Mode, e.router.Why)
	if len(traces) > 1 {
		e.say("hook", "XDP leaves it to the TC program, which lets the kernel find the neighbour")
	}
}

// id is the vip's that the packet is for or from.
func (e *explainer) id() loader.VipID {
	if e.trace.Vip == 0 && e.trace.Route != nil {
		return e.router.Tables.Backends[e.trace.Route.Backend].Vip
	}
	return e.trace.Vip
}

func (e *explainer) view() (api.Vip, bool) {
	name := config.FormatVip(e.router.Tables.Vips[e.id()].Endpoint)
	i := slices.IndexFunc(e.router.Vips, func(v api.Vip) bool { return v.Vip == name })
	if e.id() == 0 || i < 0 {
		return api.Vip{Vip: name}, false
	}
	return e.router.Vips[i], true
}

func (e *explainer) vip(p Packet) {
	if e.id() == 0 {
		use := e.router.Tables.Addresses[p.To.Addr()]
		switch {
		case use&(loader.AddressVip|loader.AddressVipAnyPort) == 0:
			e.say("vip", "none has the address %s", p.To.Addr())
		case e.Reason == "pass_other_port":
			e.say("vip", "%s is an address of vips, but no vip has port %d/%s: there are %s",
				p.To.Addr(), p.To.Port(), p.Protocol, strings.Join(e.at(p.To.Addr()), ", "))
		}
		return
	}
	view, known := e.view()
	e.Vip = view.Vip
	switch {
	case view.Name != "":
		e.say("vip", "%s, %s", view.Vip, view.Name)
	case !known:
		e.say("vip", "%s, which is not configured any more", view.Vip)
	default:
		e.say("vip", "%s", view.Vip)
	}
}

// at lists the vips at an address.
func (e *explainer) at(address netip.Addr) []string {
	var list []string
	for endpoint := range e.router.Tables.Names {
		if endpoint.Addr() == address {
			list = append(list, config.FormatVip(endpoint))
		}
	}
	slices.Sort(list)
	return list
}

// backend is of a real's packet: whose answer it is.
func (e *explainer) backend() {
	view, _ := e.view()
	e.Vip = view.Vip
	e.Real = e.real(e.trace.Route.Backend)
	e.say("real", "%s, of vip %s", e.Real, e.Vip)
}

func (e *explainer) real(id loader.BackendID) string {
	address := e.router.Tables.Backends[id].Real
	if address.Port() == 0 {
		return address.Addr().String()
	}
	return address.String()
}

func (e *explainer) flow() {
	flow := e.trace.Flow
	if flow == nil {
		if slices.Contains(e.Notes, "flow_new") {
			e.say("flow", "none yet: it would be made")
		} else if e.id() != 0 {
			e.say("flow", "none")
		}
		return
	}
	real := e.real(flow.Backend)
	e.Flow = &api.Flow{Real: real, State: flow.State.String(), Idle: int(flow.Idle.Seconds())}
	e.say("flow", "with %s, %s, silent for %ds", real, flow.State, e.Flow.Idle)
	if b := e.router.Tables.Backends[flow.Backend]; b.Removed {
		e.say("flow", "%s was removed from the vip", real)
	} else if b.Down {
		e.say("flow", "%s is down", real)
	}
}

func (e *explainer) schedule() {
	pick := e.trace.Pick
	view, known := e.view()
	usable := e.usable()
	if known && (e.Reason == "answer_empty" || e.Reason == "drop_empty") {
		e.say("schedule", "%s: 0 of %d reals are usable", view.Scheduler, len(view.Reals))
		e.notUsable(view, usable)
	}
	if pick == nil || !known {
		return
	}
	s := &api.ExplainSchedule{
		Scheduler: view.Scheduler, Place: pick.Place, Slots: pick.Slots, Usable: len(usable), Reals: len(view.Reals),
	}
	e.Schedule = s
	by := "the hash of the client's address and port"
	if pick.Kind == loader.ByTurn {
		by = "whose turn it is"
	}
	e.say("schedule", "%s: place %d of %d, by %s; %d of %d reals are usable",
		s.Scheduler, s.Place, s.Slots, by, s.Usable, s.Reals)
	e.notUsable(view, usable)
	for _, attempt := range pick.Attempts {
		if attempt.Refused == "" {
			continue
		}
		skipped := api.ExplainSkipped{Real: e.real(attempt.Backend), Why: refusals[attempt.Refused]}
		if !slices.Contains(s.Skipped, skipped) {
			s.Skipped = append(s.Skipped, skipped)
			e.say("skipped", "%s: %s", skipped.Real, skipped.Why)
		}
	}
}

// usable lists the reals that the schedule has.
func (e *explainer) usable() map[string]bool {
	reals := map[string]bool{}
	for _, id := range e.router.Tables.Schedules[e.id()].Slots {
		reals[e.real(id)] = true
	}
	return reals
}

// notUsable says why the others are not.
func (e *explainer) notUsable(view api.Vip, usable map[string]bool) {
	for _, real := range view.Reals {
		switch {
		case usable[real.Real]:
		case real.Error != "":
			e.say("unusable", "%s is %s: %s", real.Real, real.State, real.Error)
		case real.Weight == 0:
			e.say("unusable", "%s has weight 0", real.Real)
		default:
			e.say("unusable", "%s is %s", real.Real, real.State)
		}
	}
}

func (e *explainer) route() {
	way := e.trace.Route
	if way == nil {
		return
	}
	e.Real = e.real(way.Backend)
	e.Route = &api.ExplainRoute{Kept: way.FIB == "", FIB: way.FIB, Interface: e.router.Interfaces[way.Hop.Ifindex]}
	by := "the FIB says " + way.FIB
	if e.Route.Kept {
		by = "a next hop that is kept"
	}
	switch {
	case way.Way == loader.WayHop:
		e.Route.MAC = net.HardwareAddr(way.Hop.Destination[:]).String()
		e.say("route", "%s: %s by %s", by, e.Route.MAC, e.Route.Interface)
	case way.Way == loader.WayKernel && way.FIB == "success":
		e.say("route", "%s: by %s, to which XDP cannot send", by, e.Route.Interface)
	case way.Way == loader.WayKernel:
		if way.Neighbour.IsValid() {
			e.Route.Neighbour = way.Neighbour.String()
		}
		e.say("route", "%s: the kernel will ask for %s on %s", by, e.Route.Neighbour, e.Route.Interface)
	case way.Way == loader.WayTooBig && way.Hop.MTU > 0:
		e.say("route", "%s: %s, MTU %d", by, ways[way.Way], way.Hop.MTU)
	default:
		e.say("route", "%s: %s", by, ways[way.Way])
	}
}

func (e *explainer) result(p Packet) {
	if e.Outcome == api.Forwarded || e.Outcome == api.Answered {
		e.After = Describe(e.trace.After)
		e.say("after", "%s", e.After)
	}
	for _, note := range e.Notes {
		if text := notes[note]; text != "" {
			e.say("table", "%s", text)
		}
	}
	if e.Reason == "forward_in" {
		real := e.router.Tables.Backends[e.trace.Route.Backend].Real
		if real.Port() == 0 {
			real = netip.AddrPortFrom(real.Addr(), p.To.Port())
		}
		e.Reply = &api.ExplainReply{From: real.String(), LeavesAs: p.To.String()}
		e.say("reply", "%s > %s comes in, and leaves as %s > %s", e.Reply.From, p.From, e.Reply.LeavesAs, p.From)
	}
	e.say("result", "%s (%s): %s", e.Outcome, e.Reason, results[e.Reason])
}
