package loader

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// testBPFFS mounts a bpffs of the test's own.
func testBPFFS(t *testing.T) string {
	t.Helper()
	return mountBPFFS(t, t.TempDir())
}

func mountBPFFS(t testing.TB, dir string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test loads programs into the kernel: run it as root")
	}
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Fatalf("mount a bpffs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

func openTest(t *testing.T, bpffs string, flows int) *Loader {
	t.Helper()
	l, err := Open(Options{BPFFS: bpffs, MaxFlows4: flows, MaxFlows6: flows})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func vipEndpoint(s string, p Protocol) Endpoint { return Endpoint{netip.MustParseAddrPort(s), p} }

var testTimeouts = Timeouts{
	Handshake: 60 * time.Second, Established: 15 * time.Minute, Closing: 2 * time.Minute,
	Closed: 10 * time.Second, UDP: 5 * time.Minute, UDPUnreplied: 30 * time.Second,
}

// tablesSteps writes one vip of each family, in an order the kernel can take.
func tablesSteps() (Tables, []Step) {
	t := NewTables()
	var steps []Step
	for i, v := range []struct{ vip, real string }{
		{"192.0.2.1:80", "10.0.0.2:8080"}, {"[2001:db8::1]:53", "[2001:db8:1::2]:53"},
	} {
		id, backend := VipID(i+1), BackendID(i+7)
		e := vipEndpoint(v.vip, TCP)
		real := netip.MustParseAddrPort(v.real)
		t.Vips[id] = Vip{Endpoint: e, Timeouts: testTimeouts, DropEmpty: i == 0, RejectMidStream: i == 1}
		t.Backends[backend] = Backend{Vip: id, Real: real, Down: i == 1}
		t.Schedules[id] = Schedule{Kind: ByHash, Slots: []BackendID{backend, backend, backend}}
		t.Names[e] = id
		t.Addresses[e.Addr()] = AddressVip
		t.Addresses[real.Addr()] = AddressReal
		t.Reals[Endpoint{real, TCP}] = backend
		steps = append(steps, PutVip{id, t.Vips[id]}, PutBackend{ID: backend, Backend: t.Backends[backend]},
			PutSchedule{id, t.Schedules[id]}, PutName{e, id}, PutReal{Endpoint{real, TCP}, backend},
			PutAddress{e.Addr(), AddressVip}, PutAddress{real.Addr(), AddressReal})
	}
	return t, steps
}

func TestTablesReadBackWhatStepsWrote(t *testing.T) {
	l := openTest(t, testBPFFS(t), 1000)
	want, steps := tablesSteps()
	if err := l.Apply(steps); err != nil {
		t.Fatal(err)
	}
	have, err := l.Tables()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, have, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("tables (-want +have):\n%s", diff)
	}
}

func TestPinsAreAdoptedAndLocked(t *testing.T) {
	bpffs := testBPFFS(t)
	l := openTest(t, bpffs, 1000)
	want, steps := tablesSteps()
	if err := l.Apply(steps); err != nil {
		t.Fatal(err)
	}
	if second, err := Open(Options{BPFFS: bpffs, MaxFlows4: 1000, MaxFlows6: 1000}); err == nil {
		_ = second.Close()
		t.Fatal("a second loader opened the same pins")
	} else {
		t.Log(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again := openTest(t, bpffs, 1_000_000) // other sizes: those of the pins stay
	have, err := again.Tables()
	if err != nil {
		t.Fatal(err)
	}
	if len(have.Vips) != len(want.Vips) || len(have.Backends) != len(want.Backends) {
		t.Errorf("after reopening: %d vips, %d backends; want %d, %d", len(have.Vips), len(have.Backends), len(want.Vips), len(want.Backends))
	}
	if c, err := again.Capacity(); err != nil || c.Slots4 != 8*slots4PerPage {
		t.Errorf("capacity %+v, %v; want the %d slots that it was made with", c, err, 8*slots4PerPage)
	}
}
