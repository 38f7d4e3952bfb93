package vrrp

import (
	"fmt"
	"time"
)

const (
	// restsFor is how long it is believed of a peer that it is a standby. It says so
	// several times in this time.
	restsFor = time.Second
	// fenceAgain is how long a fence that failed is left alone.
	fenceAgain = 5 * time.Second
)

// Rests is told each time the peer says over the TLS link that it is a standby.
func (m *Machine) Rests(now Instant) Output {
	m.wake(now)
	m.met()
	m.spoke, m.rested = false, now
	return m.done()
}

// Fenced says how the fencing went. Nil: the peer does nothing any more, whatever was
// heard of it meanwhile.
func (m *Machine) Fenced(now Instant, err error) Output {
	wanted, since := m.state.Fence, m.fencing
	if m.state.Role == Active || err != nil && !wanted { // it was heard
		return m.done()
	}
	m.state.Fence = false
	m.due = now
	if err != nil {
		m.unable(now, fmt.Sprintf("the peer could not be fenced: %s", err))
		return m.done()
	}
	m.fenced, m.shot = true, "; the peer was fenced"
	if wanted {
		m.shot += fmt.Sprintf(" in %s", (now - since).Round(time.Millisecond))
	}
	m.tell(now, Event{Kind: Fenced, Message: m.shot[2:]})
	return m.done()
}

// unable: the peer is not fenced, and may be active.
func (m *Machine) unable(now Instant, why string) {
	if m.c.Fence.Proceed {
		m.unfenced, m.shot, m.due = true, "; "+why, now
	} else {
		m.wait(now, why)
		m.due = now + max(fenceAgain, m.activeDown())
	}
	m.seldom(now, Event{Kind: FenceFailed, Message: why})
}

// met: the peer is there.
func (m *Machine) met() { m.state.Heard, m.fenced = true, false }

// mayBeActive says whether a peer that is not heard must be fenced. One that was never
// heard since our boot is not, or two routers that do not hear each other would turn
// each other off for ever. With a standby that can be asked there is nothing to fear.
func (m *Machine) mayBeActive() bool {
	return m.c.Fence != nil && m.state.Heard && !m.fenced && !m.unfenced && (m.spoke || !m.facts.Peer.Linked)
}

// mayRest: the peer's line lives, and it has not said lately what it is. It will, or
// the line will end.
func (m *Machine) mayRest(now Instant) bool {
	return m.c.Fence != nil && m.facts.Peer.Linked && !m.spoke && now-m.rested > restsFor
}

// fence has the peer fenced, after the delay in which it may have fenced us. A router
// whose own networks are broken would shoot a healthy one that it does not hear.
func (m *Machine) fence(now Instant) {
	if m.facts.Cut != "" {
		m.unable(now, "the peer is not fenced: its silence may be due to this router's fault: "+m.facts.Cut)
		return
	}
	if m.fencing == 0 {
		m.fencing = now
	}
	if from := m.fencing + m.c.Fence.Delay; now < from {
		m.state.Why, m.due = "fences the peer soon: it may be about to fence us", from
		return
	}
	m.state.Why, m.state.Fence = "the peer is being fenced", true
}
