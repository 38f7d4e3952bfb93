package vrrp

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A world has two routers, the links between them, and a clock. Packets are delayed,
// lost and cut off; routers are killed, started, frozen and thawed, and their tracks
// fail. What the controller and the TLS link would do is done here.
type world struct {
	now     Instant
	random  *rand.Rand
	nodes   [2]*node
	cut     []bool // by link
	loss    float64
	packets []packet
	log     []string
	shots   int
	later   []later
	// overlap is the first time that both kernels answered for the addresses.
	overlap Instant
}

type later struct {
	at Instant
	do func()
}

type packet struct {
	at     Instant
	to     int
	link   int // -1: over TLS
	advert Advert
}

// A node is a process and its kernel, which keeps lease and packets.
type node struct {
	config Config
	m      *Machine // nil: not running
	rfc    *rfcRouter
	rfcUp  bool
	facts  Facts
	frozen bool
	lease  Instant
	waits  []packet // in the sockets
	aims   bool     // a fence is under way
	moved  Instant  // when it was started or thawed last
	lived  bool     // since its boot
}

func (n *node) up() bool { return (n.m != nil || n.rfcUp) && !n.frozen }

func (n *node) active() bool {
	return n.up() && (n.rfcUp && n.rfc.active || n.m != nil && n.m.State().Role == Active)
}

func (w *world) logf(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%8.3f  ", (w.now-boot).Seconds())+fmt.Sprintf(format, args...))
}

func (w *world) broadcast(from int, a Advert) (taken int) {
	for link := range w.nodes[from].config.Links {
		taken++
		if w.cut[link] || w.random.Float64() < w.loss {
			continue
		}
		delay := Instant(w.random.IntN(int(2*ms))) + 50*time.Microsecond
		w.packets = append(w.packets, packet{w.now + delay, 1 - from, link, a})
	}
	if n := w.nodes[from]; n.m != nil && n.facts.Peer.Linked {
		w.packets = append(w.packets, packet{w.now + ms, 1 - from, -1, a})
	}
	return taken
}

// do carries out what a machine wants.
func (w *world) do(i int, o Output) {
	n := w.nodes[i]
	if o.SetLease {
		n.lease = o.Lease
	}
	for _, e := range o.Events {
		w.logf("%d: %s", i, e.Message)
	}
	if o.Send && n.m != nil {
		advert := n.config.advert(n.config.Links[0], o.Priority)
		advert.Interval = o.Interval
		w.do(i, n.m.Sent(w.now, w.broadcast(i, advert)))
	}
}

func (w *world) deliver(p packet) {
	n := w.nodes[p.to]
	switch {
	case n.m == nil && !n.rfcUp:
	case n.frozen:
		n.waits = append(n.waits, p)
	case n.rfcUp:
		if n.rfc.advertisement(w.now, int(p.advert.Priority), p.advert.Interval) {
			w.rfcSends(p.to)
		}
	case p.link < 0:
		w.do(p.to, n.m.Said(w.now, p.advert.Priority, p.advert.Interval))
	default:
		w.do(p.to, n.m.Hear(w.now, Heard{Link: p.link, From: w.nodes[1-p.to].config.Links[p.link].Own, Advert: p.advert}))
	}
}

func (w *world) rfcSends(i int) {
	w.broadcast(i, Advert{Version: 3, VRID: 77, Priority: uint8(w.nodes[i].rfc.priority), Interval: w.nodes[i].rfc.interval, Addresses: w.nodes[1-i].config.advert(w.nodes[1-i].config.Links[0], 0).Addresses})
}

func (w *world) linked() bool {
	a, b := w.nodes[0], w.nodes[1]
	return a.m != nil && b.m != nil && a.up() && b.up() && slices.Contains(w.cut, false)
}

// tell gives the routers the facts as they are.
func (w *world) tell() {
	for i, n := range w.nodes {
		if n.m == nil || !n.up() {
			continue
		}
		if peer := w.nodes[1-i]; n.config.Peer == Tarpon {
			n.facts.Peer.Linked = w.linked()
			if n.facts.Peer.Linked {
				n.facts.Peer.Priority = peer.m.advertised()
				n.facts.Peer.Fault = peer.facts.Fault != ""
				if !peer.active() {
					w.do(i, n.m.Rests(w.now))
				}
			}
		}
		w.do(i, n.m.SetFacts(w.now, n.facts))
	}
}

func (w *world) start(i int) {
	n := w.nodes[i]
	if n.m != nil || n.rfcUp {
		return
	}
	w.logf("%d: starts, lease until %s", i, n.lease-boot)
	n.frozen, n.waits, n.moved = false, nil, w.now
	n.facts.CarrierSince = boot
	if n.rfc != nil {
		n.rfcUp = true
		n.rfc.startup(w.now)
		return
	}
	n.facts.Peer = Peer{}
	n.m = New(n.config, Start{Lease: n.lease, Settled: n.lived, Away: n.lived, Facts: n.facts}, w.now)
	n.lived = true
}

// restart is of the process in place: it takes its time.
func (w *world) restart(i int, time Instant) {
	n := w.nodes[i]
	if n.m == nil || n.frozen {
		return
	}
	w.logf("%d: restarts, for %s", i, time)
	w.do(i, n.m.Pause(w.now, 2*1000*ms))
	w.kill(i)
	w.later = append(w.later, later{w.now + time, func() { w.start(i) }})
}

func (w *world) kill(i int) {
	w.logf("%d: is killed", i)
	w.nodes[i].m, w.nodes[i].rfcUp, w.nodes[i].waits = nil, false, nil
}

func (w *world) thaw(i int) {
	n := w.nodes[i]
	if !n.frozen {
		return
	}
	w.logf("%d: thaws", i)
	n.frozen, n.moved = false, w.now
	waits := n.waits
	n.waits = nil
	for _, p := range waits {
		w.deliver(p)
	}
}

// run lets time pass.
func (w *world) run(until Instant) {
	nextTell := w.now
	for {
		next, what := min(until, nextTell), func() { w.tell(); nextTell = w.now + 20*ms }
		if until < nextTell {
			what = nil
		}
		for i, n := range w.nodes {
			at := Open
			if n.up() && n.m != nil {
				at = max(w.now, n.m.Next())
			} else if n.up() {
				at = n.rfc.next()
			}
			if at < next {
				next, what = at, func() { w.expire(i) }
			}
		}
		for i, p := range w.packets {
			if p.at <= next { // packets first: sockets are read empty before timers act
				next, what = p.at, func() {
					w.packets = slices.Delete(w.packets, i, i+1)
					w.deliver(p)
				}
			}
		}
		for i, l := range w.later {
			if l.at <= next {
				next, what = l.at, func() {
					w.later = slices.Delete(w.later, i, i+1)
					l.do()
				}
			}
		}
		w.now = next
		if what == nil {
			return
		}
		what()
		if w.overlap == 0 && w.nodes[0].lease > w.now && w.nodes[1].lease > w.now {
			w.overlap = w.now
			w.logf("both leases hold")
		}
	}
}

func (w *world) expire(i int) {
	n := w.nodes[i]
	if n.m == nil {
		if n.rfc.timer(w.now) {
			w.rfcSends(i)
		}
		return
	}
	w.do(i, n.m.Expired(w.now))
	s := n.m.State()
	if s.Probe {
		who := ""
		if w.nodes[1-i].lease > w.now {
			who = "the other kernel answers"
		}
		w.do(i, n.m.Probed(w.now, who))
	}
	if s.Fence && !n.aims {
		n.aims = true
		w.shoot(i)
	}
	if peer := w.nodes[1-i]; s.HandOver && peer.m != nil && peer.up() && w.linked() {
		w.logf("%d: hands over", i)
		w.do(i, n.m.Yield(w.now, "switchover", false))
		w.do(1-i, peer.m.Take(w.now, "switchover"))
	}
}

// newWorld has a Tarpon of priority 150 and its peer of 100.
func newWorld(seed uint64, links int, peer PeerKind, preempt bool) *world {
	w := &world{now: boot, random: rand.New(rand.NewPCG(seed, 0)), cut: make([]bool, links)}
	for i := range w.nodes {
		c := Config{VRID: 77, Version: 3, Advert: 100 * ms, Priority: uint8(150 - 50*i), Advertise: floating, Peer: peer, Preempt: preempt}
		for link := range links {
			own := netip.AddrFrom4([4]byte{10, 0, byte(link), byte(1 + i)})
			other := netip.AddrFrom4([4]byte{10, 0, byte(link), byte(2 - i)})
			c.Links = append(c.Links, Link{fmt.Sprint("link", link), own, other})
		}
		w.nodes[i] = &node{config: c}
	}
	return w
}

// happen makes one thing happen, and then lets up to two seconds pass.
func (w *world) happen(t *rapid.T, network bool) {
	i := rapid.IntRange(0, 1).Draw(t, "router")
	link := rapid.IntRange(0, len(w.cut)-1).Draw(t, "link")
	n := w.nodes[i]
	kinds := 8
	if network {
		kinds = 11
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "what") {
	case 0:
		w.kill(i)
	case 1:
		w.start(i)
	case 2:
		w.kill(i)
		w.start(i)
	case 3:
		w.logf("%d: freezes", i)
		n.frozen = n.m != nil || n.rfcUp
	case 4:
		w.thaw(i)
	case 5:
		n.facts.Priority = uint8(rapid.IntRange(1, int(n.config.Priority)).Draw(t, "priority"))
		w.logf("%d: effective priority %d", i, n.facts.Priority)
	case 6:
		n.facts.Fault = rapid.SampledFrom([]string{"", "leg wan"}).Draw(t, "fault")
		w.logf("%d: fault %q", i, n.facts.Fault)
	case 7:
		w.restart(i, Instant(rapid.IntRange(0, 3000).Draw(t, "restart"))*ms)
	case 8:
		w.cut[link] = true
		w.logf("link %d is cut", link)
	case 9:
		w.cut[link] = false
		w.logf("link %d heals", link)
	case 10:
		w.loss = rapid.Float64Range(0, 0.9).Draw(t, "loss")
		w.logf("loss %.2f", w.loss)
	}
	w.run(w.now + 100*ms + Instant(rapid.IntRange(0, 1900).Draw(t, "pause"))*ms)
}

// heal ends all trouble. Then, within Active_Down and a second, one router is active
// and stays so.
func (w *world) heal(t *rapid.T) {
	clear(w.cut)
	w.loss = 0
	w.logf("all heals")
	for i, n := range w.nodes {
		n.facts.Priority, n.facts.Fault = 0, ""
		w.thaw(i)
		w.start(i)
	}
	w.run(w.now + 400*ms + time.Second)
	for range 30 {
		w.run(w.now + 100*ms)
		if w.nodes[0].active() == w.nodes[1].active() {
			t.Errorf("at %s: active: %t and %t", w.now-boot, w.nodes[0].active(), w.nodes[1].active())
			break
		}
		if n := w.nodes[0]; n.m != nil && n.active() != (n.lease > w.now) {
			t.Errorf("at %s: active %t with a lease until %s", w.now-boot, n.active(), n.lease-boot)
			break
		}
	}
	if t.Failed() {
		for _, line := range w.log {
			t.Log(line)
		}
	}
}

// However lossy and broken the network and the routers were: in the end one is active.
func TestAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 3).Draw(t, "links"), Tarpon, rapid.Bool().Draw(t, "preempt"))
		for range rapid.IntRange(1, 20).Draw(t, "length") {
			w.happen(t, true)
		}
		w.heal(t)
	})
}

// The same with a router of the RFC on the other side.
func TestAnyHistoryWithForeigner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapid.Uint64().Draw(t, "seed"), 1, Foreign, rapid.Bool().Draw(t, "preempt"))
		priority := rapid.SampledFrom([]int{1, 100, 150, 200, 254, 255}).Draw(t, "its priority")
		w.nodes[1].rfc = &rfcRouter{priority: priority, higher: true, preempt: rapid.Bool().Draw(t, "it preempts"),
			interval: rapid.SampledFrom([]time.Duration{50 * ms, 100 * ms}).Draw(t, "its interval")}
		for range rapid.IntRange(1, 20).Draw(t, "length") {
			w.happen(t, true)
		}
		w.heal(t)
	})
}

// While the links between them are whole, no two kernels ever answer for the floating
// addresses, whatever becomes of the routers.
func TestLeasesNeverOverlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 3).Draw(t, "links"), Tarpon, rapid.Bool().Draw(t, "preempt"))
		w.start(0)
		w.run(w.now + time.Second)
		w.start(1)
		for range rapid.IntRange(1, 30).Draw(t, "length") {
			w.happen(t, false)
		}
		if w.overlap != 0 {
			t.Errorf("both leases hold at %s", w.overlap-boot)
			for _, line := range w.log {
				t.Log(line)
			}
		}
	})
}
