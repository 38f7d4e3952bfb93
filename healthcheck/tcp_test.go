package healthcheck

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/test/namespace"
	"golang.org/x/sys/unix"
)

func listen(t testing.TB, address string) (net.Listener, netip.AddrPort) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, netip.MustParseAddrPort(l.Addr().String())
}

func TestTCP(t *testing.T) {
	for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, address := listen(t, host)
		if got := ask(t, TCP{address}, time.Minute); got != "" {
			t.Errorf("%s listens: %s", address, got)
		}
		// Its process has heard of nothing.
		_ = l.(*net.TCPListener).SetDeadline(time.Now().Add(20 * time.Millisecond))
		if _, err := l.Accept(); err == nil {
			t.Error("the server was bothered")
		}
		l.Close()
		if got := ask(t, TCP{address}, time.Minute); got != "connection refused" {
			t.Errorf("nobody listens at %s: %q", address, got)
		}
	}
}

// deaf is a listener that has no room for another connection: its host ignores SYNs.
func deaf(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(name.(*unix.SockaddrInet4).Port))
	conn, err := net.Dial("tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return address
}

func TestTCPSilence(t *testing.T) {
	address := deaf(t)
	begun := time.Now()
	if got := ask(t, TCP{address}, 200*time.Millisecond); got != "timeout" {
		t.Errorf("%q", got)
	}
	if took := time.Since(begun); took < 200*time.Millisecond {
		t.Errorf("timeout after %s", took)
	}
}

func TestTCPUnreachable(t *testing.T) {
	if !namespace.Own(t) {
		return
	}
	namespace.Command(t, "ip", "route", "add", "unreachable", "192.0.2.0/24")
	namespace.Command(t, "ip", "-6", "route", "add", "unreachable", "2001:db8::/32")
	for address, want := range map[string]string{
		"192.0.2.1:80":     "no route to host",
		"198.51.100.1:80":  "network unreachable",
		"[2001:db8::1]:80": "no route to host",
	} {
		if got := ask(t, TCP{netip.MustParseAddrPort(address)}, time.Minute); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

// TestTCPMany: many at once, of which some do not answer, each with its own result;
// and no socket is left.
func TestTCPMany(t *testing.T) {
	_, well := listen(t, "127.0.0.1:0")
	l, refused := listen(t, "127.0.0.1:0")
	l.Close()
	silent := deaf(t)
	want := map[netip.AddrPort]string{well: "", refused: "connection refused", silent: "timeout"}
	type key struct {
		address netip.AddrPort
		n       int
	}
	checks := map[key]Check{}
	for address := range want {
		for n := range 300 {
			// Their configs differ, so that they are not shared.
			config := Config{Interval: 100*time.Millisecond + time.Duration(n), Timeout: 100 * time.Millisecond, Rise: 3, Fall: 3}
			checks[key{address, n}] = Check{Probe: TCP{address}, Config: config, Now: true}
		}
	}
	before := openFiles(t)
	set := NewSet[key]()
	events := stream[key]{set: set}
	set.Update(checks)
	for range 3 * len(checks) {
		if e := events.next(); e.State.Error != want[e.Key.address] {
			t.Fatalf("%s: %+v", e.Key.address, e.State)
		}
	}
	set.Close()
	if after := openFiles(t); after > before {
		t.Errorf("%d open files, %d before", after, before)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
