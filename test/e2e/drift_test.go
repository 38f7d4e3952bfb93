package e2e

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/test/lab"
)

// What somebody else changes in the kernel is put back, named, and traffic goes on.
func TestDrift(t *testing.T) {
	l := newLab(t, lab.Options{})
	for _, vip := range []string{vip4(), vip6()} {
		service(t, l, vip)
	}
	events := followEvents(t, l)
	pinned := filepath.Join(l.Dir, "bpf/tarpon/v1")
	bpftool := func(args ...string) {
		t.Helper()
		if out, err := l.Run("router", append([]string{"bpftool"}, args...)...); err != nil {
			t.Fatalf("bpftool %v: %v: %s", args, err, out)
		}
	}
	change := func(verb, name, rest string) {
		t.Helper()
		bpftool(append([]string{"map", verb, "pinned", filepath.Join(pinned, "maps", name)}, strings.Fields(rest)...)...)
	}
	goesOn := func() {
		t.Helper()
		for _, vip := range []string{vip4(), vip6()} {
			if count := spread(t, l, vip, 12); len(count) < 2 {
				t.Errorf("%s: answers by %v", vip, count)
			}
		}
	}

	change("delete", "names4", "key 192 0 2 100 0 80 6 0")
	awaitRepairs(t, events, "name "+vip4()+"/tcp")
	goesOn()

	change("delete", "reals4", "key 10 0 0 11 0 80 6 0")
	change("update", "addresses4", "key 192 0 2 100 value 0 0 0 0")
	change("update", "addresses4", "key 192 0 2 200 value 1 0 0 0")
	change("update", "vips", "key 1 0 0 0 value "+strings.Repeat("0 ", 64))
	change("update", "backends", "key 1 0 0 0 value "+strings.Repeat("0 ", 64))
	change("update", "backends", "key 2 0 0 0 value 10 0 0 99 "+strings.Repeat("0 ", 32)+"0 80 0 80 1 0 6 0"+strings.Repeat(" 0", 20))
	change("update", "schedules", "key 0 0 0 0 value "+strings.Repeat("0 ", 64))
	awaitRepairs(t, events, "real "+l.Real4(1)+":80/tcp", "address 192.0.2.100", "address 192.0.2.200: gone",
		"vip 1", "backend 1", "backend 2", "schedule of vip 1")
	goesOn()

	wan, lan := ifindex(t, l, "wan"), ifindex(t, l, "lan")
	bpftool("link", "detach", "pinned", filepath.Join(pinned, "links", "xdp-"+wan))
	bpftool("link", "detach", "pinned", filepath.Join(pinned, "links", "tcx-"+lan))
	awaitRepairs(t, events, "leg wan: XDP program", "leg lan: TC program")
	goesOn()

	n, err := strconv.Atoi(wan)
	if err != nil || n > 255 {
		t.Fatalf("wan has index %s", wan)
	}
	change("delete", "leg_ids", "key "+wan+" 0 0 0 0 0 0 0")
	awaitRepairs(t, events, "leg wan: entry in leg_ids")
	goesOn()
	s, err := l.Status()
	if err != nil {
		t.Fatal(err)
	}
	for _, leg := range s.Legs {
		if leg.Mode != "native" {
			t.Errorf("leg %s runs in mode %s: %s", leg.Name, leg.Mode, leg.Reason)
		}
	}
}

// awaitRepairs waits until all these are named.
func awaitRepairs(t *testing.T, events <-chan api.Event, what ...string) {
	t.Helper()
	told, limit := "", time.After(30*time.Second)
	for {
		missing := ""
		for _, one := range what {
			if !strings.Contains(told, one) {
				missing = one
			}
		}
		if missing == "" {
			return
		}
		select {
		case e := <-events:
			if e.Kind == "repaired" {
				told += e.Fields["what"] + "\n"
			}
		case <-limit:
			t.Fatalf("the repair of %q is not told; told was:\n%s", missing, told)
		}
	}
}

// ifindex is that of one of the router's interfaces.
func ifindex(t *testing.T, l *lab.Lab, name string) string {
	t.Helper()
	out, err := l.Run("router", "ip", "-o", "link", "show", name)
	index, _, ok := strings.Cut(out, ":")
	if err != nil || !ok {
		t.Fatalf("%v: %s", err, out)
	}
	return index
}
