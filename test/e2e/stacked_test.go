package e2e

import (
	"regexp"
	"strings"
	"testing"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// A bond is a leg. Its driver runs XDP for its ports, which are no legs: what leaves
// goes at XDP, what comes in is balanced at TC, and status says so.
func TestBond(t *testing.T) {
	l := bareLab(t, lab.Options{})
	if out, err := l.Run("router", "ip", "link", "add", "bond0", "type", "bond", "mode", "active-backup"); err != nil {
		t.Skipf("this kernel has no bonds: %s", out)
	}
	runs(t, l, "router", `ip link set wan down
		ip link set wan name port0
		ip link set bond0 name wan
		ip addr flush dev port0
		ip link set port0 master wan
		ip link set wan up
		ip addr add 192.0.2.1/24 dev wan
		ip addr add 2001:db8:1::1/64 dev wan`)
	startWeb(t, l)
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	service(t, l, vip4())
	contains(t, lbctl(t, l, "status"), "wan wan outside native a bond: what comes in by its ports goes by TC")
	got := words(lbctl(t, l, "stats"))
	if !regexp.MustCompile(`forward_in 0 [1-9]\d* forward_out [1-9]\d* 0 `).MatchString(got) { // XDP, then TC
		t.Error(got)
	}
}

// A VLAN is a leg: the tag is its parent's, so it runs at TC, both ways.
func TestVLAN(t *testing.T) {
	l := bareLab(t, lab.Options{})
	if out, err := l.Run("router", "ip", "link", "add", "link", "wan", "name", "vlan7", "type", "vlan", "id", "7"); err != nil {
		t.Skipf("this kernel has no VLANs: %s", out)
	}
	runs(t, l, "router", `ip addr flush dev wan
		ip link set wan down
		ip link set wan name port0
		ip link set vlan7 name wan
		ip link set port0 up
		ip link set wan up
		ip addr add 192.0.2.1/24 dev wan
		ip addr add 2001:db8:1::1/64 dev wan`)
	runs(t, l, "client", `ip addr flush dev eth0
		ip link add link eth0 name vlan7 type vlan id 7
		ip link set vlan7 up
		ip addr add `+lab.Client4+`/24 dev vlan7
		ip addr add `+lab.Client6+`/64 dev vlan7`)
	startWeb(t, l)
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	for _, vip := range []string{vip4(), vip6()} {
		service(t, l, vip)
	}
	contains(t, lbctl(t, l, "status"), "wan wan outside tc a VLAN: the driver's frames are its parent's")
	got := words(lbctl(t, l, "stats"))
	if !regexp.MustCompile(`forward_in 0 [1-9]\d* forward_out 0 [1-9]\d* `).MatchString(got) {
		t.Error(got)
	}
}

// runs has a namespace run commands, a line each.
func runs(t *testing.T, l *lab.Lab, who, commands string) {
	t.Helper()
	for line := range strings.Lines(commands) {
		if out, err := l.Run(who, strings.Fields(line)...); err != nil {
			t.Fatalf("%s: %v: %s", line, err, out)
		}
	}
}
