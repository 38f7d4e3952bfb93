package vrrp

import (
	"fmt"
	"net/netip"
	"time"
)

// A Kind says what happened, in a word that programs may rely on.
type Kind string

// The kinds of events.
const (
	BecameActive         Kind = "active"
	BecameStandby        Kind = "standby"
	TakeoverWithoutFlows Kind = "takeover_without_flows"
	ActiveWithFault      Kind = "active_with_fault"
	SplitBrain           Kind = "split_brain"   // two were active
	GateClosed           Kind = "gate_closed"   // for a minute now
	ProbeAnswered        Kind = "address_taken" // somebody has a floating address
	Fenced               Kind = "fenced"        // the peer, before a takeover
	FenceFailed          Kind = "fence_failed"
	Conflict             Kind = "vrrp_conflict" // our VRID in a stranger's mouth
	Forged               Kind = "vrrp_forged"   // what the peer did not say
	NotSent              Kind = "vrrp_not_sent"
)

// An Event is one thing that an operator may want to know.
type Event struct {
	Kind    Kind
	At      Instant
	Link    string     // its interface, where it is of one
	From    netip.Addr // who sent it, where somebody did
	Message string
	// Of a split brain: whether this router goes on, and how long it has been active.
	Won    bool
	Active time.Duration
}

// again is how long the same trouble stays untold.
const again = time.Minute

func (m *Machine) tell(now Instant, e Event) {
	e.At = now
	m.out.Events = append(m.out.Events, e)
}

// seldom tells what may go on and on. What somebody else makes up (addresses) is no
// part of the key: it would fill the memory.
func (m *Machine) seldom(now Instant, e Event) {
	key := string(e.Kind) + e.Link
	if last, ok := m.told[key]; ok && now-last < again {
		return
	}
	m.told[key] = now
	m.tell(now, e)
}

func (m *Machine) conflict(now Instant, h Heard, why string) {
	link := m.c.Links[h.Link].Interface
	m.seldom(now, Event{Kind: Conflict, Link: link, From: h.From,
		Message: fmt.Sprintf("%s uses VRID %d on %s as well: %s", h.From, m.c.VRID, link, why)})
}

// splitBrain is told before the loser stands back. The winner may hear many losing adverts.
func (m *Machine) splitBrain(now Instant, won bool, message string) {
	tell := m.tell
	if won {
		tell = m.seldom
	}
	tell(now, Event{Kind: SplitBrain, Won: won, Active: now - m.state.Since, Message: message})
}
