package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// A service that takes a second to stop, and says when it begins.
const slowService = `#!/bin/sh
touch DIR/stopping
sleep 1
`

// A router is told to stop in the middle of a switchover, the one that gives the service
// or the one that takes it: what is under way comes to its end, then the other router has
// the service, and no packet is lost.
func TestStopDuringSwitchover(t *testing.T) {
	l := bareLab(t, lab.Options{Pair: true})
	startServers(t, l)
	slow := write(t, l, "slow", strings.ReplaceAll(slowService, "DIR", l.Dir), 0o755)
	ruledPair(t, l, fmt.Sprintf("  services:\n    - {name: slow, start: [/bin/true], stop: [%s], status: [/bin/true]}\n", slow))
	active, standby := awaitRoles(t, l)
	pairVips(t, l)
	streams := pairStreams(t, l, 5, "tcp", "udp")

	for _, stopsOld := range []bool{true, false} {
		awaitPair(t, active, standby)
		stopping, last := active, standby
		if !stopsOld {
			stopping, last = standby, active
		}
		if err := os.Remove(filepath.Join(l.Dir, "stopping")); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		ended := make(chan string, 1)
		go func() {
			out, err := active.Lbctl("switchover")
			ended <- fmt.Sprint(out, err)
		}()
		settles(t, "the switchover is under way", func() error {
			_, err := os.Stat(filepath.Join(l.Dir, "stopping"))
			return err
		})
		if err := stopping.KillDaemon(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s was stopped; lbctl switchover: %s", stopping.Host, <-ended)
		awaitHolder(t, l, last)
		goOn(t, streams)
		if err := stopping.StartDaemon(); err != nil {
			t.Fatal(err)
		}
		active, standby = last, stopping
	}
	awaitPair(t, active, standby)
	goOn(t, streams)
	lostNone(t, streams)
}

// A router that is told to stop has a service that does not: it is killed, and the other
// router has all without a packet lost. A switchover is given up for it.
func TestStopWithAServiceThatHangs(t *testing.T) {
	l := bareLab(t, lab.Options{Pair: true})
	startServers(t, l)
	ruledPair(t, l, "  services:\n    - {name: stuck, start: [/bin/true], stop: [/bin/sleep, 1000], status: [/bin/true], timeout: 1s}\n")
	active, standby := awaitRoles(t, l)
	pairVips(t, l)
	streams := pairStreams(t, l, 5, "tcp", "udp")
	awaitPair(t, active, standby)

	says(t, active, false, "stuck", "switchover")
	awaitHolder(t, l, active)
	if err := active.KillDaemon(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	awaitHolder(t, l, standby)
	contains(t, lbctlOf(t, standby, "events"), "active: "+active.Host+" is stopped")
	goOn(t, streams)
	lostNone(t, streams)
}
