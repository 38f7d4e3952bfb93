package e2e

import (
	"encoding/json"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/test/lab"
)

// Whoever sets the counters to 0 changes what lbctl shows, across restarts, and nothing
// that Prometheus sees.
func TestZero(t *testing.T) {
	l := newLab(t, lab.Options{})
	const address = "127.0.0.1:9712"
	service(t, l, vip4(), "--name", "shop")
	series := []string{"tarpon_packets_total", "tarpon_real_connections_total", "tarpon_real_bytes_total"}
	totals := func() (sums []float64) {
		t.Helper()
		s := mustScrape(t, l, address)
		for _, name := range series {
			sums = append(sums, s.of(name))
		}
		return sums
	}
	ask := func(requests int) {
		t.Helper()
		spread(t, l, vip4(), requests)
		shows(t, l, requests, true)
	}
	spread(t, l, vip4(), 20)
	before := totals()
	if before[1] < 20 {
		t.Fatalf("%v connections counted", before[1])
	}
	contains(t, lbctl(t, l, "stats", "--zero"), "all counters are 0 since ", "(0 root)")
	shows(t, l, 0, false)
	ask(7)
	if err := l.KillDaemon(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	shows(t, l, 7, true)
	lbctl(t, l, "restart")
	contains(t, lbctl(t, l, "stats"), "counted since ")
	lbctl(t, l, "stats", "--zero")
	ask(5)
	contains(t, lbctl(t, l, "events"), "counters set to 0")
	for i, total := range totals() {
		if total < before[i]+12 {
			t.Errorf("%s was %v, and is %v after 12 requests more", series[i], before[i], total)
		}
	}
}

// shows waits until lbctl's displays agree that there were so many connections since
// somebody set the counters to 0, and packets or none.
func shows(t *testing.T, l *lab.Lab, connections int, packets bool) {
	t.Helper()
	err := lab.Wait(10*time.Second, func() error {
		vips, err := l.Vips()
		if err != nil {
			return err
		}
		var sum api.Traffic
		for _, real := range vips[0].Reals {
			sum.Connections += real.Traffic.Connections
			sum.PacketsIn += real.Traffic.PacketsIn
		}
		var s api.Stats
		out, err := l.MustLbctl("stats", "-o", "json")
		if err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			return err
		}
		var in uint64
		for _, count := range append(s.XDP, s.TC...) {
			if count.Name == "forward_in" {
				in += count.Packets
			}
		}
		if sum.Connections != uint64(connections) || sum.PacketsIn != in || (in > 0) != packets || s.Zero == nil {
			return fmt.Errorf("vips has %+v, stats %d packets in and %+v, want %d connections", sum, in, s.Zero, connections)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
