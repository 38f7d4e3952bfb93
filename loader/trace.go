package loader

import (
	"net/netip"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Trace is what a dry run found on a packet's way, as far as it came.
type Trace struct {
	Hook Hook
	// Reason is what becomes of the packet; Notes are what happens to the flow
	// table besides. Both are names of bpf/abi.h.
	Reason string
	Notes  []string
	// ToClient: it is taken for a real's packet to a client.
	ToClient bool
	// Vip that the packet is for; 0: none was found.
	Vip VipID
	// Flow is the entry that the packet's flow has already; nil: none.
	Flow *Flow
	// Pick is what the schedule was asked for; nil: it was not.
	Pick *Pick
	// Route is the way that was found; nil: none was looked for.
	Route *Route
	// After is the frame as it leaves.
	After []byte
}

// A Pick is how a backend was chosen for a new flow.
type Pick struct {
	Kind         ScheduleKind
	Place, Slots int
	Attempts     []Attempt // in order; the last one may be the chosen one
}

// An Attempt is one place of a schedule. Refused says why the client cannot use its
// backend; it is empty if it can.
type Attempt struct {
	Backend BackendID
	Refused Refusal
}

// A Refusal is why a client cannot use a backend (bpf/admit.h, enum refused).
type Refusal string

// The refusals.
const (
	RefusedNobody  Refusal = "empty" // the place has no backend
	RefusedSelf    Refusal = "self"
	RefusedFullNAT Refusal = "needs full NAT"
	RefusedTaken   Refusal = "tuple taken"
)

var refusals = map[int32]Refusal{-2: RefusedNobody, -4: RefusedSelf, -5: RefusedFullNAT, -6: RefusedTaken}

// A Route is where a translated packet goes.
type Route struct {
	Backend BackendID // whose real or vip it is translated to
	Way     Way
	// FIB is the kernel's answer to the program; empty: it was not asked, the hop is
	// one that SetNextHop or SetLegRoutes gave.
	FIB string
	// Hop has what is known of the way.
	Hop NextHop
	// Neighbour that the kernel has to find; invalid: none.
	Neighbour netip.Addr
}

// A Way is what kind of route was found (bpf/route.h, enum route).
type Way uint8

// The ways.
const (
	WayHop Way = iota
	WayKernel
	WayNone
	WayBlackhole
	WayUnreachable
	WayProhibited
	WayForwardingOff
	WayTooBig
)

// fibAnswers are BPF_FIB_LKUP_RET_* (linux/bpf.h), as people can look them up.
var fibAnswers = [...]string{"success", "blackhole", "unreachable", "prohibit", "not forwarded",
	"forwarding disabled", "encapsulated route", "no neighbour", "fragmentation needed", "no source address"}

func traceOf(found *xdpTrace, hook *xdpHook) Trace {
	t := Trace{ToClient: hook.Scratch.Facts.Out, Vip: VipID(found.Vip)}
	for _, count := range countsOf(hook.Reasons) {
		switch {
		case count.Packets == 0:
		case strings.HasPrefix(count.Name, "flow_"):
			t.Notes = append(t.Notes, count.Name)
		default:
			t.Reason = count.Name
		}
	}
	if found.Flow != 0 {
		t.Flow = &Flow{
			Vip: t.Vip, Backend: valueBackend(found.Flow), VipPort: valueVipPort(found.Flow), State: valueState(found.Flow),
			Idle: idle(found.Flow, hook.Scratch.Facts.Now),
		}
	}
	if found.Schedule != 0 {
		t.Pick = pickOf(found)
	}
	if found.Backend != 0 {
		t.Route = routeOf(found, hook)
	}
	return t
}

func pickOf(found *xdpTrace) *Pick {
	word := found.Schedule // bpf/abi.h, struct vip
	pick := &Pick{Kind: ScheduleKind(word >> 56), Slots: int(word >> 32 & 0xffffff), Place: int(found.Place)}
	for _, a := range found.Attempts[:min(int(found.Tried), len(found.Attempts))] {
		pick.Attempts = append(pick.Attempts, Attempt{BackendID(a.Backend), refusals[a.Refused]})
	}
	return pick
}

func routeOf(found *xdpTrace, hook *xdpHook) *Route {
	egress := &hook.Scratch.Egress
	route := &Route{
		Backend: BackendID(found.Backend), Way: Way(found.Route),
		Hop: NextHop{Ifindex: int(egress.Ifindex), Source: egress.Source, Destination: egress.Destination, MTU: int(egress.Mtu)},
	}
	if found.FibUsed == 0 {
		return route
	}
	route.FIB = "an error"
	if found.Fib >= 0 && int(found.Fib) < len(fibAnswers) {
		route.FIB = fibAnswers[found.Fib]
	}
	if via := &egress.Neighbour; via.NhFamily != 0 {
		route.Neighbour = fromAddress(*(*xdpAddress)(unsafe.Pointer(&via.Ipv4Nh)), via.NhFamily == unix.AF_INET6)
	}
	return route
}
