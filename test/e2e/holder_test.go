package e2e

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// Another machine has an address that a router alone adds for the first time: it is
// named, and the service runs all the same. A restart asks for nothing.
func TestAnotherHolderIsTold(t *testing.T) {
	l := bareLab(t, lab.Options{})
	holder := func(who, do, address string) {
		t.Helper()
		args := []string{"ip", "addr", do, address, "dev", "eth0"}
		if do == "add" && strings.Contains(address, "::") {
			args = append(args, "nodad")
		}
		if out, err := l.Run(who, args...); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	mac := map[string]string{}
	for _, who := range []string{"client", "real2"} {
		var err error
		if mac[who], err = l.MAC(who, "eth0"); err != nil {
			t.Fatal(err)
		}
	}
	holder("real2", "add", "10.0.0.254/32")
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	says := func(lines ...string) {
		t.Helper()
		err := lab.Wait(20*time.Second, func() error {
			told := lbctl(t, l, "events")
			for _, line := range lines {
				if !strings.Contains(told, line) {
					return fmt.Errorf("no %q in:\n%s", line, told)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	says(mac["real2"] + " says that it has 10.0.0.254")

	holder("client", "add", lab.Vip4(0)+"/32")
	holder("client", "add", lab.Vip6(0)+"/128")
	for _, vip := range []string{vip4(), vip6()} {
		lbctl(t, l, "add-vip", vip, "--check", "none")
	}
	says("address added: "+lab.Vip4(0)+"/32 on wan", mac["client"]+" says that it has "+lab.Vip4(0)+"",
		"address added: "+lab.Vip6(0)+"/128 on wan", mac["client"]+" says that it has "+lab.Vip6(0)+"")

	if err := l.KillDaemon(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	holder("client", "add", lab.Vip4(1)+"/32") // what is asked for later is asked last
	lbctl(t, l, "add-vip", lab.Vip4(1)+":80", "--check", "none")
	says(mac["client"] + " says that it has " + lab.Vip4(1))
	if told := lbctl(t, l, "events"); strings.Count(told, "says that it has") != 1 {
		t.Errorf("a restart asked who has what is here:\n%s", told)
	}
}

// The active router of a pair asks so for a vip that is added later.
func TestAnotherHolderIsToldByAPair(t *testing.T) {
	l := newPair(t, lab.Options{})
	mac, err := l.MAC("client", "eth0")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := l.Run("client", "ip", "addr", "add", lab.Vip4(7)+"/32", "dev", "eth0"); err != nil {
		t.Fatal(out)
	}
	active, _ := awaitRoles(t, l)
	lbctlOf(t, active, "add-vip", lab.Vip4(7)+":80", "--check", "none")
	settles(t, "it is told", func() error {
		told := lbctlOf(t, active, "events")
		if !strings.Contains(told, mac+" says that it has "+lab.Vip4(7)) {
			return errors.New(told)
		}
		return nil
	})
}

// A vip's or floating address that the machine has already is used, told once, and
// left when nobody wants it any more.
func TestAddressThatWasHereBefore(t *testing.T) {
	l := bareLab(t, lab.Options{})
	here := func(leg string) string {
		t.Helper()
		out, err := l.Run("router", "ip", "-o", "addr", "show", "dev", leg)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for leg, address := range map[string]string{"lan": "10.0.0.254/24", "wan": lab.Vip4(0) + "/32"} {
		if out, err := l.Run("router", "ip", "addr", "add", address, "dev", leg); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	startWeb(t, l)
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	events := followEvents(t, l)
	await(t, events, "address_foreign", map[string]string{"address": "10.0.0.254/24 on lan"})
	service(t, l, vip4())
	await(t, events, "address_foreign", map[string]string{"address": lab.Vip4(0) + "/32 on wan"})
	lbctl(t, l, "del-vip", vip4())
	if told := strings.Count(lbctl(t, l, "events"), "was here before"); told != 2 {
		t.Errorf("told %d times", told)
	}
	if err := l.KillDaemon(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if out, err := uninstallCommand(l).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	contains(t, here("lan"), "10.0.0.254/24")
	contains(t, here("wan"), lab.Vip4(0)+"/32")
}
