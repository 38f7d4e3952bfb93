package main

import (
	"fmt"
	"syscall"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// restart has the daemon replaced, and then killed, under load.
func restart(l *lab.Lab) error {
	say("8. tarpond restarts in place, and then is killed with -9")
	return meanwhile(l, func() error {
		if err := run(l.Router, "restart"); err != nil {
			return err
		}
		fmt.Println()
		if err := l.KillDaemon(syscall.SIGKILL); err != nil {
			return err
		}
		note("killed; ab goes on without a daemon")
		if err := l.StartDaemon(); err != nil {
			return err
		}
		note("started again; it took over what the kernel had")
		return nil
	})
}
