package e2e

import (
	"testing"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// A running pair is given configurations that cannot be, by either of its routers. Each is
// refused with a word that says why, and leaves revisions, roles and traffic as they were.
func TestPairRefusals(t *testing.T) {
	l := newPair(t, lab.Options{})
	awaitPair(t, l.Router, l.Other)
	streams := pairStreams(t, l, 5, "tcp", "udp")
	before := pairOf(t, l.Router).Agreement.Own
	for _, c := range []struct{ name, old, new, want string }{
		{"equal priorities", "priority: 150", "priority: 100", "priorit"},
		{"one name for both", "name: lb2", "name: lb1", "lb1"},
		{"a third router", "  - name: lb2\n", "  - {name: lb3, addresses: {hb: 172.31.0.3}}\n  - name: lb2\n", "routers"},
		{"no virtual router", "vrid: 77", "settle: 1s", "vrid"},
		{"a heartbeat without addresses", "heartbeats: [hb, lan]", "heartbeats: [hb, dmz]", "dmz"},
		{"VRRPv2 in fractions of a second", "vrid: 77", "vrid: 77\n  version: 2", "whole seconds"},
		{"a delay of nothing", "vrid: 77", "vrid: 77\n  preempt_delay: 30s", "preempt"},
		{"one address for both", "hb: 172.31.0.2}", "hb: 172.31.0.1}", "172.31.0.1"},
		{"an interface that lb2 has not", "  - name: lb2\n", "  - name: lb2\n    interfaces: {wan: nowhere0}\n", "nowhere0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, r := range l.Routers() {
				says(t, r, false, c.want, "apply", "-f", changedFile(t, r, c.old, c.new))
				if now := pairOf(t, r).Agreement.Own; now != before {
					t.Errorf("%s has revision %v, had %v", r.Host, now, before)
				}
			}
		})
	}
	awaitPair(t, l.Router, l.Other)
	goOn(t, streams)
	lostNone(t, streams)
}
