package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/test/lab"
)

// BenchmarkIdle is what a router costs that has nothing to do but its checks. The lab
// charges the packets' whole way to the real, and back, to tarpond.
func BenchmarkIdle(b *testing.B) {
	l := bareLab(b, lab.Options{})
	realsEverywhere(b, l)
	many(b, l, 10, 10, "{type: tcp, interval: 2s, timeout: 1s}")
	if err := l.StartDaemon(); err != nil {
		b.Fatal(err)
	}
	allUp(b, api.NewClient(filepath.Join(l.Dir, "run", "tarpond.sock")), 100)
	const idle = time.Minute
	for b.Loop() {
		user, kernel := processorTime(b, l.DaemonPID())
		time.Sleep(idle)
		userAfter, kernelAfter := processorTime(b, l.DaemonPID())
		b.ReportMetric(100*(userAfter-user).Seconds()/idle.Seconds(), "%user")
		b.ReportMetric(100*(kernelAfter-kernel).Seconds()/idle.Seconds(), "%kernel")
		b.ReportMetric(float64(watchMemory(b, l.DaemonPID()).most)/1e6, "MB")
	}
}

// processorTime is what a process has used: proc(5), /proc/pid/stat, in ticks of 10 ms.
func processorTime(t testing.TB, pid int) (user, kernel time.Duration) {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), ") ") // the name may have spaces
	fields := strings.Fields(rest)                // from the third one on
	ticks := func(field int) time.Duration {
		n, err := strconv.Atoi(fields[field-3])
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(n) * 10 * time.Millisecond
	}
	return ticks(14), ticks(15)
}
