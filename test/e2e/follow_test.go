package e2e

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// notFollowed is a pair in sync whose active router's MAC every real keeps for its gateway,
// whoever announces another.
func notFollowed(t *testing.T) (*lab.Lab, []*lab.Stream) {
	t.Helper()
	l := newPair(t, lab.Options{})
	awaitHolder(t, l, l.Router)
	streams := pairStreams(t, l, 5, "tcp", "udp")
	mac := macOf(t, l, l.Router, "lan")
	for n := 1; n <= lab.Reals; n++ {
		for _, gateway := range []string{"10.0.0.254", "2001:db8:2::254"} {
			if out, err := l.Run(fmt.Sprintf("real%d", n), "ip", "neigh", "replace", gateway, "lladdr", mac, "dev", "eth0", "nud", "permanent"); err != nil {
				t.Fatal(err, out)
			}
		}
	}
	awaitPair(t, l.Router, l.Other)
	return l, streams
}

// Every real keeps the old router's MAC for its gateway: a switchover is taken back, names
// one of them, and is possible by force. One real among others that does so is named, and
// goes on through the old router.
func TestSwitchoverIsNotFollowed(t *testing.T) {
	l, streams := notFollowed(t)
	says(t, l.Router, false, "no neighbour on lan follows", "switchover")
	awaitHolder(t, l, l.Router)
	contains(t, lbctlOf(t, l.Other, "events"), "neighbour "+l.Real4(1)+" does not answer to 10.0.0.254, but to this router's own address")
	goOn(t, streams)

	awaitPair(t, l.Router, l.Other)
	switchOver(t, l.Router, l.Other, "--force")
	goOn(t, streams)
	awaitPair(t, l.Other, l.Router)
	switchOver(t, l.Other, l.Router)

	forget := func(from, to int) {
		for n := from; n <= to; n++ {
			for _, gateway := range []string{"10.0.0.254", "2001:db8:2::254"} {
				if out, err := l.Run(fmt.Sprintf("real%d", n), "ip", "neigh", "del", gateway, "dev", "eth0"); err != nil {
					t.Fatal(err, out)
				}
			}
		}
	}
	forget(2, lab.Reals)
	awaitPair(t, l.Router, l.Other)
	switchOver(t, l.Router, l.Other)
	settles(t, "the one that does not follow is named", func() error {
		if text := lbctlOf(t, l.Other, "events"); strings.Count(text, "neighbour "+l.Real4(1)+" does not answer to 10.0.0.254, but") < 3 {
			return errors.New(text)
		}
		return nil
	})
	forget(1, 1)
	settles(t, "it follows", func() error {
		if text := lbctlOf(t, l.Other, "events"); !strings.Contains(text, "neighbour "+l.Real4(1)+" answers to 10.0.0.254") {
			return errors.New(text)
		}
		return nil
	})
	awaitHolder(t, l, l.Other)
	goOn(t, streams)
	lostNone(t, streams)
}

// The same, but the router is stopped: it has nothing to take the service back to. So the
// other one keeps it, names who does not follow, and what the reals still send to the
// stopped router goes on through it.
func TestStopIsNotFollowed(t *testing.T) {
	l, streams := notFollowed(t)
	if err := l.Router.KillDaemon(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	awaitHolder(t, l, l.Other)
	settles(t, "it is told who does not follow", func() error {
		events := words(lbctlOf(t, l.Other, "events"))
		if !strings.Contains(events, "active: "+l.Router.Host+" is stopped") ||
			!strings.Contains(events, "neighbour "+l.Real4(1)+" does not answer to 10.0.0.254, but to this router's own address") {
			return errors.New(events)
		}
		return nil
	})
	if events := lbctlOf(t, l.Other, "events"); strings.Contains(events, "nobody is heard") {
		t.Errorf("it was taken over from silence:\n%s", events)
	}
	goOn(t, streams)
	lostNone(t, streams)
}
