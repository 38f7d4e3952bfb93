package failover

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// A Rig is a pair's lab with vips on Port and echo servers behind them.
type Rig struct {
	*lab.Lab
	clients []string
	off     map[*lab.Router]bool // no power
	note    string               // what an event has to say besides
	end     context.CancelFunc
	running sync.WaitGroup
}

// Options of a Rig.
type Options struct {
	Bin     string        // tarpond and lbctl
	Clients int           // 0: 4
	Advert  time.Duration // interval of adverts; 0: 100 ms
	// Echo starts the echo server of a real; nil: in this process.
	Echo func(l *lab.Lab, real int) error
}

// ActiveDown is how long the standby waits for adverts of the usual interval, with the
// skew of the lower priority: Active_Down_Interval of RFC 9568 section 6.1.
const (
	advert     = 100 * time.Millisecond
	ActiveDown = 3*advert + advert*(256-100)/256
)

// NewRig makes one, with lb1 active and all in order. The caller closes it.
func NewRig(o Options) (*Rig, error) {
	if o.Clients == 0 {
		o.Clients = 4
	}
	if o.Advert == 0 {
		o.Advert = advert
	}
	l, err := lab.New(lab.Options{Pair: true, Advert: o.Advert, Clients: o.Clients, Bin: o.Bin})
	if err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(context.Background())
	r := &Rig{Lab: l, clients: []string{"client"}, off: map[*lab.Router]bool{}, end: end}
	for n := 2; n <= o.Clients; n++ {
		r.clients = append(r.clients, fmt.Sprintf("client%d", n))
	}
	if o.Echo == nil {
		o.Echo = func(_ *lab.Lab, real int) error { return r.serve(ctx, real) }
	}
	if err := r.start(o); err != nil {
		return nil, errors.Join(err, r.Logs(), r.Close())
	}
	return r, nil
}

func (r *Rig) serve(ctx context.Context, real int) error {
	ready := make(chan error, 1)
	r.running.Go(func() {
		err := r.In(fmt.Sprintf("real%d", real), func() error { Serve(ctx, byte(real), ready); return nil })
		if err != nil {
			ready <- err
		}
	})
	return <-ready
}

func (r *Rig) start(o Options) error {
	for n := 1; n <= lab.Reals; n++ {
		if err := o.Echo(r.Lab, n); err != nil {
			return err
		}
	}
	for _, router := range r.Routers() {
		if err := r.configure(router); err != nil {
			return err
		}
		if err := router.StartDaemon(); err != nil {
			return err
		}
	}
	return r.Settle()
}

// configure adds the vips to the file of a router.
func (r *Rig) configure(router *lab.Router) error {
	file, err := os.ReadFile(router.Config())
	if err != nil {
		return err
	}
	text := strings.Replace(string(file), "checks:\n", "checks:\n  echo: {type: tcp, port: 7, interval: 500ms, timeout: 300ms, rise: 1, fall: 3}\n", 1)
	var vips strings.Builder
	vips.WriteString("vips:\n")
	for _, vip := range r.Vips() {
		for _, protocol := range []string{"tcp", "udp"} {
			vips.WriteString(r.vip(vip, protocol))
		}
	}
	discard := netip.AddrPortFrom(r.Vips()[0].Addr(), discardPort)
	vips.WriteString(r.vip(discard, "udp"))
	return os.WriteFile(router.Config(), []byte(text+vips.String()), 0o644)
}

// vip is a vip's line: over all reals.
func (r *Rig) vip(vip netip.AddrPort, protocol string) string {
	var reals []string
	for n := 1; n <= lab.Reals; n++ {
		real := r.Real4(n)
		if vip.Addr().Is6() {
			real = "[" + r.Real6(n) + "]"
		}
		reals = append(reals, strconv.Quote(real))
	}
	return fmt.Sprintf("  - {vip: \"%s/%s\", check: echo, reals: [%s]}\n", vip, protocol, strings.Join(reals, ", "))
}

// Vips are two, each of both families.
func (r *Rig) Vips() (list []netip.AddrPort) {
	for n := range 2 {
		for _, address := range []string{lab.Vip4(n), lab.Vip6(n)} {
			list = append(list, netip.AddrPortFrom(netip.MustParseAddr(address), Port))
		}
	}
	return list
}

// Close ends everything.
func (r *Rig) Close() error {
	r.end()
	r.running.Wait()
	return r.Lab.Close()
}

// floating are the addresses that move.
func (r *Rig) floating() []string {
	list := []string{"10.0.0.254", "2001:db8:2::254"}
	for _, vip := range r.Vips() {
		list = append(list, vip.Addr().String())
	}
	return list
}

// Active is the router that has all the addresses that move, if the other has none.
func (r *Rig) Active() (active *lab.Router, err error) {
	for _, router := range r.Routers() {
		if r.off[router] {
			continue
		}
		all, err := held(r.Lab, router)
		if err != nil {
			return nil, err
		}
		has := 0
		for _, address := range r.floating() {
			if all[address] {
				has++
			}
		}
		switch {
		case has == 0:
		case has < len(r.floating()):
			return nil, fmt.Errorf("%s has %d of %d addresses", router.Host, has, len(r.floating()))
		case active != nil:
			return nil, errors.New("both routers have the addresses")
		default:
			active = router
		}
	}
	if active == nil {
		return nil, errors.New("no router has the addresses")
	}
	return active, nil
}

// OneAnswers is an error unless ARP for each IPv4 vip is answered by one MAC.
func (r *Rig) OneAnswers() error {
	for n := range 2 {
		var macs []string
		err := lab.Wait(5*time.Second, func() (err error) { // who asks may be late, too
			if macs, err = answerers(r.Lab, "client", lab.Vip4(n)); err == nil && len(macs) == 0 {
				err = fmt.Errorf("nobody answers for %s", lab.Vip4(n))
			}
			return err
		})
		if err != nil {
			return err
		}
		if len(macs) > 1 {
			return fmt.Errorf("%d MACs answer for %s: %s", len(macs), lab.Vip4(n), strings.Join(macs, ", "))
		}
	}
	return nil
}

// Settle waits until all is well: one active router, and another one that could be.
func (r *Rig) Settle() error {
	return lab.Wait(60*time.Second, func() error {
		if _, err := r.Active(); err != nil {
			return err
		}
		for _, router := range r.Routers() {
			s, err := router.Status()
			if err != nil {
				return err
			}
			if s.RealsUp != s.Reals || s.Reals == 0 {
				return fmt.Errorf("%s has %d of %d reals", router.Host, s.RealsUp, s.Reals)
			}
			if p, err := router.PairStatus(); err != nil || !p.InSync.Yes || p.Agreement.State != "same" {
				return fmt.Errorf("%s is not in sync (%v): %v, %s", router.Host, err, p.InSync.Facts, p.Agreement.State)
			}
		}
		return r.OneAnswers()
	})
}

// Peer is the router that is not it.
func (r *Rig) Peer(router *lab.Router) *lab.Router {
	if router == r.Router {
		return r.Other
	}
	return r.Router
}

// PowerOff and PowerOn are the lab's.
func (r *Rig) PowerOff(router *lab.Router) error {
	r.off[router] = true
	return router.PowerOff()
}

func (r *Rig) PowerOn(router *lab.Router) error {
	err := router.PowerOn()
	delete(r.off, router)
	return err
}

// supervise starts a daemon that was killed, as soon as its unit's RestartSec does.
func supervise(router *lab.Router) error {
	time.Sleep(100 * time.Millisecond)
	return router.StartDaemon()
}

// freeze and thaw stop and continue the daemon.
func freeze(router *lab.Router) error { return router.SignalDaemon(syscall.SIGSTOP) }
func thaw(router *lab.Router) error   { return router.SignalDaemon(syscall.SIGCONT) }

// Logs are the ends of the routers' logs, as an error.
func (r *Rig) Logs() error {
	var errs []error
	for _, router := range r.Routers() {
		text, _ := os.ReadFile(router.LogFile())
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		errs = append(errs, fmt.Errorf("the end of %s's log (%s):\n%s", router.Host, filepath.Base(router.LogFile()), strings.Join(lines[max(0, len(lines)-25):], "\n")))
	}
	return errors.Join(errs...)
}

// Renew boots both routers, one after the other, whatever state they are in.
func (r *Rig) Renew() error {
	legs := []string{"wan", "lan", "hb"}
	for _, router := range r.Routers() {
		// What is not so need not be undone.
		_ = errors.Join(thaw(router), unfill(router), r.PowerOff(router))
		for _, leg := range legs {
			_ = router.LinkUp(leg)
		}
	}
	_ = r.Join()
	for _, router := range r.Routers() {
		if err := r.PowerOn(router); err != nil {
			return err
		}
	}
	for _, leg := range legs {
		if err := r.Deafen(leg, false); err != nil {
			return err
		}
	}
	return r.Settle()
}
