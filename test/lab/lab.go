// Package lab makes networks of namespaces with a Tarpon router in the middle,
// real clients and real servers, for the demo and the end-to-end tests.
//
//	client ── wan [router] lan ── switch ── real1, real2, real3
//	192.0.2.10   .1      10.0.0.1           10.0.0.11 ... 13
//
// The same in IPv6: 2001:db8:1::/64 outside, 2001:db8:2::/64 inside. One-armed:
// client and reals are on one network, 192.0.2.0/24, with the router.
package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Reals is how many real servers a lab has.
const Reals = 3

// Options of a lab.
type Options struct {
	OneArmed bool
	// Pair has two routers, lb1 and lb2, see pair.go. Apart: each is configured as one that
	// is alone.
	Pair, Apart bool
	// Clients of a pair's lab; 0: one.
	Clients int
	// Advert is a pair's interval of adverts; 0: 250 ms, so that roles do not move when a
	// busy machine stands still for half a second.
	Advert time.Duration
	// Mode of the legs; empty: auto.
	Mode string
	// MaxFlows sizes the router's tables; 0: 65,536.
	MaxFlows int
	// Bin is where tarpond and lbctl lie.
	Bin string
	// MTU of all links; 0: 1500.
	MTU int
	// Wrap is a command that runs the daemon; empty: none.
	Wrap []string
}

// A Lab is a network that is up. Everything it made carries its name.
type Lab struct {
	Options
	Name string
	Dir  string // files of the routers and the servers

	*Router         // the first one
	Other   *Router // of a pair; else nil

	mu        sync.Mutex
	processes []*exec.Cmd
	closers   []io.Closer
}

// New makes the network and starts nothing. On an error nothing is left.
func New(o Options) (*Lab, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("a lab needs root: it makes network namespaces")
	}
	if o.MaxFlows == 0 {
		o.MaxFlows = 65536
	}
	if o.Advert == 0 {
		o.Advert = 250 * time.Millisecond
	}
	dir, err := os.MkdirTemp("", "tarpon-lab-")
	if err != nil {
		return nil, err
	}
	l := &Lab{Options: o, Name: fmt.Sprintf("tp%d%s", os.Getpid(), filepath.Base(dir)[len("tarpon-lab-"):][:3]), Dir: dir}
	l.Router = &Router{Host: "router", Dir: dir, lab: l}
	if o.Pair {
		l.Router = &Router{Host: "lb1", Dir: filepath.Join(dir, "lb1"), lab: l}
		l.Other = &Router{Host: "lb2", Dir: filepath.Join(dir, "lb2"), lab: l}
	}
	if err := l.build(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Vip4 and Vip6 are addresses free for vips.
func Vip4(n int) string { return fmt.Sprintf("192.0.2.%d", 100+n) }
func Vip6(n int) string { return fmt.Sprintf("2001:db8:1::%d", 100+n) }

// Client4 and Client6 are the client's own.
const (
	Client4 = "192.0.2.10"
	Client6 = "2001:db8:1::10"
)

// Real4 is a real's address; n is from 1.
func (l *Lab) Real4(n int) string {
	if l.OneArmed {
		return fmt.Sprintf("198.51.100.%d", 10+n)
	}
	return fmt.Sprintf("10.0.0.%d", 10+n)
}

// Real6 is a real's IPv6 address.
func (l *Lab) Real6(n int) string { return fmt.Sprintf("2001:db8:2::%d", 10+n) }

// NS is the name of one of the lab's namespaces: client, router, switch, real1...
func (l *Lab) NS(who string) string { return l.Name + "-" + who }

// Routers are one, or the two of a pair.
func (l *Lab) Routers() []*Router {
	if l.Other == nil {
		return []*Router{l.Router}
	}
	return []*Router{l.Router, l.Other}
}

func (l *Lab) namespaces() []string {
	list := append(l.clients(), "switch")
	for _, r := range l.Routers() {
		list = append(list, r.Host)
	}
	for n := 1; n <= Reals; n++ {
		list = append(list, fmt.Sprintf("real%d", n))
	}
	return list
}

// script runs lines of commands; each begins with who runs it.
func (l *Lab) script(lines string) error {
	for line := range strings.Lines(lines) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if out, err := l.Run(fields[0], fields[1:]...); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.TrimSpace(line), err, out)
		}
	}
	return nil
}

func (l *Lab) build() error {
	for _, who := range l.namespaces() {
		if out, err := exec.Command("ip", "netns", "add", l.NS(who)).CombinedOutput(); err != nil {
			return fmt.Errorf("ip netns add %s: %w: %s", l.NS(who), err, out)
		}
	}
	for _, r := range l.Routers() {
		if err := r.makeDirs(); err != nil {
			return err
		}
	}
	if err := l.links(); err != nil {
		return err
	}
	for _, r := range l.Routers() {
		if err := os.WriteFile(r.Config(), []byte(l.configuration()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// wire makes a veth pair between two namespaces. A redirect to a veth needs its
// peer to poll, which GRO makes it do; and who sends into XDP must send whole
// checksums.
func (l *Lab) wire(a, nameA, b, nameB string) error {
	mtu := l.MTU
	if mtu == 0 {
		mtu = 1500
	}
	return l.script(fmt.Sprintf(`
		%[1]s ip link add %[2]s mtu %[5]d type veth peer name %[4]s mtu %[5]d netns %[6]s
		%[1]s ip link set %[2]s up
		%[3]s ip link set %[4]s up
		%[1]s ethtool -K %[2]s gro on tx off tso off gso off
		%[3]s ethtool -K %[4]s gro on tx off tso off gso off
	`, a, nameA, b, nameB, mtu, l.NS(b)))
}

func (l *Lab) links() error {
	for _, who := range l.namespaces() {
		// No duplicate address detection: addresses are usable at once.
		err := l.script(fmt.Sprintf(`
			%[1]s ip link set lo up
			%[1]s sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0
		`, who))
		if err != nil {
			return err
		}
	}
	switch {
	case l.OneArmed:
		return l.oneArmed()
	case l.Pair:
		return l.pair()
	}
	err := errors.Join(l.script(switched), l.Plug("wan"), l.Plug("lan"))
	for n := 1; err == nil && n <= Reals; n++ {
		err = l.real(n, l.Real4(n), "10.0.0.254", l.Real6(n), "2001:db8:2::254")
	}
	return err
}

const (
	switched = `
		switch ip link add br0 type bridge
		switch ip link set br0 up
	`
	client = `
		client ip addr add 192.0.2.10/24 dev eth0
		client ip addr add 2001:db8:1::10/64 dev eth0
		client ip route add default via 192.0.2.1
		client ip route add default via 2001:db8:1::1
	`
)

// Plug makes the interface of a leg, wan or lan, with the network behind it, and gives
// the router its own addresses there. Unplug removes it. Not for a one-armed router.
func (l *Lab) Plug(leg string) error {
	if leg == "wan" {
		return errors.Join(l.wire("router", "wan", "client", "eth0"), l.script(client+`
			router ip addr add 192.0.2.1/24 dev wan
			router ip addr add 2001:db8:1::1/64 dev wan
		`))
	}
	return errors.Join(l.wire("router", "lan", "switch", "port0"), l.script(`
		switch ip link set port0 master br0
		router ip addr add 10.0.0.1/24 dev lan
		router ip addr add 2001:db8:2::1/64 dev lan
	`))
}

// Unplug removes a leg's interface, and with it all that Plug made.
func (l *Lab) Unplug(leg string) error { return l.script("router ip link del " + leg) }

// real connects a real server to the switch.
func (l *Lab) real(n int, v4, gateway4, v6, gateway6 string) error {
	who, port := fmt.Sprintf("real%d", n), fmt.Sprintf("port%d", n)
	if err := l.wire(who, "eth0", "switch", port); err != nil {
		return err
	}
	return l.script(fmt.Sprintf(`
		switch ip link set %[2]s master br0
		%[1]s ip addr add %[3]s/24 dev eth0
		%[1]s ip addr add %[5]s/64 dev eth0
		%[1]s ip route add default via %[4]s
		%[1]s ip route add default via %[6]s
	`, who, port, v4, gateway4, v6, gateway6))
}

// oneArmed has everybody on one wire, in two networks.
func (l *Lab) oneArmed() error {
	err := errors.Join(l.wire("router", "net", "switch", "port0"), l.wire("client", "eth0", "switch", "port9"))
	if err != nil {
		return err
	}
	err = l.script(switched + client + `
		switch ip link set port0 master br0
		router ip addr add 192.0.2.1/24 dev net
		router ip addr add 198.51.100.1/24 dev net
		router ip addr add 2001:db8:1::1/64 dev net
		router ip addr add 2001:db8:2::1/64 dev net
		switch ip link set port9 master br0
	`)
	for n := 1; err == nil && n <= Reals; n++ {
		err = l.real(n, l.Real4(n), "198.51.100.254", l.Real6(n), "2001:db8:2::254")
	}
	return err
}

func (l *Lab) configuration() string {
	if l.Pair && !l.Apart {
		return l.pairConfiguration()
	}
	mode := ""
	if l.Mode != "" {
		mode = ", mode: " + l.Mode
	}
	legs := "  wan: {role: outside, interface: wan" + mode + "}\n  lan: {role: inside, interface: lan" + mode + "}\n"
	leg, gateway := "lan", "10.0.0.254"
	if l.OneArmed {
		legs = "  net: {role: both, interface: net" + mode + "}\n"
		leg, gateway = "net", "198.51.100.254"
	}
	return fmt.Sprintf(`# the lab's router
version: 1
legs:
%sfloating:
  - {address: %s/24, leg: %s}
  - {address: "2001:db8:2::254/64", leg: %s}
flows:
  max_ipv4: %d
  max_ipv6: %d
checks:
  quick: {type: http, path: /, interval: 300ms, timeout: 200ms, rise: 2, fall: 2}
defaults:
  check: quick
`, legs, gateway, leg, leg, l.MaxFlows, l.MaxFlows)
}

// Run runs a command in a namespace and returns what it printed.
func (l *Lab) Run(who string, args ...string) (string, error) {
	out, err := l.Command(who, args...).CombinedOutput()
	return string(out), err
}

// Command is a command to be run in a namespace. Only the network is another one:
// `ip netns exec` would hide the bpffs.
func (l *Lab) Command(who string, args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--net=/run/netns/" + l.NS(who)}, args...)...)
}

// Start starts a command that Close will kill.
func (l *Lab) Start(cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.processes = append(l.processes, cmd)
	return nil
}

// closeLater has Close close sockets; who closed them before does no harm.
func (l *Lab) closeLater(c ...io.Closer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closers = append(l.closers, c...)
}

// Wait polls until the condition holds; the error is the last it gave.
func Wait(limit time.Duration, condition func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := condition()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after %s: %w", limit, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// end asks a process to end, so that it ends its children too, and kills it if it
// does not. Somebody else may be in cmd.Wait, which is for one caller.
func end(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(unix.SIGTERM)
	go func() { _, _ = cmd.Process.Wait() }()
	err := Wait(5*time.Second, func() error {
		if cmd.Process.Signal(unix.Signal(0)) == nil {
			return errors.New("it still runs")
		}
		return nil
	})
	if err != nil {
		_ = cmd.Process.Kill()
	}
}

// Close ends every process and removes everything the lab made, by its name.
func (l *Lab) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.Routers() {
		if r.daemon != nil {
			end(r.daemon)
		}
	}
	for _, p := range l.processes {
		end(p)
	}
	for _, c := range l.closers {
		_ = c.Close()
	}
	var errs []error
	for _, who := range l.namespaces() {
		_ = exec.Command("ip", "netns", "del", l.NS(who)).Run()
	}
	for _, r := range l.Routers() {
		errs = append(errs, r.unmount())
	}
	return errors.Join(append(errs, os.RemoveAll(l.Dir))...)
}
