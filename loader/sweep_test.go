package loader

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// fillTable writes established flows of vip 1 and backend 7 into random slots.
func fillTable(l *Loader, flows int) {
	t := &l.flows.four
	now := uint64(clock())
	for n := 0; n < flows; {
		slot := rand.IntN(t.slots())
		if *t.keyAt(slot) != 0 {
			continue
		}
		*t.valueAt(slot) = 7 | uint64(Established)<<32 | now<<40
		*t.keyAt(slot) = uint64(rand.Uint32()) | uint64(rand.IntN(65535)+1)<<32 | 1<<48
		n++
	}
}

func TestSweepEndsWhatIsSilent(t *testing.T) {
	l := openTest(t, testBPFFS(t), 10000)
	_, steps := tablesSteps()
	if err := l.Apply(steps); err != nil {
		t.Fatal(err)
	}
	fillTable(l, 5000)
	if s := l.Sweep(); s.Flows4 != 5000 || s.Ended != 0 || s.Backends[7].Established != 5000 {
		t.Errorf("fresh flows: %+v", s)
	}
	if live := l.Live(); len(live) != 1 || live[7] != (Live{Established: 5000}) {
		t.Errorf("counted: %v", live)
	}
	table := &l.flows.four
	silent := uint64(clock()-uint32(testTimeouts.Established/tick)-2) & clockMask
	aged := 0
	for slot := range table.slots() {
		if v := table.valueAt(slot); *table.keyAt(slot) != 0 && slot%2 == 0 {
			*v = *v&(1<<40-1) | silent<<40
			aged++
		}
	}
	if s := l.Sweep(); s.Ended != aged || s.Flows4 != 5000-aged {
		t.Errorf("%d flows were silent for longer than %s: %+v", aged, testTimeouts.Established, s)
	}
	if n := l.EndFlows(func(f Flow) bool { return f.Idle < time.Hour }); n != 5000-aged {
		t.Errorf("%d flows ended at once, want %d", n, 5000-aged)
	}
	if live := l.Live(); len(live) != 0 {
		t.Errorf("counted after all have ended: %v", live)
	}
}

// Packets go on while a sweep or an insert is under way: what they saw in a later tick
// than that of who looks is the youngest, and neither ends nor gives way.
func TestFlowsOfALaterTickAreKept(t *testing.T) {
	l := puttable(t, 100) // one page: 256 slots
	flows := func(network byte) (puts []FlowPut) {
		for i := range 400 {
			client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, network, 1}), uint16(1024+i))
			puts = append(puts, FlowPut{Client: client, Backend: 1, State: Established})
		}
		return puts
	}
	put(t, l, flows(113)...)
	table, later, filled := &l.flows.four, uint64(clock()+2)&clockMask, 0
	for slot := range table.slots() {
		if v := table.valueAt(slot); *table.keyAt(slot) != 0 {
			*v = *v&(1<<40-1) | later<<40
			filled++
		}
	}
	for f := range l.Flows() {
		if f.Idle > tick {
			t.Fatalf("a flow of a later tick is shown as silent for %s", f.Idle)
		}
	}
	results, err := l.PutFlows(flows(114))
	if err != nil {
		t.Fatal(err)
	}
	full := 0
	for _, r := range results {
		if r.Evicted {
			t.Fatal("an established flow gave way")
		}
		if r.Outcome == PutFull {
			full++
		}
	}
	if full == 0 {
		t.Error("the table was never full")
	}
	if s := l.Sweep(); s.Ended != 0 || s.Flows4 < filled {
		t.Errorf("a sweep ended %d and left %d of %d flows", s.Ended, s.Flows4, filled)
	}
}

// A slot that stays GONE with one key over two sweeps was left by somebody who died.
func TestSweepGivesBackWhatTheDeadLeft(t *testing.T) {
	l := openTest(t, testBPFFS(t), 1000)
	table := &l.flows.four
	*table.valueAt(3) = uint64(stateGone) << 32
	*table.keyAt(3) = 1 << 48
	l.Sweep()
	if *table.keyAt(3) == 0 {
		t.Error("the first sweep took it: its owner may still be at work")
	}
	l.Sweep()
	if *table.keyAt(3) != 0 {
		t.Error("the second sweep left it")
	}
}

// openBench is a loader whose tables are as large as a million flows need, with them.
func openBench(b *testing.B) *Loader {
	l, err := Open(Options{BPFFS: mountBPFFS(b, b.TempDir()), MaxFlows4: 1 << 20, MaxFlows6: 1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	_, steps := tablesSteps()
	if err := l.Apply(steps); err != nil {
		b.Fatal(err)
	}
	fillTable(l, 1000000)
	return l
}

func BenchmarkSweep1M(b *testing.B) {
	l := openBench(b)
	for b.Loop() {
		if s := l.Sweep(); s.Flows4 != 1000000 {
			b.Fatalf("%+v", s)
		}
	}
	b.ReportMetric(float64(8*len(l.flows.four.words))/1000000, "table-bytes/flow")
}

func BenchmarkLive1M(b *testing.B) {
	l := openBench(b)
	for b.Loop() {
		if live := l.Live(); live[7].Established != 1000000 {
			b.Fatalf("%v", live)
		}
	}
}

func BenchmarkList1M(b *testing.B) {
	l := openBench(b)
	for b.Loop() {
		n := 0
		for range l.Flows() {
			n++
		}
		if n != 1000000 {
			b.Fatal(n)
		}
	}
}
