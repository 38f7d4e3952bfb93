package vrrp

import "time"

// closedFor is how long the gate of flows in sync may be closed before it is told.
const closedFor = time.Minute

// health is how fit a router is.
type health uint8

const (
	whole    health = iota
	degraded        // something with a weight failed
	faulted         // something without one did
	silent          // it says nothing: of the peer only
)

// A verdict is what an active router is to do about its service.
type verdict uint8

const (
	keep    verdict = iota
	give            // the planned switchover
	suffer          // it should give the service away, and nobody could take it
	blocked         // it would give it away, were the flows in sync
)

// judge decides whether an active router gives its service to its peer. The peer never
// takes it: only the active router knows how it is itself, and a whole one is left
// alone unless the configuration says preempt. A fault does not wait for flows.
func judge(preempt, inSync bool, own, peer health, peerIsBetter bool) verdict {
	switch {
	case own == faulted && (peer == whole || peer == degraded):
		return give
	case own == faulted:
		return suffer
	case peer == faulted || peer == silent || !peerIsBetter:
		return keep
	case own == whole && !preempt:
		return keep
	case !inSync:
		return blocked
	}
	return give
}

func (m *Machine) own() health {
	switch {
	case m.facts.Fault != "":
		return faulted
	case m.facts.Priority < m.c.Priority:
		return degraded
	}
	return whole
}

// peer's weights do not matter to the verdict: what it has left is in its priority.
func (m *Machine) peer() health {
	p := m.facts.Peer
	switch {
	case !p.Linked:
		return silent
	case p.Fault:
		return faulted
	}
	return whole
}

// peerFit: it could be active.
func (m *Machine) peerFit() bool { return m.peer() == whole && !m.facts.Peer.Hold }

// unfitAlone: with a peer that cannot be asked, this router leaves the service alone.
func (m *Machine) unfitAlone() bool {
	return m.c.Peer == Foreign && (m.facts.Fault != "" || m.facts.Deaf)
}

// review brings up to date what an active router is to do about its service.
func (m *Machine) review(now Instant) {
	m.state.HandOver, m.state.Kept, m.reviewAt = false, "", 0
	if m.state.Role != Active {
		return
	}
	f := m.facts
	v := keep
	if m.c.Peer == Tarpon || f.Fault != "" {
		v = judge(m.c.Preempt, f.Peer.Behind == "", m.own(), m.peer(), f.Peer.Priority > m.advertised())
	}
	if v != give && v != blocked {
		m.handOverSince, m.closedTold = 0, false
	} else if m.handOverSince == 0 {
		m.handOverSince = now
	}
	switch {
	case v == suffer:
		m.state.Kept = "the peer is " + map[health]string{faulted: "faulted too", silent: "silent"}[m.peer()]
	case v == keep:
	case f.Hold:
		m.state.Kept = "held"
	case f.Peer.Hold:
		m.state.Kept = "the peer is held"
	case v == blocked:
		m.state.Kept = "not in sync: " + f.Peer.Behind
		m.tellClosed(now)
	case m.own() == whole && now-m.handOverSince < m.c.PreemptDelay:
		m.state.Kept = "the preempt delay is not over"
		m.reviewAt = m.handOverSince + m.c.PreemptDelay
	default:
		m.state.HandOver = true
	}
	m.tellFault(now)
}

func (m *Machine) tellClosed(now Instant) {
	switch {
	case m.closedTold:
	case now-m.handOverSince < closedFor:
		m.reviewAt = m.handOverSince + closedFor
	default:
		m.closedTold = true
		m.tell(now, Event{Kind: GateClosed, Message: "the better router does not take over: " + m.state.Kept})
	}
}

func (m *Machine) tellFault(now Instant) {
	with := m.own() == faulted && m.state.Kept != ""
	if with && !m.faultTold {
		m.tell(now, Event{Kind: ActiveWithFault, Message: "active with a fault: " + m.facts.Fault + "; " + m.state.Kept})
	}
	m.faultTold = with
}
