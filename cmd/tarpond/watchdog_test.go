package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/coreos/go-systemd/v22/daemon"
)

// A restart asks for patience; without a watchdog it must not set one.
func TestGrantWatchdog(t *testing.T) {
	for unit, want := range map[string]string{"10000000": "WATCHDOG_USEC=90000000", "": "nothing"} {
		address := &net.UnixAddr{Net: "unixgram", Name: filepath.Join(t.TempDir(), "notify")}
		systemd, err := net.ListenUnixgram("unixgram", address)
		if err != nil {
			t.Fatal(err)
		}
		defer systemd.Close()
		t.Setenv("NOTIFY_SOCKET", address.Name)
		t.Setenv("WATCHDOG_USEC", unit)
		t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))

		grantWatchdog(patience)
		if _, err := daemon.SdNotify(false, "nothing"); err != nil {
			t.Fatal(err)
		}
		said := make([]byte, 100)
		n, err := systemd.Read(said)
		if err != nil || string(said[:n]) != want {
			t.Errorf("WATCHDOG_USEC=%s: systemd hears %s (%v), want %s", unit, said[:n], err, want)
		}
	}
}
