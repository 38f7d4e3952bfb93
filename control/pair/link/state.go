package link

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// A State is how the link is at this moment.
type State struct {
	Carrier string    // the path that carries data; empty: none
	Since   time.Time // when it began to
	// Of the peer, as it said by the carrier.
	Software string
	Protocol int // that both speak
	Paths    []PathState
	// Refused is why the other router, which is there, is not spoken with; nil: it is,
	// or nobody is there.
	Refused error
	// Strangers is how many connections were refused.
	Strangers uint64
}

// A PathState is how one heartbeat link is.
type PathState struct {
	Name  string
	Up    bool
	Since time.Time // up or down; zero: it has never been up
	Err   error     // why it is down; nil: it has not been tried yet
}

// State says how the link is.
func (l *Link) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	state := State{Strangers: l.strange.Load()}
	if l.carrier != nil {
		state.Carrier, state.Since = l.carrier.path.Name, l.carrierSince
		state.Software, state.Protocol = l.carrier.peer.Software, l.carrier.protocol
	}
	for _, p := range l.paths {
		if refused := (ProtocolError{}); errors.As(p.err, &refused) {
			state.Refused = refused
		}
		state.Paths = append(state.Paths, PathState{p.Name, p.session != nil, p.since, p.err})
	}
	return state
}

// An EventKind says what happened.
type EventKind int

const (
	// Up: a path has a connection.
	Up EventKind = iota + 1
	// Down: it has lost it.
	Down
	// Carrier: another path carries data from now on. Without a path: none does.
	Carrier
	// Stranger: a connection was refused, by us or by the other end.
	Stranger
	// Refused: it was the other router, with another version of the protocol.
	Refused
)

func (k EventKind) String() string {
	return [...]string{"", "up", "down", "carrier", "stranger", "refused"}[k]
}

// An Event is what happened on a path, with whom, and why.
type Event struct {
	Kind   EventKind
	Path   string
	Remote netip.AddrPort
	Err    error
}

func (e Event) String() string {
	s := fmt.Sprintf("%s %s %s", e.Path, e.Kind, e.Remote)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (l *Link) tell(kind EventKind, p *path, remote netip.AddrPort, err error) {
	if kind == Stranger {
		l.strange.Add(1)
	}
	event := Event{Kind: kind, Remote: remote, Err: err}
	if p != nil {
		event.Path = p.Name
	}
	l.Tell(event)
}
