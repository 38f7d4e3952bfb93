package control

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tarpon-lb/tarpon/control/host"
)

func TestDark(t *testing.T) {
	legs := map[string]host.LegState{"eth0": {Ifindex: 2, Up: true}, "eth1": {Ifindex: 3}}
	for _, test := range []struct {
		name string
		lit  []string
		want bool
	}{
		{"nothing was lit", nil, false},
		{"lit still", []string{"eth0"}, false},
		{"one of them is reset", []string{"eth0", "eth1"}, true},
		{"not known", []string{"eth7"}, false},
	} {
		if got := dark(test.lit, legs); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// A NIC that resets is waited for until it has carrier, and no longer than allowed.
func TestTakeUntilLit(t *testing.T) {
	for name, test := range map[string]struct {
		back time.Duration // 0: never
		want time.Duration
	}{
		"comes back": {3 * time.Second, 3 * time.Second},
		"stays dark": {0, relight},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				legs := map[string]host.LegState{"eth0": {Ifindex: 2}}
				changes := make(chan host.Change, 1)
				if test.back > 0 {
					time.AfterFunc(test.back, func() {
						changes <- host.Change{Legs: map[string]host.LegState{"eth0": {Ifindex: 2, Up: true}}}
					})
				}
				begun := time.Now()
				takeUntil(changes, func(c host.Change) { maps.Copy(legs, c.Legs) }, relight, func() bool { return !dark([]string{"eth0"}, legs) })
				if took := time.Since(begun); took != test.want {
					t.Errorf("it took %s, want %s", took, test.want)
				}
			})
		})
	}
}
