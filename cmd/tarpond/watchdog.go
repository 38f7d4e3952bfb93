package main

import (
	"context"
	"errors"
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

// feedWatchdog tells systemd that the controller answers, not that a timer runs; also while
// it stops, for a handover may take long.
func feedWatchdog(alive func(context.Context) error) {
	interval := watchdog()
	if interval == 0 {
		return
	}
	grantWatchdog(interval) // a predecessor asked for patience
	for range time.Tick(interval / 3) {
		if alive(context.Background()) == nil {
			beat()
		}
	}
}

// beat is one sign of life.
func beat() { _, _ = daemon.SdNotify(false, daemon.SdNotifyWatchdog) }

// grantWatchdog has systemd wait so long, from now on. Where it does not wait it is not
// to begin with it.
func grantWatchdog(wait time.Duration) {
	if watchdog() > 0 {
		_, _ = daemon.SdNotify(false, fmt.Sprintf("WATCHDOG_USEC=%d", wait.Microseconds()))
	}
}

// stopping is how long systemd waits for the next word of a daemon that is stopping, from
// TimeoutStopSec= of the unit on.
const stopping = 10 * time.Second

// askForTime has systemd wait while a controller that was told to end hands the service
// over: managed services have the time to stop that the configuration gives them. One that
// does not answer any more gets no more.
func askForTime(ctx context.Context, alive func(context.Context) error) {
	<-ctx.Done()
	if errors.Is(context.Cause(ctx), control.ErrRestart) {
		return
	}
	ticker := time.NewTicker(stopping / 10)
	defer ticker.Stop()
	for alive(context.Background()) == nil {
		_, _ = daemon.SdNotify(false, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", stopping.Microseconds()))
		<-ticker.C
	}
}
