package e2e

import (
	"encoding/json"
	"fmt"
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

// says runs a command that is to succeed, or not, and say something.
func says(t *testing.T, r *lab.Router, good bool, want string, args ...string) {
	t.Helper()
	out, err := r.Lbctl(args...)
	if (err == nil) != good || !strings.Contains(out, want) {
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
	says(t, lb1, true, "lb2 is active", "switchover", "--force")
	says(t, lb1, true, "the roles are not held", "pair", "release")
	awaitPair(t, lb2, lb1)
	out, err := lb2.MustLbctl("status")
	if err != nil || !strings.Contains(out, "lb2 of a pair, active") {
		t.Error(err, out)
	}
}
