package pair

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/control/event"
	"github.com/tarpon-lb/tarpon/control/host"
	"github.com/tarpon-lb/tarpon/control/pair/announce"
	"go.uber.org/zap"
)

// Who else says that he has an address is told, but for the peer, which hands it over.
func TestConflictIsToldUnlessItIsThePeer(t *testing.T) {
	peer, stranger := host.MAC{2, 0, 0, 0, 0, 2}, host.MAC{2, 0, 0, 0, 0, 0xbb}
	for _, test := range []struct {
		name   string
		mac    host.MAC
		linked bool
		macs   string
		want   int
	}{
		{"the peer", peer, true, "02:00:00:00:00:01 02:00:00:00:00:02", 0},
		{"a stranger", stranger, true, "02:00:00:00:00:01 02:00:00:00:00:02", 1},
		{"the peer, out of touch", peer, false, "02:00:00:00:00:02", 1},
		{"a peer that does not say what it has", peer, true, "", 1},
	} {
		log := event.NewLog(zap.NewNop())
		p := &Pair{Options: Options{Events: log}, linked: test.linked, peer: Facts{MACs: test.macs}}
		p.takeAnnounced(announce.Event{Kind: announce.Conflict, Leg: "wan", MAC: test.mac})
		log.Close()
		var told []string
		for e := range log.After(context.Background(), 0, false) {
			told = append(told, e.Message)
		}
		want := []string{test.mac.String() + " says that it has invalid IP"}[:test.want]
		if diff := cmp.Diff(want, append([]string{}, told...)); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}
