package loader

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

// puttable is a loader with a TCP and a UDP vip of IPv4, one of IPv6, and one of
// every port: vips and backends 1 to 4, and backend 5, the first vip's other.
func puttable(t testing.TB, flows int) *Loader {
	l, err := Open(Options{BPFFS: mountBPFFS(t, t.TempDir()), MaxFlows4: flows, MaxFlows6: flows})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	var steps []Step
	for i, v := range []struct {
		vip, real string
		protocol  Protocol
	}{
		{"192.0.2.1:80", "10.0.0.1:80", TCP}, {"192.0.2.1:53", "10.0.0.1:53", UDP},
		{"[2001:db8::1]:80", "[2001:db8:1::2]:80", TCP}, {"192.0.2.2:0", "10.0.0.2:0", TCP},
	} {
		e := vipEndpoint(v.vip, v.protocol)
		steps = append(steps, PutVip{VipID(i + 1), Vip{Endpoint: e, Timeouts: testTimeouts}},
			PutBackend{ID: BackendID(i + 1), Backend: Backend{Vip: VipID(i + 1), Real: netip.MustParseAddrPort(v.real)}})
	}
	steps = append(steps, PutBackend{ID: 5, Backend: Backend{Vip: 1, Real: netip.MustParseAddrPort("10.0.0.3:80")}})
	if err := l.Apply(steps); err != nil {
		t.Fatal(err)
	}
	return l
}

func put(t *testing.T, l *Loader, flows ...FlowPut) PutResult {
	t.Helper()
	results, err := l.PutFlows(flows)
	if err != nil {
		t.Fatal(err)
	}
	return results[len(results)-1]
}

var putClient = netip.MustParseAddrPort("203.0.113.5:4711")

func TestPutsAreMerged(t *testing.T) {
	const long, short = time.Minute, 10 * time.Second
	flow := func(state State, idle time.Duration) FlowPut {
		return FlowPut{Client: putClient, Backend: 1, State: state, Idle: idle}
	}
	flagged := func(f FlowPut, flags FlowFlags) FlowPut { f.Flags = flags; return f }
	other := func(f FlowPut) FlowPut { f.Backend = 5; return f }
	udp := func(f FlowPut) FlowPut { f.Backend = 2; return f }
	l := puttable(t, 100)
	for name, c := range map[string]struct {
		here, put, want FlowPut
		outcome         PutOutcome
	}{
		"further":                     {flow(Answered, long), flow(Established, long), flow(Established, long), PutMerged},
		"behind":                      {flow(Established, short), flow(Handshake, long), flow(Established, short), PutKept},
		"behind, but seen later":      {flow(Established, long), flow(Answered, short), flow(Established, short), PutMerged},
		"the same":                    {flow(Established, long), flow(Established, long), flow(Established, long), PutKept},
		"further, but seen before":    {flow(Established, short), flow(FinReal, long), flow(FinReal, short), PutMerged},
		"each saw one end":            {flow(FinClient, long), flow(FinReal, short), flow(Closed, short), PutMerged},
		"UDP":                         {udp(flow(UDPUnreplied, long)), udp(flow(UDPReplied, long)), udp(flow(UDPReplied, long)), PutMerged},
		"flags of both":               {flagged(flow(Established, long), FlowChanged), flagged(flow(Established, long), FlowSent), flagged(flow(Established, long), FlowChanged|FlowSent), PutMerged},
		"opened again there":          {flow(Closed, long), flagged(flow(Answered, short), FlowGeneration), flagged(flow(Answered, short), FlowGeneration), PutMerged},
		"opened again here":           {flagged(flow(Answered, short), FlowGeneration), flow(Closed, long), flagged(flow(Answered, short), FlowGeneration), PutKept},
		"another real, seen later":    {flow(Established, long), other(flow(Answered, short)), other(flow(Answered, short)), PutMerged},
		"another real, seen before":   {flow(Answered, short), other(flow(Established, long)), flow(Answered, short), PutKept},
		"another real, the same time": {flow(Answered, long), other(flow(Established, long)), flow(Answered, long), PutKept},
	} {
		t.Run(name, func(t *testing.T) {
			defer l.EndFlows(func(Flow) bool { return true })
			if r := put(t, l, c.here); r != (PutResult{Outcome: PutInserted, After: c.here.Backend}) {
				t.Fatalf("into an empty table: %+v", r)
			}
			if r := put(t, l, c.put); r != (PutResult{Outcome: c.outcome, Before: c.here.Backend, After: c.want.Backend}) {
				t.Errorf("%+v", r)
			}
			var have []Flow
			for f := range l.Flows() {
				have = append(have, f)
			}
			if len(have) != 1 {
				t.Fatalf("the table has %v", have)
			}
			f := have[0]
			if f.Client != c.want.Client || f.Backend != c.want.Backend || f.State != c.want.State || (f.Idle-c.want.Idle).Abs() > 2*tick {
				t.Errorf("the table has %+v, want %+v", f, c.want)
			}
			if flags := flagsOf(l); flags != c.want.Flags {
				t.Errorf("flags %#x, want %#x", flags, c.want.Flags)
			}
		})
	}
}

// flagsOf the only flow.
func flagsOf(l *Loader) FlowFlags {
	t := &l.flows.four
	for slot := range t.slots() {
		if *t.keyAt(slot) != 0 && valueState(*t.valueAt(slot)) > stateGone {
			return valueFlags(*t.valueAt(slot))
		}
	}
	return 0
}

func TestPutsAreRefused(t *testing.T) {
	l := puttable(t, 100)
	client6 := netip.MustParseAddrPort("[2001:db8:9::9]:4711")
	for name, f := range map[string]FlowPut{
		"no backend":              {Client: putClient, Backend: 0, State: Established},
		"unknown backend":         {Client: putClient, Backend: 6, State: Established},
		"another family":          {Client: client6, Backend: 1, State: Established},
		"another family's":        {Client: putClient, Backend: 3, State: Established},
		"another protocol":        {Client: putClient, Backend: 2, State: Established},
		"no state":                {Client: putClient, Backend: 1},
		"ended":                   {Client: putClient, Backend: 1, State: stateGone},
		"a port of every port":    {Client: putClient, Backend: 1, State: Established, VipPort: 80},
		"no port of an any-port":  {Client: putClient, Backend: 4, State: Established},
		"a state that is unknown": {Client: putClient, Backend: 2, State: 15},
	} {
		if r := put(t, l, f); r != (PutResult{Outcome: PutRefused}) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	for f := range l.Flows() {
		t.Errorf("the table has %+v", f)
	}
}

// More than a batch, of which one is refused: results are in order, and every flow
// is in the table once.
func TestPutsInBatches(t *testing.T) {
	const n = 3*flowPuts + 5
	l := puttable(t, 2*n)
	flows := make([]FlowPut, n)
	for i := range flows {
		flows[i] = FlowPut{Client: putClientAt(i), Backend: 1, State: Established}
	}
	flows[200].Backend = 6
	results, err := l.PutFlows(flows)
	if err != nil || len(results) != n {
		t.Fatal(len(results), err)
	}
	for i, r := range results {
		want := PutInserted
		if i == 200 {
			want = PutRefused
		}
		if r.Outcome != want {
			t.Errorf("%d: %+v", i, r)
		}
	}
	there := map[netip.AddrPort]int{}
	for f := range l.Flows() {
		there[f.Client]++
	}
	for i := range flows {
		if want := int(flags(i != 200, 1)); there[flows[i].Client] != want {
			t.Errorf("flow %d is there %d times, want %d", i, there[flows[i].Client], want)
		}
	}
}

func putClientAt(i int) netip.AddrPort {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 10<<24|uint32(i))
	return netip.AddrPortFrom(netip.AddrFrom4(a), uint16(1024+i%60000))
}

// A full bucket: what is established stays, and the put is told so.
func TestPutsIntoAFullTable(t *testing.T) {
	l := puttable(t, 1) // 256 slots
	full := 0
	for i := range 400 {
		if r := put(t, l, FlowPut{Client: putClientAt(i), Backend: 1, State: Established}); r.Outcome == PutFull {
			full++
		} else if r.Outcome != PutInserted || r.Evicted {
			t.Fatalf("%d: %+v", i, r)
		}
	}
	flows := 0
	for range l.Flows() {
		flows++
	}
	if flows+full != 400 || full < 400-256 {
		t.Errorf("%d flows are there, %d found no slot", flows, full)
	}
}

// What the other router has gives way too, after everything else: half-open and one-way
// flows, never an established one.
func TestWhatWasSentGivesWayLast(t *testing.T) {
	const slots = 256
	for _, c := range []struct {
		first, last FlowPut // of a kind, in the order in which they give way
		yields      bool
	}{
		{FlowPut{Backend: 2, State: UDPReplied}, FlowPut{Backend: 1, State: Handshake, Flags: FlowSent}, true},
		{FlowPut{Backend: 1, State: Handshake}, FlowPut{Backend: 1, State: Closed, Flags: FlowSent}, true},
		{FlowPut{Backend: 2, State: UDPUnreplied, Flags: FlowSent}, FlowPut{Backend: 2, State: UDPReplied, Flags: FlowSent}, true},
		{FlowPut{Backend: 2, State: UDPReplied}, FlowPut{Backend: 1, State: Established, Flags: FlowSent}, false},
		{FlowPut{Backend: 2, State: UDPReplied}, FlowPut{Backend: 1, State: FinClient, Flags: FlowSent}, false},
	} {
		l := puttable(t, 1)
		there := func(of FlowPut) (n int) {
			for f := range l.Flows() {
				if f.State == of.State && f.Backend == of.Backend {
					n++
				}
			}
			return n
		}
		insert := func(n int, f FlowPut, at int) (full int) {
			for i := range n {
				f.Client = putClientAt(at + i)
				if r := put(t, l, f); r.Outcome == PutFull {
					full++
				}
			}
			return full
		}
		insert(slots/2, c.first, 0)
		insert(4*slots, c.last, 1000) // into what is free, and then in the place of the first
		if n := there(c.first); n > 0 {
			t.Errorf("%+v before %+v: %d stay", c.first, c.last, n)
		}
		had := there(c.last)
		full := insert(slots, FlowPut{Backend: 5, State: Established}, 5000)
		switch left := there(c.last); {
		case c.yields && left > had/4: // both buckets of a new one are as likely as any
			t.Errorf("%+v: %d of %d stay in the way of new ones", c.last, left, had)
		case !c.yields && (left < had || full < slots*9/10):
			t.Errorf("%+v: %d of %d are left", c.last, left, had)
		}
	}
}

func BenchmarkPut1M(b *testing.B) {
	const n = 1_000_000
	flows := make([]FlowPut, n)
	for i := range flows {
		flows[i] = FlowPut{Client: putClientAt(i), Backend: 1, State: Established}
	}
	l := puttable(b, 1<<20)
	for _, again := range []string{"insert", "merge"} {
		b.Run(again, func(b *testing.B) {
			for b.Loop() {
				if again == "insert" {
					b.StopTimer()
					l.EndFlows(func(Flow) bool { return true })
					b.StartTimer()
				}
				results, err := l.PutFlows(flows)
				if err != nil || len(results) != n {
					b.Fatal(len(results), err)
				}
			}
			b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "flows/s")
		})
	}
}
