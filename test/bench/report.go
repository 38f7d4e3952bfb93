package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// heading says where and how the figures came about.
func heading(rounds int) string {
	var name unix.Utsname
	_ = unix.Uname(&name)
	model := "?"
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.HasPrefix(key, "model name") {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s; Linux %s; %s, %d CPUs; medians of %d interleaved rounds",
		time.Now().Format("2006-01-02"), unix.ByteSliceToString(name.Release[:]), model, runtime.NumCPU(), rounds)
}

// report is one scenario's table. Added: nanoseconds a packet over the bare
// redirect; of nft: Tarpon's share of what nftables adds in the same direction.
func report(s scenario, results []result, took time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s (%s)\n", s, took.Round(time.Second))
	fmt.Fprintf(&b, "%-32s %7s %9s %7s %9s %7s\n", "path", "Mpps", "added ns", "of nft", "misses", "spread")
	for i, r := range results {
		if len(s.Others) > 0 && i%len(s.Compared) == 0 {
			fmt.Fprintf(&b, "%s\n", r.Path.Kind)
		}
		share, misses, spread := "", "", ""
		if peer := find(results, r.Path.beside(nftables)); peer != nil && r.Path.Subject == tarpon {
			share = fmt.Sprintf("%.2f", r.Added/peer.Added)
		}
		if total := r.Hits + r.Misses; total > 0 {
			misses = fmt.Sprintf("%.4f%%", 100*float64(r.Misses)/float64(total))
		}
		if r.Spread > 0 {
			spread = fmt.Sprintf("%.2f", r.Spread)
		}
		fmt.Fprintf(&b, "%-32s %7.2f %9.0f %7s %9s %7s\n", r.Path, r.Mpps, r.Added, share, misses, spread)
	}
	for _, k := range s.Others {
		fmt.Fprintf(&b, "Tarpon adds with %s, of %s: %.2f inbound, %.2f reply\n", k, s.Kind,
			times(results, s.Kind, k, inbound), times(results, s.Kind, k, reply))
	}
	return b.String()
}

// times is what Tarpon adds with packets of kind k, as a multiple of the first's.
func times(results []result, first, k kind, d direction) float64 {
	return find(results, path{way{tarpon, k}, d}).Added / find(results, path{way{tarpon, first}, d}).Added
}

func find(results []result, p path) *result {
	for i := range results {
		if results[i].Path == p {
			return &results[i]
		}
	}
	return nil
}
