package e2e

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// A foreignPair is a Tarpon, lb1, and a keepalived, lb2, for one set of addresses.
type foreignPair struct {
	*lab.Lab
	t        *testing.T
	instance string // of keepalived, what is special about it
	wan, lan *lab.Listener
}

const gateway4, gateway6 = "10.0.0.254", "2001:db8:2::254"

func newForeignPair(t *testing.T, rules, instance string) *foreignPair {
	t.Helper()
	p := &foreignPair{Lab: bareLab(t, lab.Options{Pair: true}), t: t}
	p.instance = instance + fmt.Sprintf(`
	virtual_ipaddress {
		%s/24 dev lan
	}
	virtual_ipaddress_excluded {
		%s/64 dev lan
		%s/32 dev wan
		%s/128 dev wan
	}`, gateway4, gateway6, lab.Vip4(0), lab.Vip6(0))
	text := strings.Replace(read(t, p.Config()), "heartbeats: [hb, lan]\n  advert: 250ms", "peer: vrrp\n  heartbeats: [hb]\n"+rules, 1)
	if err := os.WriteFile(p.Config(), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	var err, err2 error
	p.wan, err = p.Listen("client", "eth0")
	p.lan, err2 = p.Listen("real1", "eth0")
	if err := errors.Join(err, err2, p.StartNginx(1)); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *foreignPair) keepalived() {
	p.t.Helper()
	if err := p.Other.StartKeepalived(p.instance); err != nil {
		p.t.Fatal(err)
	}
}

// active waits until a router, and nobody else, has all addresses and answers for them.
func (p *foreignPair) active(what string, want *lab.Router) {
	p.t.Helper()
	began := time.Now()
	defer func() { p.t.Logf("%s: after %s", what, time.Since(began).Round(10*time.Millisecond)) }()
	settles(p.t, what+": "+want.Host+" alone has the addresses", func() error {
		for _, r := range p.Routers() {
			out, err := p.Run(r.Host, "ip", "addr")
			if err != nil {
				return err
			}
			for _, address := range []string{gateway4, gateway6, lab.Vip4(0), lab.Vip6(0)} {
				if has := strings.Contains(out, " "+address+"/"); has != (r == want) {
					return fmt.Errorf("%s has %s: %t", r.Host, address, has)
				}
			}
		}
		return nil
	})
	answers(p.t, p.Lab, p.wan, "wan", want, lab.Vip4(0), lab.Vip6(0))
	answers(p.t, p.Lab, p.lan, "lan", want, gateway4, gateway6)
	if want == p.Router {
		settles(p.t, what+": it serves", func() error { return served(p.Lab) })
	}
}

// answers waits until a router, and nobody else, answers who asks for addresses.
func answers(t *testing.T, l *lab.Lab, ear *lab.Listener, leg string, want *lab.Router, addresses ...string) {
	t.Helper()
	mac := macOf(t, l, want, leg)
	for _, text := range addresses {
		address := netip.MustParseAddr(text)
		settles(t, want.Host+" alone answers for "+text, func() error {
			asked := time.Now()
			if err := ear.Ask(address); err != nil {
				return err
			}
			time.Sleep(100 * time.Millisecond) // who else would answer
			said := ear.Of(address, asked)
			for _, c := range said {
				if c.MAC != mac {
					return fmt.Errorf("%s answers", c.MAC)
				}
			}
			if len(said) == 0 {
				return errors.New("nobody answers")
			}
			return nil
		})
	}
}

func macOf(t *testing.T, l *lab.Lab, r *lab.Router, leg string) string {
	t.Helper()
	mac, err := l.MAC(r.Host, leg)
	if err != nil {
		t.Fatal(err)
	}
	return mac
}

// Elected against a keepalived, in both directions, by all ways in which one ends.
func TestForeignPeer(t *testing.T) {
	for _, row := range []struct{ name, rules, instance string }{
		{"v3 unicast", "  advert: 500ms\n  checksum: pseudo-header",
			"version 3\nadvert_int 0.5\nunicast_src_ip 172.31.0.2\nunicast_peer {\n172.31.0.1\n}"},
		{"v2 multicast", "  advert: 1s\n  version: 2\n  transport: multicast\n  v2_password: secret",
			"version 2\nadvert_int 1\nauthentication {\nauth_type PASS\nauth_pass secret\n}"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newForeignPair(t, row.rules, row.instance)
			lb1, lb2 := p.Router, p.Other
			p.keepalived()
			p.active("it is alone", lb2)
			if err := lb1.StartDaemon(); err != nil {
				t.Fatal(err)
			}
			lbctl(t, p.Lab, "add-vip", vip4(), "--real", p.Real4(1))
			lbctl(t, p.Lab, "add-vip", "["+lab.Vip6(0)+"]:80", "--real", "["+p.Real6(1)+"]:80")
			p.active("lb1 leaves a router that is active alone", lb2)
			p.asStandby()

			if err := lb2.KillKeepalived(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			p.active("lb2 says goodbye", lb1)
			p.asOnly()
			p.keepalived()
			p.active("lb2 is back", lb1)
			says(t, lb1, true, "lb2 takes over by itself", "switchover")
			p.active("lb1 gives it away", lb2)

			if err := errors.Join(lb2.CutOff(), lb2.KillKeepalived(syscall.SIGKILL)); err != nil {
				t.Fatal(err)
			}
			settles(t, "lb1 takes over from who is silent", func() error { return served(p.Lab) })
			answers(t, p.Lab, p.wan, "wan", lb1, lab.Vip4(0), lab.Vip6(0))
			if err := lb2.PlugAll(); err != nil {
				t.Fatal(err)
			}
			p.keepalived()
			p.active("lb2 has booted", lb1)

			if err := lb1.KillDaemon(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			p.active("lb1 is stopped", lb2)
			if err := lb1.StartDaemon(); err != nil {
				t.Fatal(err)
			}
			p.active("lb1 is started", lb2)
			says(t, lb1, true, "left the pair", "pair", "leave")
			p.active("lb1 has left", lb2)
			says(t, lb1, true, "this router is alone", "pair", "status")
		})
	}
}

// asStandby asks a standby Tarpon all that cannot be done with such a peer.
func (p *foreignPair) asStandby() {
	p.t.Helper()
	lb1 := p.Router
	settles(p.t, "it hears lb2", func() error {
		status := pairOf(p.t, lb1)
		if !strings.HasPrefix(status.WhyNot, "172.31.0.2 is active with priority 100 against 150") || status.Lease != "ended" {
			return fmt.Errorf("it is a standby because %q, with a lease that %s", status.WhyNot, status.Lease)
		}
		return nil
	})
	says(p.t, lb1, true, "no Tarpon (peer: vrrp)", "pair", "status")
	says(p.t, lb1, false, "lb2 is no Tarpon", "switchover")
	says(p.t, lb1, false, "lb2 is no Tarpon", "switchover", "--force")
	for _, args := range [][]string{{"pair", "diff"}, {"pair", "adopt", "lb2"}} {
		says(p.t, lb1, false, "no configuration is shared with it", args...)
	}
	if out, _ := lb1.Lbctl("doctor"); !strings.Contains(out, "lb2 is no Tarpon") {
		p.t.Errorf("doctor: %s", out)
	}
}

// asOnly asks one that is active, and whose peer is not there.
func (p *foreignPair) asOnly() {
	p.t.Helper()
	lb1 := p.Router
	if status := pairOf(p.t, lb1); status.Lease != "holds" || status.Transition == nil || status.Transition.Why != "the peer said goodbye" {
		p.t.Errorf("it is active by %+v, with a lease that %s", status.Transition, status.Lease)
	}
	says(p.t, lb1, false, "whether it can take the service over is not known", "pair", "leave")
	says(p.t, lb1, true, "lb2 does not know of it", "pair", "hold")
	says(p.t, lb1, false, "the roles are held", "switchover")
	if status := pairOf(p.t, lb1); status.Lease != "holds" {
		p.t.Errorf("held, its lease is %s: lb2 takes over whatever is held here", status.Lease)
	}
	says(p.t, lb1, true, "the roles are not held", "pair", "release")
	p.active("nothing has moved", lb1)
}
