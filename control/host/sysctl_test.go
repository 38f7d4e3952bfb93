package host

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const pair = `
	ip link add wan type veth peer name lan
	ip link set wan up
	ip link set lan up
`

func TestWishes(t *testing.T) {
	perLeg := func(leg string) []string {
		return []string{
			"net/ipv4/conf/" + leg + "/arp_ignore=1", "net/ipv4/conf/" + leg + "/arp_announce=2", "net/ipv4/conf/" + leg + "/arp_notify=0",
			"net/ipv4/conf/" + leg + "/send_redirects=0", "net/ipv4/conf/" + leg + "/accept_redirects=0", "net/ipv4/conf/" + leg + "/forwarding=1",
			"net/ipv6/conf/" + leg + "/ndisc_notify=0", "net/ipv6/conf/" + leg + "/forwarding=1",
		}
	}
	for _, test := range []struct {
		legs     []string
		oneArmed bool
		want     []string
	}{
		{nil, false, nil},
		{[]string{"wan", "lan.5"}, false, slices.Concat(perLeg("wan"), perLeg("lan.5"))},
		{[]string{"net"}, true, slices.Concat([]string{"net/ipv4/conf/all/send_redirects=0"}, perLeg("net"))},
	} {
		var got []string
		for _, w := range wishes(test.legs, test.oneArmed) {
			got = append(got, w.path+"="+w.value)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%v, one-armed %v: %s", test.legs, test.oneArmed, diff)
		}
	}
}

func TestDotted(t *testing.T) {
	if got := dotted("net/ipv4/conf/eth0.5/forwarding"); got != "net.ipv4.conf.eth0/5.forwarding" {
		t.Error(got)
	}
}

// values are all that we may touch, as they are now.
func values(t *testing.T, h *Host, legs ...string) map[string]string {
	t.Helper()
	now := map[string]string{}
	list := wishes(legs, true)
	for _, leg := range legs {
		list = append(list, wish{path: "net/ipv6/conf/" + leg + "/accept_ra"})
	}
	for _, w := range list {
		value, err := h.sysctls.read(w.path)
		if err != nil {
			t.Fatal(err)
		}
		now[w.path] = value
	}
	return now
}

func setSysctls(t *testing.T, h *Host, legs ...string) Sysctls {
	t.Helper()
	done, err := h.SetSysctls(legs, false)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestSysctlsAreSetAndPutBack(t *testing.T) {
	h, _ := openTest(t, pair)
	before := values(t, h, "wan", "lan")
	setSysctls(t, h, "wan", "lan")
	for _, w := range wishes([]string{"wan", "lan"}, false) {
		if value, err := h.sysctls.read(w.path); err != nil || value != w.value {
			t.Errorf("%s is %s (%v), want %s", w.path, value, err, w.value)
		}
	}
	if again := setSysctls(t, h, "wan", "lan"); len(again.Changes) > 0 {
		t.Error("a second call changed", again.Changes)
	}
	setSysctls(t, h, "wan") // lan is a leg no longer
	after := values(t, h, "wan", "lan")
	for path, value := range values(t, h, "lan") {
		if value != before[path] && !strings.Contains(path, "/all/") {
			t.Errorf("%s of what is no leg any more is %s, was %s", path, value, before[path])
		}
	}
	if cmp.Equal(before, after) {
		t.Error("wan's were put back too")
	}
	undone, err := h.Undo()
	if err != nil || len(undone.Sysctls) == 0 {
		t.Errorf("undone: %v (%v)", undone, err)
	}
	if diff := cmp.Diff(before, values(t, h, "wan", "lan")); diff != "" {
		t.Error("after Undo:", diff)
	}
}

// On a one-armed router the kernel takes `all` or the leg's.
func TestRedirectsOfAOneArmedRouter(t *testing.T) {
	h, _ := openTest(t, pair)
	if _, err := h.SetSysctls([]string{"wan"}, true); err != nil {
		t.Fatal(err)
	}
	const all = "net/ipv4/conf/all/send_redirects"
	if value, _ := h.sysctls.read(all); value != "0" {
		t.Errorf("%s is %s", all, value)
	}
	setSysctls(t, h, "wan")
	if value, _ := h.sysctls.read(all); value != "1" {
		t.Errorf("%s is %s and was 1", all, value)
	}
}

func TestSysctlsThatOthersChange(t *testing.T) {
	const arp = "net/ipv4/conf/wan/arp_announce"
	t.Run("back, and we again", func(t *testing.T) {
		h, _ := openTest(t, pair+"sysctl -qw net.ipv4.conf.wan.arp_announce=1")
		setSysctls(t, h, "wan")
		run(t, "sysctl -qw net.ipv4.conf.wan.arp_announce=0")
		if diff := cmp.Diff([]SysctlChange{{"net.ipv4.conf.wan.arp_announce", "0", "2"}}, setSysctls(t, h, "wan").Changes); diff != "" {
			t.Error("repaired:", diff)
		}
		if _, err := h.Undo(); err != nil {
			t.Fatal(err)
		}
		if value, _ := h.sysctls.read(arp); value != "1" {
			t.Errorf("after Undo it is %s, and was 1 before us", value)
		}
	})
	t.Run("to a value of theirs, and we go", func(t *testing.T) {
		h, _ := openTest(t, pair)
		setSysctls(t, h, "wan")
		run(t, "sysctl -qw net.ipv4.conf.wan.arp_announce=1")
		undone, err := h.Undo()
		if err != nil {
			t.Fatal(err)
		}
		if value, _ := h.sysctls.read(arp); value != "1" {
			t.Errorf("it is %s, and somebody had set 1", value)
		}
		if notes := strings.Join(undone.Notes, "\n"); !strings.Contains(notes, "arp_announce is 1, which is not ours (we set 2)") {
			t.Errorf("the notes are %q", notes)
		}
	})
	t.Run("with the interface", func(t *testing.T) {
		h, _ := openTest(t, pair)
		setSysctls(t, h, "wan")
		run(t, "ip link del wan")
		run(t, "ip link add wan type veth peer name lan")
		run(t, "sysctl -qw net.ipv4.conf.wan.arp_announce=2")
		if _, err := h.Undo(); err != nil {
			t.Fatal(err)
		}
		if value, _ := h.sysctls.read(arp); value != "2" {
			t.Errorf("it is %s on another interface of the name", value)
		}
	})
}

func TestSysctlsAreRecordedFirst(t *testing.T) {
	h, dir := openTest(t, pair)
	before := values(t, h, "wan")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := h.SetSysctls([]string{"wan"}, true); err == nil {
		t.Error("set without a record")
	}
	if diff := cmp.Diff(before, values(t, h, "wan")); diff != "" {
		t.Error(diff)
	}
}

func TestSysctlsWithoutIPv6(t *testing.T) {
	h, _ := openTest(t, pair+"ip link set wan mtu 1200") // below what IPv6 needs
	done := setSysctls(t, h, "wan")
	if len(done.Notes) != 1 || !strings.Contains(done.Notes[0], "IPv6 is off on wan") {
		t.Errorf("the notes are %q", done.Notes)
	}
	if value, _ := h.sysctls.read("net/ipv4/conf/wan/forwarding"); value != "1" {
		t.Error("IPv4 forwarding is off")
	}
}

func TestSysctlsOfNothing(t *testing.T) {
	h, _ := openTest(t, pair)
	if done := setSysctls(t, h, "nowhere"); len(done.Changes)+len(h.Made().Sysctls()) != 0 {
		t.Errorf("done: %v", done)
	}
}

// A default route that was learned from a router advertisement survives forwarding
// and the end of it, on a leg and elsewhere.
func TestLearnedDefaultRoute(t *testing.T) {
	const acceptRA = "net/ipv6/conf/wan/accept_ra"
	for _, test := range []struct{ leg, acceptRA string }{
		{"wan", "2"}, // else it would not be learned again
		{"lan", "1"},
	} {
		t.Run("forwarding of "+test.leg, func(t *testing.T) {
			h, _ := openTest(t, `
				ip link add wan type veth peer name lan
				sysctl -qw net.ipv6.conf.wan.accept_dad=0 net.ipv6.conf.lan.accept_dad=0 net.ipv6.conf.wan.accept_ra_from_local=1
				ip link set wan up
				ip link set lan up
			`)
			before := values(t, h, "wan", "lan")
			learnDefaultRoute(t)
			learned := func(when string) {
				t.Helper()
				if shown := run(t, "ip -6 route show default"); !strings.Contains(shown, "dev wan proto ra") {
					t.Errorf("%s the default route is %q", when, shown)
				}
			}
			done := setSysctls(t, h, test.leg)
			learned("with forwarding on")
			if notes := strings.Join(done.Notes, "\n"); !strings.Contains(notes, "wan: its IPv6 default route was learned") {
				t.Errorf("the notes are %q", notes)
			}
			setSysctls(t, h, test.leg)
			if value, _ := h.sysctls.read(acceptRA); value != test.acceptRA {
				t.Errorf("accept_ra is %s, want %s", value, test.acceptRA)
			}
			undone, err := h.Undo()
			if err != nil {
				t.Fatal(err)
			}
			learned("after Undo")
			if diff := cmp.Diff(before, values(t, h, "wan", "lan")); diff != "" {
				t.Error("after Undo:", diff)
			}
			last := undone.Sysctls[len(undone.Sysctls)-1].Name
			if test.leg == "wan" && last != dotted(acceptRA) {
				t.Errorf("the last to be put back is %s: the route was lost before", last)
			}
		})
	}
}

// learnDefaultRoute has lan advertise until wan has a default route.
func learnDefaultRoute(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !strings.Contains(run(t, "ip -6 route show default"), "proto ra") {
		if time.Now().After(deadline) {
			t.Fatal("no default route is learned")
		}
		advertise(t, "lan")
	}
}

func TestInterfacesWithLearnedDefault(t *testing.T) {
	root := t.TempDir()
	s := sysctls{root: root, ipv6Routes: filepath.Join(root, "ipv6_route")}
	line := func(destination, bits string, flags int, device string) string {
		return fmt.Sprintf("%s %s %032d 00 fe800000000000000000000000000001 00000400 00000001 00000000 %08x %8s\n", destination, bits, 0, flags, device)
	}
	any, some := strings.Repeat("0", 32), "20010db8000000000000000000000000"
	text := line(any, "00", rtfDefault|rtfAddrconf|3, "dmz") + line(any, "00", rtfDefault|3, "dmz") +
		line(any, "00", 3, "static") + line(any, "08", rtfAddrconf|1, "eight") + line(some, "40", rtfAddrconf|1, "prefix") + line(any, "00", rtfAddrconf|3, "other") + "half a line\n"
	if err := os.WriteFile(s.ipv6Routes, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	names, err := s.interfacesWithLearnedDefault()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"dmz", "other"}, names); diff != "" {
		t.Error(diff)
	}
	s.ipv6Routes = filepath.Join(root, "none")
	if names, err := s.interfacesWithLearnedDefault(); err != nil || len(names) > 0 {
		t.Errorf("without IPv6: %v, %v", names, err)
	}
}

// advertise sends a router advertisement (RFC 4861, 4.2) out of an interface.
func advertise(t *testing.T, name string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.BindToDevice(fd, name); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255); err != nil {
		t.Fatal(err)
	}
	allNodes := unix.SockaddrInet6{Addr: [16]byte{0: 0xff, 1: 2, 15: 1}}
	message := []byte{134, 0, 0, 0, 64, 0, 1800 >> 8, 1800 & 0xff, 0, 0, 0, 0, 0, 0, 0, 0}
	// Until the interface has its link-local address there is none to send from.
	if err := unix.Sendto(fd, message, 0, &allNodes); err != nil && err != unix.EADDRNOTAVAIL && err != unix.ENETUNREACH {
		t.Fatalf("send a router advertisement: %v", err)
	}
}
