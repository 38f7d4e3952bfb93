package main

import (
	"context"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/tarpon-lb/tarpon/control"
)

// patience is what a successor has until it must feed the watchdog: as long as systemd
// gives a first start. A verifier on a busy machine may take longer than WatchdogSec=.
const patience = 90 * time.Second

// watchdog is how long systemd waits, by the unit; 0: it does not.
func watchdog() time.Duration {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return 0
	}
	return interval
}

// feedWatchdog tells systemd that the controller answers, not that a timer runs.
func feedWatchdog(ctx context.Context, controller *control.Controller) {
	interval := watchdog()
	if interval == 0 {
		return
	}
	grantWatchdog(interval) // a predecessor asked for patience
	ticker := time.NewTicker(interval / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if controller.Alive(ctx) == nil {
				_, _ = daemon.SdNotify(false, daemon.SdNotifyWatchdog)
			}
		}
	}
}

// grantWatchdog has systemd wait so long, from now on. Where it does not wait it is not
// to begin with it.
func grantWatchdog(wait time.Duration) {
	if watchdog() > 0 {
		_, _ = daemon.SdNotify(false, fmt.Sprintf("WATCHDOG_USEC=%d", wait.Microseconds()))
	}
}
