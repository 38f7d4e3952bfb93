// Command benchpair measures what clients notice when a router of a pair fails: see
// docs/pair.md. RUNS=n, of each event, default 200; CONNECTIONS=n, default 10000, each
// with a message every EVERY=200 ms: more where the cores do not suffice for that;
// MINUTES=n of the flood, default 10; ONLY=text, events whose name has it; KEEP=1 leaves
// the lab up when one fails; CLOCK=1 steps this machine's clock, as test/vm/clock has it
// done on another one, and does nothing else.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/tarpon-lb/tarpon/test/failover"
	"github.com/tarpon-lb/tarpon/test/lab"
	"golang.org/x/sys/unix"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) > 1 {
		err = serve(ctx, os.Args[1])
	} else {
		err = bench(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchpair:", err)
		os.Exit(1)
	}
}

// serve is the echo server of a real: a process of its own, for its connections are more
// than the file descriptors of one.
func serve(ctx context.Context, real string) error {
	number, err := strconv.Atoi(real)
	if err != nil {
		return err
	}
	ready := make(chan error, 1)
	failover.Serve(ctx, byte(number), ready)
	return <-ready
}

// settings come from the environment.
type settings struct {
	runs, connections, minutes int
	every, interval            time.Duration // of messages, and of the scenarios' streams
	only                       string
}

func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n >= 0 {
		return n
	}
	return otherwise
}

func bench(ctx context.Context) error {
	// Threads of the streams wait for the kernel only, not for each other's turn.
	runtime.GOMAXPROCS(max(16, runtime.NumCPU()))
	set := settings{number("RUNS", 200), number("CONNECTIONS", 10000), number("MINUTES", 10), time.Duration(number("EVERY", 200)) * time.Millisecond, 10 * time.Millisecond, os.Getenv("ONLY")}
	list := append(failover.Scenarios(), failover.Flooded(time.Duration(set.minutes)*time.Minute))
	options := failover.Options{Echo: echo}
	if os.Getenv("CLOCK") != "" { // on a slow machine
		set.runs, set.interval, list = 0, 100*time.Millisecond, []failover.Scenario{failover.ClockStepped}
		options.Advert = time.Second
	}
	var err error
	if options.Bin, err = filepath.Abs("bin"); err != nil {
		return err
	}
	rig, err := failover.NewRig(options)
	if err != nil {
		return err
	}
	err = errors.Join(gaps(ctx, rig, set), scenarios(ctx, rig, set, list))
	if err != nil && os.Getenv("KEEP") != "" {
		fmt.Fprintf(os.Stderr, "left up: %s, files in %s\n", rig.Name, rig.Dir)
		return err
	}
	return errors.Join(err, rig.Close())
}

func echo(l *lab.Lab, real int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	who := fmt.Sprintf("real%d", real)
	if err := l.Start(l.Command(who, self, strconv.Itoa(real))); err != nil {
		return err
	}
	return lab.Wait(10*time.Second, func() error {
		out, err := l.Run(who, "ss", "-Hltn", "sport", "=", strconv.Itoa(failover.Port))
		if err == nil && strings.TrimSpace(out) == "" {
			err = errors.New("the echo server does not listen")
		}
		return err
	})
}

// gaps runs each of the measured events many times.
func gaps(ctx context.Context, rig *failover.Rig, set settings) error {
	if set.runs == 0 {
		return nil
	}
	fmt.Print(heading(set))
	var errs []error
	for _, m := range []measured{
		{Scenario: failover.Nothing},
		{Scenario: failover.PowerCut, goal: 500 * time.Millisecond},
		{Scenario: failover.Switchover, goal: 50 * time.Millisecond},
		{Scenario: failover.Stop, goal: 50 * time.Millisecond},
		{Scenario: failover.Kill},
	} {
		if !strings.Contains(m.Name, set.only) {
			continue
		}
		for n := 0; ctx.Err() == nil && len(m.results) < set.runs && n < 3*set.runs; n++ {
			progress("%s: run %d of %d", m.Name, len(m.results)+1, set.runs)
			result, err := rig.Run(m.Scenario, failover.Load{})
			if err == nil {
				m.add(result)
			}
			if err = errors.Join(err, result.Err); err == nil {
				continue
			}
			progress("")
			errs = append(errs, fmt.Errorf("%s, run %d: %w", m.Name, n+1, err))
			fmt.Fprintln(os.Stderr, short(errs[len(errs)-1]))
			if os.Getenv("KEEP") != "" {
				return errors.Join(errs...)
			}
			if err := rig.Renew(); err != nil {
				return errors.Join(append(errs, err, rig.Logs())...)
			}
		}
		progress("")
		fmt.Print(m.row())
		if err := m.missed(); err != nil {
			errs = append(errs, err)
			fmt.Fprintln(os.Stderr, err)
		}
		if ctx.Err() != nil { // what there is has been shown
			return errors.Join(append(errs, ctx.Err())...)
		}
	}
	fmt.Print(footing)
	return total(errs)
}

// scenarios has each scenario happen once, under many connections.
func scenarios(ctx context.Context, rig *failover.Rig, set settings, list []failover.Scenario) error {
	fmt.Print(scenarioHeading(set))
	var errs []error
	for _, s := range list {
		if !strings.Contains(s.Name, set.only) {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		progress("%s", s.Name)
		result, err := rig.Run(s, failover.Load{Interval: set.interval, Connections: set.connections, Every: set.every})
		progress("")
		fmt.Print(scenarioRow(s, result, err))
		if err = errors.Join(err, result.Err); err == nil {
			continue
		}
		errs = append(errs, fmt.Errorf("%s: %w", s.Name, err))
		if os.Getenv("KEEP") != "" {
			break
		}
		// The next one is to find a pair in order.
		if err := rig.Renew(); err != nil {
			return errors.Join(append(errs, err, rig.Logs())...)
		}
	}
	return total(errs)
}

// short is the end of an error: that may be a daemon's log.
func short(err error) string {
	lines := strings.Split(err.Error(), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

// total says how many failed; each was told when it did.
func total(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("%d times it was not as expected", len(errs))
}

// progress shows what is being done, where that is a person's terminal.
func progress(format string, args ...any) {
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		fmt.Fprintf(os.Stderr, "\r%-78s\r", fmt.Sprintf(format, args...))
	}
}

// machine is what the figures came about on.
func machine() string {
	out, _ := exec.Command("uname", "-r").Output()
	model := "?"
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.HasPrefix(key, "model name") {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s; Linux %s; %s, %d CPUs", time.Now().Format("2006-01-02"), strings.TrimSpace(string(out)), model, runtime.NumCPU())
}
