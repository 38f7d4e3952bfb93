package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"syscall"

	"github.com/tarpon-lb/tarpon/control/api"
)

// LinkDown takes the carrier from a leg of the router, as a cable that is pulled does.
func (r *Router) LinkDown(leg string) error {
	return r.lab.script("switch ip link set " + r.port(leg) + " down")
}

// LinkUp is the opposite.
func (r *Router) LinkUp(leg string) error {
	return r.lab.script("switch ip link set " + r.port(leg) + " up")
}

// Deafen keeps the two routers of a pair from hearing each other on a leg; all others
// there hear both, and they all.
func (l *Lab) Deafen(leg string, on bool) error {
	for _, r := range l.Routers() {
		if err := l.script(fmt.Sprintf("switch bridge link set dev %s isolated %s", r.port(leg), onOff(on))); err != nil {
			return err
		}
	}
	return nil
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// Halve cuts the networks of a pair in two, as when the line between two switches breaks:
// the second router is with the last half of the clients and all reals but the first.
func (l *Lab) Halve() error {
	lines := ""
	for _, leg := range pairLegs {
		lines += fmt.Sprintf("switch ip link add %[1]s2 type bridge\nswitch ip link set %[1]s2 up\n", bridge(leg))
	}
	return l.script(lines + l.secondHalf("2"))
}

// Join is the opposite.
func (l *Lab) Join() error {
	lines := l.secondHalf("")
	for _, leg := range pairLegs {
		lines += fmt.Sprintf("switch ip link del %s2\n", bridge(leg))
	}
	return l.script(lines)
}

// secondHalf moves that half's ports to bridges whose names have a suffix.
func (l *Lab) secondHalf(suffix string) (lines string) {
	move := func(port, leg string) {
		lines += fmt.Sprintf("switch ip link set %s master %s%s\n", port, bridge(leg), suffix)
	}
	for _, leg := range pairLegs {
		move(l.Other.port(leg), leg)
	}
	for _, client := range l.clients()[len(l.clients())/2:] {
		move(client, "wan")
	}
	for n := 2; n <= Reals; n++ {
		move(fmt.Sprintf("port%d", n), "lan")
	}
	return lines
}

// SignalDaemon sends the daemon a signal that does not end it.
func (r *Router) SignalDaemon(signal syscall.Signal) error {
	r.lab.mu.Lock()
	defer r.lab.mu.Unlock()
	if r.daemon == nil {
		return errors.New("no daemon runs")
	}
	return r.daemon.Process.Signal(signal)
}

// PairStatus is what the router says of the pair.
func (r *Router) PairStatus() (p api.Pair, err error) {
	out, err := r.Lbctl("pair", "status", "-o", "json")
	if json.Unmarshal([]byte(out), &p) != nil {
		return p, fmt.Errorf("lbctl pair status: %w: %s", err, out)
	}
	return p, nil // exit code 1: it has something to tell
}
