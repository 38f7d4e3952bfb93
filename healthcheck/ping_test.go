package healthcheck

import (
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/test/namespace"
)

func TestPing(t *testing.T) {
	if !namespace.Own(t) {
		return
	}
	v4, v6 := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")
	for _, address := range []netip.Addr{v4, v6} {
		if got := ask(t, Ping{Address: address}, time.Minute); got != "" {
			t.Errorf("%s: %s", address, got)
		}
	}
	for path, address := range map[string]netip.Addr{
		"/proc/sys/net/ipv4/icmp_echo_ignore_all": v4, "/proc/sys/net/ipv6/icmp/echo_ignore_all": v6,
	} {
		if err := os.WriteFile(path, []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
		if got := ask(t, Ping{Address: address}, 100*time.Millisecond); got != "timeout" {
			t.Errorf("%s does not answer: %q", address, got)
		}
	}
	namespace.Command(t, "ip", "route", "add", "unreachable", "192.0.2.0/24")
	for address, want := range map[string]string{
		"192.0.2.1": "no route to host", "198.51.100.1": "network unreachable", "2001:db8::1": "network unreachable",
	} {
		if got := ask(t, Ping{Address: netip.MustParseAddr(address)}, time.Minute); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

// TestPingByInterface: what is beyond one interface is not asked by another, and a
// link-local address is asked at all.
func TestPingByInterface(t *testing.T) {
	if !namespace.Own(t) {
		return
	}
	far := fmt.Sprintf("ping-%d", os.Getpid())
	namespace.Command(t, "ip", "netns", "add", far)
	defer namespace.Command(t, "ip", "netns", "del", far)
	namespace.Command(t, "ip", "link", "add", "one", "type", "veth", "peer", "name", "far", "netns", far)
	namespace.Command(t, "ip", "link", "add", "two", "type", "veth", "peer", "name", "silent")
	namespace.Command(t, "ip", "-n", far, "link", "set", "far", "up")
	for _, device := range []string{"one", "two", "silent"} {
		namespace.Command(t, "ip", "link", "set", device, "up")
	}
	for address, device := range map[string]string{"192.0.2.1/24": "one", "2001:db8::1/64": "one", "fe80::1/64": "one", "198.51.100.1/24": "two", "fe80::1:1/64": "two"} {
		namespace.Command(t, "ip", "addr", "add", address, "dev", device, "nodad")
	}
	for _, address := range []string{"192.0.2.9/24", "2001:db8::9/64", "fe80::9/64"} {
		namespace.Command(t, "ip", "-n", far, "addr", "add", address, "dev", "far", "nodad")
	}
	for _, to := range []string{"192.0.2.9", "2001:db8::9", "fe80::9"} {
		address := netip.MustParseAddr(to)
		if got := ask(t, Ping{address, "one"}, time.Minute); got != "" {
			t.Errorf("%s by one: %s", to, got)
		}
		if got := ask(t, Ping{address, "two"}, 100*time.Millisecond); got == "" {
			t.Errorf("%s by two: it answers", to)
		}
		if got := ask(t, Ping{address, "none"}, time.Minute); got != "no such device" {
			t.Errorf("%s by none: %s", to, got)
		}
	}
}

// TestPingMany: many at once through two sets of one machine, one of them silent.
func TestPingMany(t *testing.T) {
	if !namespace.Own(t) {
		return
	}
	// At the other end of this wire nobody listens.
	namespace.Command(t, "ip", "link", "add", "here", "type", "veth", "peer", "name", "there")
	namespace.Command(t, "ip", "link", "set", "here", "up")
	namespace.Command(t, "ip", "link", "set", "there", "up")
	namespace.Command(t, "ip", "addr", "add", "192.0.2.254/24", "dev", "here")
	namespace.Command(t, "ip", "neigh", "add", "192.0.2.1", "lladdr", "02:00:00:00:00:01", "dev", "here")
	silent := Ping{Address: netip.MustParseAddr("192.0.2.1")}
	checks := map[Ping]Check{silent: {
		Probe: silent, Config: Config{Interval: time.Hour, Timeout: 200 * time.Millisecond, Rise: 1, Fall: 1}, Now: true,
	}}
	for n := range byte(200) {
		well := Ping{Address: netip.AddrFrom4([4]byte{127, 0, 0, n + 1})}
		checks[well] = Check{Probe: well, Config: Config{Interval: time.Hour, Timeout: time.Minute, Rise: 1, Fall: 1}, Now: true}
	}
	sets := []*Set[Ping]{NewSet[Ping](), NewSet[Ping]()}
	for _, set := range sets {
		defer set.Close()
		set.Update(checks)
	}
	for _, set := range sets {
		events := stream[Ping]{set: set}
		for range checks {
			if e := events.next(); e.State.Error != map[bool]string{true: "timeout"}[e.Key == silent] {
				t.Fatalf("%s: %+v", e.Key.Address, e.State)
			}
		}
	}
}

// TestPingOthers: another process's pings cannot fill the buffer of ours.
func TestPingOthers(t *testing.T) {
	if !namespace.Own(t) {
		return
	}
	for _, host := range []string{"127.0.0.1", "::1"} {
		to := netip.MustParseAddr(host)
		ours, theirs := newPingProber(), newPingProber()
		defer ours.close()
		defer theirs.close()
		if _, err := ours.socket(to.Is6()); err != nil {
			t.Fatal(err)
		}
		ping := func(p *pingProber) {
			if err := p.send(Ping{Address: to}, &run{probe: Ping{Address: to}}); err != nil {
				t.Fatal(err)
			}
			deadline := time.Now().Add(10 * time.Second)
			for answered := []answer{}; len(answered) == 0; p.collect(&answered) {
				if time.Now().After(deadline) {
					t.Fatalf("%s: no answer", to)
				}
			}
		}
		for range 1000 {
			ping(&theirs)
		}
		ping(&ours)
	}
}

// TestPingMatch: an echo is ours by number, sequence and sender.
func TestPingMatch(t *testing.T) {
	if !namespace.Own(t) {
		return
	}
	p := newPingProber()
	defer p.close()
	to := netip.MustParseAddr("127.0.0.1")
	r := run{probe: Ping{Address: to}}
	if err := p.send(Ping{Address: to}, &r); err != nil {
		t.Fatal(err)
	}
	reply := func(id, seq uint16) []byte {
		header := make([]byte, 20)
		header[0] = 0x45
		return append(header, 0, 0, 0, 0, byte(id>>8), byte(id), byte(seq>>8), byte(seq))
	}
	_, from := sockaddr(netip.AddrPortFrom(to, 0))
	_, other := sockaddr(netip.MustParseAddrPort("127.0.0.2:0"))
	for _, test := range []struct {
		name   string
		packet []byte
		from   any
		want   bool
	}{
		{"ours", reply(p.id, p.last), from, true},
		{"another process's", reply(p.id+1, p.last), from, false},
		{"one that is over", reply(p.id, p.last+1), from, false},
		{"another sender's", reply(p.id, p.last), other, false},
		{"a request", append(append(make([]byte, 0), reply(p.id, p.last)[:20]...), 8, 0, 0, 0, byte(p.id>>8), byte(p.id), byte(p.last>>8), byte(p.last)), from, false},
		{"nothing", nil, from, false},
		{"a header alone", reply(0, 0)[:20], from, false},
		{"short", reply(p.id, p.last)[:25], from, false},
	} {
		sender := from
		if test.from == any(other) {
			sender = other
		}
		if _, ok := p.match(false, test.packet, sender); ok != test.want {
			t.Errorf("%s: %v", test.name, ok)
		}
	}
}
