package loader

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// replicated is a table with a vip of each kind, and its Replication.
func replicated(t *testing.T) (*Loader, *Replication) {
	t.Helper()
	l := puttable(t, 4000)
	r, err := l.Replication()
	if err != nil {
		t.Fatal(err)
	}
	r.Hold()
	r.Release() // the tests apply steps meanwhile
	return l, r
}

// flowsOfEveryKind are n clients' flows with each backend of puttable.
func flowsOfEveryKind(n int) (puts []FlowPut) {
	for i := range n {
		var v6 [16]byte
		copy(v6[:], []byte{0x20, 1, 0xd, 0xb8})
		binary.BigEndian.PutUint64(v6[8:], rand.Uint64())
		client6 := netip.AddrPortFrom(netip.AddrFrom16(v6), uint16(1024+i))
		client4 := putClientAt(rand.IntN(1 << 24))
		puts = append(puts,
			FlowPut{Client: client4, Backend: 1, State: Established, Flags: FlowChanged},
			FlowPut{Client: client4, Backend: 2, State: UDPReplied, Flags: FlowChanged},
			FlowPut{Client: client6, Backend: 3, State: Established, Flags: FlowChanged},
			FlowPut{Client: client4, Backend: 4, VipPort: uint16(1 + i), State: FinReal, Flags: FlowChanged})
	}
	return puts
}

// The program puts them in their places; Go finds them there.
func TestMergeFindsWhatTheProgramPut(t *testing.T) {
	l, r := replicated(t)
	puts := flowsOfEveryKind(500)
	results, err := l.PutFlows(puts)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range puts {
		if results[i].Outcome != PutInserted {
			continue // two clients were the same
		}
		flow := Flow{Client: p.Client, Vip: VipID(p.Backend), VipPort: p.VipPort}
		r.Merge(flow, func(have Entry, found bool) (Entry, Act) {
			if !found || have.Backend != p.Backend || have.State != p.State || have.Flags != p.Flags {
				t.Errorf("%+v: found %v, %+v", p, found, have)
			}
			return have, Keep
		})
		flow.Client = netip.AddrPortFrom(p.Client.Addr(), 7)
		r.Merge(flow, func(have Entry, found bool) (Entry, Act) {
			if found {
				t.Errorf("%+v was never put: %+v", flow, have)
			}
			return have, Keep
		})
	}
}

// What becomes of an entry by each act and mark, and what is told of it.
func TestMergeAndScan(t *testing.T) {
	l, r := replicated(t)
	flow := Flow{Client: putClient, Vip: 1, Backend: 1, State: Established}
	is := func() (e Entry, found bool) {
		r.Merge(flow, func(have Entry, f bool) (Entry, Act) { e, found = have, f; return have, Keep })
		return e, found
	}
	write := func(e Entry) {
		t.Helper()
		r.Merge(flow, func(Entry, bool) (Entry, Act) { return e, Write })
		if full, err := r.Settle(); full > 0 || err != nil {
			t.Fatal(full, err)
		}
		if have, found := is(); !found || have.State != e.State || have.Flags != e.Flags || have.Backend != e.Backend || (have.Idle-e.Idle).Abs() > 2*tick {
			t.Errorf("wrote %+v, have %+v (%v)", e, have, found)
		}
	}
	// told are the marks by scanning, of all dirty pages.
	told := func(mark func(State, FlowFlags) Mark, all bool) (marks []string) {
		for page := r.NextDirty(0); page < r.Pages(); page = r.NextDirty(page + 1) {
			if !r.TakeDirty(page) {
				t.Errorf("page %d is dirty and is not", page)
			}
			r.Scan(page, MarksOf(mark), all, func(e *Entry, m Mark) {
				marks = append(marks, fmt.Sprint(e.Client, e.Backend, e.State, e.Flags, m))
			})
		}
		return marks
	}
	always := func(m Mark) func(State, FlowFlags) Mark {
		return func(s State, _ FlowFlags) Mark {
			if s == stateGone && m != GiveBack || s == stateNone {
				return Leave
			}
			return m
		}
	}
	expect := func(what string, got []string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}

	write(Entry{flow, FlowChanged})
	expect("sent", told(always(MarkSent), false), fmt.Sprint(putClient, 1, Established, FlowChanged, MarkSent))
	if e, _ := is(); e.Flags != FlowSent {
		t.Errorf("after it was sent: %+v", e)
	}
	expect("clean", told(always(MarkSent), false))
	flow.State, flow.Backend, flow.Idle = FinClient, 5, 40*time.Second
	write(Entry{flow, FlowSent | FlowGeneration}) // in the entry's place
	expect("left", told(always(Leave), true), fmt.Sprint(putClient, 5, FinClient, FlowSent|FlowGeneration, Leave))
	l.RenewReplicated()
	if e, _ := is(); e.Idle > 2*tick || e.State != FinClient {
		t.Errorf("renewed: %+v", e)
	}

	// The end of what was sent waits until it is told, then the slot is free.
	if n := l.EndFlows(func(Flow) bool { return true }); n != 1 {
		t.Fatalf("%d ended", n)
	}
	if s := l.Sweep(); s.Backends[5].Other != 1 || s.Ended != 0 {
		t.Errorf("its backend's id must not be another's yet: %+v", s)
	}
	expect("given back", told(always(GiveBack), false), fmt.Sprint(putClient, 5, stateGone, FlowSent|FlowGeneration|FlowChanged, GiveBack))
	if s := l.Sweep(); len(s.Backends) != 0 {
		t.Errorf("after it was given back: %+v", s)
	}
	if _, found := is(); found {
		t.Error("it is there still")
	}

	// Ended by the other router's word: nobody is told.
	write(Entry{flow, FlowSent})
	r.Merge(flow, func(have Entry, _ bool) (Entry, Act) { return have, End })
	expect("ended", told(always(GiveBack), true))
	if _, found := is(); found {
		t.Error("it is there still")
	}

	// In one batch: made, changed, ended, made.
	for range 2 {
		r.Merge(flow, func(Entry, bool) (Entry, Act) { return Entry{flow, FlowSent}, Write })
		r.Merge(flow, func(have Entry, found bool) (Entry, Act) {
			if !found {
				t.Error("it waits for Flush and is not found")
			}
			return have, End
		})
	}
	write(Entry{flow, FlowSent})
}

// The sweep ends nothing that the other router has while that one says when; and what
// nobody tells goes with the sweep after the next.
func TestSweepsOfWhatWasSent(t *testing.T) {
	l, _ := replicated(t)
	old := FlowPut{Client: putClient, Backend: 1, State: Established, Flags: FlowSent, Idle: testTimeouts.Established + 10*time.Second}
	l.HoldReplicated(true)
	put(t, l, old)
	if s := l.Sweep(); s.Ended != 0 || s.Flows4 != 1 {
		t.Errorf("held: %+v", s)
	}
	l.HoldReplicated(false)
	if s := l.Sweep(); s.Ended != 1 {
		t.Errorf("not held: %+v", s)
	}
	table := &l.flows.four
	keys := func() (n int) {
		for slot := range table.slots() {
			if *table.keyAt(slot) != 0 {
				n++
			}
		}
		return n
	}
	if keys() != 1 {
		t.Error("its slot was given back before its end was told")
	}
	l.Sweep()
	l.Sweep()
	if keys() != 0 {
		t.Error("nobody tells it, and its slot is never given back")
	}
}

func TestBackendsByName(t *testing.T) {
	l, r := replicated(t)
	for id := BackendID(1); id <= 5; id++ {
		name, ok := r.Name(id)
		if vip, is, found := r.Backend(name); !ok || !found || is != id || name.Vip != mustTables(t, l).Vips[vip].Endpoint || !r.Takes(id, name) {
			t.Errorf("backend %d is %+v, %v; by that name %d of vip %d, %v", id, name, ok, is, vip, found)
		}
	}
	name, _ := r.Name(5)
	if err := l.Apply([]Step{PutBackend{ID: 5, Backend: Backend{Vip: 1, Real: name.Real, Removed: true}}}); err != nil {
		t.Fatal(err)
	}
	if _, _, found := r.Backend(name); found || r.Takes(5, name) {
		t.Error("a removed backend takes new flows")
	}
	if is, ok := r.Name(5); !ok || is != name {
		t.Error("a removed backend's flows have no name")
	}
	other := netip.MustParseAddrPort("10.0.0.9:80")
	if err := l.Apply([]Step{DeleteBackend{5}, PutBackend{ID: 5, Backend: Backend{Vip: 1, Real: other}}}); err != nil {
		t.Fatal(err)
	}
	if is, ok := r.Name(5); !ok || is.Real != other || r.Takes(5, name) {
		t.Errorf("the id means another real now, not %+v", is)
	}
}

func mustTables(t *testing.T, l *Loader) Tables {
	t.Helper()
	tables, err := l.Tables()
	if err != nil {
		t.Fatal(err)
	}
	return tables
}
