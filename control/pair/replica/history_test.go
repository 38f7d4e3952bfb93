package replica

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/loader"
)

// world is two routers, what lies between them, and a clock.
type world struct {
	t       *testing.T
	random  *rand.Rand
	now     time.Time
	routers [2]*Replica
	tables  [2]*fakeTable
	// frames under way to router i. A connection keeps their order; of an older one,
	// some may come late.
	way  [2][][]byte
	late [2][][]byte
}

func testNames() (names []loader.BackendName) {
	for vip := range 3 {
		for real := range 4 {
			e := loader.Endpoint{AddrPort: netip.MustParseAddrPort(fmt.Sprintf("192.0.2.%d:80", 1+vip)), Protocol: loader.TCP}
			r := netip.MustParseAddrPort(fmt.Sprintf("10.0.0.%d:80", 1+real))
			if vip == 1 {
				e.AddrPort = netip.AddrPortFrom(e.Addr(), 0)
				r = netip.AddrPortFrom(r.Addr(), 0)
			}
			if vip == 2 {
				e.AddrPort = netip.AddrPortFrom(netip.MustParseAddr("2001:db8::3"), 80)
				r = netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("2001:db8:1::%d", 1+real)), 80)
			}
			names = append(names, loader.BackendName{Vip: e, Real: r})
		}
	}
	return names
}

// newWorld gives the routers the same names under other numbers.
func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, random: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1000, 0)}
	for i := range w.routers {
		w.tables[i] = newFake()
		order := w.random.Perm(len(testNames()))
		vips := map[loader.Endpoint]loader.VipID{}
		for n, at := range order {
			name := testNames()[at]
			if vips[name.Vip] == 0 {
				vips[name.Vip] = loader.VipID(len(vips) + 1 + 10*i)
			}
			id := loader.BackendID(n + 1)
			w.tables[i].names[id], w.tables[i].vips[id] = name, vips[name.Vip]
		}
		w.boot(i)
	}
	return w
}

// boot starts a router's replication with the table that it has. Nothing that was under
// way to its old process comes to the new one.
func (w *world) boot(i int) {
	w.way[i], w.late[i] = nil, nil
	r := New(Config{Table: w.tables[i]})
	r.now = func() time.Time { return w.now }
	r.random = func(n time.Duration) time.Duration { return time.Duration(w.random.Int64N(int64(n))) }
	r.sender.stream.incarnation = w.random.Uint64()
	r.out = func(frame []byte) { w.way[1-i] = append(w.way[1-i], frame) }
	w.routers[i] = r
}

// connect makes a new connection; of the old one, what was under way is lost, or late.
func (w *world) connect() {
	for i, r := range w.routers {
		for _, frame := range w.way[i] {
			if w.random.IntN(3) == 0 {
				w.late[i] = append(w.late[i], frame)
			}
		}
		w.way[i] = nil
		r.connect(false)
	}
	for _, r := range w.routers {
		r.connect(true)
	}
}

// deliver brings up to n frames to router i.
func (w *world) deliver(i, n int) {
	if len(w.late[i]) > 0 && w.random.IntN(4) == 0 {
		w.routers[i].take(w.late[i][0])
		w.late[i] = w.late[i][1:]
	}
	for ; n > 0 && len(w.way[i]) > 0; n-- {
		w.routers[i].take(w.way[i][0])
		w.way[i] = w.way[i][1:]
	}
	w.routers[i].acknowledge()
	w.routers[i].work()
}

// settle lets everything arrive.
func (w *world) settle() {
	for range 80 {
		w.step(250 * time.Millisecond)
		for i := range w.routers {
			w.deliver(i, 1000)
		}
	}
}

func (w *world) step(by time.Duration) {
	w.now = w.now.Add(by)
	for _, r := range w.routers {
		r.tick()
	}
}

// flow is one of few, so that histories meet.
func (w *world) flow() (client netip.AddrPort, vip loader.Endpoint, vipPort uint16) {
	name := testNames()[w.random.IntN(len(testNames()))]
	address := netip.MustParseAddr("203.0.113.1")
	if name.Vip.Addr().Is6() {
		address = netip.MustParseAddr("2001:db8:9::1")
	}
	if name.Vip.Port() == 0 {
		vipPort = uint16(80 + w.random.IntN(2))
	}
	return netip.AddrPortFrom(address, uint16(1024+w.random.IntN(40))), name.Vip, vipPort
}

// packet is one of a client's or a real's at router i, or the sweep.
func (w *world) packet(i int) {
	client, vip, vipPort := w.flow()
	table := w.tables[i]
	var backends []loader.BackendID
	for _, name := range testNames() {
		if _, id, _ := table.Backend(name); name.Vip == vip {
			backends = append(backends, id)
		}
	}
	to := backends[w.random.IntN(len(backends))]
	key := fakeKey{client, table.vips[to], vipPort}
	e := table.entries[key]
	switch {
	case e == nil || e.State == loader.Closed || e.State == loader.FinClient || e.State == loader.FinReal:
		state := loader.Handshake
		if w.random.IntN(3) > 0 {
			state = loader.Established
		}
		table.open(key, to, state)
	case w.random.IntN(5) == 0:
		table.end(key)
	case e.State == loader.Handshake:
		table.change(key, loader.Established)
	case e.State == loader.Established:
		table.change(key, []loader.State{loader.FinClient, loader.FinReal, loader.Closed, loader.Established}[w.random.IntN(4)])
	}
}

// trail follows what the active router's flows were, and that the standby's copy of
// each is some state of its past, and goes only forward.
type trail struct {
	past map[string][]string
	at   map[string]int
}

func (h *trail) note(active map[string]string) {
	for flow := range h.past {
		if _, is := active[flow]; !is {
			h.add(flow, "")
		}
	}
	for flow, real := range active {
		h.add(flow, real)
	}
}

func (h *trail) add(flow, real string) {
	if past := h.past[flow]; len(past) == 0 || past[len(past)-1] != real {
		h.past[flow] = append(past, real)
	}
}

func (h *trail) check(standby map[string]string) error {
	for flow, real := range standby {
		past := h.past[flow]
		at := h.at[flow]
		for at < len(past) && past[at] != real {
			at++
		}
		if at == len(past) {
			return fmt.Errorf("%s goes to %s; the active router's were %q, the copy was at %d", flow, real, past, h.at[flow])
		}
		h.at[flow] = at
	}
	return nil
}

// One router has the packets; connections break, frames come late, processes are
// replaced. The other one never has a flow with a real that is wrong, and in the end
// both have the same.
func TestHistoriesOfAnActiveRouter(t *testing.T) {
	for seed := range uint64(30) {
		w := newWorld(t, seed)
		w.routers[0].leads = true
		w.connect()
		past := trail{map[string][]string{}, map[string]int{}}
		for n := range 200 {
			for range w.random.IntN(8) {
				w.packet(0)
				past.note(w.tables[0].named())
			}
			switch w.random.IntN(60) {
			case 0:
				w.connect()
			case 1: // another process, the same table
				i := w.random.IntN(2)
				w.boot(i)
				w.routers[i].leads = i == 0
				w.connect()
			case 2: // frames are lost without a word
				i := w.random.IntN(2)
				w.way[i] = w.way[i][min(w.random.IntN(4), len(w.way[i])):]
			}
			w.tables[0].grow(time.Second * time.Duration(w.random.IntN(2)))
			w.step(20 * time.Millisecond)
			w.deliver(w.random.IntN(2), w.random.IntN(5))
			if err := past.check(w.tables[1].named()); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, n, err)
			}
		}
		w.settle()
		w.checkEqual(seed)
	}
}

// Both routers have packets, of the same flows even, as after a split.
func TestHistoriesOfTwo(t *testing.T) {
	for seed := range uint64(30) {
		w := newWorld(t, seed)
		w.connect()
		for range 200 {
			for range w.random.IntN(8) {
				w.packet(w.random.IntN(2))
			}
			switch w.random.IntN(40) {
			case 0:
				w.connect()
			case 1:
				i := w.random.IntN(2)
				w.routers[i].leads = !w.routers[i].leads
				w.routers[i].sayLead()
			}
			for _, table := range w.tables {
				table.grow(time.Second * time.Duration(w.random.IntN(2)))
			}
			w.step(20 * time.Millisecond)
			w.deliver(w.random.IntN(2), w.random.IntN(5))
		}
		w.sweep()
		w.settle()
		w.checkEqual(seed)
	}
}

// Both routers send, as in a split brain or with the roles just changed, and there is
// always something under way in either direction. They are in sync all the same, and no
// comparison finds a difference that is none.
func TestInSyncWhileBothSend(t *testing.T) {
	for _, lead := range []bool{true, false} {
		w := newWorld(t, 1)
		w.routers[0].leads, w.routers[1].leads = lead, lead
		w.connect()
		name := testNames()[0]
		for n := range 2000 { // 40 s
			for i, table := range w.tables {
				_, to, _ := table.Backend(name)
				at := func(n int) fakeKey { return fakeKey{clientAt(2*n + i), table.vips[to], 0} }
				table.open(at(n), to, loader.Established)
				table.change(at(n-100), loader.FinReal)
				table.end(at(n - 200))
			}
			w.step(20 * time.Millisecond)
			for i := range w.routers {
				w.deliver(i, len(w.way[i])-2)
			}
			for i, r := range w.routers {
				r.sameRevision = true
				if s := r.status(); n > 100 && (!s.InSync() || s.Counts.Differed > 0) {
					t.Fatalf("lead %v, step %d: router %d: %v, %+v", lead, n, i, s.Missing, s.Counts)
				}
			}
		}
	}
}

// A flood of half-open flows while others are established and end: the other router is
// told to the byte what it is told without the flood, as soon, and all the while both
// are in sync.
func TestAFloodIsNotTold(t *testing.T) {
	run := func(flood int) (bytes uint64) {
		w := newWorld(t, 1)
		w.routers[0].leads = true
		w.connect()
		name, table := testNames()[0], w.tables[0]
		_, to, _ := table.Backend(name)
		at := func(n int) fakeKey { return fakeKey{clientAt(n), table.vips[to], 0} }
		for n := range 1000 { // 20 s
			table.open(at(n), to, loader.Established)
			table.end(at(n - 100))
			for k := range flood {
				table.open(at(1000000+n*flood+k), to, loader.Handshake)
				table.end(at(1000000 + (n-10)*flood + k))
			}
			w.step(20 * time.Millisecond)
			for i := range w.routers {
				w.deliver(i, 1000)
			}
			for i, r := range w.routers {
				r.sameRevision = true
				if s := r.status(); n > 50 && (!s.InSync() || s.Lag > 20*time.Millisecond || s.Oldest > 20*time.Millisecond) {
					t.Fatalf("%d half-open flows, step %d: router %d: %v, %+v", flood, n, i, s.Missing, s)
				}
			}
		}
		return w.routers[0].sender.count.Bytes
	}
	if with, without := run(100), run(0); with != without {
		t.Errorf("%d bytes with a flood, %d without", with, without)
	}
}

// A router that takes over was in sync and stays so: nothing is left to be copied.
func TestInSyncAfterARoleChange(t *testing.T) {
	w := newWorld(t, 1)
	w.routers[0].leads = true
	w.connect()
	for range 200 {
		w.packet(0)
	}
	w.settle()
	w.checkEqual(1)
	for i, r := range w.routers {
		r.leads = i == 1
		r.sayLead()
		for range 10 { // its word is on its way
			w.checkEqual(1)
			w.step(20 * time.Millisecond)
			w.deliver(1-i, 1)
		}
	}
	w.settle()
	w.checkEqual(1)
}

// sweep ends what is not answered, or over: it never travels, and hides what would.
func (w *world) sweep() {
	for _, table := range w.tables {
		for key, e := range maps.Clone(table.entries) {
			if !travels(e.State) {
				table.end(key)
			}
		}
	}
}

func (w *world) checkEqual(seed uint64) {
	w.t.Helper()
	if diff := cmp.Diff(w.tables[0].named(), w.tables[1].named()); diff != "" {
		w.t.Fatalf("seed %d: the tables differ in the end (-0 +1):\n%s", seed, diff)
	}
	for i, r := range w.routers {
		r.sameRevision = true
		if s := r.status(); !s.InSync() {
			w.t.Fatalf("seed %d: router %d is not in sync in the end: %v, %+v", seed, i, s.Missing, s)
		}
	}
}
