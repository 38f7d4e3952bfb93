package e2e

import (
	"os"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/test/failover"
)

// The short form of `make bench-pair`: no bar on time, but on what may be lost. A power
// cut may lose packets; nothing else may, and none of them a connection.
func TestFailover(t *testing.T) {
	rig, err := failover.NewRig(failover.Options{Bin: bin, Advert: 250 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() && os.Getenv("KEEP") != "" {
			t.Logf("left up: %s, files in %s", rig.Name, rig.Dir)
			return
		}
		if err := rig.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, s := range []failover.Scenario{failover.Switchover, failover.PowerCut, failover.Kill, failover.Switchover, failover.PowerCut} {
		s.Loose = true
		result, err := rig.Run(s, failover.Load{Interval: 5 * time.Millisecond, Connections: 200})
		if err != nil || result.Err != nil {
			t.Fatalf("%s: %v %v\n%v", s.Name, err, result.Err, rig.Logs())
		}
		t.Logf("%s: gap %s (the sender itself was late by %s), %d of %d packets lost, %d of %d connections kept",
			s.Name, result.Gap, result.Pause, result.Lost, result.Sent, result.All.Kept(), result.All.All)
	}
}
