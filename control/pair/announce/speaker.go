package announce

import (
	"net/netip"
	"slices"
	"time"

	"github.com/tarpon-lb/tarpon/control/host"
)

// again is the pause after the n-th of a row of frames, from 1: 100 ms, doubled.
func again(n int) time.Duration { return 100 * time.Millisecond << min(n-1, 9) }

// quiet is for how long a conflict or a failure is not told again.
const quiet = time.Minute

// A speaker is what a leg has to say and has heard. It is fed with the time and with
// frames, and neither reads a clock nor sends.
type speaker struct {
	queue
	Options
	leg Leg
	mac host.MAC
	id  uint16 // of pings

	announced  map[netip.Addr]*duty
	neighbours map[netip.Addr]*neighbour
	checks     map[pair]*check
	conflicts  map[conflict]time.Time

	waiting, missing int  // checks that are so
	verifying        bool // and waiting is not 0 yet

	events []Event // to be told
}

type conflict struct {
	address netip.Addr
	mac     host.MAC
}

func newSpeaker(leg Leg, mac host.MAC, id uint16, options Options) *speaker {
	return &speaker{
		Options: options, leg: leg, mac: mac, id: id,
		announced: map[netip.Addr]*duty{}, neighbours: map[netip.Addr]*neighbour{},
		checks: map[pair]*check{}, conflicts: map[conflict]time.Time{},
	}
}

func (s *speaker) tell(e Event) {
	e.Leg = s.leg.Name
	s.events = append(s.events, e)
}

// announce begins anew with these addresses.
func (s *speaker) announce(now time.Time, addresses []netip.Addr, neighbours []Neighbour) {
	for _, address := range addresses {
		if old := s.announced[address]; old != nil {
			old.gone = true
		}
		s.announced[address] = s.announcement(address)
		s.add(s.announced[address], now)
	}
	s.meet(neighbours)
	if s.Verify {
		s.verify(now)
	}
}

// announcement is said Repeat times, and from then on every Refresh.
func (s *speaker) announcement(address netip.Addr) *duty {
	said := 0
	return &duty{do: func(time.Time) ([]frame, time.Duration) {
		said++
		if said < s.Repeat {
			return announcements(s.mac, address), again(said)
		}
		return announcements(s.mac, address), s.Refresh
	}}
}

// withdraw ends what is about these addresses.
func (s *speaker) withdraw(addresses []netip.Addr) {
	for _, address := range addresses {
		if d := s.announced[address]; d != nil {
			d.gone = true
			delete(s.announced, address)
		}
	}
	s.drop(func(p pair) bool { return slices.Contains(addresses, p.address) })
	s.verifying = s.verifying && len(s.announced) > 0
	s.settle()
	for c := range s.conflicts {
		if slices.Contains(addresses, c.address) {
			delete(s.conflicts, c)
		}
	}
}

// take takes a frame of another machine.
func (s *speaker) take(now time.Time, h heard) {
	if h.claims() && h.mac != s.mac && s.announced[h.sender] != nil {
		s.dispute(now, conflict{h.sender, h.mac})
	}
	if h.to == s.mac {
		s.answer(h)
	}
}

func (s *speaker) dispute(now time.Time, c conflict) {
	if told, ok := s.conflicts[c]; ok && now.Sub(told) < quiet {
		return
	}
	s.conflicts[c] = now
	s.tell(Event{Kind: Conflict, Address: c.address, MAC: c.mac})
}
