package vrrp

import (
	"fmt"
	"net/netip"
	"time"
)

const (
	// answerGap keeps two routers that both believe to win from filling the wire.
	answerGap = centisecond
	// remindGap is between announcements that a losing advert brings.
	remindGap = time.Second
	// unprovenFor is how long the TLS link may take to confirm what the wire said.
	unprovenFor = time.Second
	// noticed is how long the peer may take to see that the TLS link lives again.
	noticed = time.Second
)

// A suspect is a priority that the wire claims and the peer has not said.
type suspect struct {
	priority uint8
	from     netip.Addr
	link     string
	at       Instant // 0: there is none
}

// Hear takes an advert with our VRID from the wire.
func (m *Machine) Hear(now Instant, h Heard) Output {
	m.wake(now)
	m.state.Counters.Received++
	if h.Checksum == PseudoHeader {
		m.state.Counters.PseudoHeader++
	}
	if why := m.stranger(h); why != "" {
		m.state.Counters.Ignored++
		m.conflict(now, h, why)
		// Somebody is active with our VRID. Whoever it is: he was first.
		if m.first && m.state.Role == Standby {
			m.wait(now, why)
		}
		return m.done()
	}
	a := h.Advert
	m.state.Links[h.Link] = LinkState{now, h.From, a.Priority, a.Interval, h.Checksum}
	if !sameAddresses(a.Addresses, m.c.advert(m.c.Links[h.Link], 0).Addresses) {
		m.conflict(now, h, fmt.Sprintf("it advertises %v", a.Addresses))
	}
	if a.Version == 3 && h.From.Is4() && h.Checksum != m.c.Checksum {
		m.conflict(now, h, fmt.Sprintf("its checksum is made by %s, ours by %s, which it may not understand", h.Checksum, m.c.Checksum))
	}
	if m.facts.Peer.Linked && !m.confirmed(now, a.Priority) {
		m.unproven(now, h)
		return m.done()
	}
	m.obey(now, a.Priority, a.Interval, m.beats(a.Priority, h), h.From.String())
	return m.done()
}

// Said takes an advert that the peer sent over the TLS link, at each time when it sends
// one on the wire.
func (m *Machine) Said(now Instant, priority uint8, interval time.Duration) Output {
	m.wake(now)
	m.said, m.saidAt = priority, now
	if m.suspect.priority == priority {
		m.suspect = suspect{}
	}
	m.obey(now, priority, interval, m.beats(priority, Heard{}), "the peer")
	return m.done()
}

// stranger says why an advert is not one of our peer's.
func (m *Machine) stranger(h Heard) string {
	link, a := m.c.Links[h.Link], h.Advert
	want := m.c.advert(link, 0)
	switch {
	case h.From == link.Own:
		return "it comes from our own address"
	case link.Peer.IsValid() && h.From != link.Peer:
		return fmt.Sprintf("it is not from the peer, %s", link.Peer)
	case a.Version != m.c.Version:
		return fmt.Sprintf("it is of version %d, ours is %d", a.Version, m.c.Version)
	case a.Version == 2 && a.AuthType != want.AuthType:
		return fmt.Sprintf("its authentication is of type %d, ours of type %d", a.AuthType, want.AuthType)
	case a.AuthType == authPassword && a.Password != want.Password:
		return "its password is another one"
	case a.Version == 2 && a.Interval != m.c.Advert:
		return fmt.Sprintf("its interval is %s, ours %s", a.Interval, m.c.Advert)
	case a.Priority == 255 && m.c.Peer == Tarpon:
		return "it has priority 255, which no Tarpon has"
	}
	return ""
}

// beats says whether an advert wins against this router: by priority, then by address.
func (m *Machine) beats(priority uint8, h Heard) bool {
	if own := m.advertised(); priority != own {
		return priority > own
	}
	// Over several links both routers must look at the same pair of addresses.
	own, peer := m.c.Links[0].Own, m.c.Links[0].Peer
	if m.c.Peer == Foreign {
		peer = h.From.WithZone("")
	}
	return peer.Compare(own) > 0
}

// confirmed says whether the peer has said lately, over TLS, what the wire claims.
func (m *Machine) confirmed(now Instant, priority uint8) bool {
	return m.saidAt != 0 && m.said == priority && now-m.saidAt <= m.activeDown()
}

// unproven heeds an advert only so far that it keeps a standby from taking over: that
// may be the peer whose TLS link is slow. It moves nothing, and teaches no interval.
func (m *Machine) unproven(now Instant, h Heard) {
	m.state.Counters.Unproven++
	if m.suspect.at == 0 {
		m.suspect = suspect{h.Advert.Priority, h.From, m.c.Links[h.Link].Interface, now}
	}
	switch {
	case h.Advert.Priority == 0:
	case m.state.Role == Standby:
		m.dropClaim()
		m.wait(now, "an advert was heard, not yet confirmed")
	case m.overslept(now):
		m.standBack(now, tookOver(h.From.String()))
	}
}

func (m *Machine) tellSuspect(now Instant) {
	s := m.suspect
	if s.at == 0 || now-s.at < unprovenFor {
		return
	}
	m.suspect = suspect{}
	m.seldom(now, Event{Kind: Forged, Link: s.link, From: s.from,
		Message: fmt.Sprintf("an advert with priority %d from %s, which the peer did not send", s.priority, s.from)})
}

// obey is the heart: RFC 9568 sections 6.4.2 and 6.4.3.
func (m *Machine) obey(now Instant, priority uint8, interval time.Duration, beats bool, who string) {
	m.heard = now
	m.met()
	m.spoke = priority > 0
	if m.state.Role == Standby {
		m.obeyAsStandby(now, priority, interval, beats, who)
		return
	}
	switch {
	case priority == 0:
		m.send(m.advertised())
		m.due = now + m.c.Advert
	case m.overslept(now) && !m.preemptsByItself():
		m.interval = m.learned(interval)
		m.standBack(now, tookOver(who))
	case !beats:
		m.answer(now, who)
	case now < m.graceEnd:
		// Sent before the peer yielded.
	default:
		m.interval = m.learned(interval)
		if m.c.Peer == Tarpon { // which never takes over from an active router unasked
			m.splitBrain(now, false, fmt.Sprintf("%s is active too and wins with priority %d against %d", who, priority, m.advertised()))
		}
		m.standBack(now, fmt.Sprintf("%s advertises priority %d against %d", who, priority, m.advertised()))
	}
}

func (m *Machine) obeyAsStandby(now Instant, priority uint8, interval time.Duration, beats bool, who string) {
	if priority == 0 {
		m.due, m.goodbye = min(m.due, now+m.skew()), true
		m.state.Probe, m.state.Fence = false, false
		return
	}
	if beats {
		m.dropClaim()
	}
	if m.claim { // the next Expired settles it
		return
	}
	m.goodbye = false
	if m.settled(now) { // the peer is heard here: its silence will mean something
		m.first = false
	}
	if m.away != 0 && m.facts.Peer.Linked && now-m.away > noticed+m.activeDown() {
		m.away = 0 // the active router has noticed that we are back
	}
	if beats || !m.preemptsByItself() {
		m.losing = false
	} else if !m.losing {
		m.losing, m.losingSince = true, now
	}
	m.interval = m.learned(interval)
	if m.losing && now-m.losingSince >= m.c.PreemptDelay && !m.unfitAlone() && !m.facts.Hold {
		return // patience runs out: RFC 9568 section 6.4.2, Preempt_Mode
	}
	m.wait(now, fmt.Sprintf("%s is active with priority %d against %d", who, priority, m.advertised()))
}

func tookOver(who string) string { return who + " took over while this router slept" }

// preemptsByItself: with a Tarpon on the other side it is the active one that hands
// over, since it knows whether all is in sync.
func (m *Machine) preemptsByItself() bool { return m.c.Peer == Foreign && m.c.Preempt }

// learned: in version 3 a standby counts in the active router's intervals.
func (m *Machine) learned(interval time.Duration) Instant {
	if m.c.Version == 2 {
		return m.c.Advert
	}
	return interval
}

// answer shows a loser that he loses. RFC 9568 is the first to want it; in version 2
// the advert is discarded. In both the neighbours may have been misled.
func (m *Machine) answer(now Instant, who string) {
	if m.c.Version == 3 && (m.answered == 0 || now-m.answered >= answerGap) {
		m.answered = now
		m.send(m.advertised())
	}
	if now-m.state.Since < m.c.Advert {
		return // on its way before it could hear us
	}
	if m.reminded == 0 || now-m.reminded >= remindGap {
		m.reminded = now
		m.state.Announces++
	}
	m.splitBrain(now, true, fmt.Sprintf("%s is active too and loses against priority %d", who, m.advertised()))
}

// wait gives the active router another Active_Down_Interval.
func (m *Machine) wait(now Instant, why string) {
	m.due, m.silent = now+m.activeDown(), false
	m.state.Probe, m.state.Fence = false, false
	m.fencing, m.unfenced, m.shot = 0, false, ""
	m.state.Why = why
}
