package vrrp

import (
	"math"
	"net/netip"
	"time"
)

// An Instant is a time since boot, on CLOCK_BOOTTIME: a machine that was suspended does
// not wake up believing that no time has passed.
type Instant = time.Duration

// Open is the lease that never ends.
const Open Instant = math.MaxInt64

// Role is what a router is.
type Role uint8

const (
	Standby Role = iota // Backup in RFC 9568
	Active
)

func (r Role) String() string {
	if r == Active {
		return "active"
	}
	return "standby"
}

// Facts are what the controller knows and the election needs. They are given whole.
type Facts struct {
	// Priority is the effective one: as configured, less the weights of what failed,
	// never below 1. 0 stands for the configured one.
	Priority uint8
	// Fault says what makes this router unfit to be active while the peer could be.
	// Empty: nothing does.
	Fault string
	// Cut says what of this router's networks is broken, so that the peer's silence may be
	// its own doing: it fences nobody. Empty: nothing is.
	Cut string
	// Hold: the roles stay as they are, whatever fails.
	Hold bool
	// CarrierSince is since when every leg with a floating address has had carrier, but
	// for those on which the peer has been heard since; 0: one of them has none.
	CarrierSince Instant
	// Deaf: no heartbeat link has carrier. A Foreign peer cannot be heard then, and
	// this router is not active (RFC 9568: Initialize).
	Deaf bool
	Peer Peer
}

// Peer is what the other router says over the TLS link. Nothing of it is looked at with
// a Foreign peer.
type Peer struct {
	// Linked: the TLS link lives. What follows is kept when it dies.
	Linked   bool
	Priority uint8 // effective, as in Facts
	Fault    bool
	Hold     bool
	// Behind says what is missing until both routers have the same flows. Empty: they
	// are in sync.
	Behind string
}

// Start is what a machine begins with.
type Start struct {
	// Lease as an earlier life of this router left it; 0: none. While it holds,
	// nobody else can have taken over.
	Lease Instant
	// Settled: this router was up before, since its boot.
	Settled bool
	// Away: it had another life, after which a Tarpon may have become active, and may be
	// restarting: its last advert, which would say so, was not heard.
	Away bool
	// Heard: the peer was, since then.
	Heard bool
	Facts Facts
}

// Heard is an advert with our VRID, as it came in.
type Heard struct {
	Link     int // in the configuration
	From     netip.Addr
	Advert   Advert
	Checksum Checksum
}

// Output is what has to be done at once, in this order: write the lease, send the
// advert on all links, tell the events.
type Output struct {
	SetLease bool
	Lease    Instant // 0: it has ended
	Send     bool
	Priority uint8         // of the advert
	Interval time.Duration // that it says
	Events   []Event
}

// A Machine is one election of two routers over all links between them: RFC 9568
// section 6.4, with what the pair knows besides. It has no clock: it is told the time,
// which never goes back. Not for concurrent use.
type Machine struct {
	c     Config
	facts Facts
	out   Output
	state State

	due      Instant // active: of the next advert; standby: when patience ends
	pace     Instant // between our adverts; longer than configured only in a Pause
	interval Instant // between the peer's adverts
	heard    Instant // from the peer, by whatever way
	graceEnd Instant // a takeover by agreement: until then the peer's last adverts may still come
	answered Instant // a losing advert, with one of ours
	reminded Instant // the neighbours, after a losing advert

	claim       bool    // a lease held at the start, and nothing speaks against it
	first       bool    // the first takeover since the boot is still to come
	awake       Instant // the last input
	away        Instant // when this router woke up after others may have acted; 0: never
	silent      bool    // nobody answered the probe
	spoke       bool    // the peer's last word was that of an active router
	rested      Instant // when it was last that of a standby
	fencing     Instant // since when the peer is to be fenced; 0: it is not
	fenced      bool    // it was, and has not been heard since
	unfenced    bool    // it could not be, and we go on
	shot        string  // the same in words
	goodbye     bool    // the peer said that it leaves
	losing      bool    // the peer's adverts lose to ours
	losingSince Instant

	said    uint8 // by the peer over TLS: the last advert
	saidAt  Instant
	suspect suspect

	handOverSince Instant // somebody better is there; 0: nobody is
	reviewAt      Instant // 0: no need
	closedTold    bool
	faultTold     bool
	unsentTold    bool
	told          map[string]Instant
}

// State is what a machine can show. Levels, not edges: who looks late sees all that
// counts.
type State struct {
	Role Role
	// Term counts changes of the role.
	Term uint64
	// Since is of the role, and Why its reason.
	Since Instant
	Why   string
	// Priority is what adverts carry.
	Priority uint8
	Lease    Instant
	// Announces counts the times when neighbours were to be told again who has the
	// floating addresses: each takeover, and when somebody else claimed them.
	Announces uint64
	// Probe: the floating addresses are to be probed (RFC 5227), and Probed be told
	// the result. Asked for once; withdrawn if an advert is heard.
	Probe bool
	// Fence: the peer is to be fenced, and Fenced be told the result. Asked for once;
	// withdrawn if the peer is heard.
	Fence bool
	// Heard: the peer was, since this router's boot.
	Heard bool
	// HandOver: the planned switchover is to be done now. Kept says why it is not,
	// where something speaks for it.
	HandOver bool
	Kept     string
	// Links are what was heard last, by link of the configuration.
	Links    []LinkState
	Counters Counters
}

// LinkState is the last advert of the peer that came over a link.
type LinkState struct {
	At       Instant // 0: none came
	From     netip.Addr
	Priority uint8
	Interval time.Duration
	Checksum Checksum
}

// Counters of a machine, since its start.
type Counters struct {
	Sent     uint64
	Late     uint64 // sent more than half an interval late
	Unsent   uint64 // taken by no link
	Received uint64 // of our VRID
	Ignored  uint64 // of these: from somebody who is not our peer, or does not speak as agreed
	Unproven uint64 // of these: not confirmed over TLS
	// PseudoHeader counts of those received that had one in their checksum, over IPv4.
	PseudoHeader uint64
}

// New makes a machine at rest. The configuration is valid. The first call of Expired
// may make it active.
func New(c Config, start Start, now Instant) *Machine {
	m := &Machine{c: c, interval: c.Advert, pace: c.Advert, heard: now, awake: now, first: !start.Settled, told: map[string]Instant{}}
	m.state = State{Heard: start.Heard, Since: now, Why: "just started", Lease: start.Lease, Links: make([]LinkState, len(c.Links))}
	m.setFacts(now, start.Facts)
	m.claim = start.Lease > now && !m.unfitAlone()
	if start.Away && !m.claim && c.Peer == Tarpon {
		m.away = now
	}
	m.due = now + m.activeDown()
	return m
}

// State shows the machine.
func (m *Machine) State() State {
	s := m.state
	s.Links = append([]LinkState(nil), s.Links...)
	return s
}

// Next is when Expired is to be called at the latest.
func (m *Machine) Next() Instant {
	next := m.due
	switch {
	case m.state.Role == Active:
	case m.claim:
		return 0
	case m.state.Probe || m.state.Fence:
		next = m.awake + m.interval
	default: // to know that it is awake
		next = min(next, m.awake+m.interval)
	}
	if m.suspect.at != 0 {
		next = min(next, m.suspect.at+unprovenFor)
	}
	if m.reviewAt != 0 {
		next = min(next, m.reviewAt)
	}
	return next
}

// Expired lets the timers act. Call it only after every socket was read empty at or
// after this time: who wakes up late listens before he believes that he heard nothing.
func (m *Machine) Expired(now Instant) Output {
	m.wake(now)
	m.tellSuspect(now)
	switch {
	case m.state.Role == Active:
		if now >= m.due {
			if now-m.due > m.c.Advert/2 {
				m.state.Counters.Late++
			}
			if m.due += m.pace; m.due <= now {
				m.due = now + m.pace
			}
			m.send(m.advertised())
			m.away = 0
		}
		m.review(now)
	case m.claim && m.state.Lease > now:
		m.takeOver(now, "held the lease at the start")
	default:
		m.dropClaim()
		if now >= m.due && !m.state.Probe && !m.state.Fence {
			m.outOfPatience(now)
		}
	}
	return m.done()
}

// Sent says how many links took the advert of the last output. The time is the one at
// which the sockets were read empty before: a lease is never longer than what was
// known then is worth.
func (m *Machine) Sent(now Instant, links int) Output {
	if links > 0 {
		m.state.Counters.Sent++
		m.unsentTold = false
		if m.state.Role == Active {
			m.setLease(m.leaseFrom(now))
		}
		return m.done()
	}
	m.state.Counters.Unsent++
	if !m.unsentTold {
		m.unsentTold = true
		m.tell(now, Event{Kind: NotSent, Message: "no heartbeat link takes our adverts"})
	}
	return m.done()
}

// SetFacts replaces what the controller knows.
func (m *Machine) SetFacts(now Instant, f Facts) Output {
	m.wake(now)
	before := m.facts
	m.setFacts(now, f)
	if m.c.Peer == Foreign {
		m.foreignFacts(now, before)
	}
	if m.facts.Peer.Linked && !before.Peer.Linked && m.state.Role == Active {
		m.due = min(m.due, now) // the lease was open, and is to be one that ends
	}
	m.review(now)
	return m.done()
}

func (m *Machine) setFacts(now Instant, f Facts) {
	if f.Priority == 0 {
		f.Priority = m.c.Priority
	}
	if m.c.Peer == Foreign {
		f.Peer = Peer{}
	}
	if m.facts.Peer.Linked || f.Peer.Linked {
		m.heard = now
	}
	if f.Peer.Linked && !m.facts.Peer.Linked {
		m.met()
		m.spoke = false // it may be another life of it
	}
	if f.Hold && m.state.Fence {
		m.wait(now, "held")
	}
	m.facts = f
	m.state.Priority = m.advertised()
}

// foreignFacts is what a router does that cannot ask its peer: it leaves when it is
// unfit, and the peer takes over if it is there (RFC 9568 section 6.4.3, Shutdown).
func (m *Machine) foreignFacts(now Instant, before Facts) {
	f := m.facts
	switch {
	case f.Deaf && !before.Deaf && m.state.Role == Active:
		m.standBack(now, "the heartbeat link has no carrier")
	case !f.Deaf && before.Deaf && m.state.Role == Standby:
		m.due = now + m.activeDown()
	case f.Fault != "" && !f.Hold && (before.Fault == "" || before.Hold) && m.state.Role == Active:
		m.send(0)
		m.standBack(now, "fault: "+f.Fault)
	}
}

// Take makes this router active now, by agreement with the peer, which has yielded.
func (m *Machine) Take(now Instant, why string) Output {
	if m.state.Role == Standby {
		m.takeOver(now, why)
		m.graceEnd = now + max(m.c.Advert, m.interval)
	}
	return m.done()
}

// Yield makes this router a standby now. With a goodbye it tells the wire so, and the
// peer takes over after its skew time; without, somebody calls Take there.
func (m *Machine) Yield(now Instant, why string, goodbye bool) Output {
	if m.state.Role == Active {
		if goodbye {
			m.send(0)
		}
		m.standBack(now, why)
	}
	m.dropClaim()
	return m.done()
}

// Pause makes the last advert before a restart in place one that lasts: a standby counts
// in the intervals of what it heard last (RFC 9568 section 6.1), and the lease is as long.
// The first advert of the next life brings the short interval back. In version 2 an
// interval is as configured, or not heeded.
func (m *Machine) Pause(now Instant, interval time.Duration) Output {
	if m.state.Role == Active {
		if m.c.Version == 3 {
			m.pace = max(m.c.Advert, interval)
		}
		m.due = now + m.pace
		m.send(m.advertised())
	}
	return m.done()
}

// Probed says who answered for a floating address, in words; empty: nobody did.
func (m *Machine) Probed(now Instant, who string) Output {
	if !m.state.Probe {
		return m.done()
	}
	m.state.Probe = false
	m.due = now
	if m.silent = who == ""; !m.silent {
		m.wait(now, who)
		m.seldom(now, Event{Kind: ProbeAnswered, Message: "not active: " + who})
	}
	return m.done()
}

func (m *Machine) done() Output {
	out := m.out
	m.out = Output{}
	return out
}

func (m *Machine) send(priority uint8) {
	m.out.Send, m.out.Priority, m.out.Interval = true, priority, m.pace
}

func (m *Machine) setLease(until Instant) {
	m.state.Lease = until
	m.out.SetLease, m.out.Lease = true, until
}

// dropClaim ends a lease that was found at the start.
func (m *Machine) dropClaim() {
	m.claim = false
	if m.state.Role == Standby && m.state.Lease != 0 {
		m.setLease(0)
	}
}

// leaseFrom is the lease of a router whose advert has just gone out.
func (m *Machine) leaseFrom(now Instant) Instant {
	// A foreign standby is never heard, may be there all the same, and takes over
	// whatever is held here.
	alone := !m.facts.Peer.Linked && now-m.heard >= m.activeDown()
	if m.c.Peer == Tarpon && (m.facts.Hold || alone) {
		return Open
	}
	return now + 3*m.pace
}

// wake notices that time has passed without this router. Whoever was away does not know
// who answers for the floating addresses by now, and asks before he takes over again.
func (m *Machine) wake(now Instant) {
	if now-m.awake > 2*m.interval {
		m.away = now
	}
	m.awake = now
}

// overslept: this router was active, but so long ago that the peer may have taken over
// by right.
func (m *Machine) overslept(now Instant) bool {
	return m.state.Lease != 0 && now > m.state.Lease
}

// advertised is the priority that adverts carry. A router with a fault loses to
// everybody.
func (m *Machine) advertised() uint8 {
	if m.facts.Fault != "" {
		return 1
	}
	return m.facts.Priority
}

// skew and activeDown: RFC 9568 section 6.1, RFC 3768 section 6.1.
func (m *Machine) skew() Instant {
	unit := m.interval
	if m.c.Version == 2 {
		unit = time.Second
	}
	return Instant(256-int(m.advertised())) * unit / 256
}

func (m *Machine) activeDown() Instant { return 3*m.interval + m.skew() }
