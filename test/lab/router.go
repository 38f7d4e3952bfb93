package lab

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
)

// socket is tarpond's.
func (l *Lab) socket() string { return filepath.Join(l.Dir, "run", "tarpond.sock") }

// LogFile is where the daemon's log goes, of all its lives.
func (l *Lab) LogFile() string { return filepath.Join(l.Dir, "tarpond.log") }

// DaemonCommand is how the router's daemon is run.
func (l *Lab) DaemonCommand() *exec.Cmd {
	return l.Command("router", append(slices.Clone(l.Wrap), cmp.Or(l.Daemon, filepath.Join(l.Bin, "tarpond")), "--config", l.Config(),
		"--run-dir", filepath.Join(l.Dir, "run"), "--state-dir", filepath.Join(l.Dir, "state"),
		"--bpffs", filepath.Join(l.Dir, "bpf"), "--log-level", "debug")...)
}

// StartDaemon starts tarpond and waits until it answers.
func (l *Lab) StartDaemon() error {
	log, err := os.OpenFile(l.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := l.DaemonCommand()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	l.mu.Lock()
	l.daemon = cmd
	l.mu.Unlock()
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	return Wait(60*time.Second, func() error {
		select {
		case err := <-exited:
			exited <- err
			text, _ := os.ReadFile(l.LogFile())
			return fmt.Errorf("tarpond ended (%w):\n%s", err, text)
		default:
		}
		_, err := l.Status()
		return err
	})
}

// KillDaemon sends the daemon a signal and waits until it is gone.
func (l *Lab) KillDaemon(signal syscall.Signal) error {
	l.mu.Lock()
	cmd := l.daemon
	l.daemon = nil
	l.mu.Unlock()
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
func (l *Lab) DaemonPID() int { return l.daemon.Process.Pid }

// Lbctl runs lbctl and returns what it printed.
func (l *Lab) Lbctl(args ...string) (string, error) {
	out, err := exec.Command(filepath.Join(l.Bin, "lbctl"), append([]string{"--socket", l.socket()}, args...)...).CombinedOutput()
	return string(out), err
}

// MustLbctl is Lbctl with its output in the error.
func (l *Lab) MustLbctl(args ...string) (string, error) {
	out, err := l.Lbctl(args...)
	if err != nil {
		return out, fmt.Errorf("lbctl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return out, nil
}

// Status is the router's.
func (l *Lab) Status() (s api.Status, err error) {
	out, err := exec.Command(filepath.Join(l.Bin, "lbctl"), "--socket", l.socket(), "status", "-o", "json").Output()
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1 && len(out) > 0) {
		return s, fmt.Errorf("lbctl status: %w: %s", err, out)
	}
	return s, json.Unmarshal(out, &s)
}

// Vips lists the router's.
func (l *Lab) Vips() (vips []api.Vip, err error) {
	out, err := l.MustLbctl("vips", "-o", "json")
	if err != nil {
		return nil, err
	}
	return vips, json.Unmarshal([]byte(out), &vips)
}

// WaitUp waits until a vip has so many usable reals.
func (l *Lab) WaitUp(vip string, reals int) error {
	return Wait(30*time.Second, func() error {
		vips, err := l.Vips()
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
