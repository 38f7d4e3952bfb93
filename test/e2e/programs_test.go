package e2e

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// A service that runs where its file is, and says whether the addresses were there.
const ftpService = `#!/bin/sh
cd DIR
case $(ip -4 -o addr show dev hb) in *172.31.0.1/*) me=lb1 ;; *) me=lb2 ;; esac
here=without; ip addr show dev lan | grep -q 'inet 10.0.0.254/' && here=with
case $1 in
start) echo "$me starts $here" >> ftp.log; touch ftp.$me ;;
stop) echo "$me stops $here" >> ftp.log; rm ftp.$me ;;
status) test -e ftp.$me ;;
esac
`

// lb2's hooks hang, lb1's take their time.
const hook = `#!/bin/sh
[ $TARPON_ROUTER = lb2 ] || sleep 1
echo "$TARPON_EVENT $TARPON_ROUTER $TARPON_REASON, $1" >> DIR/hooks
[ $TARPON_ROUTER = lb1 ] || sleep 1000
`

// Services go where the router is active, and hooks are told of it, whatever they do.
func TestServicesAndHooks(t *testing.T) {
	l := bareLab(t, lab.Options{Pair: true})
	file := func(name string) string { return filepath.Join(l.Dir, name) }
	for name, text := range map[string]string{"ftp": ftpService, "notify": hook, "ftp.lb2": ""} {
		if err := os.WriteFile(file(name), []byte(strings.ReplaceAll(text, "DIR", l.Dir)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	runs := func(r *lab.Router) bool { _, err := os.Stat(file("ftp." + r.Host)); return err == nil }
	only := func(on, off *lab.Router) {
		t.Helper()
		err := lab.Wait(20*time.Second, func() error {
			if !hasAddresses(l, on) || hasAddresses(l, off) || !runs(on) || runs(off) {
				return fmt.Errorf("%s: addresses %t, service %t; %s: %t, %t", on.Host, hasAddresses(l, on), runs(on), off.Host, hasAddresses(l, off), runs(off))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	lines := func(name string) []string {
		data, _ := os.ReadFile(file(name))
		return strings.Split(strings.TrimSpace(string(data)), "\n")
	}
	ruledPair(t, l, fmt.Sprintf(`  hooks:
    - {on: [active, standby, fault], run: [%[2]s, pair], timeout: 5m}
  services:
    - {name: ftp, start: [%[1]s, start], stop: [%[1]s, stop], status: [%[1]s, status], interval: 200ms, restarts: 0, critical: true}
`, file("ftp"), file("notify")))
	only(l.Router, l.Other)
	service := func(r *lab.Router, want string) {
		t.Helper()
		err := lab.Wait(10*time.Second, func() error {
			p, err := r.PairStatus()
			if err != nil || len(p.Services) != 1 {
				return fmt.Errorf("%s has the services %+v (%w)", r.Host, p.Services, err)
			}
			if s := p.Services[0]; s.Name != "ftp" || s.State != want || !s.Critical || (s.Failures > 0) != (want == "failed") {
				return fmt.Errorf("on %s it is %+v, want %s", r.Host, s, want)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	service(l.Router, "running")
	service(l.Other, "stopped")

	// A planned switchover: lb1 ends.
	inSync(t, l)
	if err := l.KillDaemon(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	only(l.Other, l.Router)

	// A restart of the active daemon leaves the service alone. Nobody takes over: lb1 is
	// not heard for long enough, so the lease is open.
	err := lab.Wait(10*time.Second, func() error {
		out, err := exec.Command("bpftool", "map", "dump", "pinned", filepath.Join(l.Other.Dir, "bpf/tarpon/v1/maps/lease")).CombinedOutput()
		if err != nil || !strings.Contains(string(out), fmt.Sprint(math.MaxInt64)) && !strings.Contains(string(out), "ff ff ff ff ff ff ff 7f") {
			return fmt.Errorf("lb2's lease is not open: %s (%w)", out, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	lbctlOf(t, l.Other, "restart")
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	inSync(t, l)
	only(l.Other, l.Router)

	// It fails: a fault, and the other router takes over.
	if err := os.Remove(file("ftp.lb2")); err != nil {
		t.Fatal(err)
	}
	only(l.Router, l.Other)
	if p := pairOf(t, l.Other); len(p.Services) != 1 || p.Services[0].Failures != 1 || !strings.Contains(p.Services[0].Error, "it does not run") {
		t.Errorf("lb2 has the services %+v", p.Services)
	}
	if events := lbctlOf(t, l.Other, "events"); !strings.Contains(events, "fault: service ftp has failed: it does not run") {
		t.Errorf("no event says so:\n%s", events)
	}
	want := []string{"lb2 stops without", "lb1 starts with", "lb1 stops with", "lb2 starts with", "lb1 starts with"}
	got := slices.DeleteFunc(lines("ftp.log"), func(line string) bool { return line == "lb2 stops with" }) // what had failed
	slices.Sort(want[:2])                                                                                  // of two routers
	slices.Sort(got[:2])
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	var told []string
	for _, line := range lines("hooks") {
		told = append(told, strings.Join(strings.Fields(line)[:2], " "))
		if fields := strings.Fields(line); len(fields) < 4 || fields[len(fields)-1] != "pair" {
			t.Errorf("a hook was told %q", line)
		}
	}
	for _, want := range []string{"active lb1", "standby lb1", "active lb2"} {
		if !slices.Contains(told, want) {
			t.Errorf("no hook was told %q: %q", want, told)
		}
	}
	if events := lbctlOf(t, l.Other, "events"); strings.Contains(events, "a hook failed") {
		t.Errorf("lb2's hook did not hang to the end:\n%s", events)
	}
}
