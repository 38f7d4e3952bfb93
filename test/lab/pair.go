package lab

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The lab of a pair. Every wire ends at a switch that learns MACs:
//
//	client, client2 ... ─ wan ─┬─ lb1 ─┬─ lan ─ real1, real2, real3
//	          192.0.2.10 ...   └─ lb2 ─┘      their gateway is 10.0.0.254, floating
//	                              hb
//
// lb1 has 192.0.2.1, 10.0.0.1 and 172.31.0.1, lb2 has .2 everywhere, and the same in
// IPv6.

// legs of a pair's router, by the switch's bridge.
var pairLegs = []string{"wan", "lan", "hb"}

// lanBridge is where the reals are too.
const lanBridge = "br0"

func bridge(leg string) string {
	if leg == "lan" {
		return lanBridge
	}
	return leg
}

// port is the switch's end of a router's wire.
func (r *Router) port(leg string) string { return r.Host + leg }

func (l *Lab) clients() []string {
	list := []string{"client"}
	for n := 2; n <= l.Clients; n++ {
		list = append(list, fmt.Sprintf("client%d", n))
	}
	return list
}

func (l *Lab) pair() error {
	var lines strings.Builder
	for _, leg := range pairLegs {
		fmt.Fprintf(&lines, "switch ip link add %[1]s type bridge\nswitch ip link set %[1]s up\n", bridge(leg))
	}
	err := l.script(lines.String())
	for i, r := range l.Routers() {
		for _, leg := range pairLegs {
			err = errors.Join(err, l.wire(r.Host, leg, "switch", r.port(leg)), r.Plug(leg))
		}
		for _, own := range []struct{ leg, format string }{
			{"wan", "192.0.2.%d/24"}, {"wan", "2001:db8:1::%d/64"}, {"lan", "10.0.0.%d/24"}, {"lan", "2001:db8:2::%d/64"}, {"hb", "172.31.0.%d/24"},
		} {
			prefix := fmt.Sprintf(own.format, i+1)
			address, _, _ := strings.Cut(prefix, "/")
			r.own = append(r.own, address)
			err = errors.Join(err, l.script(r.Host+" ip addr add "+prefix+" dev "+own.leg))
		}
		err = errors.Join(err, r.makeKey())
	}
	for n, client := range l.clients() {
		err = errors.Join(err, l.wire(client, "eth0", "switch", client), l.script(fmt.Sprintf(`
			switch ip link set %[1]s master wan
			%[1]s ip addr add 192.0.2.%[2]d/24 dev eth0
			%[1]s ip addr add 2001:db8:1::%[2]d/64 dev eth0
		`, client, 10+n)))
	}
	for n := 1; n <= Reals; n++ {
		err = errors.Join(err, l.real(n, l.Real4(n), "10.0.0.254", l.Real6(n), "2001:db8:2::254"))
	}
	return err
}

// Plug connects a leg of the router to its network.
func (r *Router) Plug(leg string) error {
	return r.lab.script(fmt.Sprintf("switch ip link set %s master %s", r.port(leg), bridge(leg)))
}

// Unplug takes it away; the router's carrier stays, as with a switch that fails.
func (r *Router) Unplug(leg string) error {
	return r.lab.script(fmt.Sprintf("switch ip link set %s nomaster", r.port(leg)))
}

// PowerOff takes the router away as a power cut does: in one instant it is on no
// network, and its daemon is no more.
func (r *Router) PowerOff() error {
	if err := r.CutOff(); err != nil {
		return err
	}
	r.off = true
	return r.KillDaemon(syscall.SIGKILL)
}

// CutOff takes the router off all its networks in one instant.
func (r *Router) CutOff() error {
	cmd := r.lab.Command("switch", "ip", "-batch", "-")
	var lines strings.Builder
	for _, leg := range pairLegs {
		fmt.Fprintf(&lines, "link set %s nomaster\n", r.port(leg))
	}
	cmd.Stdin = strings.NewReader(lines.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cut %s off: %w: %s", r.Host, err, out)
	}
	return nil
}

// Off says whether its power is off: what it has then is on no network.
func (r *Router) Off() bool { return r.off }

// PowerOn is the opposite of PowerOff, of a router that has booted: nothing is left of
// its pins and of what is below /run, nor of addresses but its own.
func (r *Router) PowerOn() error {
	err := errors.Join(r.forgetPins(), r.unmount(), r.forgetRun(), r.makeDirs(), r.PlugAll())
	for _, leg := range pairLegs {
		err = errors.Join(err, r.awaitNoProgram(leg))
	}
	if err != nil {
		return err
	}
	r.off = false
	return r.StartDaemon()
}

// PlugAll is the opposite of CutOff, of a router that has only its own addresses then.
func (r *Router) PlugAll() (err error) {
	for _, leg := range pairLegs {
		err = errors.Join(err, r.dropAddresses(leg), r.Plug(leg))
	}
	return err
}

// awaitNoProgram waits until the kernel has let go of what was pinned: it takes its time.
func (r *Router) awaitNoProgram(leg string) error {
	return Wait(20*time.Second, func() error {
		if out, err := r.lab.Run(r.Host, "ip", "link", "show", "dev", leg); err != nil || strings.Contains(out, "xdp") {
			return fmt.Errorf("still there: %s (%w)", out, err)
		}
		return nil
	})
}

// pairConfiguration is the same on both routers.
func (l *Lab) pairConfiguration() string {
	return fmt.Sprintf(`# the lab's pair
version: 1
legs:
  wan: {role: outside, interface: wan}
  lan: {role: inside, interface: lan}
  hb:  {role: pair, interface: hb}
floating:
  - {address: 10.0.0.254/24, leg: lan}
  - {address: "2001:db8:2::254/64", leg: lan}
flows:
  max_ipv4: %[1]d
  max_ipv6: %[1]d
checks:
  quick: {type: http, path: /, interval: 300ms, timeout: 200ms, rise: 2, fall: 2}
defaults:
  check: quick
metrics: {listen: ""}
routers:
  - name: lb1
    addresses: {wan: [192.0.2.1, "2001:db8:1::1"], lan: [10.0.0.1, "2001:db8:2::1"], hb: 172.31.0.1}
    priority: 150
    key: ["%[2]s"]
  - name: lb2
    addresses: {wan: [192.0.2.2, "2001:db8:1::2"], lan: [10.0.0.2, "2001:db8:2::2"], hb: 172.31.0.2}
    key: ["%[3]s"]
pair:
  vrid: 77
  heartbeats: [hb, lan]
  advert: %[4]s
  settle: 0s
`, l.MaxFlows, l.Router.pin, l.Other.pin, l.Advert)
}

// identity are the daemon's flags that tell it which router it is: all have one
// hostname here.
func (r *Router) identity() []string {
	if r.lab.Other == nil {
		return nil
	}
	return []string{"--router", r.Host, "--pair-key", filepath.Join(r.Dir, "pair.key")}
}

// makeKey makes the router's key.
func (r *Router) makeKey() error {
	out, err := exec.Command(filepath.Join(r.lab.Bin, "lbctl"), "keygen", "--file", filepath.Join(r.Dir, "pair.key")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("lbctl keygen: %w: %s", err, out)
	}
	r.pin = strings.TrimSpace(string(out))
	return nil
}
