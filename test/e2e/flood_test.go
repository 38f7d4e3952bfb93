package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/test/lab"
)

// A SYN flood over a full table: half-open flows are not told, so the link between the
// routers carries less than 1 Mbit/s, whatever the flood is.
// Connections go on, new ones are replicated meanwhile, and go on after a switchover.
func TestPairSYNFlood(t *testing.T) {
	const flood = 500_000 // flows, of tables for 20,000
	l := newPair(t, lab.Options{MaxFlows: 20000})
	active, standby := pairRoles(t, l)
	streams := pairStreams(t, l, 10, "tcp")
	awaitPair(t, active, standby)

	made, told, carried := newFlows(t, active), pairOf(t, active).InSync.Sent, linkBytes(t, l, active)
	began := time.Now()
	stop, err := l.FloodSYN(netip.MustParseAddrPort(lab.Vip4(1) + ":7"))
	if err != nil {
		t.Fatal(err)
	}
	streams = append(streams, pairStreams(t, l, 10, "tcp")...)
	err = lab.Wait(3*time.Minute, func() error {
		if n := newFlows(t, active) - made; n < flood {
			return fmt.Errorf("%d of %d flows were made", n, flood)
		}
		return nil
	})
	during := pairOf(t, active)
	made, told, carried = newFlows(t, active)-made, during.InSync.Sent-told, linkBytes(t, l, active)-carried
	took := time.Since(began)
	sent, floodErr := stop()
	if err != nil || floodErr != nil {
		t.Fatal(err, floodErr)
	}
	t.Logf("%d SYNs in %s: %d flows, of which %d updates were told in %d bytes on the link; lag %.1f ms; problems: %q",
		sent, took.Round(time.Millisecond), made, told, carried, 1000*during.InSync.Lag, during.Problems)
	if rate := 8 * float64(carried) / took.Seconds(); rate >= 1e6 {
		t.Errorf("the link carried %.0f bit/s beside a flood: it is to be below 1 Mbit/s", rate)
	}
	if told > made/100 {
		t.Errorf("%d updates were told, of %d half-open flows", told, made)
	}
	goOn(t, streams)
	awaitPair(t, active, standby)
	switchOver(t, active, standby)
	goOn(t, streams) // a flood costs packets, not connections
}

// newFlows is how many a router's programs have made.
func newFlows(t *testing.T, r *lab.Router) (n uint64) {
	t.Helper()
	out, err := r.MustLbctl("stats", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var s api.Stats
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatal(err)
	}
	for _, c := range append(s.XDP, s.TC...) {
		if c.Name == "flow_new" {
			n += c.Packets
		}
	}
	return n
}

// linkBytes is what a router has sent to the other one by the cable between them.
func linkBytes(t *testing.T, l *lab.Lab, r *lab.Router) uint64 {
	t.Helper()
	out, err := l.Run(r.Host, "ip", "-j", "-s", "link", "show", "dev", "hb")
	if err != nil {
		t.Fatal(err, out)
	}
	var links []struct {
		Stats struct {
			Tx struct{ Bytes uint64 }
		} `json:"stats64"`
	}
	if err := json.Unmarshal([]byte(out), &links); err != nil || len(links) != 1 {
		t.Fatal(err, out)
	}
	return links[0].Stats.Tx.Bytes
}
