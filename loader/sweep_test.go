package loader

import (
	"math/rand/v2"
	"testing"
	"time"
)

// fillTable writes established flows of vip 1 and backend 7 into random slots.
func fillTable(l *Loader, flows int) {
	t := &l.memory.flows4
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
	table := &l.memory.flows4
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

// A slot that stays GONE with one key over two sweeps was left by somebody who died.
func TestSweepGivesBackWhatTheDeadLeft(t *testing.T) {
	l := openTest(t, testBPFFS(t), 1000)
	table := &l.memory.flows4
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
	b.ReportMetric(float64(8*len(l.memory.flows4.words))/1000000, "table-bytes/flow")
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
