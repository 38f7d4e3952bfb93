package announce

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/tarpon-lb/tarpon/control/host"
)

const (
	// questions are asked before a neighbour counts as unanswered, 100 to 800 ms apart.
	questions = 5
	// patience is how long the answer to the last may take.
	patience = 500 * time.Millisecond
)

// A neighbour is what is known of one.
type neighbour struct {
	mac    host.MAC // zero: not known
	checks int      // under way, for announced addresses

	// Since it was asked last:
	alive   bool     // it answered to the router's own address
	pings   bool     // with an echo reply
	from    host.MAC // of that reply: with a virtual router it is not its address's
	follows bool     // it has proven so, for some announced address
}

// A pair is an address and a neighbour who should know it.
type pair struct{ address, neighbour netip.Addr }

// A check is under way until the neighbour has proven that it sends to us what is for
// the address.
//
// An advertisement and an echo reply prove it, for they come by the neighbour's cache. A
// reply of ARP does not: it is sent to where the request came from (RFC 826), also by
// who has a permanent entry with another MAC. It counts only for a neighbour that does
// not answer pings of the router's own address either.
type check struct {
	pair
	*duty
	of      *neighbour
	control bool // of the router's own address: what the neighbour answers at all
	asked   int
	replied bool // by ARP
	waiting bool // for an answer or the verdict
	told    bool // as Unanswered
}

// meet makes these the leg's neighbours; who was one stays known.
func (s *speaker) meet(list []Neighbour) {
	before := s.neighbours
	s.neighbours = map[netip.Addr]*neighbour{}
	for _, n := range list {
		known := before[n.Address]
		if known == nil {
			known = &neighbour{}
		}
		if n.MAC != (host.MAC{}) {
			known.mac = n.MAC
		}
		s.neighbours[n.Address] = known
	}
	s.drop(func(p pair) bool { return s.neighbours[p.neighbour] == nil })
}

// verify asks every neighbour about every announced address, and the router's own.
func (s *speaker) verify(now time.Time) {
	s.verifying = true
	for _, n := range s.neighbours {
		n.alive, n.pings, n.follows = false, false, false
	}
	announced := slices.SortedFunc(maps.Keys(s.announced), netip.Addr.Compare)
	for _, address := range slices.SortedFunc(maps.Keys(s.neighbours), netip.Addr.Compare) {
		own := s.leg.Own4
		if address.Is6() {
			own = s.leg.Own6
		}
		if own.IsValid() {
			s.check(now, pair{own, address}, true)
		}
		for _, a := range announced {
			if a.Is4() == address.Is4() && a != own {
				s.check(now, pair{a, address}, false)
			}
		}
	}
	s.settle()
}

// check begins one, or one anew.
func (s *speaker) check(now time.Time, p pair, control bool) {
	c := s.checks[p]
	if c == nil {
		c = &check{pair: p, control: control, of: s.neighbours[p.neighbour]}
		s.checks[p] = c
		c.count(1)
	} else {
		c.gone = true
	}
	c.asked, c.replied = 0, false
	c.duty = &duty{do: func(time.Time) ([]frame, time.Duration) { return s.ask(c) }}
	s.add(c.duty, now)
	s.state(c, !control, c.told)
}

func (c *check) count(by int) {
	if !c.control {
		c.of.checks += by
	}
}

// end ends a check.
func (s *speaker) end(c *check) {
	c.gone = true
	c.count(-1)
	s.state(c, false, false)
	delete(s.checks, c.pair)
}

// drop ends the checks of some pairs.
func (s *speaker) drop(is func(pair) bool) {
	for p, c := range s.checks {
		if is(p) {
			s.end(c)
		}
	}
}

// state changes that of a check, and how many have it.
func (s *speaker) state(c *check, waiting, told bool) {
	change := func(is *bool, to bool, count *int) {
		if *is != to && to {
			*count++
		} else if *is != to {
			*count--
		}
		*is = to
	}
	change(&c.waiting, waiting, &s.waiting)
	change(&c.told, told, &s.missing)
}

// settle tells when nothing is waited for any more.
func (s *speaker) settle() {
	if s.verifying && s.waiting == 0 {
		s.verifying = false
		s.tell(Event{Kind: Verified, Unanswered: s.missing})
	}
}

// ask is a check's turn: the next question, with the verdict if it is due.
func (s *speaker) ask(c *check) ([]frame, time.Duration) {
	c.asked++
	switch {
	case c.asked < questions:
		return s.question(c), again(c.asked)
	case c.asked == questions:
		return s.question(c), patience
	case c.control && c.of.checks == 0:
		s.end(c)
		return nil, 0
	case c.believed():
		s.answered(c)
		return nil, 0
	case c.waiting:
		s.miss(c)
	}
	return s.question(c), s.Retry
}

// believed: a reply of ARP is all that this neighbour has to say.
func (c *check) believed() bool { return c.replied && !c.of.pings && !c.control }

// ignored is a check of a neighbour that is alive and does not follow, of a family of
// which none on this leg does. It looks at how things stand, before any verdict; who has
// not been asked a few times has not failed to answer. Nil: there is none.
func (s *speaker) ignored() (found *check) {
	follows := map[bool]bool{} // by Is6
	for address, n := range s.neighbours {
		follows[address.Is6()] = follows[address.Is6()] || n.follows
	}
	for p, c := range s.checks {
		follows[p.address.Is6()] = follows[p.address.Is6()] || c.believed()
	}
	for p, c := range s.checks {
		fails := !c.control && c.of.alive && c.asked > questions/2 && !follows[p.address.Is6()]
		if fails && (found == nil || p.neighbour.Less(found.neighbour)) {
			found = c
		}
	}
	return found
}

func (s *speaker) question(c *check) []frame {
	to := c.of.mac
	if c.asked > 2 && !c.replied { // it may have another MAC by now
		to = host.MAC{}
	}
	frames := []frame{request(s.mac, c.address, c.neighbour, to)}
	if c.address.Is4() && c.of.mac != (host.MAC{}) {
		frames = append(frames, ping(s.mac, c.address, c.neighbour, c.of.mac, s.id))
	}
	return frames
}

// answer takes what a neighbour sent to our MAC. An echo reply that another machine brings
// went by that one, as by the old router, which forwards what still reaches it.
func (s *speaker) answer(h heard) {
	c := s.checks[pair{h.receiver, h.sender}]
	if c == nil || h.says == asks {
		return
	}
	if c.control {
		c.of.alive = true
		if h.says == echoes {
			c.of.pings, c.of.from = true, h.mac
		}
	} else if h.says == echoes && h.mac != c.of.mac && h.mac != c.of.from {
		return
	}
	if h.says == replies {
		c.of.mac, c.replied = h.mac, true
	}
	if h.proves() {
		s.answered(c)
	}
}

// answered ends a check that has its proof.
func (s *speaker) answered(c *check) {
	c.of.follows = c.of.follows || !c.control
	if c.told {
		s.tell(Event{Kind: Answered, Address: c.address, Neighbour: c.neighbour, MAC: c.of.mac})
	}
	s.end(c)
	s.settle()
}

func (c *check) unanswered() Event {
	return Event{Kind: Unanswered, Address: c.address, Neighbour: c.neighbour, MAC: c.of.mac, Alive: c.of.alive}
}

// miss gives the verdict; the neighbour is asked on.
func (s *speaker) miss(c *check) {
	if !c.told {
		s.tell(c.unanswered())
	}
	s.state(c, false, true)
	s.settle()
}
