package pair

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/control/api"
)

func TestProblems(t *testing.T) {
	well := func() api.Pair {
		return api.Pair{
			Own: api.PairRouter{Name: "lb1", Role: "active"}, Peer: api.PairRouter{Name: "lb2", Role: "standby"},
			InSync: api.InSync{Yes: true, Facts: make([]api.Fact, 5)}, Heartbeats: []api.Heartbeat{{Leg: "hb", Up: true}, {Leg: "lan", Peer: "10.0.0.2", Up: true}},
			Agreement:  api.Agreement{State: "same", Own: api.RevisionID{Revision: 43, SHA256: "a1b2c3d4"}, Peer: api.RevisionID{Revision: 44, SHA256: "0f1e2d3c"}},
			Transition: &api.Transition{},
		}
	}
	for _, test := range []struct {
		name  string
		spoil func(*api.Pair)
		kept  string
		// refused is why the peer is not spoken with, want are lines.
		refused, want string
	}{
		{"all is well", func(*api.Pair) {}, "", "", ""},
		{"a fault", func(p *api.Pair) { p.Own.Fault = "leg wan has no carrier" }, "", "", "fault: leg wan has no carrier"},
		{"a fault of both", func(p *api.Pair) { p.Own.Fault, p.Peer.Fault = "no carrier", "no gateway" }, "the peer is faulted too",
			"", "active with a fault: no carrier; the peer is faulted too\nlb2 has a fault: no gateway"},
		{"two are active", func(p *api.Pair) { p.Peer.Role = "active" }, "", "", "both routers are active"},
		{"no link", func(p *api.Pair) { p.Heartbeats, p.InSync.Yes, p.Agreement.State = p.Heartbeats[:0], false, "apart" }, "",
			"", "no connection to lb2: it has neither the flows nor the configuration of this router"},
		{"another protocol", func(p *api.Pair) { p.Heartbeats[0].Up, p.Heartbeats[1].Up = false, false }, "",
			"lb2 speaks another one", "not connected: lb2 speaks another one"},
		{"one link less", func(p *api.Pair) { p.Heartbeats[1].Up = false }, "", "", "no connection to lb2 on leg lan (10.0.0.2)"},
		{"a conflict", func(p *api.Pair) { p.Agreement.State, p.Agreement.Remedy = "conflict", "decide" }, "",
			"", "conflict: lb1 runs configuration 43 a1b2c3, lb2 another one, 44 0f1e2d: decide"},
		{"it cannot follow", func(p *api.Pair) { p.Agreement.State, p.Agreement.Error = "ahead", "there is no eth9" }, "",
			"", "lb2 cannot take configuration 43 a1b2c3: there is no eth9"},
		{"not in sync", func(p *api.Pair) {
			p.InSync.Yes, p.InSync.Facts[0].Yes, p.InSync.Since = false, true, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		}, "", "", "not in sync with lb2 since 03:04:05: copying"},
		{"a neighbour", func(p *api.Pair) { p.Transition.Silent = []string{"neighbour 192.0.2.1 does not answer"} }, "", "", "neighbour 192.0.2.1 does not answer"},
		{"a foreign peer", func(p *api.Pair) { p.Foreign, p.InSync.Yes, p.Heartbeats = true, false, nil }, "", "", ""},
	} {
		p := well()
		test.spoil(&p)
		if diff := cmp.Diff(test.want, strings.Join(problems(p, test.kept, test.refused), "\n")); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}
