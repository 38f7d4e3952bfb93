package loader

import "net/netip"

// An Entry is a flow with what replication keeps of it in the table.
type Entry struct {
	Flow
	Flags FlowFlags
}

// Ended says if the entry is over, and waits for its slot to be given back.
func (e *Entry) Ended() bool { return e.State == stateGone }

// SameGeneration says if no SYN opened one of the two again.
func (e *Entry) SameGeneration(other *Entry) bool {
	return (e.Flags^other.Flags)&FlowGeneration == 0
}

// A BackendName is what a backend's id means, in words that two routers share.
type BackendName struct {
	Vip  Endpoint
	Real netip.AddrPort // port 0 on an any-port vip
}

// A Mark is what becomes of an entry's bits when replication has seen it.
type Mark uint8

const (
	// Leave it as it is.
	Leave Mark = iota
	// MarkSent: the other router has it as it is: FlowSent, not FlowChanged.
	MarkSent
	// MarkUnsent: the other router has it no longer: neither of both.
	MarkUnsent
	// GiveBack the slot of an entry that has ended.
	GiveBack
)

// Marks say it by the state and the flags together, as they are in the table.
type Marks [256]Mark

// MarksOf makes the table of a function.
func MarksOf(of func(State, FlowFlags) Mark) *Marks {
	var marks Marks
	for bits := range marks {
		marks[bits] = of(State(bits&0xf), FlowFlags(bits&0xf0))
	}
	return &marks
}

// StateGone is the state of an entry that has ended, as MarksOf's function meets it.
const StateGone = stateGone

// An Act is what a merge makes of an entry.
type Act uint8

const (
	// Keep the table as it is.
	Keep Act = iota
	// Write the entry: over the one that was found, or a new one.
	Write
	// End the entry that was found; nobody is told.
	End
)
