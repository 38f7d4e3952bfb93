package announce

import (
	"fmt"
	"net/netip"

	"github.com/tarpon-lb/tarpon/control/host"
)

// A Kind says what an Event is.
type Kind uint8

const (
	// Unanswered: a neighbour was asked often enough and did not answer to an address.
	// It is asked on.
	Unanswered Kind = iota + 1
	// Answered: one that was Unanswered answers.
	Answered
	// Verified: every neighbour of the leg has answered or is Unanswered.
	Verified
	// Conflict: another machine says that it has an announced address. Once a minute for
	// an address and a MAC, as long as it goes on.
	Conflict
	// Failed: frames of the leg cannot be sent or received. Once a minute while it is so.
	Failed
)

// An Event is something that the caller should know. Fields that say nothing of its
// kind are zero.
type Event struct {
	Kind Kind
	Leg  string
	// Address that was announced: Unanswered, Answered, Conflict.
	Address netip.Addr
	// Neighbour: Unanswered, Answered.
	Neighbour netip.Addr
	// MAC of the neighbour, if it is known, or of the other machine of a Conflict.
	MAC host.MAC
	// Alive: the Unanswered neighbour answers to the router's own address, so what it
	// has for this one is another MAC; else it may just be off.
	Alive bool
	// Unanswered neighbours and addresses, of Verified. 0: all follow.
	Unanswered int
	Err        error // Failed
}

func (e Event) String() string {
	switch e.Kind {
	case Unanswered:
		if e.Alive {
			return fmt.Sprintf("neighbour %s does not answer to %s, but to this router's own address", e.Neighbour, e.Address)
		}
		return fmt.Sprintf("neighbour %s does not answer to %s", e.Neighbour, e.Address)
	case Answered:
		return fmt.Sprintf("neighbour %s answers to %s", e.Neighbour, e.Address)
	case Verified:
		if e.Unanswered > 0 {
			return fmt.Sprintf("leg %s: %d answers of neighbours are missing", e.Leg, e.Unanswered)
		}
		return fmt.Sprintf("leg %s: all neighbours answer", e.Leg)
	case Conflict:
		return fmt.Sprintf("%s says that it has %s", e.MAC, e.Address)
	case Failed:
		return fmt.Sprintf("leg %s: announce: %v", e.Leg, e.Err)
	}
	return "nothing"
}
