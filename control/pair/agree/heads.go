package agree

import (
	"slices"

	"github.com/tarpon-lb/tarpon/control/revision"
)

// Heads is what a router tells of its revisions, when a link comes up and after each
// change: enough to see who is behind.
type Heads struct {
	Revisions []Ref // oldest first; the last one runs
	// Ask for those of the other router.
	Ask bool `json:",omitempty"`
	// Edited: somebody changed the file since it was loaded.
	Edited bool `json:",omitempty"`
}

// A Ref is a revision without its bytes.
type Ref struct {
	revision.ID
	Merged revision.ID `json:",omitzero"`
	Undoes int         `json:",omitempty"`
	// Waits for its confirmation.
	Waits bool `json:",omitempty"`
}

func headsOf(list []revision.Revision, edited bool) Heads {
	h := Heads{Edited: edited}
	for _, r := range list {
		h.Revisions = append(h.Revisions, Ref{r.ID, r.Merged, r.Undoes, !r.ConfirmBy.IsZero()})
	}
	return h
}

func (h Heads) last() Ref {
	if len(h.Revisions) == 0 {
		return Ref{}
	}
	return h.Revisions[len(h.Revisions)-1]
}

// follows: the last revision came of another one, which nobody has decided against.
func (h Heads) follows(other Ref) bool {
	at := slices.IndexFunc(h.Revisions, func(r Ref) bool { return r.ID == other.ID || r.Merged == other.ID })
	if at < 0 {
		return false
	}
	// Undone here, because a confirmation came to the other router alone.
	return !slices.ContainsFunc(h.Revisions[at:], func(r Ref) bool { return r.Undoes == other.Number && !other.Waits })
}

// compare says how a router's revisions stand to the other one's.
func compare(mine, theirs Heads) State {
	m, t := mine.last(), theirs.last()
	switch {
	case m.ID == t.ID:
		return Same
	case m.Hash == t.Hash && m.Number < t.Number: // as after a copy of the file
		return Behind
	case m.Hash == t.Hash && m.Number > t.Number:
		return Ahead
	case theirs.follows(m) && !mine.Edited:
		return Behind
	case mine.follows(t) && !theirs.Edited:
		return Ahead
	}
	return Conflict
}
