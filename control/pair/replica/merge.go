package replica

import (
	"github.com/tarpon-lb/tarpon/loader"
)

// What travels: established TCP flows and replied UDP flows, and the end of what
// travelled. A half-open flow never does, so a SYN flood costs the pair nothing.
func travels(s loader.State) bool {
	switch s {
	case loader.Established, loader.FinClient, loader.FinReal, loader.UDPReplied:
		return true
	}
	return false
}

// markOf decides by an entry's bits alone what is to be told of it: an entry that is
// marked as sent is put, one marked otherwise has ended for the other router.
func markOf(state loader.State, flags loader.FlowFlags) loader.Mark {
	sent := flags&loader.FlowSent != 0
	switch {
	case state == 0:
		return loader.Leave // being written
	case state == loader.StateGone && sent:
		return loader.GiveBack
	case state == loader.StateGone:
		return loader.Leave // the sweep's
	case travels(state) && (!sent || flags&loader.FlowChanged != 0):
		return loader.MarkSent
	case !travels(state) && sent:
		// Closed, or opened again and not answered yet: the other router is better
		// off without, and the program may use the slot.
		return loader.MarkUnsent
	}
	return loader.Leave
}

// further is the state that is further in a connection's life. Who saw each one's FIN
// knows that both are done.
func further(a, b loader.State) loader.State {
	if a == loader.FinClient && b == loader.FinReal || a == loader.FinReal && b == loader.FinClient {
		return loader.Closed
	}
	return max(a, b)
}

// rank is whose word counts when two routers differ without one having seen more.
type rank int

const (
	equals rank = iota
	peerLeads
	weLead
)

// verdict is why a merge came out as it did.
type verdict int

const (
	agreed   verdict = iota
	dispute          // two reals for one flow, and both routers had packets of it
	repaired         // another real, though neither had a packet that says so
)

// merge is what the table has of a flow after the other router's put. The same
// connection takes the further state and the later time. Of two generations, or two
// reals:
//
//   - news (the other router's program has changed the flow) counts over an entry that
//     nobody changed here since both agreed on it;
//   - what is only told again counts for as much as the rank of who tells it;
//   - else the one that was seen later counts. A tie goes to who leads, and between
//     equals to the greater hash of the real's name: both routers decide the same.
func merge(have, put loader.Entry, news bool, putReal, ourReal uint64, r rank) (loader.Entry, verdict) {
	put.Flags = put.Flags&loader.FlowGeneration | loader.FlowSent
	changed := have.Flags&loader.FlowChanged != 0
	sameReal := have.Backend == put.Backend
	if sameReal && have.SameGeneration(&put) {
		put.State = further(have.State, put.State)
		put.Idle = min(have.Idle, put.Idle)
		put.Flags |= have.Flags & loader.FlowChanged
		return put, agreed
	}
	theirs := put.Idle < have.Idle
	if put.Idle == have.Idle {
		theirs = r == peerLeads || r == equals && putReal > ourReal
	}
	switch {
	case !changed && (news || r == peerLeads):
		theirs = true
	case !news && r == weLead:
		theirs = false
	}
	v := agreed
	switch {
	case sameReal:
	case changed && have.SameGeneration(&put):
		v = dispute
	case !changed && !news:
		v = repaired
	}
	if theirs {
		return put, v
	}
	return have, v
}

// mergeEnd is what becomes of an entry whose end the other router tells. It ends, if it
// is what the other one means; else it is only no longer theirs.
func mergeEnd(have, end loader.Entry) (loader.Entry, loader.Act) {
	if have.Backend == end.Backend && have.SameGeneration(&end) && (travels(have.State) || have.State == loader.Closed) {
		return have, loader.End
	}
	if have.Flags&loader.FlowSent == 0 {
		return have, loader.Keep
	}
	have.Flags &^= loader.FlowSent
	return have, loader.Write
}
