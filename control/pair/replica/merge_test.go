package replica

import (
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/loader"
)

func TestMarks(t *testing.T) {
	const changed, sent = loader.FlowChanged, loader.FlowSent
	for _, c := range []struct {
		state loader.State
		flags loader.FlowFlags
		want  loader.Mark
	}{
		{loader.Handshake, changed, loader.Leave}, // a flood of them costs nothing
		{loader.Answered, changed, loader.Leave},
		{loader.UDPUnreplied, changed, loader.Leave},
		{loader.Established, changed, loader.MarkSent},
		{loader.Established, 0, loader.MarkSent},
		{loader.Established, sent, loader.Leave},
		{loader.Established, sent | changed, loader.MarkSent},
		{loader.FinReal, sent | changed, loader.MarkSent},
		{loader.UDPReplied, changed, loader.MarkSent},
		{loader.Closed, changed, loader.Leave}, // came and went between two scans
		{loader.Closed, sent | changed, loader.MarkUnsent},
		{loader.Handshake, sent | changed, loader.MarkUnsent}, // opened again
		{loader.UDPUnreplied, sent, loader.MarkUnsent},
		{loader.StateGone, changed, loader.Leave},
		{loader.StateGone, sent | changed, loader.GiveBack},
		{0, sent | changed, loader.Leave},
	} {
		if got := markOf(c.state, c.flags); got != c.want {
			t.Errorf("%v with flags %#x: mark %d, want %d", c.state, c.flags, got, c.want)
		}
	}
}

func TestMerge(t *testing.T) {
	const changed, sent, again = loader.FlowChanged, loader.FlowSent, loader.FlowGeneration
	const long, short = time.Minute, time.Second
	type e = loader.Entry
	entry := func(real loader.BackendID, state loader.State, idle time.Duration, flags loader.FlowFlags) e {
		return e{Flow: loader.Flow{Backend: real, State: state, Idle: idle}, Flags: flags}
	}
	const est, fin1, fin2 = loader.Established, loader.FinClient, loader.FinReal
	for _, c := range []struct {
		name      string
		have, put e
		news      bool
		rank      rank
		want      e
		verdict   verdict
	}{
		{"the same connection, further", entry(1, est, long, sent), entry(1, fin1, short, 0), true, equals, entry(1, fin1, short, sent), agreed},
		{"the same, behind", entry(1, fin1, short, sent), entry(1, est, long, 0), true, equals, entry(1, fin1, short, sent), agreed},
		{"each saw one end", entry(1, fin1, long, sent|changed), entry(1, fin2, short, 0), true, equals, entry(1, loader.Closed, short, sent|changed), agreed},
		{"half open here", entry(1, loader.Handshake, short, changed), entry(1, est, long, 0), true, equals, entry(1, est, short, sent|changed), agreed},
		{"opened again there", entry(1, fin1, short, sent), entry(2, est, short, again), true, equals, entry(2, est, short, sent|again), agreed},
		{"opened again there, the same real", entry(1, fin1, short, sent), entry(1, est, long, again), true, weLead, entry(1, est, long, sent|again), agreed},
		{"opened again here, told the old", entry(2, loader.Handshake, short, changed|again), entry(1, est, long, 0), true, equals, entry(2, loader.Handshake, short, changed|again), agreed},
		{"two reals, theirs later", entry(1, est, long, changed), entry(2, est, short, 0), true, equals, entry(2, est, short, sent), dispute},
		{"two reals, ours later", entry(1, est, short, changed), entry(2, est, long, 0), true, peerLeads, entry(1, est, short, changed), dispute},
		{"a tie, they lead", entry(1, est, short, changed), entry(2, est, short, 0), true, peerLeads, entry(2, est, short, sent), dispute},
		{"a tie, we lead", entry(1, est, short, changed), entry(2, est, short, 0), true, weLead, entry(1, est, short, changed), dispute},
		{"a tie of equals: the greater hash", entry(1, est, short, changed), entry(2, est, short, 0), true, equals, entry(2, est, short, sent), dispute},
		{"a copy that was changed by nobody's packet", entry(1, est, short, sent), entry(2, est, long, 0), false, peerLeads, entry(2, est, long, sent), repaired},
		{"the standby tells what it holds", entry(1, est, long, sent), entry(2, est, short, 0), false, weLead, entry(1, est, long, sent), repaired},
		{"equals tell what they hold", entry(1, est, long, sent), entry(2, est, short, 0), false, equals, entry(2, est, short, sent), repaired},
	} {
		// Their real's hash is the greater one.
		got, v := merge(c.have, c.put, c.news, 2, 1, c.rank)
		if got != c.want || v != c.verdict {
			t.Errorf("%s: %+v, verdict %d; want %+v, %d", c.name, got, v, c.want, c.verdict)
		}
	}
}

// Whoever of two equals is asked, both decide for the same real.
func TestMergeOfEqualsIsOne(t *testing.T) {
	for _, flags := range []loader.FlowFlags{0, loader.FlowSent, loader.FlowChanged, loader.FlowSent | loader.FlowChanged} {
		for ours := range 3 {
			for theirs := range 3 {
				a := loader.Entry{Flow: loader.Flow{Backend: 1, State: loader.Established, Idle: time.Duration(ours) * time.Second}, Flags: flags}
				b := loader.Entry{Flow: loader.Flow{Backend: 2, State: loader.Established, Idle: time.Duration(theirs) * time.Second}, Flags: flags}
				here, _ := merge(a, b, false, 20, 10, equals)
				there, _ := merge(b, a, false, 10, 20, equals)
				if here.Backend != there.Backend {
					t.Errorf("flags %#x, idle %d and %d: here real %d, there %d", flags, ours, theirs, here.Backend, there.Backend)
				}
			}
		}
	}
}

func TestMergeOfEnds(t *testing.T) {
	const changed, sent, again = loader.FlowChanged, loader.FlowSent, loader.FlowGeneration
	for _, c := range []struct {
		name  string
		real  loader.BackendID
		state loader.State
		flags loader.FlowFlags
		act   loader.Act
		left  loader.FlowFlags
	}{
		{"what is meant", 1, loader.Established, sent, loader.End, 0},
		{"what is meant, with late packets", 1, loader.FinClient, sent | changed, loader.End, 0},
		{"another real", 2, loader.Established, sent, loader.Write, 0},
		{"opened again", 1, loader.Established, sent | changed | again, loader.Write, changed | again},
		{"opened again, not answered", 1, loader.Handshake, changed, loader.Keep, changed},
	} {
		have := loader.Entry{Flow: loader.Flow{Backend: c.real, State: c.state}, Flags: c.flags}
		got, act := mergeEnd(have, loader.Entry{Flow: loader.Flow{Backend: 1}})
		if act != c.act || act != loader.End && got.Flags != c.left {
			t.Errorf("%s: act %d, flags %#x; want %d, %#x", c.name, act, got.Flags, c.act, c.left)
		}
	}
}
