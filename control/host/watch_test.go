package host

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const watched = pair + `
	ip link set wan address 02:00:00:00:00:01
	ip link set lan address 02:00:00:00:00:02
	ip addr add 192.0.2.1/24 dev wan
	ip addr add 10.0.0.1/24 dev lan
	ip route add default via 192.0.2.254
	ip neigh add 192.0.2.254 lladdr 02:00:00:00:00:09 dev wan nud permanent
	ip neigh add 10.0.0.11 lladdr 02:00:00:00:00:0b dev lan nud permanent
`

// A told is what a Watcher has told so far.
type told struct {
	*testing.T
	watcher *Watcher
	Change
}

func newTold(t *testing.T, w *Watcher) *told {
	t.Cleanup(func() { w.Close() })
	return &told{t, w, Change{NextHops: map[netip.Addr]Path{}, Defaults: map[int]DefaultRoute{}, Legs: map[string]LegState{}}}
}

// await takes changes until the condition holds.
func (t *told) await(what string, holds func() bool) {
	t.Helper()
	timeout := time.After(10 * time.Second)
	for !holds() {
		select {
		case change := <-t.watcher.Changes():
			maps.Copy(t.NextHops, change.NextHops)
			maps.Copy(t.Defaults, change.Defaults)
			maps.Copy(t.Legs, change.Legs)
			t.Lost = append(t.Lost, change.Lost...)
			t.Own = t.Own || change.Own
			t.Notes = append(t.Notes, change.Notes...)
		case <-timeout:
			t.Fatalf("%s: not told; told was %+v", what, t.Change)
		}
	}
}

func (t *told) awaitPath(what, real string, want Path) {
	t.Helper()
	t.await(what, func() bool { return t.NextHops[addr(real)] == want })
}

func TestWatch(t *testing.T) {
	h, _ := openTest(t, watched)
	w, err := h.Watch()
	if err != nil {
		t.Fatal(err)
	}
	told := newTold(t, w)
	index := h.interfaceIndexes()
	hop := Path{NextHop: NextHop{index["lan"], lanMAC, realMAC, 1500}, OnLink: 24}
	gateway := NextHop{index["wan"], wanMAC, gatewayMAC, 1500}
	silent := Path{Reason: "10.0.0.12 does not answer on lan", OnLink: 24}

	w.Want([]string{"wan", "lan", "dmz"}, []netip.Addr{addr("10.0.0.11"), addr("10.0.0.12")})
	told.awaitPath("at first", "10.0.0.11", hop)
	told.awaitPath("at first", "10.0.0.12", silent)
	told.await("the legs", func() bool {
		return told.Legs["lan"] == LegState{index["lan"], lanMAC, 1500, true} && told.Legs["dmz"] == LegState{}
	})
	for _, leg := range []string{"wan", "lan"} {
		if d := told.Defaults[index[leg]]; d.Hop4 != gateway || !slices.Equal(d.Connected, []netip.Prefix{prefix("10.0.0.0/24"), prefix("192.0.2.0/24")}) {
			t.Errorf("replies that come in by %s leave by %+v", leg, d)
		}
	}

	run(t, "ip neigh replace 10.0.0.12 lladdr 02:00:00:00:00:0b dev lan nud permanent")
	told.awaitPath("a neighbour that comes", "10.0.0.12", hop)
	run(t, "ip neigh del 10.0.0.12 dev lan")
	told.awaitPath("a neighbour that goes", "10.0.0.12", silent)
	run(t, "ip route add 10.0.0.11/32 via 192.0.2.254")
	told.awaitPath("a better route", "10.0.0.11", Path{NextHop: gateway})
	run(t, "ip route del 10.0.0.11/32")
	told.awaitPath("a route that goes", "10.0.0.11", hop)
	run(t, "ip rule add from 192.0.2.0/24 table 100 priority 5")
	told.awaitPath("a policy", "10.0.0.11", Path{Reason: "there are policy rules (ip rule: priority 5)", OnLink: 24})
	run(t, "ip rule del priority 5")
	told.awaitPath("no policy", "10.0.0.11", hop)
	run(t, "ip link set lan mtu 1400")
	told.await("another MTU", func() bool {
		return told.NextHops[addr("10.0.0.11")].NextHop.MTU == 1400 && told.Legs["lan"].MTU == 1400
	})
	run(t, "ip link set lan down")
	told.await("a link that goes down", func() bool { return told.NextHops[addr("10.0.0.11")].NextHop == NextHop{} && !told.Legs["lan"].Up })
}

func TestWatchAddresses(t *testing.T) {
	h, _ := openTest(t, watched)
	w, err := h.Watch()
	if err != nil {
		t.Fatal(err)
	}
	told := newTold(t, w)
	vip := on("wan", "192.0.2.100/32")
	setAddresses(t, h, vip, on("lan", "10.0.0.254/24"))
	w.Want([]string{"wan", "lan"}, []netip.Addr{addr("10.0.0.11")})
	told.await("at first", func() bool { return len(told.NextHops) == 1 })
	if told.Own {
		t.Error("an own address has changed")
	}
	run(t, "ip addr add 192.0.2.2/24 dev wan")
	told.await("an own address", func() bool { return told.Own })
	setAddresses(t, h, vip) // what we remove is not lost
	run(t, "ip addr del 192.0.2.100/32 dev wan")
	told.await("an address that somebody deletes", func() bool { return len(told.Lost) > 0 })
	if !slices.Equal(told.Lost, []Address{vip}) {
		t.Errorf("lost: %v, want %s", told.Lost, vip)
	}
}

// Neighbours are kept by the kernel while they are needed; what an administrator
// made is left alone.
func TestWatchManagesNeighbours(t *testing.T) {
	h, _ := openTest(t, watched)
	w, err := h.Watch()
	if err != nil {
		t.Fatal(err)
	}
	told := newTold(t, w)
	managed := func() bool { return strings.Contains(run(t, "ip neigh show 10.0.0.12 dev lan"), "managed") }
	w.Want([]string{"wan", "lan"}, []netip.Addr{addr("10.0.0.11"), addr("10.0.0.12")})
	waitFor(t, "10.0.0.12 is managed", managed)
	if made := h.Made().Neighbours(); len(made) != 1 || made[0].Addr != addr("10.0.0.12") || made[0].Existed {
		t.Errorf("recorded: %v", made)
	}
	if shown := run(t, "ip neigh show 10.0.0.11 dev lan"); !strings.Contains(shown, "PERMANENT") || strings.Contains(shown, "managed") {
		t.Errorf("the administrator's is %q", shown)
	}
	w.Want([]string{"wan", "lan"}, []netip.Addr{addr("10.0.0.11")})
	waitFor(t, "10.0.0.12 is let go", func() bool { return !managed() })
	waitFor(t, "it is on record no longer", func() bool { return len(h.Made().Neighbours()) == 0 })

	w.Want([]string{"wan", "lan"}, []netip.Addr{addr("10.0.0.12")})
	waitFor(t, "10.0.0.12 is managed again", managed)
	told.watcher.Close()
	undone, err := h.Undo()
	if err != nil || len(undone.Neighbours) != 1 || managed() {
		t.Errorf("undone: %v (%v)", undone.Neighbours, err)
	}
}

// waitFor polls the kernel, which tells this to nobody.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after 10 s: %s", what)
		}
	}
}

// lossySource has messages of the kernel, and may be told to lose some.
type lossySource struct {
	eventSource
	lose chan struct{}
	lost chan error
	news chan []syscall.NetlinkMessage
}

func newLossySource(t *testing.T) *lossySource {
	t.Helper()
	real, err := subscribe()
	if err != nil {
		t.Fatal(err)
	}
	s := &lossySource{real, make(chan struct{}), make(chan error), make(chan []syscall.NetlinkMessage)}
	go func() {
		lose := false
		for {
			messages, err := real.receive()
			if err != nil {
				close(s.news)
				return
			}
			select {
			case <-s.lose:
				lose = true
			default:
			}
			if !lose {
				s.news <- messages
			}
		}
	}()
	return s
}

func (s *lossySource) receive() ([]syscall.NetlinkMessage, error) {
	select {
	case messages := <-s.news:
		return messages, nil
	case err := <-s.lost:
		return nil, err
	}
}

func (s *lossySource) drain() {}

// What follows from messages that were lost is taken back.
func TestWatchGoesBlind(t *testing.T) {
	w := &Watcher{wake: time.NewTimer(time.Hour), defaults: map[int]DefaultRoute{}, paths: map[netip.Addr]knownPath{
		addr("10.0.0.11"): {Path{NextHop: NextHop{Ifindex: 2}, OnLink: 24}, true},
		addr("10.0.0.12"): {Path{Reason: "no route"}, true},
	}}
	w.defaults[1] = DefaultRoute{Hop4: NextHop{Ifindex: 1}}
	w.goBlind("lost")
	want := Change{
		NextHops: map[netip.Addr]Path{addr("10.0.0.11"): {Reason: "lost", OnLink: 24}},
		Defaults: map[int]DefaultRoute{1: {Reason4: "lost", Reason6: "lost"}},
	}
	if diff := cmp.Diff(want, w.pending, compareAddrs); diff != "" {
		t.Error(diff)
	}
	if !w.stale.everything {
		t.Error("nothing will be listed again")
	}
}

// Changes that the kernel could not tell are found by listing all again.
func TestWatchLosesMessages(t *testing.T) {
	h, _ := openTest(t, watched)
	source := newLossySource(t)
	told := newTold(t, h.watch(source))
	hop := NextHop{h.interfaceIndexes()["lan"], lanMAC, realMAC, 1500}
	told.watcher.Want([]string{"wan", "lan"}, []netip.Addr{addr("10.0.0.11")})
	told.awaitPath("at first", "10.0.0.11", Path{NextHop: hop, OnLink: 24})
	close(source.lose)
	run(t, "ip neigh replace 10.0.0.11 lladdr 02:00:00:00:00:0c dev lan nud permanent")
	source.lost <- unix.ENOBUFS
	hop.Destination[5] = 0x0c
	told.awaitPath("listed again", "10.0.0.11", Path{NextHop: hop, OnLink: 24})
}
