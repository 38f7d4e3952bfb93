package loader

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// testDevice makes a veth in a namespace of the test's own, and returns its index.
func testDevice(t *testing.T) int {
	t.Helper()
	runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
	own, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { own.Close() })
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "leg"}, PeerName: "peer"}); err != nil {
		t.Fatal(err)
	}
	device, err := netlink.LinkByName("leg")
	if err != nil {
		t.Fatal(err)
	}
	return device.Attrs().Index
}

// What an attempt made by the way of kernels below 6.6 goes with it; a clsact that
// was there, and a filter of an earlier daemon, stay.
func TestUndoFilter(t *testing.T) {
	l := openTest(t, testBPFFS(t), 1000)
	for _, test := range []struct {
		name   string
		before func(*leg) error
		stays  []string
	}{
		{"bare", func(*leg) error { return nil }, nil},
		{"another's clsact", func(*leg) error {
			return exec.Command("tc", "qdisc", "add", "dev", "leg", "clsact").Run()
		}, []string{"clsact"}},
		{"an earlier daemon's filter", func(leg *leg) error {
			return replaceFilter(leg, l.programs.tc)
		}, []string{"clsact", filterName}},
	} {
		t.Run(test.name, func(t *testing.T) {
			attempt := Attachment{Leg: Leg{Ifindex: testDevice(t)}}
			if err := test.before(&leg{Attachment: attempt}); err != nil {
				t.Fatal(err)
			}
			now := &leg{Attachment: attempt}
			if err := replaceFilter(now, l.programs.tc); err != nil {
				t.Fatal(err)
			}
			if err := now.undo(); err != nil {
				t.Fatal(err)
			}
			qdiscs, _ := exec.Command("tc", "qdisc", "show", "dev", "leg").CombinedOutput()
			filters, _ := exec.Command("tc", "filter", "show", "dev", "leg", "ingress").CombinedOutput()
			shown := string(qdiscs) + string(filters)
			for _, mark := range []string{"clsact", filterName} {
				want := strings.Contains(strings.Join(test.stays, " "), mark)
				if strings.Contains(shown, mark) != want {
					t.Errorf("%s stays: %v, want %v:\n%s", mark, !want, want, shown)
				}
			}
		})
	}
}
