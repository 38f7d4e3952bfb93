// Command demo shows what Tarpon is for in a lab of namespaces, as a story in acts, and
// ends with 0 only if all of it was so. KEEP=1 leaves the lab up.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/tarpon-lb/tarpon/test/lab"
)

func main() {
	bin, err := filepath.Abs("bin")
	if err == nil {
		err = show(bin)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "\nFAILED: %v\n", err)
		os.Exit(1)
	}
}

// acts are told in this order; an error of one is the end.
var acts = []func(*lab.Lab) error{
	network, configure, requests, why, failure, change, maintenance, restart, mistake, overview, pair,
}

func show(bin string) (err error) {
	l, err := lab.New(lab.Options{Bin: bin, Pair: true, Apart: true})
	if err != nil {
		return err
	}
	defer func() { err = leave(l, err) }()
	closeOnSignal(l)
	for _, act := range acts {
		if err := act(l); err != nil {
			return err
		}
	}
	say("All of it was so. What next: README.md, docs/operations.md")
	return nil
}

// closeOnSignal leaves nothing behind when the demo is interrupted.
func closeOnSignal(l *lab.Lab) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	go func() {
		<-signals
		if os.Getenv("KEEP") == "" {
			_ = l.Close()
		}
		os.Exit(130)
	}()
}

func leave(l *lab.Lab, failed error) error {
	if failed != nil {
		for _, r := range l.Routers() {
			if log, err := os.ReadFile(r.LogFile()); err == nil {
				lines := strings.Split(strings.TrimSpace(string(log)), "\n")
				fmt.Fprintf(os.Stderr, "\nThe end of %s's log:\n%s\n", r.Host, strings.Join(lines[max(0, len(lines)-30):], "\n"))
			}
		}
	}
	if os.Getenv("KEEP") == "" {
		if err := l.Close(); err != nil && failed == nil {
			return err
		}
		return failed
	}
	say("The lab is left up (KEEP=1). Play with it:")
	note("export TARPON_SOCKET=%s/run/tarpond.sock  # or %s", l.Other.Dir, l.Router.Dir)
	note("bin/lbctl pair status; bin/lbctl vips --rate; bin/lbctl switchover")
	note("nsenter --net=/run/netns/%s curl http://%s/", l.NS("client"), vip())
	note("tail -f %s", l.Other.LogFile())
	note("To end it: pkill -f %s; umount %[1]s/*/bpf; rm -r %[1]s;", l.Dir)
	note("  for n in client lb1 lb2 switch real1 real2 real3; do ip netns del %s-$n; done", l.Name)
	return failed
}
