package vrrp

import (
	"fmt"
	"strings"
)

// Reasons of takeovers that nobody could prepare.
const (
	byGoodbye = "the peer said goodbye"
	bySilence = "nobody is heard"
)

// outOfPatience: nobody has been heard for an Active_Down_Interval, or the peer said
// goodbye.
func (m *Machine) outOfPatience(now Instant) {
	f := m.facts
	switch {
	case f.Hold:
		m.wait(now, "held")
	case m.c.Peer == Foreign && f.Deaf:
		m.wait(now, "the heartbeat link has no carrier")
	case f.Fault != "" && m.peerFit():
		m.wait(now, "fault: "+f.Fault+"; the peer is fit")
	case m.goodbye:
		m.takeOver(now, byGoodbye)
	case m.first && !m.settled(now):
		m.state.Why = fmt.Sprintf("settling: the legs need carrier for %s, or the peer heard there", m.c.Settle)
		m.due = now + m.c.Advert
	case m.losing && now-m.heard < m.activeDown(): // it is there, and was ignored
		m.takeOver(now, "preempts a lower priority")
	case m.mayRest(now):
		m.state.Why, m.due = "asks the peer whether it is a standby", now+m.c.Advert
	case m.mayBeActive():
		m.fence(now)
	case m.c.Fence != nil && m.c.Fence.Require && !m.state.Heard:
		m.wait(now, "the peer was never heard: it cannot be fenced, which is required")
	case (m.first || m.away != 0) && !m.silent && !m.fenced:
		m.state.Why = "asks whether somebody has the floating addresses"
		m.state.Probe = true
	default:
		m.takeOver(now, bySilence+m.shot)
	}
}

// settled: a switch port that has just come up may be deaf and dumb for a while (STP).
func (m *Machine) settled(now Instant) bool {
	since := m.facts.CarrierSince
	return m.c.Settle == 0 || since != 0 && now-since >= m.c.Settle
}

// takeOver makes the router active. Its first act is an advert; the lease follows when
// a link took it.
func (m *Machine) takeOver(now Instant, why string) {
	m.become(now, Active, why)
	m.due = now + m.c.Advert
	m.state.Announces++
	m.send(m.advertised())
	m.tell(now, Event{Kind: BecameActive, Message: "active: " + why})
	if behind := m.facts.Peer.Behind; (why == byGoodbye || strings.HasPrefix(why, bySilence)) && m.c.Peer == Tarpon && behind != "" {
		m.tell(now, Event{Kind: TakeoverWithoutFlows, Message: "took over without all flows: " + behind})
	}
	m.review(now)
}

// standBack makes the router a standby; it answers for no floating address from now on.
func (m *Machine) standBack(now Instant, why string) {
	m.become(now, Standby, why)
	m.due = now + m.activeDown()
	m.setLease(0)
	m.tell(now, Event{Kind: BecameStandby, Message: "standby: " + why})
}

func (m *Machine) become(now Instant, role Role, why string) {
	s := &m.state
	s.Role, s.Since, s.Why = role, now, why
	s.Term++
	s.Probe, s.Fence, s.HandOver, s.Kept = false, false, false, ""
	m.fencing, m.unfenced, m.shot = 0, false, ""
	m.claim, m.goodbye, m.losing, m.silent = false, false, false, false
	m.handOverSince, m.reviewAt, m.closedTold, m.faultTold = 0, 0, false, false
	m.graceEnd, m.answered, m.reminded = 0, 0, 0
	m.pace = m.c.Advert
	if role == Active {
		m.first, m.away = false, 0
		m.interval = m.c.Advert
	}
}
