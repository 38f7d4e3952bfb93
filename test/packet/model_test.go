package packet

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/tarpon-lb/tarpon/loader"
)

// model is what Tarpon is to do with packets, in plain Go: no hash, no lock, no
// checksum. Flows are found by walking over all of them.
type model struct {
	services []service
	down     map[string]bool // reals, as "vip real"
	reset    bool            // what a failure of theirs does to connections
	flows    []*modelFlow
}

type modelFlow struct {
	client, vip netip.AddrPort // the vip with the port that the client asked for
	udp         bool
	service     *service
	real        string         // as configured
	at          netip.AddrPort // with the port that packets have there
	state       string
}

// outcome is one allowed answer to a packet, and what it does to the model.
type outcome struct {
	verdict string
	out     P          // not looked at for drop
	then    func()     // nil: nothing
	flow    *modelFlow // the flow that it begins, or nil
}

func one(verdict string, out P) []outcome { return []outcome{{verdict: verdict, out: out}} }

func (p P) udp() bool               { return p.Proto == "udp" }
func (p P) has(flags string) bool   { return strings.ContainsAny(p.Flags, flags) }
func (p P) begins() bool            { return !p.udp() && p.has("S") && !p.has("A") }
func (p P) between(a, b string) P   { p.From, p.To = a, b; return p }
func (f *modelFlow) halfOpen() bool { return f.udp || f.state == "handshake" || f.state == "answered" }
func (f *modelFlow) isOver() bool {
	return slices.Contains([]string{"fin-client", "fin-real", "closed"}, f.state)
}

// givesWay: to another vip's flow with the same tuple at a real.
func (f *modelFlow) givesWay() bool {
	return slices.Contains([]string{"handshake", "answered", "closed", "unreplied"}, f.state)
}

func (m *model) service(at netip.AddrPort, udp bool) *service {
	for i, s := range m.services {
		vip := netip.MustParseAddrPort(s.vip)
		if vip.Addr() == at.Addr() && (vip.Port() == at.Port() || vip.Port() == 0) && (s.protocol == loader.UDP) == udp {
			return &m.services[i]
		}
	}
	return nil
}

func (m *model) flow(match func(*modelFlow) bool) *modelFlow {
	if i := slices.IndexFunc(m.flows, match); i >= 0 {
		return m.flows[i]
	}
	return nil
}

// cut: the real failed, and its connections are to be reset.
func (m *model) cut(f *modelFlow) bool { return !f.udp && m.reset && m.isDown(f) }

func (m *model) isDown(f *modelFlow) bool { return m.down[f.service.vip+" "+f.real] }

// ---- from a client ----

func (m *model) fromClient(p P) []outcome {
	client, vip := ends(p.From), ends(p.To)
	s := m.service(vip, p.udp())
	if s == nil {
		return one(pass, p)
	}
	f := m.flow(func(f *modelFlow) bool { return f.client == client && f.vip == vip && f.udp == p.udp() })
	switch {
	case f == nil, p.begins() && f.isOver(), m.isDown(f) && f.halfOpen():
		return m.schedule(p, s, f)
	case m.cut(f):
		o := one(resetFor(p))
		o[0].then = func() { f.state = afterClient(f.state, P{Flags: "F"}) }
		return o
	}
	return []outcome{m.in(p, f)}
}

// in is a packet of the client as the real gets it.
func (m *model) in(p P, f *modelFlow) outcome {
	if p.TTL == 1 {
		return outcome{verdict: send, out: expired(p, wanOwn(p), wanMAC, clientMAC)}
	}
	out := toReal(p.between(p.From, f.at.String()))
	out.TTL = p.TTL - 1
	return outcome{verdict: send, out: *out, then: func() { f.state = afterClient(f.state, p) }}
}

// schedule lists every real that may get a flow: which one is the scheduler's
// secret. f is the flow that is scheduled anew, or nil.
func (m *model) schedule(p P, s *service, f *modelFlow) []outcome {
	var list []outcome
	some := false
	for _, real := range s.reals {
		if m.down[s.vip+" "+real] {
			continue
		}
		some = true
		at := netip.MustParseAddrPort(real)
		if at.Port() == 0 {
			at = netip.AddrPortFrom(at.Addr(), ends(p.To).Port())
		}
		other := m.flow(func(o *modelFlow) bool {
			return o.at == at && o.client == ends(p.From) && o.udp == p.udp() && o.service != s
		})
		if other != nil && !other.givesWay() {
			continue
		}
		next := &modelFlow{client: ends(p.From), vip: ends(p.To), udp: p.udp(), service: s, real: real, at: at, state: "handshake"}
		if p.udp() {
			next.state = "unreplied"
		}
		o := m.in(p, next)
		packet := o.then
		o.then = func() {
			m.flows = slices.DeleteFunc(m.flows, func(o *modelFlow) bool { return o == other || o == f })
			m.flows = append(m.flows, next)
			if packet != nil {
				packet()
			}
		}
		o.flow = next
		list = append(list, o)
	}
	switch {
	case some && list == nil:
		return one(drop, p) // its tuple is taken everywhere
	case !some && s.dropEmpty:
		return one(drop, p)
	case !some && p.udp():
		return one(send, unreachable(p))
	case !some:
		return one(resetFor(p))
	}
	return list
}

// ---- from a real ----

func (m *model) fromReal(p P) []outcome {
	f := m.flow(func(f *modelFlow) bool { return f.at == ends(p.From) && f.client == ends(p.To) && f.udp == p.udp() })
	if f == nil {
		return one(pass, p) // no route to the client in this test: for the kernel
	}
	if m.cut(f) && f.state == "closed" {
		return one(resetToReal(p))
	}
	if p.TTL == 1 {
		return one(send, expired(p, lanOwn(p), lanMAC, realMAC))
	}
	if m.cut(f) {
		p.Flags += "R"
	}
	o := *out(p.between(f.vip.String(), p.To))
	o.TTL = p.TTL - 1
	return []outcome{{verdict: send, out: o, then: func() { f.state = afterReal(f.state, p) }}}
}

// ---- states ----

func afterClient(state string, p P) string {
	switch {
	case state == "unreplied" || state == "replied":
	case p.has("R"):
		return "closed"
	case p.has("F") && state == "fin-real":
		return "closed"
	case p.has("F") && (state == "answered" || state == "established"):
		return "fin-client"
	case p.has("F"):
	case state == "answered" && p.has("A") && !p.has("S"):
		return "established"
	}
	return state
}

func afterReal(state string, p P) string {
	switch {
	case state == "unreplied" || state == "replied":
		return "replied"
	case p.has("R"):
		return "closed"
	case p.has("F") && (state == "fin-client" || state == "closed"):
		return "closed"
	case p.has("F"):
		return "fin-real"
	case state == "handshake" && p.has("S"):
		return "answered"
	case state == "handshake", state == "answered" && !p.has("S"):
		return "established"
	}
	return state
}

// ---- what Tarpon says itself ----

// resetFor is RFC 9293's answer to a segment that nobody wants, except to a reset.
func resetFor(p P) (string, P) {
	if p.has("R") {
		return drop, p
	}
	answer := P{From: p.To, To: p.From, Flags: "R", Seq: p.Ack, DF: true}
	if !p.has("A") {
		answer.Flags, answer.Seq = "RA", 0
		answer.Ack = p.Seq + uint32(len(p.Payload)+strings.Count(p.Flags, "S")+strings.Count(p.Flags, "F"))
	}
	return send, *back(answer)
}

func resetToReal(p P) (string, P) {
	verdict, answer := resetFor(p)
	if verdict == send {
		answer.SrcMAC, answer.DstMAC = lanMAC, realMAC
	}
	return verdict, answer
}

// icmp is an error about p, with the type for IPv4 or that for IPv6.
func icmp(p P, from string, v4, v6 [2]uint8) P {
	if ends(from).Addr().Is6() {
		v4 = v6
	}
	size := len(p.IP(0))
	return P{From: from, To: ends(p.From).Addr().String(), Proto: "icmp", DF: true, ICMP: v4, Quote: p.IP(min(size&^1, 128))}
}

func unreachable(p P) P {
	return *back(icmp(p, ends(p.To).Addr().String(), [2]uint8{3, 3}, [2]uint8{1, 4}))
}

func expired(p P, from string, source, destination []byte) P {
	e := icmp(p, from, [2]uint8{11, 0}, [2]uint8{3, 0})
	e.SrcMAC, e.DstMAC = source, destination
	return e
}

func wanOwn(p P) string { return pick(ends(p.To).Addr().Is6(), "2001:db8:1::1", "192.0.2.1") }
func lanOwn(p P) string { return pick(ends(p.To).Addr().Is6(), "2001:db8:2::1", "10.0.0.1") }

func pick(condition bool, yes, no string) string {
	if condition {
		return yes
	}
	return no
}
