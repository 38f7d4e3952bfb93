package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/test/lab"
)

// All heartbeats are cut: both have the addresses. Healed, one has them, and the
// connections are there.
func TestPairSplit(t *testing.T) {
	l := newPair(t, lab.Options{})
	awaitHolder(t, l, l.Router)
	streams := pairStreams(t, l, 5, "tcp")
	inSync(t, l)
	cut := time.Now()
	for _, leg := range []string{"hb", "lan"} {
		if err := l.Other.Unplug(leg); err != nil {
			t.Fatal(err)
		}
	}
	settles(t, "both have the addresses", func() error {
		if _, err := holder(l); err == nil || !strings.Contains(err.Error(), "both") {
			return fmt.Errorf("they have not: %v", err)
		}
		return nil
	})
	for _, leg := range []string{"hb", "lan"} {
		if err := l.Other.Plug(leg); err != nil {
			t.Fatal(err)
		}
	}
	settles(t, "one has the addresses", func() error { _, err := holder(l); return err })
	goOn(t, streams)
	settles(t, "they are connected again", func() error { return connected(l) })
	inSync(t, l)
	for _, r := range l.Routers() {
		splitTold(t, l, r, cut)
	}
}

// splitTold looks at what a router says, once, of a split brain that lb1 won.
func splitTold(t *testing.T, l *lab.Lab, r *lab.Router, cut time.Time) {
	t.Helper()
	var told []api.Event
	settles(t, r.Host+" says what it came to", func() error {
		told = nil
		for decoder := json.NewDecoder(strings.NewReader(lbctlOf(t, r, "events", "-o", "json"))); decoder.More(); {
			var e api.Event
			if err := decoder.Decode(&e); err != nil {
				return err
			}
			if e.Kind == "split_brain_mended" {
				told = append(told, e)
			}
		}
		if len(told) == 0 {
			return errors.New("it does not")
		}
		return nil
	})
	e := told[0]
	t.Logf("%s: %s", r.Host, e.Message)
	lasted, err := time.ParseDuration(e.Fields["lasted"])
	if err != nil || lasted <= 0 || lasted > time.Since(cut) {
		t.Errorf("%s: it lasted %s (%v); the cut was %s ago", r.Host, lasted, err, time.Since(cut))
	}
	if e.Fields["winner"] != l.Router.Host || e.Fields["disputed"] != "0" || len(told) != 1 {
		t.Errorf("%s tells %+v", r.Host, told)
	}
}
