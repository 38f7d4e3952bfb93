package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// A script that fails where a file says so.
const trackScript = `#!/bin/sh
case $(ip -4 -o addr show dev hb) in *172.31.0.1/*) me=lb1 ;; *) me=lb2 ;; esac
! test -e DIR/broken.$me
`

// Whatever the active router lacks of what is tracked, the other one takes over, and gives
// back when it is there again. What has a weight takes that off the priority; the rest is a
// fault. It is an event, and in the status.
func TestTracks(t *testing.T) {
	l := bareLab(t, lab.Options{Pair: true})
	startWeb(t, l)
	script := write(t, l, "track", strings.ReplaceAll(trackScript, "DIR", l.Dir), 0o755)
	ruledPair(t, l, fmt.Sprintf(`  preempt: true
  track:
    - {gateway: %[1]s, leg: wan, interval: 200ms, fall: 2, rise: 2}
    - {quorum: shop, at_least: 1, weight: 60}
    - {script: %[2]s, interval: 500ms, timeout: 500ms, fall: 2, rise: 2, weight: 60}
vips:
  - {vip: "%[3]s:80", name: shop, reals: [%[4]s, %[5]s]}
  - {vip: "%[6]s:80", reals: [%[4]s]}
`, lab.Client4, script, lab.Vip4(0), l.Real4(1), l.Real4(2), lab.Vip4(1)))
	lb1, lb2 := l.Router, l.Other
	awaitHolder(t, l, lb1)

	broken := filepath.Join(l.Dir, "broken.lb1")
	nft := func(rule string) (breaks, mends func() error) {
		run := func(text string) error {
			out, err := l.Run(lb1.Host, "nft", text)
			if err != nil {
				err = fmt.Errorf("%w: %s", err, out)
			}
			return err
		}
		breaks = func() error {
			return run("table ip broken { chain out { type filter hook output priority 0; " + rule + "; }; }")
		}
		return breaks, func() error { return run("delete table ip broken") }
	}
	noPing, ping := nft("icmp type echo-request drop")
	noHTTP, http := nft("tcp dport 80 drop")
	for _, track := range []struct {
		name          string
		breaks, mends func() error
		fault, event  string // of lb1
		priority      int
	}{
		{"leg", func() error { return lb1.LinkDown("wan") }, func() error { return lb1.LinkUp("wan") }, "leg wan has no carrier", "fault: leg wan has no carrier", 150},
		{"gateway", noPing, ping, "gateway " + lab.Client4 + " fails", "gateway " + lab.Client4 + ": good false", 150},
		{"quorum", noHTTP, http, "", "real down", 90},
		{"script", func() error { return os.WriteFile(broken, nil, 0o600) }, func() error { return os.Remove(broken) }, "", script + ": good false", 90},
	} {
		t.Run(track.name, func(t *testing.T) {
			awaitPair(t, lb1, lb2)
			if err := track.breaks(); err != nil {
				t.Fatal(err)
			}
			awaitHolder(t, l, lb2)
			if own := pairOf(t, lb1).Own; own.Priority != track.priority || own.Fault != track.fault {
				t.Errorf("lb1 has priority %d and the fault %q, want %d and %q", own.Priority, own.Fault, track.priority, track.fault)
			}
			contains(t, lbctlOf(t, lb1, "events"), track.event)
			if err := track.mends(); err != nil {
				t.Fatal(err)
			}
			awaitHolder(t, l, lb1)
		})
	}
}
