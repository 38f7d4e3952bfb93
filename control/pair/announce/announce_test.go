package announce

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/mdlayher/packet"
	"github.com/tarpon-lb/tarpon/loader"
	"github.com/vishvananda/netns"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// A wire has a router's leg at one end, in the test's own namespace, and a neighbour at
// the other.
type wire struct {
	t         *testing.T
	leg       Leg
	neighbour string // name of its namespace
}

const old = "02:00:00:00:00:99" // the MAC of the router before

// both are the vips and the neighbour's addresses, of both families.
var (
	vips       = []netip.Addr{vip4, vip6}
	neighbours = []Neighbour{{near4, theirs}, {near6, theirs}}
)

func newWire(t *testing.T) *wire {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test makes network namespaces: run it as root")
	}
	runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
	own, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{t: t, neighbour: fmt.Sprintf("tpannounce%d", os.Getpid())}
	t.Cleanup(func() {
		own.Close()
		_ = exec.Command("ip", "netns", "del", w.neighbour).Run()
	})
	w.run(fmt.Sprintf(`
		ip netns add %[1]s
		sysctl -qw net.ipv6.conf.default.accept_dad=0
		ip netns exec %[1]s sysctl -qw net.ipv6.conf.default.accept_dad=0
		ip link add wan address %[2]s type veth peer name eth0 address %[3]s netns %[1]s
		ip link set wan up
		ip -n %[1]s link set eth0 up
		ip addr add %[4]s/24 dev wan
		ip addr add %[5]s/64 dev wan nodad
		ip -n %[1]s addr add %[6]s/24 dev eth0
		ip -n %[1]s addr add %[7]s/64 dev eth0 nodad
	`, w.neighbour, ours, theirs, own4, own6, near4, near6))
	device, err := net.InterfaceByName("wan")
	if err != nil {
		t.Fatal(err)
	}
	w.leg = Leg{Name: "outside", Ifindex: device.Index, Own4: own4, Own6: own6}
	for _, end := range []string{"ip link show wan", "ip -n " + w.neighbour + " link show eth0"} {
		w.until("the wire carries frames", func() bool { return strings.Contains(w.run(end), "state UP") })
	}
	return w
}

// run runs commands, one a line.
func (w *wire) run(lines string) string {
	w.t.Helper()
	var all strings.Builder
	for line := range strings.Lines(lines) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		out, err := exec.Command(fields[0], fields[1:]...).CombinedOutput()
		if err != nil {
			w.t.Fatalf("%s: %v: %s", strings.TrimSpace(line), err, out)
		}
		all.Write(out)
	}
	return all.String()
}

func (w *wire) until(what string, condition func() bool) {
	w.t.Helper()
	for range 1000 {
		if condition() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.t.Fatalf("not in 10 s: %s", what)
}

// remember puts a MAC into the neighbour's cache for the vips.
func (w *wire) remember(mac, state string) {
	for _, vip := range vips {
		w.run(fmt.Sprintf("ip -n %s neigh replace %s lladdr %s dev eth0 nud %s", w.neighbour, vip, mac, state))
	}
}

// has says whether the neighbour's cache has a MAC for all vips.
func (w *wire) has(mac string) bool {
	for _, vip := range vips {
		if !strings.Contains(w.run(fmt.Sprintf("ip -n %s neigh show %s dev eth0", w.neighbour, vip)), mac) {
			return false
		}
	}
	return true
}

func (w *wire) announcer(options Options) *Announcer {
	w.t.Helper()
	a := New(options)
	w.t.Cleanup(a.Close)
	if err := a.Listen(w.leg); err != nil {
		w.t.Fatal(err)
	}
	return a
}

// tells waits for the next events, in any order.
func (w *wire) tells(a *Announcer, want ...string) {
	w.t.Helper()
	left := map[string]int{}
	for _, event := range want {
		left[event]++
	}
	timeout := time.After(20 * time.Second)
	for range want {
		select {
		case e := <-a.Events():
			if left[e.String()]--; left[e.String()] < 0 {
				w.t.Errorf("told %q, want %q", e, want)
			}
		case <-timeout:
			w.t.Fatalf("not told: %v", left)
		}
	}
}

const followed = "leg outside: all neighbours answer"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A neighbour's cache moves to the new router, without being asked.
func TestNeighbourFollows(t *testing.T) {
	defer goleak.VerifyNone(t)
	w := newWire(t)
	a := w.announcer(Options{})
	defer a.Close()
	w.remember(old, "reachable")
	if !w.has(old) {
		t.Fatal("the neighbour does not know the old router")
	}
	must(t, a.Announce("outside", vips, nil))
	w.until("the neighbour has our MAC", func() bool { return w.has(ours.String()) })
	must(t, a.Announce("outside", vips, neighbours))
	must(t, a.Verify("outside"))
	w.tells(a, followed)
	if err := a.Announce("inside", vips, nil); err == nil {
		t.Error("announced on a leg that nobody listens on")
	}
	must(t, a.Leave("outside"))
	a.Close()
	if err := a.Verify("outside"); err != ErrClosed {
		t.Errorf("after Close: %v", err)
	}
}

// What asks as the vip teaches also a neighbour that missed all announcements, and one
// that does not answer pings.
func TestVerifyTeaches(t *testing.T) {
	for _, silent := range []int{0, 1} {
		t.Run(fmt.Sprintf("icmp_echo_ignore_all=%d", silent), func(t *testing.T) {
			w := newWire(t)
			w.run(fmt.Sprintf("ip netns exec %s sysctl -qw net.ipv4.icmp_echo_ignore_all=%d", w.neighbour, silent))
			a := w.announcer(Options{})
			must(t, a.Announce("outside", vips, neighbours))
			must(t, a.Verify("outside"))
			w.tells(a, followed)
			if !w.has(ours.String()) {
				t.Error("all answer, and the neighbour does not have our MAC")
			}
		})
	}
}

// A neighbour that keeps the old router's MAC is named, until it does not.
func TestPermanentEntryIsNamed(t *testing.T) {
	w := newWire(t)
	w.run("ip netns exec " + w.neighbour + " sysctl -qw net.ipv4.conf.all.arp_accept=0")
	w.remember(old, "permanent")
	a := w.announcer(Options{Verify: true, Retry: 50 * time.Millisecond})
	must(t, a.Announce("outside", vips, neighbours))
	w.tells(a,
		"neighbour 192.0.2.10 does not answer to 192.0.2.200, but to this router's own address",
		"neighbour 2001:db8::10 does not answer to 2001:db8::200, but to this router's own address",
		"leg outside: 2 answers of neighbours are missing")
	if !w.has(old) {
		t.Error("the permanent entries are gone")
	}
	for _, vip := range vips {
		w.run(fmt.Sprintf("ip -n %s neigh del %s dev eth0", w.neighbour, vip))
	}
	w.tells(a, "neighbour 192.0.2.10 answers to 192.0.2.200", "neighbour 2001:db8::10 answers to 2001:db8::200")
	if !w.has(ours.String()) {
		t.Error("both answer, and the neighbour does not have our MAC")
	}
}

// Another machine that uses the vips is reported with its MAC.
func TestConflictIsTold(t *testing.T) {
	w := newWire(t)
	a := w.announcer(Options{})
	must(t, a.Announce("outside", vips, nil))
	for vip, own := range map[netip.Addr]netip.Addr{vip4: own4, vip6: own6} {
		w.run(fmt.Sprintf("ip -n %s addr add %s/%d dev eth0 nodad", w.neighbour, vip, vip.BitLen()))
		inside(t, w.neighbour, func() { // its kernel asks for us, as the vip
			c, err := net.DialUDP("udp", &net.UDPAddr{IP: vip.AsSlice()}, &net.UDPAddr{IP: own.AsSlice(), Port: 9})
			must(t, err)
			_, _ = c.Write([]byte("?"))
			c.Close()
		})
		w.tells(a, theirs.String()+" says that it has "+vip.String())
	}
}

// inside does something in a namespace.
func inside(t *testing.T, name string, do func()) {
	t.Helper()
	here, err := netns.Get()
	must(t, err)
	defer here.Close()
	there, err := netns.GetFromName(name)
	must(t, err)
	defer there.Close()
	must(t, netns.Set(there))
	defer func() { must(t, netns.Set(here)) }()
	do()
}

// 500 addresses are all said, and not faster than the pace. (That it is kept in every
// part of the burst shows TestPace, on a clock of its own.)
func TestManyAddressesArePaced(t *testing.T) {
	w := newWire(t)
	var conn *packet.Conn
	inside(t, w.neighbour, func() {
		device, err := net.InterfaceByName("eth0")
		must(t, err)
		conn, err = packet.Listen(device, packet.Raw, int(layers.EthernetTypeARP), nil)
		must(t, err)
	})
	defer conn.Close()
	const many, repeat = 500, 2
	var list []netip.Addr
	for i := range many {
		list = append(list, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
	}
	a := w.announcer(Options{Repeat: repeat})
	begun := time.Now()
	must(t, a.Announce("outside", list, nil))
	said := map[netip.Addr]int{}
	buffer := make([]byte, 2048)
	must(t, conn.SetReadDeadline(begun.Add(30*time.Second)))
	for total := 0; total < many*repeat*2; {
		n, _, err := conn.ReadFrom(buffer)
		must(t, err)
		if h, ok := hear(buffer[:n], 0); ok && h.mac == ours && h.sender == h.receiver {
			said[h.sender]++
			total++
		}
	}
	if took, least := time.Since(begun), (many*repeat*2-10-2)*time.Second/Rate; took < least {
		t.Errorf("%d frames in %s, want at least %s", many*repeat*2, took, least)
	}
	for _, address := range list {
		if said[address] != repeat*2 {
			t.Errorf("%s was said %d times, want %d", address, said[address], repeat*2)
		}
	}
}

// Without a lease nothing of it leaves the leg.
func TestLeaseHoldsBack(t *testing.T) {
	w := newWire(t)
	bpffs := t.TempDir()
	must(t, unix.Mount("bpf", bpffs, "bpf", 0, ""))
	t.Cleanup(func() { _ = unix.Unmount(bpffs, unix.MNT_DETACH) })
	l, err := loader.Open(loader.Options{BPFFS: bpffs, MaxFlows4: 100, MaxFlows6: 100})
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	_, err = l.AttachLeg(loader.Leg{Name: "outside", Interface: "wan", Ifindex: w.leg.Ifindex, Role: loader.Outside, Mode: loader.TC})
	must(t, err)
	must(t, l.SetHeld(vips))
	l.SetLease(loader.LeaseEnded)
	w.remember(old, "reachable")
	a := w.announcer(Options{Repeat: 2})
	must(t, a.Announce("outside", vips, nil))
	w.until("the lease dropped two rounds of frames", func() bool {
		reasons, err := l.Reasons()
		must(t, err)
		counts := map[string]uint64{}
		for _, c := range reasons.TC {
			counts[c.Name] = c.Packets
		}
		return counts["drop_lease_arp"] == 4 && counts["drop_lease_neighbour"] == 2
	})
	if !w.has(old) {
		t.Error("the neighbour follows a router without a lease")
	}
	l.OpenLease()
	must(t, a.Announce("outside", vips, nil))
	w.until("the neighbour has our MAC", func() bool { return w.has(ours.String()) })
}

// A leg that goes away is told, and the others go on.
func TestLegGoes(t *testing.T) {
	w := newWire(t)
	a := w.announcer(Options{Refresh: 50 * time.Millisecond})
	w.run("ip link set wan down")
	must(t, a.Announce("outside", vips, nil))
	select {
	case e := <-a.Events():
		if e.Kind != Failed || e.Leg != "outside" || e.Err == nil {
			t.Errorf("told %v, want that it failed", e)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("not told")
	}
	w.remember(old, "stale")
	w.run("ip link set wan up")
	w.until("the neighbour has our MAC", func() bool { return w.has(ours.String()) })
	lo, err := net.InterfaceByName("lo")
	must(t, err)
	if err := a.Listen(Leg{Name: "lo", Ifindex: lo.Index}); err == nil || !strings.Contains(err.Error(), "no MAC") {
		t.Errorf("a leg without a MAC: %v", err)
	}
}
