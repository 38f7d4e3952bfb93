package loader

import (
	"net/netip"
	"sync/atomic"
)

// isWeak: a new flow of the same client port may push it aside (bpf/admit.h,
// flow_is_weak).
func (s State) isWeak() bool {
	return s == Closed || s == Handshake || s == Answered || s == UDPUnreplied
}

// makeWay ends flows that what a real answers to this one could be taken for: from the
// same client port to the same real, of another vip, and over or half open. Where a
// packet opened the flow the program did so (bpf/admit.h, collides); here the other one
// may be left of a time before.
func (r *Replication) makeWay(t *flowTable, flow *Flow) {
	if flow.State.isWeak() {
		return
	}
	real, ok := r.realOf(flow)
	if !ok {
		return
	}
	for _, vipPort := range [...]uint16{0, real.Port()} { // an any-port vip's port is the real's
		like := *flow
		like.VipPort = vipPort
		place := r.placeOf(t, &like)
		for _, bucket := range place.buckets {
			first := place.page*pageSize/8/t.layout.words + bucket*bucketSlots
			for slot := first; slot < first+bucketSlots; slot++ {
				r.giveWay(t, slot, flow, real)
			}
		}
	}
}

// giveWay ends the flow in a slot, if it is one that has to.
func (r *Replication) giveWay(t *flowTable, slot int, flow *Flow, real Endpoint) {
	key, value := atomic.LoadUint64(t.keyAt(slot)), atomic.LoadUint64(t.valueAt(slot))
	if key == 0 || t.vip(key) == flow.Vip || !valueState(value).isWeak() || t.client(slot, key) != flow.Client {
		return
	}
	other := Flow{Backend: valueBackend(value), VipPort: valueVipPort(value)}
	if is, ok := r.realOf(&other); ok && is == real {
		t.end(slot, key, value)
	}
}

// realOf is where the flow's packets go.
func (r *Replication) realOf(flow *Flow) (Endpoint, bool) {
	name, ok := r.Name(flow.Backend)
	real := Endpoint{name.Real, name.Vip.Protocol}
	if real.Port() == 0 {
		real.AddrPort = netip.AddrPortFrom(real.Addr(), flow.VipPort)
	}
	return real, ok
}
