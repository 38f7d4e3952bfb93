package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/test/lab"
)

// pairOf is what `lbctl pair status` of a router says.
func pairOf(t *testing.T, r *lab.Router) (p api.Pair) {
	t.Helper()
	out, err := r.Lbctl("pair", "status", "-o", "json")
	if e := json.Unmarshal([]byte(out), &p); e != nil {
		t.Fatal(err, out)
	}
	if (err == nil) != (len(p.Problems) == 0) {
		t.Errorf("pair status ends with %v: %s", err, out)
	}
	return p
}

// awaitPair waits until all is well on both routers, and the first one is active.
func awaitPair(t *testing.T, active, standby *lab.Router) {
	t.Helper()
	err := lab.Wait(30*time.Second, func() error {
		for r, role := range map[*lab.Router]string{active: "active", standby: "standby"} {
			if p := pairOf(t, r); p.Own.Role != role || len(p.Problems) > 0 || !p.InSync.Yes {
				return fmt.Errorf("%s is %s, want %s; %q", r.Host, p.Own.Role, role, p.Problems)
			}
		}
		return nil
	})
	if err != nil {
		out, _ := active.Lbctl("pair", "status")
		t.Fatal(err, "\n", out)
	}
}

// switchOver hands the service over. A router whose processor is somebody else's for a
// second has not answered in time: it is asked again.
func switchOver(t *testing.T, from, to *lab.Router, flags ...string) {
	t.Helper()
	settles(t, from.Host+" hands over to "+to.Host, func() error {
		out, err := from.Lbctl(append([]string{"switchover"}, flags...)...)
		late := strings.Contains(words(out), "does not answer") || strings.Contains(words(out), "did not follow within")
		switch {
		case err == nil && strings.Contains(words(out), to.Host+" is active"):
			return nil
		case err == nil || !late:
			t.Fatalf("%v: %s", err, out)
		}
		return errors.New(out)
	})
}

// says runs a command that is to succeed, or not, and say something.
func says(t *testing.T, r *lab.Router, good bool, want string, args ...string) {
	t.Helper()
	out, err := r.Lbctl(args...)
	if (err == nil) != good || !strings.Contains(words(out), words(want)) {
		t.Errorf("%s: lbctl %s: %v: %s\nwant %q", r.Host, strings.Join(args, " "), err, out, want)
	}
}

func TestPairCommands(t *testing.T) {
	l := newPair(t, lab.Options{})
	lb1, lb2 := l.Router, l.Other
	awaitPair(t, lb1, lb2)
	for _, r := range l.Routers() {
		out, err := r.MustLbctl("pair", "status")
		if err != nil {
			t.Error(err)
		}
		t.Log(out)
	}

	says(t, lb1, true, "lb2 is active; it took ", "switchover", "--why", "a test")
	awaitPair(t, lb2, lb1)
	says(t, lb1, true, "lb1 is active; it took ", "switchover") // from the one that is to have it
	awaitPair(t, lb1, lb2)
	if p := pairOf(t, lb1); p.Transition == nil || p.Transition.Role != "active" || !strings.Contains(p.Transition.Why, "switchover by 0") {
		t.Errorf("the last transition is %+v", p.Transition)
	}

	for _, r := range l.Routers() {
		if out, err := r.Lbctl("doctor"); strings.Contains(out, "pair:") || strings.Contains(out, " too") {
			t.Errorf("%s: doctor: %v: %s", r.Host, err, out)
		}
	}

	says(t, lb2, true, "the roles are held", "pair", "hold")
	says(t, lb2, true, "unchanged: the roles are held", "pair", "hold")
	err := lab.Wait(10*time.Second, func() error {
		if p := pairOf(t, lb1); p.Hold == nil || p.Lease != "open" {
			return fmt.Errorf("lb1 is held by %v, its lease is %s", p.Hold, p.Lease)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	says(t, lb1, false, "the roles are held", "switchover")
	switchOver(t, lb1, lb2, "--force")
	says(t, lb1, true, "the roles are not held", "pair", "release")
	awaitPair(t, lb2, lb1)
	out, err := lb2.MustLbctl("status")
	if err != nil || !strings.Contains(out, "lb2 of a pair, active") {
		t.Error(err, out)
	}
}

// A real that only one router's checks reach is named on both.
func TestPairHealthDiffers(t *testing.T) {
	l := newPair(t, lab.Options{})
	awaitPair(t, l.Router, l.Other)
	rules := "add table inet wall; add chain inet wall in {type filter hook input priority 0;}; add rule inet wall in ip saddr 10.0.0.2 tcp dport 80 drop"
	if out, err := l.Run("real2", "nft", rules); err != nil {
		t.Fatal(err, out)
	}
	want := api.HealthDifference{Vip: lab.Vip4(0) + ":80/tcp", Real: l.Real4(2) + ":80", Up: "lb1", Down: "lb2"}
	differ := func(want ...api.HealthDifference) {
		t.Helper()
		for _, r := range l.Routers() {
			err := lab.Wait(20*time.Second, func() error {
				p := pairOf(t, r)
				for i := range p.HealthDifferences {
					if p.HealthDifferences[i].Error == "" {
						return errors.New("it does not say why")
					}
					p.HealthDifferences[i].Error = ""
				}
				if !slices.Equal(p.HealthDifferences, want) || len(p.Problems) > 0 {
					return fmt.Errorf("%s: %+v, problems %q", r.Host, p.HealthDifferences, p.Problems)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
	differ(want)
	says(t, l.Router, true, "the routers' checks differ", "pair", "status")
	if out, err := l.Run("real2", "nft", "delete table inet wall"); err != nil {
		t.Fatal(err, out)
	}
	differ()
}

func served(l *lab.Lab) error {
	out, err := l.Run("client", "curl", "-sS", "-m", "5", fmt.Sprintf("http://%s/", lab.Vip4(0)))
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// The routers are cut from each other and changed both; an operator decides.
func TestPairConflict(t *testing.T) {
	l := newPair(t, lab.Options{})
	lb1, lb2 := l.Router, l.Other
	awaitPair(t, lb1, lb2)
	for _, leg := range pairHeartbeats {
		if err := lb2.Unplug(leg); err != nil {
			t.Fatal(err)
		}
	}
	settles(t, "the connection is seen to be gone", func() error {
		for _, r := range l.Routers() {
			if p := pairOf(t, r); p.Agreement.State != "apart" {
				return fmt.Errorf("%s is %s", r.Host, p.Agreement.State)
			}
		}
		return nil
	})
	says(t, lb1, false, "PROBLEM: no connection to lb2", "pair", "status")
	says(t, lb1, true, "pending for lb2", "add-vip", lab.Vip4(2)+":80", "--force-local")
	says(t, lb2, true, "pending for lb1", "add-vip", lab.Vip4(3)+":80", "--force-local")
	for _, leg := range pairHeartbeats {
		if err := lb2.Plug(leg); err != nil {
			t.Fatal(err)
		}
	}
	settles(t, "the conflict is seen", func() error {
		for _, r := range l.Routers() {
			if p := pairOf(t, r); p.Agreement.State != "conflict" || p.InSync.Yes || len(p.Problems) == 0 {
				return fmt.Errorf("%s is %s; %q", r.Host, p.Agreement.State, p.Problems)
			}
		}
		return nil
	})
	says(t, lb1, false, "PROBLEM: conflict: lb1 runs configuration ", "pair", "status")
	says(t, lb1, false, "PROBLEM: conflict: ", "status")
	says(t, lb2, true, "-  - vip: "+lab.Vip4(3), "pair", "diff")
	says(t, lb2, true, "+  - vip: "+lab.Vip4(2), "pair", "diff")
	says(t, lb1, false, "lbctl pair adopt", "add-vip", lab.Vip4(4)+":80")
	says(t, lb2, false, "there is no router \"lb3\"", "pair", "adopt", "lb3")
	says(t, lb2, true, "the configuration of lb1 runs on both routers", "pair", "adopt", "lb1")
	settles(t, "both have one", func() error {
		for _, r := range l.Routers() {
			if p := pairOf(t, r); p.Agreement.State != "same" || !p.InSync.Yes {
				return fmt.Errorf("%s is %s", r.Host, p.Agreement.State)
			}
		}
		return nil
	})
	says(t, lb2, true, lab.Vip4(2)+":80", "vips")
	says(t, lb2, true, "lb2", "history")
	says(t, lb2, false, "there is no conflict", "pair", "adopt", "lb1")
}

// Of a change that is to be confirmed, one confirmation counts on both routers.
func TestPairConfirm(t *testing.T) {
	l := newPair(t, lab.Options{})
	lb1, lb2 := l.Router, l.Other
	awaitPair(t, lb1, lb2)
	file := changedFile(t, lb1, "metrics: {listen: \"\"}", "metrics: {listen: \"\"} # again")
	says(t, lb1, true, "unless you confirm it", "apply", "-f", file, "--confirm", "1h")
	says(t, lb2, true, "confirmed on both routers", "confirm")
	for _, r := range l.Routers() {
		says(t, r, false, "no revision waits", "confirm")
	}
}

// changedFile is a router's configuration with another text in one place.
func changedFile(t *testing.T, r *lab.Router, old, new string) string {
	t.Helper()
	out, err := r.MustLbctl("export")
	if err != nil {
		t.Fatal(err)
	}
	if old != "" && !strings.Contains(out, old) {
		t.Fatalf("there is no %q in %s", old, out)
	}
	file := filepath.Join(t.TempDir(), "tarpon.yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(out, old, new, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// Routers leave the pair, come back, and make it anew.
func TestPairMembership(t *testing.T) {
	l := newPair(t, lab.Options{})
	lb1, lb2 := l.Router, l.Other
	awaitPair(t, lb1, lb2)

	says(t, lb2, true, "left the pair", "pair", "leave")
	says(t, lb2, true, "this router is alone", "pair", "status")
	says(t, lb2, false, "this router is alone", "switchover")
	if vips, err := lb2.Vips(); err != nil || len(vips) > 0 {
		t.Errorf("it has the vips %+v, %v", vips, err)
	}
	if err := served(l); err != nil {
		t.Error(err)
	}
	joins(t, lb2, lb1)
	awaitPair(t, lb1, lb2)

	says(t, lb1, true, "left the pair", "pair", "leave") // the active one
	settles(t, "the other one serves", func() error { return served(l) })
	says(t, lb1, true, "all is well", "status")
	joins(t, lb1, lb2)
	awaitPair(t, lb2, lb1)

	pins := regexp.MustCompile(`sha256:[0-9a-f]{64}`).FindAllString(read(t, lb1.Config()), 2)
	if err := lb2.PowerOff(); err != nil {
		t.Fatal(err)
	}
	settles(t, "the first one serves", func() error { return served(l) })
	settles(t, "it knows that it is alone", func() error {
		if p := pairOf(t, lb1); p.Agreement.State != "apart" {
			return fmt.Errorf("it is %s", p.Agreement.State)
		}
		return nil
	})
	says(t, lb1, false, "lb2 cannot be asked to take the service over", "pair", "leave")
	says(t, lb1, true, "left the pair", "pair", "leave", "--force")
	if err := served(l); err != nil {
		t.Error(err)
	}

	init := []string{"pair", "init", "--vrid", "77", "--leg", "hb=hb"}
	for n, pin := range pins {
		init = append(init, fmt.Sprintf("lb%d", n+1), fmt.Sprintf("wan=192.0.2.%d,2001:db8:1::%[1]d", n+1),
			fmt.Sprintf("lan=10.0.0.%d,2001:db8:2::%[1]d", n+1), fmt.Sprintf("hb=172.31.0.%d", n+1), "key="+pin)
	}
	wrong := append(append([]string{}, init...), "priority=150")
	says(t, lb1, false, "150 is the priority of both routers", wrong...)
	says(t, lb1, true, "now on the second router: lbctl pair join", init...)
	if err := served(l); err != nil {
		t.Error(err)
	}
	if err := lb2.PowerOn(); err != nil { // it had what the first one has made more of
		t.Fatal(err)
	}
	awaitPair(t, lb1, lb2)
}

// joins makes a router the second of another one's pair.
func joins(t *testing.T, r, first *lab.Router) {
	t.Helper()
	says(t, r, true, "joined the pair", "pair", "join", "-f", changedFile(t, first, "", ""))
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

var pairHeartbeats = []string{"hb", "lan"}
