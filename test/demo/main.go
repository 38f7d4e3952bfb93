// Command demo shows Tarpon's main job in a lab of namespaces, and ends with 0 only
// if all of it was so. KEEP=1 leaves the lab up.
package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

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

func say(format string, args ...any)  { fmt.Printf("\n"+format+"\n", args...) }
func note(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }

// vip is what the demo balances.
func vip() string { return lab.Vip4(0) + ":80" }

func show(bin string) (err error) {
	say("1. A network: client, router, three web servers (network namespaces)")
	l, err := lab.New(lab.Options{Bin: bin})
	if err != nil {
		return err
	}
	defer func() { err = leave(l, err) }()
	closeOnSignal(l)
	fmt.Print(`
    client            router                switch      real1  10.0.0.11
  192.0.2.10 ----- wan [tarpond] lan ----- (bridge) --- real2  10.0.0.12
                    vip 192.0.2.100:80                  real3  10.0.0.13
`)
	for n := 1; n <= lab.Reals; n++ {
		if err := l.StartNginx(n); err != nil {
			return err
		}
	}
	if err := l.StartDaemon(); err != nil {
		return err
	}
	for _, step := range []func(*lab.Lab) error{configure, requests, stopServer, killDaemon, tables} {
		if err := step(l); err != nil {
			return err
		}
	}
	say("All of it was so.")
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
		if log, err := os.ReadFile(l.LogFile()); err == nil {
			lines := strings.Split(strings.TrimSpace(string(log)), "\n")
			fmt.Fprintf(os.Stderr, "\nThe end of tarpond's log:\n%s\n", strings.Join(lines[max(0, len(lines)-30):], "\n"))
		}
	}
	if os.Getenv("KEEP") == "" {
		if err := l.Close(); err != nil && failed == nil {
			return err
		}
		return failed
	}
	say("The lab is left up (KEEP=1). Play with it:")
	note("export TARPON_SOCKET=%s/run/tarpond.sock", l.Dir)
	note("bin/lbctl status; bin/lbctl vips --rate; bin/lbctl flows")
	note("nsenter --net=/run/netns/%s curl http://%s/", l.NS("client"), vip())
	note("tail -f %s", l.LogFile())
	note("To end it: kill %d; pkill -f %s; umount %s/bpf; rm -r %s;", l.DaemonPID(), l.Dir, l.Dir, l.Dir)
	note("  for n in client router switch real1 real2 real3; do ip netns del %s-$n; done", l.Name)
	return failed
}

// run shows an lbctl command and what it prints.
func run(l *lab.Lab, args ...string) error {
	fmt.Printf("\n  $ lbctl %s\n", strings.Join(args, " "))
	out, err := l.MustLbctl(args...)
	for line := range strings.Lines(out) {
		fmt.Print("  ", line)
	}
	return err
}

func configure(l *lab.Lab) error {
	say("2. A virtual server over them")
	if err := run(l, "add-vip", vip(), "--name", "shop"); err != nil {
		return err
	}
	for n := 1; n <= lab.Reals; n++ {
		if err := run(l, "add-real", "shop", l.Real4(n)); err != nil {
			return err
		}
	}
	if err := l.WaitUp(vip()+"/tcp", lab.Reals); err != nil {
		return err
	}
	return lab.Wait(10*time.Second, func() error { _, err := get(l); return err })
}

func get(l *lab.Lab) (string, error) {
	out, err := l.Run("client", "curl", "-sS", "-m", "2", "http://"+vip()+"/")
	if err != nil {
		return "", fmt.Errorf("curl http://%s/: %w: %s", vip(), err, out)
	}
	return strings.TrimSpace(out), nil
}

// ask counts the answers of some requests by server.
func ask(l *lab.Lab, requests int) (map[string]int, error) {
	count := map[string]int{}
	for range requests {
		server, err := get(l)
		if err != nil {
			return nil, err
		}
		count[server]++
	}
	return count, nil
}

func showCount(count map[string]int) {
	var names []string
	for name := range count {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		note("%-6s %3d  %s", name, count[name], strings.Repeat("#", count[name]))
	}
}

func requests(l *lab.Lab) error {
	say("3. 60 requests: who answers, and whom the servers see")
	count, err := ask(l, 60)
	if err != nil {
		return err
	}
	showCount(count)
	if len(count) != lab.Reals {
		return fmt.Errorf("%d of %d servers answered", len(count), lab.Reals)
	}
	for n := 1; n <= lab.Reals; n++ {
		lines, err := clientLines(l.AccessLog(n))
		if err != nil {
			return err
		}
		if len(lines) == 0 {
			return fmt.Errorf("real%d did not see the client's address %s", n, lab.Client4)
		}
		note("real%d's log: %s", n, lines[len(lines)-1])
	}
	return nil
}

func clientLines(name string) ([]string, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var lines []string
	for s := bufio.NewScanner(file); s.Scan(); {
		if strings.HasPrefix(s.Text(), lab.Client4+" ") {
			lines = append(lines, s.Text()[:min(len(s.Text()), 60)])
		}
	}
	return lines, nil
}

func stopServer(l *lab.Lab) error {
	say("4. real2's web server stops; its health check (every 0.3 s) notices")
	if err := l.StopNginx(2); err != nil {
		return err
	}
	begun := time.Now()
	if err := l.WaitUp(vip()+"/tcp", lab.Reals-1); err != nil {
		return err
	}
	note("out of rotation after %s", time.Since(begun).Round(10*time.Millisecond))
	count, err := ask(l, 60)
	if err != nil {
		return fmt.Errorf("a request failed after real2 was out of rotation: %w", err)
	}
	showCount(count)
	if count["real2"] > 0 || len(count) != lab.Reals-1 {
		return fmt.Errorf("answers by %v, want real1 and real3 alone", count)
	}
	note("60 requests, none failed")
	return nil
}

var failed = regexp.MustCompile(`Failed requests:\s+(\d+)`)
var complete = regexp.MustCompile(`Complete requests:\s+(\d+)`)

// killDaemon runs ab over the daemon's death and restart.
func killDaemon(l *lab.Lab) error {
	say("5. tarpond is killed with -9 while ab runs, and started again")
	const total = 60000
	ab := l.Command("client", "ab", "-q", "-n", strconv.Itoa(total), "-c", "20", "-s", "5", "http://"+vip()+"/")
	var out strings.Builder
	ab.Stdout, ab.Stderr = &out, &out
	if err := l.Start(ab); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- ab.Wait() }()
	running := func(when string) error {
		select {
		case err := <-ended:
			return fmt.Errorf("ab ended before %s (%v):\n%s", when, err, out.String())
		default:
			return nil
		}
	}
	if err := lab.Wait(20*time.Second, func() error { return busy(l) }); err != nil {
		return err
	}
	if err := running("the daemon was killed"); err != nil {
		return err
	}
	if err := l.KillDaemon(syscall.SIGKILL); err != nil {
		return err
	}
	note("killed; ab goes on without a daemon")
	if err := running("the daemon was started again"); err != nil {
		return err
	}
	if err := l.StartDaemon(); err != nil {
		return err
	}
	note("started again; it took over what the kernel had")
	if err := <-ended; err != nil {
		return fmt.Errorf("ab: %w:\n%s", err, out.String())
	}
	done, bad := complete.FindStringSubmatch(out.String()), failed.FindStringSubmatch(out.String())
	if done == nil || bad == nil || done[1] != strconv.Itoa(total) || bad[1] != "0" || strings.Contains(out.String(), "Non-2xx") {
		return fmt.Errorf("ab says:\n%s", out.String())
	}
	note("ab: %s requests complete, %s failed", done[1], bad[1])
	return nil
}

// busy is an error until ab's connections are there.
func busy(l *lab.Lab) error {
	out, err := exec.Command("nsenter", "--net=/run/netns/"+l.NS("client"), "ss", "-Htn", "dst", lab.Vip4(0)).Output()
	if err != nil {
		return err
	}
	if len(strings.TrimSpace(string(out))) == 0 {
		return fmt.Errorf("ab has no connection yet")
	}
	return nil
}

func tables(l *lab.Lab) error {
	say("6. What lbctl shows")
	for _, args := range [][]string{{"vips"}, {"vips", "--stats"}, {"status"}, {"stats"}} {
		if err := run(l, args...); err != nil {
			return err
		}
	}
	return nil
}
