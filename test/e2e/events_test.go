package e2e

import (
	"bufio"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/test/lab"
)

// followEvents tells events as lbctl prints them, until it ends.
func followEvents(t *testing.T, l *lab.Lab) <-chan api.Event {
	t.Helper()
	cmd := exec.Command(filepath.Join(l.Bin, "lbctl"), "--socket", filepath.Join(l.Dir, "run", "tarpond.sock"), "events", "--follow", "-o", "json")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Start(cmd); err != nil {
		t.Fatal(err)
	}
	events := make(chan api.Event, 1000)
	go func() {
		defer close(events)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var e api.Event
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				events <- e
			}
		}
	}()
	return events
}

// await waits for an event of a kind whose fields have these values.
func await(t *testing.T, events <-chan api.Event, kind string, fields map[string]string) api.Event {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		select {
		case e, ok := <-events:
			if !ok {
				t.Fatalf("the events end without %s %v", kind, fields)
			}
			is := e.Kind == kind
			for key, value := range fields {
				is = is && strings.Contains(e.Fields[key], value)
			}
			if is {
				return e
			}
		case <-limit:
			t.Fatalf("no event %s %v", kind, fields)
		}
	}
}

// What a person does to the router and around it is told, at once and later.
func TestEvents(t *testing.T) {
	l := newLab(t, lab.Options{})
	events, addresses := followEvents(t, l), followEvents(t, l)
	service(t, l, vip4(), "--name", "shop")
	vip, real2 := vip4()+"/tcp", l.Real4(2)+":80"
	await(t, events, "leg_attached", map[string]string{"leg": "wan", "mode": "native"})
	await(t, events, "started", map[string]string{"revision": "1"})
	await(t, events, "revision", map[string]string{"revision": "2", "author": "root", "what": "vip shop added"})
	await(t, events, "real_up", map[string]string{"vip": vip, "real": real2})
	await(t, addresses, "address_added", map[string]string{"address": lab.Vip4(0)}) // before it, or after

	do := func(who string, args ...string) {
		t.Helper()
		if out, err := l.Run(who, args...); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	// While no health changes: that would set the addresses too.
	do("router", "ip", "addr", "del", lab.Vip4(0)+"/32", "dev", "wan")
	await(t, events, "address_lost", map[string]string{"addresses": lab.Vip4(0)})
	await(t, events, "address_added", map[string]string{"address": lab.Vip4(0)})

	if err := l.StopNginx(2); err != nil {
		t.Fatal(err)
	}
	await(t, events, "real_down", map[string]string{"vip": vip, "real": real2, "error": "refused"})
	if err := l.StartNginx(2); err != nil {
		t.Fatal(err)
	}
	await(t, events, "real_up", map[string]string{"vip": vip, "real": real2})

	do("router", "sysctl", "-qw", "net.ipv4.conf.wan.arp_ignore=0")
	await(t, events, "sysctl_set", map[string]string{"sysctl": "arp_ignore: 0 -> 1"})
	do("router", "ip", "link", "set", "lan", "down")
	await(t, events, "interface_down", map[string]string{"interface": "lan"})
	do("router", "ip", "link", "set", "lan", "up")
	await(t, events, "interface_up", map[string]string{"interface": "lan"})
	await(t, events, "next_hop_found", map[string]string{"real": l.Real4(1)})

	told := lbctl(t, l, "events")
	for _, line := range []string{
		" real down: " + vip + ", " + real2 + ", ",
		" real up: " + vip + ", " + real2 + "\n",
		" configuration changed: author 0 root, revision 2, vip shop added",
	} {
		contains(t, told, line)
	}
	if err := l.KillDaemon(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await(t, events, "stopped", nil)
	if _, more := <-events; more {
		t.Error("something follows the stop")
	}
}
