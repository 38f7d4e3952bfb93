package pair

import (
	"testing"

	"github.com/tarpon-lb/tarpon/control/pair/replica"
)

// Of one configuration the owner's word counts: the status is of a moment ago, and a
// switchover that comes right after a change was refused by it.
func TestLacks(t *testing.T) {
	for _, test := range []struct {
		missing []replica.Fact
		same    bool
		want    string
	}{
		{nil, true, ""},
		{nil, false, "another revision"},
		{[]replica.Fact{replica.SameRevision}, true, ""},
		{[]replica.Fact{replica.SameRevision}, false, "another revision"},
		{[]replica.Fact{replica.Prompt, replica.SameRevision}, true, "behind"},
		{[]replica.Fact{replica.Linked, replica.Equal}, false, "no link"},
	} {
		p := &Pair{same: test.same}
		p.status.Store(&replica.Status{Missing: test.missing})
		if got := p.lacks(); got != test.want {
			t.Errorf("missing %v, same %t: %q, want %q", test.missing, test.same, got, test.want)
		}
	}
}
