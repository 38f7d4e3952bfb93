package lab

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"golang.org/x/sys/unix"
)

// A Router of a lab: a namespace, a directory, and a daemon.
type Router struct {
	Host string // its namespace: router; lb1 and lb2 of a pair
	Dir  string // its bpffs, run and state directories, configuration and log

	// Programs is the directory of its tarpond and lbctl; empty: the lab's.
	Programs string
	// Machine is a command that runs the daemon on this router; empty: Options.Wrap.
	Machine []string

	lab    *Lab
	daemon *exec.Cmd
	off    bool
	own    []string // addresses, of a pair's
	pin    string   // of its key, likewise

	keepalived *exec.Cmd // instead of a daemon
	lives      int       // that keepalived has had
}

// makeDirs makes what its daemon needs.
func (r *Router) makeDirs() error {
	for _, dir := range []string{"bpf", "etc", "run", "state"} {
		if err := os.MkdirAll(filepath.Join(r.Dir, dir), 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("bpf", filepath.Join(r.Dir, "bpf"), "bpf", 0, ""); err != nil {
		return fmt.Errorf("mount a bpffs: %w", err)
	}
	return nil
}

// forgetRun empties the run directory, as a boot does.
func (r *Router) forgetRun() error { return os.RemoveAll(filepath.Join(r.Dir, "run")) }

// forgetPins removes what is pinned, and waits until the programs are gone with it. To
// unmount is not enough: another mount namespace may have the file system too.
func (r *Router) forgetPins() error {
	if err := os.RemoveAll(filepath.Join(r.Dir, "bpf", "tarpon")); err != nil {
		return err
	}
	return Wait(10*time.Second, func() error {
		out, err := r.lab.Run(r.Host, "ip", "link")
		if err == nil && strings.Contains(out, "xdp") {
			err = errors.New("a program is still attached")
		}
		return err
	})
}

// dropAddresses leaves an interface with those that its router was given first.
func (r *Router) dropAddresses(leg string) error {
	out, err := r.lab.Run(r.Host, "ip", "-j", "addr", "show", "dev", leg)
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	var links []struct {
		Info []struct {
			Local     string `json:"local"`
			PrefixLen int    `json:"prefixlen"`
			Scope     string `json:"scope"`
		} `json:"addr_info"`
	}
	if err := json.Unmarshal([]byte(out), &links); err != nil {
		return err
	}
	for _, a := range links[0].Info {
		if a.Scope == "link" || slices.Contains(r.own, a.Local) {
			continue
		}
		if err := r.lab.script(fmt.Sprintf("%s ip addr del %s/%d dev %s", r.Host, a.Local, a.PrefixLen, leg)); err != nil {
			return err
		}
	}
	return nil
}

func (r *Router) unmount() error {
	err := unix.Unmount(filepath.Join(r.Dir, "bpf"), unix.MNT_DETACH)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) { // it was not mounted
		return nil
	}
	return err
}

// Pin is of the key of a pair's router.
func (r *Router) Pin() string { return r.pin }

// Config is the router's configuration file.
func (r *Router) Config() string { return filepath.Join(r.Dir, "etc", "tarpon.yaml") }

// socket is tarpond's.
func (r *Router) socket() string { return filepath.Join(r.Dir, "run", "tarpond.sock") }

// LogFile is where the daemon's log goes, of all its lives.
func (r *Router) LogFile() string { return filepath.Join(r.Dir, "tarpond.log") }

func (r *Router) program(name string) string {
	return filepath.Join(cmp.Or(r.Programs, r.lab.Bin), name)
}

// DaemonCommand is how the router's daemon is run.
func (r *Router) DaemonCommand() *exec.Cmd {
	wrap := r.lab.Wrap
	if len(r.Machine) > 0 {
		wrap = r.Machine
	}
	return r.lab.Command(r.Host, append(append(slices.Clone(wrap), r.program("tarpond"), "--config", r.Config(),
		"--run-dir", filepath.Join(r.Dir, "run"), "--state-dir", filepath.Join(r.Dir, "state"),
		"--bpffs", filepath.Join(r.Dir, "bpf"), "--log-level", "debug"), r.identity()...)...)
}

// StartDaemon starts tarpond and waits until it answers.
func (r *Router) StartDaemon() error {
	log, err := os.OpenFile(r.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := r.DaemonCommand()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	r.lab.mu.Lock()
	r.daemon = cmd
	r.lab.mu.Unlock()
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	for limit := time.Now().Add(startTime); ; {
		select {
		case err := <-exited:
			text, _ := os.ReadFile(r.LogFile())
			return fmt.Errorf("tarpond ended (%w):\n%s", err, text)
		case <-time.After(20 * time.Millisecond):
		}
		err := r.listens()
		if err == nil {
			_, err = r.Status()
		}
		if err == nil || time.Now().After(limit) {
			return err
		}
	}
}

// startTime is no measure of a start, which a busy machine makes long: who exceeds it
// hangs. A daemon that ends is noticed at once.
const startTime = 5 * time.Minute

// listens asks without a process for it, of which a start would need hundreds.
func (r *Router) listens() error {
	c, err := net.Dial("unix", r.socket())
	if err == nil {
		err = c.Close()
	}
	return err
}

// KillDaemon sends the daemon a signal and waits until it is gone.
func (r *Router) KillDaemon(signal syscall.Signal) error {
	r.lab.mu.Lock()
	cmd := r.daemon
	r.daemon = nil
	r.lab.mu.Unlock()
	if cmd == nil {
		return errors.New("no daemon runs")
	}
	if err := cmd.Process.Signal(signal); err != nil {
		return err
	}
	return Wait(20*time.Second, func() error {
		if err := cmd.Process.Signal(syscall.Signal(0)); err == nil {
			return errors.New("tarpond still runs")
		}
		return nil
	})
}

// DaemonPID is the daemon's process id.
func (r *Router) DaemonPID() int { return r.daemon.Process.Pid }

// Lbctl runs lbctl and returns what it printed.
func (r *Router) Lbctl(args ...string) (string, error) {
	out, err := exec.Command(r.program("lbctl"), append([]string{"--socket", r.socket()}, args...)...).CombinedOutput()
	return string(out), err
}

// MustLbctl is Lbctl with its output in the error.
func (r *Router) MustLbctl(args ...string) (string, error) {
	out, err := r.Lbctl(args...)
	if err != nil {
		return out, fmt.Errorf("lbctl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return out, nil
}

// Status is the router's.
func (r *Router) Status() (s api.Status, err error) {
	out, err := exec.Command(r.program("lbctl"), "--socket", r.socket(), "status", "-o", "json").Output()
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1 && len(out) > 0) {
		return s, fmt.Errorf("lbctl status: %w: %s", err, out)
	}
	return s, json.Unmarshal(out, &s)
}

// Vips lists the router's.
func (r *Router) Vips() (vips []api.Vip, err error) {
	out, err := r.MustLbctl("vips", "-o", "json")
	if err != nil {
		return nil, err
	}
	return vips, json.Unmarshal([]byte(out), &vips)
}

// WaitUp waits until a vip has so many usable reals.
func (r *Router) WaitUp(vip string, reals int) error {
	return Wait(30*time.Second, func() error {
		vips, err := r.Vips()
		if err != nil {
			return err
		}
		for _, v := range vips {
			if v.Vip != vip {
				continue
			}
			up := 0
			for _, real := range v.Reals {
				if real.State == "up" || real.State == "unchecked" {
					up++
				}
			}
			if up == reals {
				return nil
			}
			return fmt.Errorf("vip %s has %d usable reals, want %d", vip, up, reals)
		}
		return fmt.Errorf("there is no vip %s", vip)
	})
}
