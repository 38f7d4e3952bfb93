package packet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/loader"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// The MACs of the two legs and of the two neighbours that frames go to.
var (
	wanMAC    = mac("02:00:00:00:00:01")
	lanMAC    = mac("02:00:00:00:00:02")
	clientMAC = mac("02:00:00:00:00:0a")
	realMAC   = mac("02:00:00:00:00:0b")
)

func mac(s string) net.HardwareAddr {
	m, err := net.ParseMAC(s)
	must(err)
	return m
}

// rig is a loader with two legs in a namespace of the test's own.
type rig struct {
	*loader.Loader
	wan, lan int // interface indices
	ns       netns.NsHandle
	bpffs    string
}

// enter moves the calling test into the rig's namespace: every subtest has a
// goroutine of its own, whose thread ends with it.
func (r *rig) enter(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := netns.Set(r.ns); err != nil {
		t.Fatal(err)
	}
}

func newRig(t *testing.T, flows int, list []service) *rig {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test loads programs into the kernel: run it as root")
	}
	runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
	old, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	own, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	bpffs := t.TempDir()
	if err := unix.Mount("bpf", bpffs, "bpf", 0, ""); err != nil {
		t.Fatalf("mount a bpffs: %v", err)
	}
	t.Cleanup(func() {
		_ = unix.Unmount(bpffs, unix.MNT_DETACH)
		_ = netns.Set(old)
		own.Close()
		old.Close()
	})
	r := &rig{ns: own, bpffs: bpffs}
	run(t, "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
	r.wan = veth(t, "wan", wanMAC, "192.0.2.1/24", "2001:db8:1::1/64")
	r.lan = veth(t, "lan", lanMAC, "10.0.0.1/24", "2001:db8:2::1/64")
	r.Loader, err = loader.Open(loader.Options{BPFFS: bpffs, MaxFlows4: flows, MaxFlows6: flows})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	for _, leg := range []loader.Leg{
		{Name: "wan", Interface: "wan", Ifindex: r.wan, Role: loader.Outside, Mode: loader.Native},
		{Name: "lan", Interface: "lan", Ifindex: r.lan, Role: loader.Inside, Mode: loader.Native},
	} {
		if _, err := r.AttachLeg(leg); err != nil {
			t.Fatal(err)
		}
	}
	r.tables(t, list)
	return r
}

func run(t *testing.T, command string) {
	t.Helper()
	fields := strings.Fields(command)
	if out, err := exec.Command(fields[0], fields[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
}

func veth(t *testing.T, name string, m net.HardwareAddr, addresses ...string) int {
	t.Helper()
	run(t, fmt.Sprintf("ip link add %[1]s address %[2]s type veth peer name %[1]s-peer", name, m))
	// The peer must say nothing of its own: its frames would be counted.
	run(t, "sysctl -qw net.ipv6.conf."+name+"-peer.disable_ipv6=1")
	run(t, "ip link set "+name+"-peer up")
	run(t, "ethtool -K "+name+"-peer gro on")
	run(t, "ip link set "+name+" up")
	for _, a := range addresses {
		if strings.Contains(a, "::") {
			a += " nodad"
		}
		run(t, "ip addr add dev "+name+" "+a)
	}
	device, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return device.Index
}

var timeouts = loader.Timeouts{
	Handshake: 60 * time.Second, Established: 15 * time.Minute, Closing: 2 * time.Minute,
	Closed: 10 * time.Second, UDP: 5 * time.Minute, UDPUnreplied: 30 * time.Second,
}

// service is a vip with its reals; backends are numbered as they stand.
type service struct {
	vip       string
	protocol  loader.Protocol
	dropEmpty bool
	byTurn    bool
	reals     []string
}

// services are those of the tables.
var services = []service{
	{vip: "192.0.2.100:80", protocol: loader.TCP, reals: []string{"10.0.0.11:8080"}},
	{vip: "192.0.2.100:53", protocol: loader.UDP, reals: []string{"10.0.0.11:53"}},
	{vip: "[2001:db8:1::100]:80", protocol: loader.TCP, reals: []string{"[2001:db8:2::11]:8080"}},
	{vip: "192.0.2.101:80", protocol: loader.TCP, reals: []string{"10.0.0.11:8080"}},
	{vip: "192.0.2.102:0", protocol: loader.TCP, reals: []string{"10.0.0.12:0"}},
	{vip: "192.0.2.103:80", protocol: loader.TCP},
	{vip: "192.0.2.103:53", protocol: loader.UDP},
	{vip: "[2001:db8:1::103]:53", protocol: loader.UDP},
	{vip: "192.0.2.104:80", protocol: loader.TCP, dropEmpty: true},
	{vip: "192.0.2.105:80", protocol: loader.TCP, byTurn: true, reals: []string{"10.0.0.13:80"}},
	{vip: "192.0.2.106:80", protocol: loader.TCP, reals: []string{"10.0.0.14:80"}},
	{vip: "[2001:db8:1::100]:53", protocol: loader.UDP, reals: []string{"[2001:db8:2::11]:53"}},
}

func (r *rig) tables(t *testing.T, list []service) {
	t.Helper()
	addresses := map[netip.Addr]loader.AddressUse{}
	reals := map[loader.Endpoint]loader.BackendID{}
	onLink := map[loader.BackendID]int{}
	var steps []loader.Step
	backend := loader.BackendID(0)
	for i, s := range list {
		id := loader.VipID(i + 1)
		e := loader.Endpoint{AddrPort: netip.MustParseAddrPort(s.vip), Protocol: s.protocol}
		steps = append(steps, loader.PutVip{ID: id, Vip: loader.Vip{
			Endpoint: e, Timeouts: timeouts, DropEmpty: s.dropEmpty, RejectMidStream: s.byTurn,
		}})
		schedule := loader.Schedule{Kind: loader.ByHash}
		if s.byTurn {
			schedule.Kind = loader.ByTurn
		}
		use, realUse := loader.AddressVip, loader.AddressReal
		if e.Port() == 0 {
			use, realUse = loader.AddressVipAnyPort, loader.AddressRealAnyPort
		}
		addresses[e.Addr()] |= use
		for _, real := range s.reals {
			backend++
			a := netip.MustParseAddrPort(real)
			steps = append(steps, loader.PutBackend{ID: backend, Backend: loader.Backend{Vip: id, Real: a}})
			schedule.Slots = append(schedule.Slots, backend)
			addresses[a.Addr()] |= realUse
			onLink[backend] = a.Addr().BitLen() - 8 // 10.0.0.0/24, 2001:db8:2::/120
			if e.Port() != 0 {
				key := loader.Endpoint{AddrPort: a, Protocol: s.protocol}
				if _, several := reals[key]; several {
					reals[key] = loader.Ambiguous
				} else {
					reals[key] = backend
				}
			}
		}
		steps = append(steps, loader.PutSchedule{ID: id, Schedule: schedule}, loader.PutName{Endpoint: e, ID: id})
	}
	for a, use := range addresses {
		steps = append(steps, loader.PutAddress{Addr: a, Use: use})
	}
	for real, id := range reals {
		steps = append(steps, loader.PutReal{Real: real, ID: id})
	}
	if err := r.Apply(steps); err != nil {
		t.Fatal(err)
	}
	hop := func(ifindex int, source, destination net.HardwareAddr) loader.NextHop {
		return loader.NextHop{Ifindex: ifindex, Source: [6]byte(source), Destination: [6]byte(destination), MTU: 1500}
	}
	for id := loader.BackendID(1); id <= backend; id++ {
		if err := errors.Join(r.SetNextHop(id, hop(r.lan, lanMAC, realMAC)), r.SetOnLink(id, onLink[id])); err != nil {
			t.Fatal(err)
		}
	}
	connected := []netip.Prefix{
		netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("10.0.0.0/24"),
		netip.MustParsePrefix("2001:db8:1::/64"), netip.MustParsePrefix("2001:db8:2::/64"),
	}
	back := hop(r.wan, wanMAC, clientMAC)
	for ifindex, own := range map[int][2]string{r.wan: {"192.0.2.1", "2001:db8:1::1"}, r.lan: {"10.0.0.1", "2001:db8:2::1"}} {
		err := r.SetLegRoutes(ifindex, loader.LegRoutes{
			Default4: back, Default6: back, Connected: connected,
			Own4: netip.MustParseAddr(own[0]), Own6: netip.MustParseAddr(own[1]),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// counted is what every reason of a hook has counted.
func (r *rig) counted(t *testing.T, hook loader.Hook) map[string]uint64 {
	t.Helper()
	reasons, err := r.Reasons()
	if err != nil {
		t.Fatal(err)
	}
	list := reasons.XDP
	if hook == loader.HookTC {
		list = reasons.TC
	}
	counts := map[string]uint64{}
	for _, c := range list {
		counts[c.Name] = c.Packets
	}
	return counts
}
