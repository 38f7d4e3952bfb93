package e2e

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// healthy waits until the router says that all is well, on fast legs.
func healthy(t *testing.T, l *lab.Lab) {
	t.Helper()
	if err := lab.Wait(30*time.Second, func() error {
		s, err := l.Status()
		for _, leg := range s.Legs {
			if leg.Mode != "native" {
				err = errors.Join(err, errors.New(leg.Name+" runs in mode "+leg.Mode))
			}
		}
		if len(s.Problems) > 0 {
			err = errors.Join(err, errors.New(strings.Join(s.Problems, "; ")))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// whole checks that a leg has all that belongs to one, and that both vips are served.
func whole(t *testing.T, l *lab.Lab) {
	t.Helper()
	healthy(t, l)
	show := func(args ...string) string {
		out, err := l.Run("router", args...)
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
		return out
	}
	for leg, addresses := range map[string][]string{"wan": {lab.Vip4(0) + "/32", lab.Vip6(0) + "/128"}, "lan": {"10.0.0.254/24", "2001:db8:2::254/64"}} {
		shown := show("ip", "addr", "show", "dev", leg)
		for _, address := range addresses {
			contains(t, shown, " "+address+" ")
		}
		if leg == "lan" { // the router speaks from its own address
			contains(t, shown, "10.0.0.254/24 scope global secondary ")
		}
		contains(t, show("sysctl", "net.ipv4.conf."+leg+".forwarding", "net.ipv4.conf."+leg+".arp_ignore"), "forwarding = 1\nnet.ipv4.conf."+leg+".arp_ignore = 1")
	}
	if err := lab.Wait(30*time.Second, func() error { // by next hops that are known
		vips, err := l.Vips()
		for _, vip := range vips {
			for _, real := range vip.Reals {
				if real.NextHop != "" {
					err = errors.New(real.Real + ": " + real.NextHop)
				}
			}
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	for _, vip := range []string{vip4(), vip6()} {
		if err := lab.Wait(10*time.Second, func() (err error) { // checks that were under way may fail yet
			for range 20 {
				_, failed := get(l, vip)
				err = errors.Join(err, failed)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	}
}

// An interface that goes, by whatever way, and comes again is the leg that it was;
// meanwhile the router can be changed.
func TestInterfacesThatReturn(t *testing.T) {
	l := newLab(t, lab.Options{})
	for _, vip := range []string{vip4(), vip6()} {
		service(t, l, vip)
	}
	events := followEvents(t, l)
	run := func(commands ...string) func() error {
		return func() error {
			for _, command := range commands {
				if out, err := l.Run("router", strings.Fields(command)...); err != nil {
					return errors.New(command + ": " + out)
				}
			}
			return nil
		}
	}
	// Addresses of IPv6 go with the carrier; those that are not ours are somebody's to restore.
	own6 := map[string]string{"wan": "ip addr add 2001:db8:1::1/64 dev wan", "lan": "ip addr add 2001:db8:2::1/64 dev lan"}
	for _, leg := range []string{"wan", "lan"} {
		for _, way := range []struct {
			name      string
			go_, come func() error
			problem   string
		}{
			{"removed", func() error { return l.Unplug(leg) }, func() error { return l.Plug(leg) }, "leg " + leg + ": there is no interface " + leg},
			{"renamed", run("ip link set "+leg+" down", "ip link set "+leg+" name other"), run("ip link set other name "+leg, "ip link set "+leg+" up", own6[leg]),
				"leg " + leg + ": there is no interface " + leg},
			{"down", run("ip link set " + leg + " down"), run("ip link set "+leg+" up", own6[leg]), "leg " + leg + " (" + leg + ") is down"},
		} {
			t.Run(leg+" "+way.name, func(t *testing.T) {
				if err := way.go_(); err != nil {
					t.Fatal(err)
				}
				await(t, events, "interface_down", map[string]string{"interface": leg})
				settles(t, "status says so", func() error {
					if out := exits(t, l, 1, "status"); !strings.Contains(words(out), "PROBLEM: "+way.problem) {
						return errors.New(out)
					}
					return nil
				})
				contains(t, lbctl(t, l, "add-real", vip4(), l.Real4(1)+":81", "--weight", "0"), "added")
				contains(t, lbctl(t, l, "del-real", vip4(), l.Real4(1)+":81"), "removed")
				if err := way.come(); err != nil {
					t.Fatal(err)
				}
				await(t, events, "interface_up", map[string]string{"interface": leg})
				whole(t, l)
			})
		}
	}
}

// A router starts without some of its interfaces, or without any, and takes each as it
// comes.
func TestInterfacesThatComeLate(t *testing.T) {
	for _, late := range [][]string{{"wan"}, {"lan"}, {"wan", "lan"}} {
		t.Run(strings.Join(late, ","), func(t *testing.T) {
			l := newLab(t, lab.Options{})
			for _, vip := range []string{vip4(), vip6()} {
				service(t, l, vip)
			}
			boot(t, l, "wan", "lan")
			for _, leg := range late {
				if err := l.Unplug(leg); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.StartDaemon(); err != nil {
				t.Fatal(err)
			}
			events := followEvents(t, l)
			shown := exits(t, l, 1, "status")
			for _, leg := range late {
				contains(t, lbctl(t, l, "events"), " interface down: "+leg+", there is none of this name\n")
				contains(t, shown, "PROBLEM: leg "+leg+": there is no interface "+leg)
			}
			for _, leg := range late {
				if err := l.Plug(leg); err != nil {
					t.Fatal(err)
				}
				await(t, events, "leg_attached", map[string]string{"leg": leg})
			}
			whole(t, l)
		})
	}
}
