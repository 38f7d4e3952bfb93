package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/tarpon-lb/tarpon/control"
)

// A restart asks for patience; without a watchdog it must not set one.
func TestGrantWatchdog(t *testing.T) {
	for unit, want := range map[string]string{"10000000": "WATCHDOG_USEC=90000000", "": "nothing"} {
		systemd := notified(t)
		t.Setenv("WATCHDOG_USEC", unit)
		t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))

		grantWatchdog(patience)
		if got := hears(t, systemd); got != want {
			t.Errorf("WATCHDOG_USEC=%s: systemd hears %s, want %s", unit, got, want)
		}
	}
}

// Who is stopping asks for time as long as its controller answers, and who restarts does
// not: its unit is not stopping.
func TestAskForTime(t *testing.T) {
	for name, c := range map[string]struct {
		cause   error
		answers int
		want    string
	}{
		"hands over":                      {nil, 1, "EXTEND_TIMEOUT_USEC=10000000"},
		"the controller ended":            {nil, 0, "nothing"},
		"another tarpond takes its place": {control.ErrRestart, 1, "nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			systemd := notified(t)
			ctx, stop := context.WithCancelCause(context.Background())
			stop(c.cause)
			askForTime(ctx, func(context.Context) error {
				if c.answers--; c.answers < 0 {
					return errors.New("it has ended")
				}
				return nil
			})
			if got := hears(t, systemd); got != c.want {
				t.Errorf("systemd hears %s, want %s", got, c.want)
			}
		})
	}
}

// notified is where systemd would hear of this process.
func notified(t *testing.T) *net.UnixConn {
	t.Helper()
	address := &net.UnixAddr{Net: "unixgram", Name: filepath.Join(t.TempDir(), "notify")}
	systemd, err := net.ListenUnixgram("unixgram", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { systemd.Close() })
	t.Setenv("NOTIFY_SOCKET", address.Name)
	return systemd
}

// hears is the first that it has heard, or nothing.
func hears(t *testing.T, systemd *net.UnixConn) string {
	t.Helper()
	if _, err := daemon.SdNotify(false, "nothing"); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 100)
	n, err := systemd.Read(said)
	if err != nil {
		t.Fatal(err)
	}
	return string(said[:n])
}
