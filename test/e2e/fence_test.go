package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// ruledPair starts a pair with more lines in its file's pair section.
func ruledPair(t *testing.T, l *lab.Lab, rules string) {
	t.Helper()
	for _, r := range l.Routers() {
		file, err := os.OpenFile(r.Config(), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteString(rules); err != nil {
			t.Fatal(err)
		}
		file.Close()
	}
	for _, r := range l.Routers() {
		if err := r.StartDaemon(); err != nil {
			t.Fatal(err)
		}
	}
}

// hasAddresses says whether the reals' gateway is on the router.
func hasAddresses(l *lab.Lab, r *lab.Router) bool {
	out, _ := l.Run(r.Host, "ip", "addr", "show", "dev", "lan")
	return strings.Contains(out, "inet 10.0.0.254/")
}

// awaitRoles waits until one of the routers is active, and both are connected.
func awaitRoles(t *testing.T, l *lab.Lab) (active, standby *lab.Router) {
	t.Helper()
	err := lab.Wait(60*time.Second, func() error {
		first, second := hasAddresses(l, l.Router), hasAddresses(l, l.Other)
		active, standby = l.Router, l.Other
		if second {
			active, standby = standby, active
		}
		if first == second {
			return fmt.Errorf("active: %t and %t", first, second)
		}
		for _, r := range l.Routers() {
			events, err := r.Lbctl("events")
			if err != nil {
				return fmt.Errorf("%w: %s", err, events)
			}
			if strings.LastIndex(events, " connected to lb") <= strings.LastIndex(events, "not connected to lb") {
				return fmt.Errorf("%s is not connected", r.Host)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return active, standby
}

// A fence agent as those of the fence-agents are: options on its stdin, and the router
// that they name is off when it exits 0.
const agent = `#!/bin/sh
while IFS== read -r key value; do
	case $key in plug) plug=$value ;; action) action=$value ;; esac
done
echo "$action $plug" >> DIR/shots
sleep 0.2
for leg in wan lan hb; do
	nsenter --net=/run/netns/SWITCH ip link set $plug$leg nomaster || exit 1
done
kill -9 $(cat DIR/$plug.pid)
`

// fencedPair starts a pair whose routers fence each other by the agent.
func fencedPair(t *testing.T) *lab.Lab {
	t.Helper()
	l := bareLab(t, lab.Options{Pair: true})
	path := write(t, l, "fence_lab", strings.NewReplacer("DIR", l.Dir, "SWITCH", l.NS("switch")).Replace(agent), 0o755)
	one, two := write(t, l, "fence.lb1", "# its board\nplug=lb1\n", 0o600), write(t, l, "fence.lb2", "plug=lb2\n", 0o600)
	ruledPair(t, l, fmt.Sprintf("  fence: {agent: %s, options: {lb1: %s, lb2: %s}, delay: 1s}\n", path, one, two))
	return l
}

// write makes a file of the lab.
func write(t *testing.T, l *lab.Lab, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(l.Dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// targets has the agent know the daemons that run.
func targets(t *testing.T, l *lab.Lab) {
	t.Helper()
	for _, r := range l.Routers() {
		write(t, l, r.Host+".pid", fmt.Sprint(r.DaemonPID()), 0o644)
	}
}

// When all heartbeats are cut, exactly one router is shot, and the other one serves.
// FULL=1: ten times.
func TestFence(t *testing.T) {
	l := fencedPair(t)
	if err := l.StartNginx(1); err != nil {
		t.Fatal(err)
	}
	awaitRoles(t, l)
	lbctl(t, l, "add-vip", vip4(), "--real", l.Real4(1))

	rounds := 2
	if os.Getenv("FULL") != "" {
		rounds = 10
	}
	var want []string
	for range rounds {
		active, standby := awaitRoles(t, l)
		targets(t, l)
		for _, r := range l.Routers() {
			if err := r.WaitUp(vip4()+"/tcp", 1); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		for _, leg := range []string{"hb", "lan"} {
			if err := active.Unplug(leg); err != nil {
				t.Fatal(err)
			}
		}
		err := lab.Wait(20*time.Second, func() error {
			_, err := get(l, vip4())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s shot %s: served again after %s", standby.Host, active.Host, time.Since(began).Round(time.Millisecond))
		want = append(want, "off "+active.Host)
		if events := lbctlOf(t, standby, "events"); !strings.Contains(events, "active: nobody is heard; the peer was fenced in ") {
			t.Errorf("no event says so:\n%s", events)
		}
		if err := active.PowerOn(); err != nil {
			t.Fatal(err)
		}
	}
	awaitRoles(t, l)
	shots, err := os.ReadFile(filepath.Join(l.Dir, "shots"))
	if got := strings.Split(strings.TrimSpace(string(shots)), "\n"); err != nil || !slices.Equal(got, want) {
		t.Errorf("shots %q, want %q (%v)", got, want, err)
	}

	// A boot without the peer shoots nobody: it was not heard since.
	active, standby := awaitRoles(t, l)
	for _, r := range []*lab.Router{standby, active} {
		if err := r.PowerOff(); err != nil {
			t.Fatal(err)
		}
	}
	if err := standby.PowerOn(); err != nil {
		t.Fatal(err)
	}
	err = lab.Wait(20*time.Second, func() error {
		if !hasAddresses(l, standby) {
			return fmt.Errorf("%s does not take over", standby.Host)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if after, _ := os.ReadFile(filepath.Join(l.Dir, "shots")); string(after) != string(shots) {
		t.Errorf("it shot the peer: %s", after[len(shots):])
	}
}

// A standby whose own cables are pulled does not shoot the router that serves.
func TestFenceOfTheIsolated(t *testing.T) {
	l := fencedPair(t)
	if err := l.StartNginx(1); err != nil {
		t.Fatal(err)
	}
	awaitRoles(t, l)
	lbctl(t, l, "add-vip", vip4(), "--real", l.Real4(1))
	active, standby := awaitRoles(t, l)
	awaitPair(t, active, standby)
	targets(t, l)
	for _, leg := range []string{"wan", "lan", "hb"} {
		if err := standby.LinkDown(leg); err != nil {
			t.Fatal(err)
		}
	}
	settles(t, "it would fence, and does not", func() error {
		if _, err := get(l, vip4()); err != nil {
			t.Fatal("while its peer is cut off: ", err)
		}
		if events := lbctlOf(t, standby, "events"); !strings.Contains(events, "the peer is not fenced: its silence may be due to this router's fault: leg ") {
			return fmt.Errorf("it does not say so:\n%s", events)
		}
		return nil
	})
	for _, leg := range []string{"wan", "lan", "hb"} {
		if err := standby.LinkUp(leg); err != nil {
			t.Fatal(err)
		}
	}
	awaitPair(t, active, standby)
	if shots, err := os.ReadFile(filepath.Join(l.Dir, "shots")); err == nil {
		t.Errorf("shots: %s", shots)
	}
	if events := lbctlOf(t, standby, "events"); strings.Contains(events, "this router has the addresses") {
		t.Errorf("it was active meanwhile:\n%s", events)
	}
}

// The router that is cut off is turned off by one of Debian's agents.
func TestFenceDummy(t *testing.T) {
	l := bareLab(t, lab.Options{Pair: true})
	power := func(r *lab.Router) string {
		text, _ := os.ReadFile(filepath.Join(l.Dir, "power."+r.Host))
		return string(text)
	}
	var options []string
	for _, r := range l.Routers() {
		status := write(t, l, "power."+r.Host, "on", 0o600)
		options = append(options, r.Host+": "+write(t, l, "fence."+r.Host, "type=file\nstatus_file="+status+"\n", 0o600))
	}
	ruledPair(t, l, "  fence: {agent: fence_dummy, options: {"+strings.Join(options, ", ")+"}}\n")
	active, standby := awaitRoles(t, l)
	awaitPair(t, active, standby)
	if err := active.PowerOff(); err != nil {
		t.Fatal(err)
	}
	settles(t, standby.Host+" takes over", func() error {
		if !hasAddresses(l, standby) {
			return errors.New(lbctlOf(t, standby, "events"))
		}
		return nil
	})
	contains(t, lbctlOf(t, standby, "events"), "active: nobody is heard; the peer was fenced in ")
	if power(active) != "off" || power(standby) != "on" {
		t.Errorf("%s is %q, %s is %q", active.Host, power(active), standby.Host, power(standby))
	}
}

func lbctlOf(t *testing.T, r *lab.Router, args ...string) string {
	t.Helper()
	out, err := r.MustLbctl(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
