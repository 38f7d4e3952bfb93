package failover

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
	"golang.org/x/sys/unix"
)

// ClockStepped sets the clock of the machine forward and back by hours. That would hurt
// others on it: it is for a virtual machine, see test/vm/clock.
var ClockStepped = Scenario{
	Name: "clock stepped by hours, and back", Kept: "all", Why: "what counts time counts it since the boot; certificates have no dates",
	Event: func(r *Rig, _ *lab.Router) error {
		for _, by := range []time.Duration{6 * time.Hour, -12 * time.Hour, 6 * time.Hour} {
			if err := r.stepClock(by); err != nil {
				return fmt.Errorf("clock stepped by %s: %w", by, err)
			}
		}
		return nil
	}, Stays: true, Lossless: true,
}

// calm is how long nothing may happen after a step: longer than any of the pair's
// deadlines, which are of 5 s and less.
const calm = 7 * time.Second

// stepClock steps it, and has the routers connect anew by the clock that is wrong then.
func (r *Rig) stepClock(by time.Duration) error {
	before, err := r.losses()
	if err != nil {
		return err
	}
	if err := step(by); err != nil {
		return err
	}
	time.Sleep(calm)
	after, err := r.losses()
	if err != nil {
		return err
	}
	if after != before {
		return fmt.Errorf("expected that the routers stay connected; %d connections ended", after-before)
	}
	if out, err := r.Lab.Run(r.Host, "ss", "-K", "( sport = :4711 or dport = :4711 )"); err != nil {
		return fmt.Errorf("cut the connections: %w: %s", err, out)
	}
	err = lab.Wait(10*time.Second, func() error {
		cut, err := r.losses()
		if err == nil && cut == after {
			err = errors.New("expected that connections which are cut end")
		}
		return err
	})
	return errors.Join(err, r.Settle())
}

func step(by time.Duration) error {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &t); err != nil {
		return err
	}
	t = unix.NsecToTimespec(t.Nano() + int64(by))
	return unix.ClockSettime(unix.CLOCK_REALTIME, &t)
}

// losses counts the connections between the routers that have ended, as their logs tell.
func (r *Rig) losses() (all int, err error) {
	for _, router := range r.Routers() {
		log, err := os.ReadFile(router.LogFile())
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(log)) {
			for _, leg := range []string{"hb", "lan"} {
				if strings.Contains(line, "\t"+leg+" down ") {
					all++
				}
			}
		}
	}
	return all, nil
}
