package e2e

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// ears hear all networks of a pair: a client's and a real's wire, whence they ask, and
// all that lb1 sends.
type ears struct {
	*lab.Lab
	t    *testing.T
	asks map[string]*lab.Listener // by leg
	lb1  map[string]*lab.Listener // likewise
	macs map[string]string        // of lb1, likewise
}

func listenAround(t *testing.T, l *lab.Lab) *ears {
	t.Helper()
	e := &ears{l, t, map[string]*lab.Listener{}, map[string]*lab.Listener{}, map[string]string{}}
	var errs []error
	listen := func(to map[string]*lab.Listener, leg string, ear *lab.Listener, err error) {
		to[leg] = ear
		errs = append(errs, err)
	}
	for leg, who := range map[string]string{"wan": "client", "lan": "real1"} {
		ear, err := l.Listen(who, "eth0")
		listen(e.asks, leg, ear, err)
	}
	for _, leg := range []string{"wan", "lan", "hb"} {
		ear, err := l.ListenTo(l.Router, leg)
		listen(e.lb1, leg, ear, err)
		e.macs[leg] = macOf(t, l, l.Router, leg)
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return e
}

// held are addresses that move, by leg.
var held = map[string][]netip.Addr{
	"wan": {netip.MustParseAddr(lab.Vip4(0)), netip.MustParseAddr(lab.Vip4(1))},
	"lan": {netip.MustParseAddr(gateway4), netip.MustParseAddr(gateway6)},
	"hb":  {netip.MustParseAddr(gateway4)}, // by adverts
}

// ask has everybody asked who has the addresses, time and again until stop is called.
func (e *ears) ask() (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			for leg, ear := range e.asks {
				for _, a := range held[leg] {
					if err := ear.Ask(a); err != nil {
						e.t.Errorf("ask for %s: %v", a, err)
					}
				}
			}
			select {
			case <-ticker.C:
			case <-end:
				return
			}
		}
	}()
	return func() { close(end); <-ended }
}

// provoke has lb1's kernel look for neighbours that there are not: for packets of its own
// from held addresses, which it would ask with, and for forwarded ones.
func (e *ears) provoke() {
	e.t.Helper()
	if out, err := e.Run("lb1", "sysctl", "-qw", "net.ipv4.conf.lan.arp_announce=0", "net.ipv4.conf.all.arp_announce=0"); err != nil {
		e.t.Fatal(err, out)
	}
	for _, line := range [][]string{
		{"lb1", "ping", "-c", "1", "-W", "1", "-I", gateway4, "10.0.0.77"},
		{"lb1", "ping", "-c", "1", "-W", "1", "-I", gateway6, "2001:db8:2::77"},
		{"real1", "ping", "-c", "1", "-W", "1", "192.0.2.77"},
	} {
		_, _ = e.Run(line[0], line[1:]...) // nobody is there
	}
}

// said are the held addresses that lb1 has claimed since, by leg.
func (e *ears) said(since time.Time) (list []string) {
	for leg, ear := range e.lb1 {
		for _, a := range held[leg] {
			mine := func(c lab.Claim) bool { return c.MAC == e.macs[leg] }
			if slices.ContainsFunc(ear.Of(a, since), mine) {
				list = append(list, a.String()+" on "+leg)
			}
		}
	}
	slices.Sort(list)
	return list
}

// The daemon of the active router dies, or is frozen, and the other router lives: at no
// moment does the first one say that it has an address that the other one has, whatever
// makes its kernel speak. Thawed, it hears the other one before it says anything.
func TestLeaseEnds(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
		t.Run(signal.String(), func(t *testing.T) {
			l := newPair(t, lab.Options{})
			awaitPair(t, l.Router, l.Other)
			lbctl(t, l, "edit-vip", lab.Vip4(0)+":80", "--check", "none") // real1 is to be bent
			e := listenAround(t, l)
			if out, err := l.Run("real1", "ip", "route", "add", "192.0.2.77", "via", "10.0.0.1"); err != nil {
				t.Fatal(err, out)
			}
			began := time.Now()
			e.provoke()
			stop := e.ask()
			defer func() { stop() }()
			want := []string{gateway4 + " on hb", gateway4 + " on lan", lab.Vip4(0) + " on wan", lab.Vip4(1) + " on wan", gateway6 + " on lan"}
			slices.Sort(want)
			settles(t, "the active router claims all", func() error {
				if said := e.said(began); !slices.Equal(said, want) {
					return fmt.Errorf("it claims %q, want %q", said, want)
				}
				return nil
			})

			pid := l.DaemonPID()
			if signal == syscall.SIGKILL {
				if err := l.KillDaemon(signal); err != nil {
					t.Fatal(err)
				}
			} else if err := syscall.Kill(pid, signal); err != nil {
				t.Fatal(err)
			}
			others := map[string]string{"wan": macOf(t, l, l.Other, "wan"), "lan": macOf(t, l, l.Other, "lan")}
			settles(t, "the other one answers", func() error { return e.answered(began, others) })
			e.provoke()
			time.Sleep(time.Second)
			e.moved(began, others)
			if signal != syscall.SIGSTOP {
				return
			}
			thawed := time.Now()
			if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			awaitHolder(t, l, l.Other)
			if said := e.said(thawed); len(said) > 0 {
				t.Errorf("thawed, it claims %q", said)
			}
			e.moved(began, others)
		})
	}
}

// answered: each address has been claimed by its leg's MAC.
func (e *ears) answered(since time.Time, macs map[string]string) error {
	for leg, ear := range e.asks {
		for _, a := range held[leg] {
			claims := ear.Of(a, since)
			if !slices.ContainsFunc(claims, func(c lab.Claim) bool { return c.MAC == macs[leg] }) {
				return fmt.Errorf("%s is not at %s", a, macs[leg])
			}
		}
	}
	return nil
}

// moved: no address was claimed by lb1 after the other router had claimed it.
func (e *ears) moved(since time.Time, others map[string]string) {
	e.t.Helper()
	for leg, ear := range e.asks {
		for _, a := range held[leg] {
			claims := ear.Of(a, since)
			first := slices.IndexFunc(claims, func(c lab.Claim) bool { return c.MAC == others[leg] })
			for _, c := range claims[first:] {
				if c.MAC == e.macs[leg] {
					e.t.Errorf("%s: lb1 claims it %s after lb2 had", a, c.At.Sub(claims[first].At))
					break
				}
			}
		}
	}
}

// Without another router the lease has no end: a daemon that is dead changes nothing.
func TestLeaseOpen(t *testing.T) {
	l := newPair(t, lab.Options{})
	awaitPair(t, l.Router, l.Other)
	lease := func(want string) {
		t.Helper()
		settles(t, "the lease", func() error {
			if p := pairOf(t, l.Router); p.Lease != want {
				return fmt.Errorf("it is %s, want %s", p.Lease, want)
			}
			return nil
		})
	}
	lease("holds")
	if err := l.Other.PowerOff(); err != nil {
		t.Fatal(err)
	}
	lease("open")
	if err := l.KillDaemon(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	e := listenAround(t, l)
	for range 5 {
		for _, who := range []string{"client", "real1"} {
			if out, err := l.Run(who, "ip", "neigh", "flush", "dev", "eth0"); err != nil {
				t.Fatal(err, out)
			}
		}
		if err := served(l); err != nil {
			t.Fatal(err)
		}
		for leg, ear := range e.asks {
			for _, a := range held[leg] {
				answers(t, l, ear, leg, l.Router, a.String())
			}
		}
	}
	if err := errors.Join(l.StartDaemon(), l.Other.PowerOn()); err != nil {
		t.Fatal(err)
	}
	lease("holds")
	awaitPair(t, l.Router, l.Other)
}
