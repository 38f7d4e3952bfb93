package loader

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// somePuts are flows of every kind that puttable has backends for.
func somePuts(n int) (puts []FlowPut) {
	for i := range n {
		f := FlowPut{
			Client: putClientAt(i), Idle: time.Duration(i%50) * tick, Flags: FlowFlags(i%8) << 4,
			Backend: BackendID(i%5 + 1), State: Handshake + State(i%6),
		}
		switch f.Backend {
		case 2:
			f.State = UDPUnreplied + State(i/5%2)
		case 3:
			f.Client = netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 14: byte(i >> 8), 15: byte(i)}), uint16(1024+i))
		case 4:
			f.VipPort = uint16(i + 1)
		}
		puts = append(puts, f)
	}
	return puts
}

func putAll(t *testing.T, l *Loader, puts []FlowPut) {
	t.Helper()
	results, err := l.PutFlows(puts)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Outcome != PutInserted {
			t.Fatalf("%+v: %+v", puts[i], r)
		}
	}
}

// listed are the flows with their flags, as lines. Ages are not compared to the tick.
func listed(l *Loader) (lines []string) {
	now := clock()
	for _, table := range l.flows.both() {
		for slot := range table.slots() {
			if f, ok := table.read(slot, now); ok {
				lines = append(lines, fmt.Sprintf("%s vip %d backend %d port %d %s flags %#x since %d", f.Client, f.Vip, f.Backend, f.VipPort,
					f.State, *table.valueAt(slot)>>36&0xf, *table.valueAt(slot)>>40))
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// wantSets compares what is below BPFFS/tarpon.
func wantSets(t *testing.T, bpffs string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(pinDirectory(bpffs))
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, entry := range entries {
		have = append(have, entry.Name())
	}
	if !slices.Equal(have, want) {
		t.Errorf("pinned are %v, want %v", have, want)
	}
}

// sameFlows allows for some that are closed to be missing: such a flow gives way to
// one that finds both of its buckets full, before any is moved.
func sameFlows(t *testing.T, l *Loader, want []string) {
	t.Helper()
	have, gaveWay := listed(l), 0
	want = slices.DeleteFunc(slices.Clone(want), func(line string) bool {
		if gaveWay == 3 || !strings.Contains(line, " closed ") || slices.Contains(have, line) {
			return false
		}
		gaveWay++
		return true
	})
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("flows (-want +have):\n%s", diff)
	}
}

func TestResizeKeepsEveryFlow(t *testing.T) {
	l := puttable(t, 1000)
	bpffs := filepath.Dir(l.pins.path)
	putAll(t, l, somePuts(700))
	want := listed(l)
	for _, size := range []struct{ flows, slots int }{{60_000, 131072}, {900, 2048}} {
		if err := l.Resize(size.flows, size.flows, Here); err != nil {
			t.Fatal(err)
		}
		wantSets(t, bpffs, ownSet(), ownSet()+incoming)
		if err := l.FinishUpgrade(Here); err != nil {
			t.Fatal(err)
		}
		wantSets(t, bpffs, ownSet())
		sameFlows(t, l, want)
		if c, err := l.Capacity(); err != nil || c.Slots4 != size.slots*tableSpread {
			t.Errorf("%+v, %v; want %d slots", c, err, size.slots)
		}
	}
	tables, err := l.Tables()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again := openTest(t, bpffs, 5)
	sameFlows(t, again, want)
	sameTables(t, again, tables)
}

func sameTables(t *testing.T, l *Loader, want Tables) {
	t.Helper()
	have, err := l.Tables()
	if err != nil {
		t.Fatal(err)
	}
	equal := cmp.Options{
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	}
	if diff := cmp.Diff(want, have, equal); diff != "" {
		t.Errorf("tables (-want +have):\n%s", diff)
	}
}

func TestResizeIsRefusedBelowWhatIsLive(t *testing.T) {
	l := puttable(t, 2000)
	putAll(t, l, somePuts(1000)) // 800 of them IPv4
	for _, size := range [][2]int{{799, 2000}, {2000, 199}} {
		err := l.Resize(size[0], size[1], Here)
		if err == nil || !strings.Contains(err.Error(), "800 IPv4 and 200 IPv6 flows are live") {
			t.Errorf("%v: %v", size, err)
		}
	}
	wantSets(t, filepath.Dir(l.pins.path), ownSet())
}

// What a daemon leaves that dies on the way, a Loader at each of its names.
func TestUpgradeGoesOnAfterADeath(t *testing.T) {
	for _, c := range []struct {
		name string
		left func(t *testing.T, l *Loader)
	}{
		{"while the set is made", func(t *testing.T, l *Loader) {
			mustMake(t, l.pins.set+making, l.pins.set+making+"/maps")
		}},
		{"decided", func(t *testing.T, l *Loader) { resizeTest(t, l) }},
		{"decided, links not taken", func(t *testing.T, l *Loader) {
			resizeTest(t, l)
			for _, name := range []string{"links", "clsact"} {
				rename(t, filepath.Join(l.pins.set, name), filepath.Join(l.pins.before, name))
			}
		}},
		{"some flows brought over", func(t *testing.T, l *Loader) {
			resizeTest(t, l)
			some := 0
			for put := range l.before.flows.four.puts(l.beat) {
				if some++; some%2 == 0 {
					if err := l.programs.putAll(slices.Values([]putFlowPut{put}), func(*putFlowPut) {}); err != nil {
						t.Fatal(err)
					}
				}
			}
		}},
		{"copied", func(t *testing.T, l *Loader) {
			resizeTest(t, l)
			if _, err := l.bringOver(); err != nil {
				t.Fatal(err)
			}
		}},
		{"the old set retired", func(t *testing.T, l *Loader) {
			resizeTest(t, l)
			if _, err := l.bringOver(); err != nil {
				t.Fatal(err)
			}
			rename(t, l.pins.before, l.pins.before+retired)
		}},
		{"the new set named", func(t *testing.T, l *Loader) {
			resizeTest(t, l)
			if err := l.FinishUpgrade(Here); err != nil {
				t.Fatal(err)
			}
			mustMake(t, l.pins.set+retired, l.pins.set+retired+"/maps")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := puttable(t, 1000)
			bpffs := filepath.Dir(l.pins.path)
			putAll(t, l, somePuts(700))
			want := listed(l)
			tables, err := l.Tables()
			if err != nil {
				t.Fatal(err)
			}
			c.left(t, l)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			again := openTest(t, bpffs, 1000)
			if err := again.FinishUpgrade(Here); err != nil {
				t.Fatal(err)
			}
			wantSets(t, bpffs, ownSet())
			sameFlows(t, again, want)
			sameTables(t, again, tables)
		})
	}
}

func resizeTest(t *testing.T, l *Loader) {
	t.Helper()
	if err := l.Resize(5000, 5000, Here); err != nil {
		t.Fatal(err)
	}
}

func mustMake(t *testing.T, paths ...string) {
	t.Helper()
	if err := makeDirectories(paths...); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// A set of the version before, or of a later one that says it is readable, is taken
// over with its tables, counters and flows; others are refused and left alone.
func TestSetsOfOtherVersions(t *testing.T) {
	other := func(ahead int) string { return fmt.Sprintf("v%d", layoutVersion+ahead) }
	for _, c := range []struct {
		name     string
		ahead    int
		stage    string
		readers  bool
		maxFlows int
		refused  string
	}{
		{"the one before", -1, "", false, 1000, ""},
		{"a later one that is readable", 1, "", true, 1000, ""},
		{"larger than what is asked for", -1, "", false, 5, ""},
		{"a later one", 1, "", false, 1000, "cannot take flows over"},
		{"one before that", -2, "", false, 1000, "cannot take flows over"},
		{"on the way to a later one", 1, incoming, true, 1000, "on their way to another version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := puttable(t, 1000)
			bpffs := filepath.Dir(l.pins.path)
			putAll(t, l, somePuts(700))
			if err := l.Apply([]Step{PutSchedule{1, Schedule{Kind: ByTurn, Slots: []BackendID{1, 5, 1}}}, PutName{vipEndpoint("192.0.2.1:80", TCP), 1}}); err != nil {
				t.Fatal(err)
			}
			want := listed(l)
			tables, err := l.Tables()
			if err != nil {
				t.Fatal(err)
			}
			countSome(t, l)
			reasons, traffic := counters(t, l)
			old := filepath.Join(pinDirectory(bpffs), other(c.ahead)+c.stage)
			rename(t, l.pins.set, old)
			if c.readers {
				mustMake(t, old+"/readers", fmt.Sprintf("%s/readers/%d", old, layoutVersion))
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			again, err := Open(Options{BPFFS: bpffs, MaxFlows4: c.maxFlows, MaxFlows6: c.maxFlows})
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("%v, want: %s", err, c.refused)
				}
				wantSets(t, bpffs, filepath.Base(old))
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			sameTables(t, again, tables)
			if err := again.FinishUpgrade(Here); err != nil {
				t.Fatal(err)
			}
			wantSets(t, bpffs, ownSet())
			if c.maxFlows < len(want) { // in a table that is as full as it may be, closed ones give way
				if have := listed(again); len(have) < len(want)*95/100 {
					t.Errorf("%d flows of %d", len(have), len(want))
				}
			} else {
				sameFlows(t, again, want)
			}
			reasonsAfter, trafficAfter := counters(t, again)
			if !cmp.Equal(reasons, reasonsAfter) || !cmp.Equal(traffic, trafficAfter) {
				t.Errorf("counters: %v, %v; had %v, %v", reasonsAfter, trafficAfter, reasons, traffic)
			}
		})
	}
}

// countSome writes counters as the programs would.
func countSome(t *testing.T, l *Loader) {
	t.Helper()
	var hooks []xdpHook
	var traffic []xdpTraffic
	if err := l.maps.Hooks.Lookup(uint32(1), &hooks); err != nil {
		t.Fatal(err)
	}
	if err := l.maps.TrafficOf.Lookup(uint32(5), &traffic); err != nil {
		t.Fatal(err)
	}
	for i := range hooks {
		hooks[i].Reasons.FlowNew = uint64(100 + i)
		traffic[i].BytesIn = uint64(1000 + i)
	}
	if err := l.maps.Hooks.Put(uint32(1), hooks); err != nil {
		t.Fatal(err)
	}
	if err := l.maps.TrafficOf.Put(uint32(5), traffic); err != nil {
		t.Fatal(err)
	}
}

func counters(t *testing.T, l *Loader) (Reasons, map[BackendID]Traffic) {
	t.Helper()
	reasons, err := l.Reasons()
	if err != nil {
		t.Fatal(err)
	}
	traffic, err := l.Traffic()
	if err != nil {
		t.Fatal(err)
	}
	if traffic[5].BytesIn < 1000 {
		t.Fatalf("no counters: %+v", traffic[5])
	}
	return reasons, traffic
}

// What the copying of an upgrade takes, and whether every flow finds its place.
func BenchmarkBringOver1M(b *testing.B) {
	const n = 1_000_000
	flows := make([]FlowPut, n)
	for i := range flows {
		flows[i] = FlowPut{Client: putClientAt(i), Backend: 1, State: Established}
	}
	l := puttable(b, 1<<20)
	if _, err := l.PutFlows(flows); err != nil {
		b.Fatal(err)
	}
	there, _ := l.CountFlows() // of a million, one may find no slot
	if err := l.Resize(1<<21, 1<<20, Here); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		l.EndFlows(func(Flow) bool { return true })
		b.StartTimer()
		brought, err := l.bringOver()
		if err != nil || brought.flows != there {
			b.Fatal(brought, err)
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "flows/s")
}
