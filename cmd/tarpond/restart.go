package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// A restart is this process becoming the program that is installed now: the same PID,
// socket and lock, so that no request is refused and no other daemon comes between.
type restart struct {
	program   string
	requested chan struct{}
	signals   chan os.Signal
}

// newRestart is to be called early: SIGUSR2 ends who does not expect it.
func newRestart() (*restart, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	r := &restart{program: program, requested: make(chan struct{}, 1), signals: make(chan os.Signal, 1)}
	signal.Notify(r.signals, unix.SIGUSR2)
	return r, nil
}

// request asks for a restart after the installed program has shown that it runs.
func (r *restart) request() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, r.program, "--version").CombinedOutput(); err != nil {
		return fmt.Errorf("%s does not run (%w), so this one goes on: %s", r.program, err, strings.TrimSpace(string(out)))
	}
	select {
	case r.requested <- struct{}{}:
	default: // it was asked for already
	}
	return nil
}

// onSignal requests one for each SIGUSR2.
func (r *restart) onSignal(ctx context.Context, log *zap.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.signals:
			if err := r.request(); err != nil {
				log.Error("restart", zap.Error(err))
			}
		}
	}
}

// inheritance names the descriptors that a successor finds open.
const inheritance = "TARPON_INHERIT"

// become does not return unless it fails.
func (r *restart) become(listener, lock *os.File) error {
	for _, file := range []*os.File{listener, lock} {
		if _, err := unix.FcntlInt(file.Fd(), unix.F_SETFD, 0); err != nil {
			return fmt.Errorf("hand on a descriptor: %w", err)
		}
	}
	env := append(os.Environ(), fmt.Sprintf("%s=%d,%d", inheritance, listener.Fd(), lock.Fd()))
	if err := unix.Exec(r.program, os.Args, env); err != nil {
		return fmt.Errorf("become %s: %w", r.program, err)
	}
	return nil
}

// inherited are the listener and the lock of the predecessor; nil: there was none.
func inherited() (net.Listener, *os.File, error) {
	text, ok := os.LookupEnv(inheritance)
	if !ok {
		return nil, nil, nil
	}
	os.Unsetenv(inheritance)
	var listenerFD, lockFD int
	if _, err := fmt.Sscanf(text, "%d,%d", &listenerFD, &lockFD); err != nil {
		return nil, nil, fmt.Errorf("%s=%s: %w", inheritance, text, err)
	}
	unix.CloseOnExec(listenerFD)
	unix.CloseOnExec(lockFD)
	listener, err := api.Inherit(os.NewFile(uintptr(listenerFD), "listener"))
	return listener, os.NewFile(uintptr(lockFD), "lock"), err
}
