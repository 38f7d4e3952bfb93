package loader

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
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

// filters attaches the TC programs by the way of kernels below 6.6.
func (l *Loader) filters(leg *leg) error {
	return errors.Join(l.replaceFilter(leg, comesIn, l.programs.tc), l.replaceFilter(leg, leaves, l.programs.lease))
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
		{"an earlier daemon's filters", l.filters, []string{"clsact", "ingress", "egress"}},
		{"an earlier daemon's filter, without a lease", func(leg *leg) error {
			return l.replaceFilter(leg, comesIn, l.programs.tc)
		}, []string{"clsact", "ingress"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			attempt := Attachment{Leg: Leg{Ifindex: testDevice(t)}}
			if err := test.before(&leg{Attachment: attempt}); err != nil {
				t.Fatal(err)
			}
			now := &leg{Attachment: attempt}
			if err := l.filters(now); err != nil {
				t.Fatal(err)
			}
			if err := now.undo(); err != nil {
				t.Fatal(err)
			}
			qdiscs, _ := exec.Command("tc", "qdisc", "show", "dev", "leg").CombinedOutput()
			shown := map[string]bool{"clsact": strings.Contains(string(qdiscs), "clsact")}
			for _, way := range []string{"ingress", "egress"} {
				filters, _ := exec.Command("tc", "filter", "show", "dev", "leg", way).CombinedOutput()
				shown[way] = strings.Contains(string(filters), filterName)
			}
			for mark, stays := range shown {
				if want := slices.Contains(test.stays, mark); stays != want {
					t.Errorf("%s stays: %v, want %v", mark, stays, want)
				}
			}
		})
	}
}

// An uninstall removes a clsact that we made, unless others use it by then.
func TestRemoveFilters(t *testing.T) {
	bpffs := testBPFFS(t)
	l := openTest(t, bpffs, 1000)
	tc := func(args ...string) string {
		out, err := exec.Command("tc", args...).CombinedOutput()
		return string(out) + fmt.Sprint(err)
	}
	theirs := func(parent uint32) func(int) error {
		return func(ifindex int) error {
			f := filter(ifindex, tcHook{parent: parent}, l.programs.tc)
			f.Priority, f.Name = 1, "theirs"
			return netlink.FilterAdd(f)
		}
	}
	nothing := func(int) error { return nil }
	for _, test := range []struct {
		name          string
		before, after func(ifindex int) error
		stays         bool
	}{
		{"ours", nothing, nothing, false},
		{"another's clsact", func(ifindex int) error { return netlink.QdiscAdd(clsact(ifindex)) }, nothing, true},
		{"another's ingress filter", nothing, theirs(netlink.HANDLE_MIN_INGRESS), true},
		{"another's egress filter", nothing, theirs(netlink.HANDLE_MIN_EGRESS), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			device := testDevice(t)
			t.Cleanup(func() { _ = os.Remove(l.pins.clsact(device)) }) // namespaces number alike
			ours := func(ifindex int) error {
				return l.filters(&leg{Attachment: Attachment{Leg: Leg{Ifindex: ifindex}}})
			}
			for _, do := range []func(int) error{test.before, ours, ours, test.after} { // two lives of a daemon
				if err := do(device); err != nil {
					t.Fatal(err)
				}
			}
			removed, err := (&Remains{path: pinDirectory(bpffs)}).removeFilters()
			if err != nil || len(removed) != 1 {
				t.Errorf("removed %v, %v", removed, err)
			}
			for _, way := range []string{"ingress", "egress"} {
				if shown := tc("filter", "show", "dev", "leg", way); strings.Contains(shown, fmt.Sprint("pref ", filterPriority)) {
					t.Errorf("ours is there:\n%s", shown)
				}
			}
			if shown := tc("qdisc", "show", "dev", "leg"); strings.Contains(shown, "clsact") != test.stays {
				t.Errorf("clsact stays: %v, want %v", !test.stays, test.stays)
			}
			if _, err := os.Stat(l.pins.clsact(device)); err == nil {
				t.Error("its mark is there")
			}
		})
	}
}
