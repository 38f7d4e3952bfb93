package replica

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/loader"
	"golang.org/x/sys/unix"
)

// site is a router as replication meets it: pinned tables of its own, and a Replica.
type site struct {
	tables *loader.Loader
	*Replica
	stop func()
	up   atomic.Int64 // when it was first connected, if by a link
}

func openSite(t testing.TB, flows int) *loader.Loader {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test loads programs into the kernel: run it as root")
	}
	bpffs := t.TempDir()
	if err := unix.Mount("bpf", bpffs, "bpf", 0, ""); err != nil {
		t.Fatalf("mount a bpffs: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(bpffs, unix.MNT_DETACH) })
	l, err := loader.Open(loader.Options{BPFFS: bpffs, MaxFlows4: flows, MaxFlows6: flows})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// configure gives a router the reals of two vips, numbered from a number on.
func configure(t testing.TB, l *loader.Loader, from loader.BackendID, reals ...string) {
	t.Helper()
	steps := []loader.Step{
		loader.PutVip{ID: loader.VipID(from), Vip: loader.Vip{Endpoint: endpoint("192.0.2.1:80", loader.TCP), Timeouts: realTimeouts}},
		loader.PutVip{ID: loader.VipID(from + 1), Vip: loader.Vip{Endpoint: endpoint("[2001:db8::1]:80", loader.TCP), Timeouts: realTimeouts}},
	}
	for i, real := range reals {
		at := netip.MustParseAddrPort(real)
		vip := loader.VipID(from)
		if at.Addr().Is6() {
			vip++
		}
		steps = append(steps, loader.PutBackend{ID: from + loader.BackendID(i), Backend: loader.Backend{Vip: vip, Real: at}})
	}
	if err := l.Apply(steps); err != nil {
		t.Fatal(err)
	}
}

var realTimeouts = loader.Timeouts{
	Handshake: 60 * time.Second, Established: 15 * time.Minute, Closing: 2 * time.Minute,
	Closed: 10 * time.Second, UDP: 5 * time.Minute, UDPUnreplied: 30 * time.Second,
}

// pairOfSites are two routers with a line between them; the first leads.
func pairOfSites(t *testing.T, one, two *loader.Loader) (a, b *site) {
	t.Helper()
	a, b = startSite(t, one), startSite(t, two)
	a.Replica.Send = func(frame []byte) error { b.Receive(frame); return nil }
	b.Replica.Send = func(frame []byte) error { a.Receive(frame); return nil }
	for _, s := range []*site{a, b} {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		s.stop = func() { cancel(); <-done }
		t.Cleanup(s.stop)
	}
	a.Lead(true)
	for _, s := range []*site{a, b} {
		s.Connected(1)
		s.Revision(true)
	}
	return a, b
}

func startSite(t *testing.T, l *loader.Loader) *site {
	t.Helper()
	table, err := l.Replication()
	if err != nil {
		t.Fatal(err)
	}
	return &site{tables: l, Replica: New(Config{Table: table})}
}

// flows are a router's, in words that both share.
func (s *site) flows() map[string]string {
	tables, err := s.tables.Tables()
	if err != nil {
		panic(err)
	}
	flows := map[string]string{}
	for f := range s.tables.Flows() {
		flows[fmt.Sprint(f.Client, tables.Vips[f.Vip].Endpoint)] = tables.Backends[f.Backend].Real.String()
	}
	return flows
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for until := time.Now().Add(40 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("not within 40 s: %s", what)
		}
	}
}

func clientAt(i int) netip.AddrPort {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 10<<24|uint32(i))
	return netip.AddrPortFrom(netip.AddrFrom4(a), uint16(1024+i%60000))
}

func client6At(i int) netip.AddrPort {
	a := netip.MustParseAddr("2001:db8:9::").As16()
	binary.BigEndian.PutUint32(a[12:], uint32(i))
	return netip.AddrPortFrom(netip.AddrFrom16(a), uint16(1024+i%60000))
}

// fresh are flows as the program makes them.
func fresh(n int, backend loader.BackendID, client func(int) netip.AddrPort) (puts []loader.FlowPut) {
	for i := range n {
		puts = append(puts, loader.FlowPut{Client: client(i), Backend: backend, State: loader.Established, Flags: loader.FlowChanged})
	}
	return puts
}

func put(t testing.TB, l *loader.Loader, puts []loader.FlowPut) {
	t.Helper()
	results, err := l.PutFlows(puts)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Outcome > loader.PutKept {
			t.Fatalf("flow %d: %v", i, r.Outcome)
		}
	}
}

// Real tables of two routers that share no number and no secret: copied, followed,
// mended after the standby's memory was changed, ended with the active's.
func TestTwoTables(t *testing.T) {
	one, two := openSite(t, 40000), openSite(t, 40000)
	configure(t, one, 1, "10.0.0.1:80", "10.0.0.2:80", "[2001:db8:1::1]:80")
	configure(t, two, 11, "[2001:db8:1::1]:80", "10.0.0.2:80", "10.0.0.1:80")
	put(t, one, fresh(10000, 1, clientAt)) // before there is a peer
	a, b := pairOfSites(t, one, two)
	same := func() bool { return cmp.Equal(a.flows(), b.flows()) }
	eventually(t, "the copy", func() bool { s := b.Status(); return s.InSync() && len(b.flows()) == 10000 })
	if !same() {
		t.Error("in sync with other flows")
	}

	put(t, one, fresh(5000, 3, client6At))
	put(t, one, fresh(100, 2, func(i int) netip.AddrPort { return clientAt(20000 + i) }))
	eventually(t, "new flows of both families", func() bool { return len(b.flows()) == 15100 && same() })

	ended := one.EndFlows(func(f loader.Flow) bool { return f.Client.Port()%2 == 0 })
	eventually(t, "the ends", func() bool { return len(b.flows()) == 15100-ended && same() })

	// Somebody changes the standby's memory: another real, by a pinned map. It is found
	// by the sums, within two of them.
	flip := clientAt(7)
	table, err := two.Replication()
	if err != nil {
		t.Fatal(err)
	}
	table.Hold()
	table.Merge(loader.Flow{Client: flip, Vip: 11}, func(have loader.Entry, found bool) (loader.Entry, loader.Act) {
		if !found || have.Backend != 13 {
			t.Errorf("the standby has %+v, %v", have, found)
		}
		have.Backend = 12
		return have, loader.Write
	})
	table.Release()
	if same() {
		t.Fatal("nothing was changed")
	}
	began := time.Now()
	eventually(t, "it is mended", same)
	if took := time.Since(began); took > 2*compareEvery+time.Second {
		t.Errorf("it took %s", took)
	}
	if s := b.Status(); s.Counts.Repaired != 1 || s.Counts.Differed == 0 {
		t.Errorf("not counted: %+v", s.Counts)
	}
	eventually(t, "in sync again", func() bool { s := b.Status(); return s.InSync() })
	for name, s := range map[string]*site{"active": a, "standby": b} {
		t.Logf("%s: %+v", name, s.Status())
	}
}

// Reals come and go, and their numbers mean others then, while flows live. The standby
// learns it later than the active router, or earlier; no flow goes to another's real.
func TestNumbersThatAreUsedAgain(t *testing.T) {
	one, two := openSite(t, 20000), openSite(t, 20000)
	configure(t, one, 1, "10.0.0.1:80", "10.0.0.2:80")
	configure(t, two, 1, "10.0.0.2:80", "10.0.0.1:80")
	a, b := pairOfSites(t, one, two)
	put(t, one, fresh(5000, 1, clientAt))
	apply := func(l *loader.Loader, steps ...loader.Step) {
		t.Helper()
		if err := l.Apply(steps); err != nil {
			t.Fatal(err)
		}
	}
	backend := func(real string, removed bool) loader.Backend {
		return loader.Backend{Vip: 1, Real: netip.MustParseAddrPort(real), Removed: removed}
	}
	live := func(n int) func(i int) netip.AddrPort {
		return func(i int) netip.AddrPort { return clientAt(10000*n + i) }
	}
	for n, real := range []string{"10.0.0.3:80", "10.0.0.4:80", "10.0.0.5:80"} {
		put(t, one, fresh(500, 2, live(n+1)))
		// On the active router number 2 becomes another real as soon as it can.
		old, _ := one.Tables()
		apply(one, loader.PutBackend{ID: 2, Backend: loader.Backend{Vip: 1, Real: old.Backends[2].Real, Removed: true}})
		one.EndFlows(func(f loader.Flow) bool { return f.Backend == 2 })
		if err := a.Flush(t.Context()); err != nil { // a sweep comes every 10 s only
			t.Fatal(err)
		}
		eventually(t, "the number is free", func() bool { return one.Sweep().Backends[2] == (loader.Live{}) })
		apply(one, loader.DeleteBackend{ID: 2}, loader.PutBackend{ID: 2, Backend: backend(real, false)})
		put(t, one, fresh(300, 2, live(n+4)))
		eventually(t, "the standby keeps what it does not know aside", func() bool { return b.Status().Aside == 300 })
		is := a.flows()
		for flow, to := range b.flows() {
			if is[flow] != to {
				t.Fatalf("round %d: %s goes to %s, not %q", n, flow, to, is[flow])
			}
		}
		// The standby had it under number 3+n, and gives that away in turn.
		apply(two, loader.PutBackend{ID: loader.BackendID(3 + n), Backend: backend(real, false)})
		b.Revision(true)
		eventually(t, "the flows that were aside", func() bool { return cmp.Equal(a.flows(), b.flows()) })
	}
	eventually(t, "in sync", func() bool { s := b.Status(); return s.InSync() })
}

// Real tables of two routers that both lead, with flows that come and go on both: they
// come to be in sync while that goes on. What a comparison finds different is a flow that
// moved while its page was read: not a thousand parts with something under way.
func TestTwoLeaders(t *testing.T) {
	one, two := openSite(t, 100000), openSite(t, 100000)
	configure(t, one, 1, "10.0.0.1:80", "10.0.0.2:80")
	configure(t, two, 11, "10.0.0.2:80", "10.0.0.1:80")
	put(t, one, fresh(10000, 1, clientAt))
	a, b := pairOfSites(t, one, two)
	eventually(t, "the copy", func() bool { s := b.Status(); return s.InSync() })
	before := [2]uint64{a.Status().Counts.Differed, b.Status().Counts.Differed}
	b.Lead(true)
	ended := make(chan struct{})
	var busy sync.WaitGroup
	for i, l := range []*loader.Loader{one, two} {
		at := func(k int) netip.AddrPort { return clientAt(100000*(i+1) + k) }
		busy.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-ended:
					return
				case <-time.After(2 * time.Millisecond):
				}
				flows := fresh(20, loader.BackendID(10*i+1), func(k int) netip.AddrPort { return at(20*(n%500) + k) })
				if _, err := l.PutFlows(flows); err != nil {
					t.Error(err)
				}
				if n%200 == 0 {
					own := func(c netip.AddrPort) bool { return !c.Addr().Less(at(0).Addr()) && c.Addr().Less(at(10000).Addr()) }
					l.EndFlows(func(f loader.Flow) bool { return own(f.Client) && f.Client.Port()%10 == uint16(n/200)%10 })
				}
			}
		})
	}
	defer busy.Wait()
	defer close(ended)
	for range 5 {
		_ = a.do(t.Context(), func() { a.equalAt = time.Time{} })
		_ = b.do(t.Context(), func() { b.equalAt = time.Time{} })
		eventually(t, "in sync", func() bool { s, u := a.Status(), b.Status(); return s.InSync() && u.InSync() })
	}
	for i, s := range []*site{a, b} {
		if c := s.Status().Counts; c.Differed-before[i] > c.Puts/1000 { // the longer it lasts, the more of both
			t.Errorf("%d parts differed: %+v", c.Differed-before[i], c)
		}
	}
}

// A standby whose buckets are full says so: it is not in sync, and counts. When there is
// room, what it lacks comes by itself.
func TestFullBuckets(t *testing.T) {
	one, two := openSite(t, 20000), openSite(t, 1)
	configure(t, one, 1, "10.0.0.1:80")
	configure(t, two, 1, "10.0.0.1:80")
	a, b := pairOfSites(t, one, two)
	put(t, one, fresh(400, 1, clientAt)) // into 256 slots
	eventually(t, "flows find no slot", func() bool { return b.Status().Counts.Full > 0 })
	if s := a.Status(); s.InSync() {
		t.Errorf("in sync, though %d flows are missing", 400-len(b.flows()))
	}
	lacking := a.flows()
	for flow := range b.flows() {
		delete(lacking, flow)
	}
	one.EndFlows(func(f loader.Flow) bool { return f.Client.Port()%4 > 0 })
	eventually(t, "all that are left are there", func() bool { return cmp.Equal(a.flows(), b.flows()) })
	came := 0
	for flow := range b.flows() {
		if _, lacked := lacking[flow]; lacked {
			came++
		}
	}
	if came == 0 {
		t.Error("none of those came for which there was no room: nothing was tested")
	}
	eventually(t, "in sync", func() bool { s, u := a.Status(), b.Status(); return s.InSync() && u.InSync() })
}

// A full table's new flows take the place of one-way ones that the other router has. It
// hears nothing of that, and ends them all the same.
func TestSentFlowsGiveWay(t *testing.T) {
	one, two := openSite(t, 1), openSite(t, 20000)
	for _, l := range []*loader.Loader{one, two} {
		configure(t, l, 1, "10.0.0.1:80")
		if err := l.Apply([]loader.Step{
			loader.PutVip{ID: 3, Vip: loader.Vip{Endpoint: endpoint("192.0.2.1:53", loader.UDP), Timeouts: realTimeouts}},
			loader.PutBackend{ID: 3, Backend: loader.Backend{Vip: 3, Real: netip.MustParseAddrPort("10.0.0.1:53")}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	a, b := pairOfSites(t, one, two)
	replied := fresh(300, 3, clientAt) // 256 slots
	for i := range replied {
		replied[i].State = loader.UDPReplied
	}
	if _, err := one.PutFlows(replied); err != nil {
		t.Fatal(err)
	}
	same := func() bool { return cmp.Equal(a.flows(), b.flows()) }
	eventually(t, "the standby has them", func() bool { return len(b.flows()) > 200 && same() })
	results, err := one.PutFlows(fresh(100, 1, func(i int) netip.AddrPort { return clientAt(1000 + i) }))
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, r := range results {
		if r.Outcome != loader.PutInserted {
			refused++
		}
	}
	if refused > 5 { // established flows give way to nobody, and eight may lie where one should
		t.Errorf("%d of %d new flows found no slot", refused, len(results))
	}
	eventually(t, "the standby has the same", same)
	if n := b.Status().Counts.Unlisted; n == 0 {
		t.Error("the standby ended none: nothing was tested")
	}
	eventually(t, "in sync", func() bool { s, u := a.Status(), b.Status(); return s.InSync() && u.InSync() })
}

// A flood of half-open flows, ten seconds long as far as the tables can tell: nothing
// travels.
func TestHalfOpenFlowsCostNothing(t *testing.T) {
	one, two := openSite(t, 100000), openSite(t, 1000)
	configure(t, one, 1, "10.0.0.1:80")
	configure(t, two, 1, "10.0.0.1:80")
	a, b := pairOfSites(t, one, two)
	eventually(t, "in sync", func() bool { s := a.Status(); return s.InSync() })
	before := a.Status().Counts
	for n := range 20 {
		puts := fresh(5000, 1, func(i int) netip.AddrPort { return clientAt(5000*n + i) })
		for i := range puts {
			puts[i].State = loader.Handshake
		}
		put(t, one, puts)
		time.Sleep(interval)
	}
	after := a.Status().Counts
	if after.Puts != before.Puts || after.Ends != before.Ends || len(b.flows()) != 0 {
		t.Errorf("before %+v, after %+v; the standby has %d flows", before, after, len(b.flows()))
	}
}

func TestFlush(t *testing.T) {
	one, two := openSite(t, 10000), openSite(t, 10000)
	configure(t, one, 1, "10.0.0.1:80")
	configure(t, two, 1, "10.0.0.1:80")
	a, b := pairOfSites(t, one, two)
	for n := range 10 {
		put(t, one, fresh(200, 1, func(i int) netip.AddrPort { return clientAt(200*n + i) }))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := a.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		if got := len(b.flows()); got != 200*(n+1) {
			t.Fatalf("after a flush %d flows are there, want %d", got, 200*(n+1))
		}
	}
	a.Connected(0)
	if err := a.Flush(t.Context()); err == nil {
		t.Error("flushed to nobody")
	}
}
