package replica

import "time"

// Counts are of what was done since the start.
type Counts struct {
	Puts, Ends     uint64 // updates told to the other router
	Batches, Bytes uint64 // sent, TLS and the link's frames not counted
	Listed         uint64 // flows told again, for a part that differed
	Begun          uint64 // streams

	PutsTaken, EndsTaken uint64 // that the other router told
	Disputes             uint64 // flows for which both had packets, and different reals
	Repaired             uint64 // flows that had another real without a packet's reason
	Unlisted             uint64 // flows that the leader does not have: ended here
	Differed             uint64 // parts that a comparison found different
	Full                 uint64 // flows for which the table had no slot
	AsideLost            uint64 // flows of unknown vips or reals that were too many
	Gaps                 uint64 // batches that did not follow the one before
	Nameless             uint64 // flows whose backend has no meaning: report it
	Failed               error  // the last failure of the kernel to take flows
}

// A Fact is one of the four that in sync is made of.
type Fact int

const (
	// Linked: the other router hears us. Without it the other facts say nothing.
	Linked Fact = iota
	// Copied: all flows were compared, and those sent that one of both lacked.
	Copied
	// Equal: the last comparison, within 10 s, found the tables equal.
	Equal
	// Prompt: nothing that was sent longer than 1 s ago is unacknowledged.
	Prompt
	// SameRevision: both routers have one configuration.
	SameRevision
)

func (f Fact) String() string {
	return [...]string{"no link", "copying", "flows differ", "behind", "another revision"}[f]
}

// A Status is how replication is at this moment.
type Status struct {
	// Missing are the facts that keep the pair from being in sync, in their order; none:
	// it is in sync.
	Missing    []Fact
	ComparedAt time.Time // equal, the last time
	// Oldest is how long the oldest update of ours has been waiting to be acknowledged,
	// Lag how long the last one took from the scan to the acknowledgement.
	Oldest, Lag time.Duration
	Flows       int // that both routers should have, at the last comparison
	Aside       int // flows of vips or reals that this router does not know (yet)
	Counts      Counts
}

// InSync says that the other router has what this one has.
func (s *Status) InSync() bool { return len(s.Missing) == 0 }
