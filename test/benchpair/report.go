package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tarpon-lb/tarpon/test/failover"
)

// measured is an event, and what its runs came to.
type measured struct {
	failover.Scenario
	goal    time.Duration // of the 99th percentile; 0: none
	results []failover.Result
	// disturbed runs say nothing about the pair's gap, and are made again.
	disturbed int
}

// tooLate: a sender that itself was held up for so long measures the machine it is on.
const tooLate = 20 * time.Millisecond

func (m *measured) add(r failover.Result) {
	if r.Pause > tooLate {
		m.disturbed++
		return
	}
	m.results = append(m.results, r)
}

// gaps of all runs, sorted.
func (m *measured) gaps() (all []time.Duration) {
	for _, r := range m.results {
		all = append(all, r.Gap)
	}
	slices.Sort(all)
	return all
}

// missed is an error if the goal is.
func (m *measured) missed() error {
	if m.goal == 0 || len(m.results) == 0 || at(m.gaps(), 0.99) < m.goal {
		return nil
	}
	worst := slices.MaxFunc(m.results, func(a, b failover.Result) int { return cmp.Compare(a.Gap, b.Gap) })
	return fmt.Errorf("%s: expected a 99th percentile below %s, it is %s; the worst gap: %s",
		m.Name, m.goal, at(m.gaps(), 0.99).Round(time.Millisecond), worst.Worst)
}

func heading(set settings) string {
	return fmt.Sprintf(`
Gap in service as 16 UDP streams see it (4 clients, 2 vips, both families, a packet
per ms), the worst stream of each run; %d runs of each event; adverts every 100 ms
%s

%-33s %5s %6s %5s %5s %6s %6s %5s
`, set.runs, machine(), "ms", "runs", "median", "p99", "worst", "goal", "lost", "moved")
}

func (m *measured) row() string {
	all, lost, moved := m.gaps(), 0, 0
	for _, r := range m.results {
		lost = max(lost, r.Lost)
		if r.Moved {
			moved++
		}
	}
	if len(all) == 0 {
		return fmt.Sprintf("%-33s no run was good, %d were disturbed\n", m.Name, m.disturbed)
	}
	goal := ""
	if m.goal > 0 {
		goal = fmt.Sprintf("<%d", m.goal.Milliseconds())
	}
	row := fmt.Sprintf("%-33s %5d %6d %5d %5d %6s %6d %5d\n", m.Name, len(all), ms(at(all, 0.5)), ms(at(all, 0.99)), ms(all[len(all)-1]), goal, lost, moved)
	if m.disturbed > 0 {
		row += fmt.Sprintf("  %d runs were made again: the sender itself was late by more than %s\n", m.disturbed, tooLate)
	}
	return row
}

// at is a quantile of sorted values: the smallest that so many are not above.
func at(sorted []time.Duration, share float64) time.Duration {
	n := int(share * float64(len(sorted)))
	if float64(n) == share*float64(len(sorted)) {
		n--
	}
	return sorted[min(max(n, 0), len(sorted)-1)]
}

func ms(d time.Duration) int64 { return d.Round(time.Millisecond).Milliseconds() }

var footing = fmt.Sprintf(`
Active_Down_Interval: %d ms. Lost: packets of all streams, in the worst run.
`, ms(failover.ActiveDown))

func scenarioHeading(set settings) string {
	return fmt.Sprintf(`
Each scenario once, with %d TCP connections, a KiB back and forth every %s on
each, and 16 UDP streams of a packet per %s
%s

%-41s %6s %5s %6s %5s %5s %6s
`, set.connections, set.every, set.interval, machine(), "ms: one = till one router is active", "one", "gap", "kept", "RST", "EOF", "stall")
}

func scenarioRow(s failover.Scenario, r failover.Result, err error) string {
	var b strings.Builder
	t := r.All
	fmt.Fprintf(&b, "%-41s %6d %5d %6d %5d %5d %6d\n", s.Name, ms(r.OneActive), ms(r.Gap), t.Kept(), t.Reset, t.Closed, t.Stalled)
	if r.Gap > tooLate {
		fmt.Fprintf(&b, "  worst: %s\n", r.Worst)
	}
	fmt.Fprintf(&b, "  kept: %s\n", s.Kept)
	if s.May != "" {
		fmt.Fprintf(&b, "  may break: %s\n", s.May)
	}
	fmt.Fprintf(&b, "  %s\n", s.Why)
	if r.Note != "" {
		fmt.Fprintf(&b, "  %s\n", r.Note)
	}
	if r.Young.All > 0 && r.Young.Kept() < r.Young.All {
		fmt.Fprintf(&b, "  of %d connections younger than 100 ms, %d broke\n", r.Young.All, r.Young.All-r.Young.Kept())
	}
	for _, e := range []error{r.Err, err} {
		if e != nil {
			fmt.Fprintf(&b, "  NOT AS EXPECTED: %s\n", strings.ReplaceAll(short(e), "\n", "\n    "))
		}
	}
	return b.String()
}
