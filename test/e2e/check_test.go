package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// A vip that serves gets a check, and then another one: no connection and no request
// notices, and a real is down only when its new check says so.
func TestCheckOfALiveVip(t *testing.T) {
	l := bareLab(t, lab.Options{})
	file := strings.Replace(configFile(t, l), "checks:\n", `checks:
  late: {type: exec, run: [/bin/sleep, "0.5"], interval: 1s, timeout: 900ms}
  nowhere: {type: http, path: /nowhere, interval: 300ms, timeout: 200ms, fall: 3}
`, 1)
	if err := os.WriteFile(l.Config(), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	startServers(t, l)
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	echo, dead := netip.MustParseAddrPort(lab.Vip4(0)+":7"), lab.Vip4(0)+":9"
	ports := map[string]string{vip4(): ":80", echo.String(): ":7", dead: ":9"} // nobody listens on 9
	for vip, port := range ports {
		lbctl(t, l, "add-vip", vip, "--check", "none", "--on-fail", "reset",
			"--real", l.Real4(1)+port, "--real", l.Real4(2)+port, "--real", l.Real4(3)+port)
	}
	stream, err := l.NewStream("tcp", echo, 5*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	moves(t, stream)

	for _, check := range []string{"late", "tcp"} {
		for _, vip := range []string{vip4(), echo.String()} {
			lbctl(t, l, "edit-vip", vip, "--check", check)
		}
		for until := time.Now().Add(2 * time.Second); time.Now().Before(until); { // an interval
			if server, err := get(l, vip4()); err != nil {
				t.Fatalf("with the check %s: %q, %v", check, server, err)
			}
			for _, vip := range []string{vip4(), echo.String()} {
				if states := realStates(t, l, vip); states != "up up up" {
					t.Fatalf("with the check %s the reals of %s are %s", check, vip, states)
				}
			}
		}
		moves(t, stream)
	}
	if err := stream.End(); err != nil {
		t.Error(err)
	}

	for vip, check := range map[string]string{dead: "tcp", vip4(): "nowhere"} {
		lbctl(t, l, "edit-vip", vip, "--check", check)
		if err := lab.Wait(20*time.Second, func() error {
			if states := realStates(t, l, vip); states != "down down down" {
				return fmt.Errorf("with the check %s the reals of %s are %s", check, vip, states)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}

// realStates are those of a vip's reals, as they are listed.
func realStates(t *testing.T, l *lab.Lab, vip string) string {
	t.Helper()
	vips, err := l.Vips()
	if err != nil {
		t.Fatal(err)
	}
	var states []string
	for _, v := range vips {
		if strings.TrimSuffix(v.Vip, "/tcp") != vip {
			continue
		}
		for _, real := range v.Reals {
			states = append(states, real.State)
		}
	}
	return strings.Join(states, " ")
}
