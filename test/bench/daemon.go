package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// daemon is Tarpon as its user runs it: tarpond with a configuration file on
// the lane's router.
type daemon struct {
	tools *tools
	// askFIB splits the router's default route, so that replies cannot take its next
	// hop without asking.
	askFIB bool

	lane    *lane
	dir     string // of all its files
	bpffs   string // mounted below dir
	command *exec.Cmd
	exited  chan error
	ipv6    bool
}

func (d *daemon) start(ctx context.Context, l *lane, s scenario) error {
	d.lane, d.ipv6 = l, s.Kind.IPv6
	if d.askFIB {
		if err := splitRoutes(l); err != nil {
			return err
		}
	}
	if err := d.makeDirs(); err != nil {
		return err
	}
	config := filepath.Join(d.dir, "tarpon.yaml")
	if err := os.WriteFile(config, []byte(s.config()), 0o600); err != nil {
		return err
	}
	if err := d.launch(config); err != nil {
		return err
	}
	return d.awaitReady(ctx)
}

func (d *daemon) makeDirs() error {
	var err error
	if d.dir, err = os.MkdirTemp("", "tarpon-bench"); err != nil {
		return err
	}
	for _, name := range []string{"run", "state", "bpf"} {
		if err := os.Mkdir(filepath.Join(d.dir, name), 0o755); err != nil {
			return err
		}
	}
	bpffs := filepath.Join(d.dir, "bpf")
	if err := unix.Mount("bpf", bpffs, "bpf", 0, ""); err != nil {
		return fmt.Errorf("mount bpffs: %w", err)
	}
	d.bpffs = bpffs
	return nil
}

// launch starts tarpond in the router's namespace; only the network's: under
// `ip netns exec` it would not see the bpffs.
func (d *daemon) launch(config string) error {
	log, err := os.Create(d.log())
	if err != nil {
		return err
	}
	defer log.Close()
	c := exec.Command(d.tools.tarpond, "--config", config, "--run-dir", filepath.Join(d.dir, "run"),
		"--state-dir", filepath.Join(d.dir, "state"), "--bpffs", d.bpffs, "--log-level", "info")
	c.Stdout, c.Stderr = log, log
	// Of a group of its own: the terminal's ^C is ours to pass on.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.lane.router.do(c.Start); err != nil {
		return fmt.Errorf("start tarpond: %w", err)
	}
	d.command, d.exited = c, make(chan error, 1)
	go func() { d.exited <- c.Wait() }()
	return nil
}

// awaitReady returns when lbctl status says that the daemon has converged:
// exit 0, or 1 for one that lacks something that it names.
func (d *daemon) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		_, err := d.ctl(ctx, "status")
		if err == nil {
			return nil
		}
		select {
		case exit := <-d.exited:
			d.exited <- exit
			return fmt.Errorf("tarpond ended: %w: %s", exit, d.logTail())
		case <-ctx.Done():
			return fmt.Errorf("tarpond does not become ready: %w: %s", err, d.logTail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (d *daemon) ctl(ctx context.Context, args ...string) ([]byte, error) {
	return d.tools.ctl(ctx, filepath.Join(d.dir, "run", "tarpond.sock"), args...)
}

func (d *daemon) log() string { return filepath.Join(d.dir, "tarpond.log") }

// logTail is the last of the daemon's log.
func (d *daemon) logTail() string {
	b, _ := os.ReadFile(d.log())
	return string(b[max(0, len(b)-2000):])
}

func (d *daemon) stateful() bool { return true }

// stop ends tarpond; traffic goes on.
func (d *daemon) stop() error {
	if d.command == nil {
		return nil
	}
	c := d.command
	d.command = nil
	if err := c.Process.Signal(unix.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-d.exited:
		return nil
	case <-time.After(20 * time.Second):
		return errors.Join(errors.New("tarpond does not end at SIGTERM"), c.Process.Kill())
	}
}

// close ends tarpond and takes its pins away: the programs go with them.
func (d *daemon) close() error {
	err := d.stop()
	if d.bpffs != "" {
		err = errors.Join(err, unix.Unmount(d.bpffs, unix.MNT_DETACH))
	}
	if d.dir != "" {
		err = errors.Join(err, os.RemoveAll(d.dir))
	}
	return err
}

// splitRoutes adds routes that together are the default route, so that no client is
// left for the default route itself.
func splitRoutes(l *lane) error {
	for _, r := range []struct {
		to   string
		ipv6 bool
	}{{"0.0.0.0/1", false}, {"128.0.0.0/1", false}, {"::/1", true}, {"8000::/1", true}} {
		to := netip.MustParsePrefix(r.to)
		err := l.router.nl.RouteAdd(&netlink.Route{
			LinkIndex: l.r0.index, Gw: networkOf(r.ipv6).gateway.AsSlice(), Dst: ipNet(to)})
		if err != nil {
			return fmt.Errorf("add route to %s: %w", to, err)
		}
	}
	return nil
}

// config is the daemon's configuration file: a vip of the scenario's kind over
// its reals, unchecked; time-outs longer than any run, so that flows end only
// by the table's own rules.
func (s scenario) config() string {
	n := networkOf(s.Kind.IPv6)
	var b strings.Builder
	fmt.Fprintf(&b, `version: 1
legs:
  wan: {role: outside, interface: r0}
  lan: {role: inside, interface: r1}
flows:
  %s: %d
  timeouts: {handshake: 2h, established: 2h, closing: 2h, udp: 2h, udp_unreplied: 2h}
vips:
  - vip: "%s/%s"
    scheduler: mh
    check: none
    reals:
`, map[bool]string{false: "max_ipv4", true: "max_ipv6"}[s.Kind.IPv6], s.maxFlows(),
		netip.AddrPortFrom(n.vip, vipPort), strings.ToLower(s.Kind.transport()))
	for i := range scenarioReals {
		fmt.Fprintf(&b, "      - %q\n", netip.AddrPortFrom(n.real(i), realPort))
	}
	return b.String()
}
