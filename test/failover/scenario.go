package failover

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
	"golang.org/x/sys/unix"
)

// A Scenario is something that happens to a pair.
type Scenario struct {
	Name string
	// Kept, May and Why are for people: what is kept, what may break, and why.
	Kept, May, Why string

	// Event happens to the pair, whose active router is given. It returns when the
	// pair has what it needs to be in order again.
	Event func(r *Rig, active *lab.Router) error
	// After mends what it broke; nil: nothing.
	After func(r *Rig, active *lab.Router) error

	Lossless bool // no packet may be lost
	Stays    bool // the active router does
	Moves    bool // it does not
	Loose    bool // daemons start, or routers boot: no bar on the time until one is active
	// Breaks are the connections that may break, by client and server; nil: none.
	Breaks func(client string, server byte) bool
}

// The events whose gaps are measured many times.
var (
	Nothing = Scenario{
		Name: "nothing", Kept: "all", Why: "what the machine itself does to the measurement",
		Event: func(*Rig, *lab.Router) error { time.Sleep(time.Second); return nil }, Lossless: true, Stays: true,
	}
	PowerCut = Scenario{
		Name: "active: power cut", Kept: "connections", May: "packets of the gap; flows younger than the replica's lag",
		Why:   "the standby waits for Active_Down_Interval before it believes that the other is dead",
		Event: func(r *Rig, a *lab.Router) error { return r.PowerOff(a) },
		After: powerOn, Moves: true,
	}
	Switchover = Scenario{
		Name: "planned: lbctl switchover", Kept: "all", Why: "flows first, then the addresses; what comes late is forwarded by both",
		Event: func(_ *Rig, a *lab.Router) error { _, err := a.MustLbctl("switchover"); return err },
		Moves: true, Lossless: true,
	}
	Stop = Scenario{
		Name: "active: tarpond stopped", Kept: "all", Why: "SIGTERM hands over before it ends",
		Event: func(_ *Rig, a *lab.Router) error { return a.KillDaemon(syscall.SIGTERM) },
		After: func(_ *Rig, a *lab.Router) error { return a.StartDaemon() }, Moves: true, Lossless: true,
	}
	Kill = Scenario{
		Name: "active: tarpond killed, restarted", Kept: "all", Why: "forwarding needs no daemon; the role may move",
		Event: func(_ *Rig, a *lab.Router) error {
			return errors.Join(a.KillDaemon(syscall.SIGKILL), supervise(a))
		}, Lossless: true, Loose: true,
	}
)

func powerOn(r *Rig, a *lab.Router) error { return r.PowerOn(a) }

// Scenarios are all, in the order of the table.
func Scenarios() []Scenario {
	return []Scenario{
		PowerCut, Switchover, Stop, Kill,
		linkDown("wan"), linkDown("lan"), linkDown("hb"),
		deaf("hb"), deaf("lan"),
		halves, frozen, alone, diskFull, bothBoot, empty,
	}
}

// linkDown pulls a leg's cable at the active router.
func linkDown(leg string) Scenario {
	s := Scenario{
		Name: "active: link " + leg + " down", Kept: "connections", May: "packets of the gap",
		Why:   "no carrier on a leg with addresses is a fault: the service moves",
		Event: func(_ *Rig, a *lab.Router) error { return a.LinkDown(leg) },
		After: func(_ *Rig, a *lab.Router) error { return a.LinkUp(leg) }, Moves: true,
	}
	if leg == "hb" {
		s.Kept, s.May, s.Why = "all", "", "the other heartbeat link still has the adverts"
		s.Moves, s.Stays, s.Lossless = false, true, true
	}
	return s
}

// deaf cuts one heartbeat link for a while, without a change of carrier.
func deaf(leg string) Scenario {
	return Scenario{
		Name: "heartbeat " + leg + " cut, healed", Kept: "all", Why: "the other heartbeat link still has the adverts",
		Event: func(r *Rig, _ *lab.Router) error {
			err := r.Deafen(leg, true)
			time.Sleep(3 * time.Second)
			return errors.Join(err, r.Deafen(leg, false))
		}, Lossless: true, Stays: true,
	}
}

// splitTime is how long the pair is in two halves.
const splitTime = 60 * time.Second

var halves = Scenario{
	Name: "network in two halves, 60 s, healed", Kept: "connections whose ends are in one half",
	May: "connections between the halves",
	Why: "both are active, each in its half; after it they are one again and share their flows",
	Event: func(r *Rig, _ *lab.Router) error {
		if err := r.Halve(); err != nil {
			return err
		}
		err := lab.Wait(10*time.Second, func() error {
			_, err := r.Active()
			if err == nil {
				return errors.New("expected two active routers while the network is in halves, there is one")
			}
			return nil
		})
		if err == nil {
			time.Sleep(splitTime)
		}
		return errors.Join(err, r.Join())
	},
	Breaks: func(client string, server byte) bool {
		firstHalf := client == "client" || client == "client2"
		return firstHalf != (server == 1)
	},
}

var frozen = Scenario{
	Name: "active: tarpond frozen 10 s, continued", Kept: "connections", May: "packets of the gap",
	Why: "its lease ends, its kernel falls silent; thawed, it hears the other one first",
	Event: func(r *Rig, a *lab.Router) error {
		if err := freeze(a); err != nil {
			return err
		}
		r.off[a] = true // its kernel still has the addresses, in silence
		err := lab.Wait(5*time.Second, func() error {
			now, err := r.Active()
			if err == nil && now == a {
				err = errors.New("expected that the other router takes over")
			}
			return errors.Join(err, r.OneAnswers())
		})
		delete(r.off, a)
		if err == nil {
			time.Sleep(10 * time.Second)
		}
		return errors.Join(err, thaw(a))
	}, Moves: true, Lossless: true,
}

var alone = Scenario{
	Name: "tarpond dead, the peer off", Kept: "all", Why: "without a peer the lease is open: the kernel goes on",
	Event: func(r *Rig, a *lab.Router) error {
		if err := errors.Join(r.PowerOff(r.Peer(a)), knowsItIsAlone(a)); err != nil {
			return err
		}
		if err := a.KillDaemon(syscall.SIGKILL); err != nil {
			return err
		}
		time.Sleep(5 * time.Second)
		return errors.Join(r.OneAnswers(), r.forgetNeighbours())
	},
	After: func(r *Rig, a *lab.Router) error { return errors.Join(a.StartDaemon(), r.PowerOn(r.Peer(a))) },
	Stays: true, Lossless: true,
}

// knowsItIsAlone waits until the router has noticed that the other one is off.
func knowsItIsAlone(router *lab.Router) error {
	return lab.Wait(10*time.Second, func() error {
		status, err := router.PairStatus()
		if err == nil && status.Lease != "open" {
			err = fmt.Errorf("expected that %s notices that it is alone, its lease %s", router.Host, status.Lease)
		}
		return err
	})
}

// forgetNeighbours empties the clients' caches, so that they ask again.
func (r *Rig) forgetNeighbours() error {
	for _, who := range r.clients {
		if out, err := r.Lab.Run(who, "ip", "neigh", "flush", "dev", "eth0"); err != nil {
			return fmt.Errorf("%s: %w: %s", who, err, out)
		}
	}
	return nil
}

var diskFull = Scenario{
	Name: "standby: disk full; then power cut", Kept: "connections", May: "packets of the gap",
	Why: "a change waits, pair status says what for; taking over needs no disk",
	Event: func(r *Rig, a *lab.Router) error {
		peer := r.Peer(a)
		if err := fill(peer); err != nil {
			return err
		}
		out, err := a.MustLbctl("edit-vip", r.Vips()[0].String()+"/tcp", "--name", fmt.Sprintf("shop%d", time.Now().Unix()))
		if err != nil || !strings.Contains(out, "pending for "+peer.Host) {
			return fmt.Errorf("expected a change that is pending for %s (%v); lbctl said: %s", peer.Host, err, out)
		}
		err = lab.Wait(5*time.Second, func() error {
			out, _ := a.Lbctl("pair", "status")
			if !strings.Contains(strings.Join(strings.Fields(out), " "), "no space left") {
				return fmt.Errorf("expected that pair status says what keeps %s from the change; it says: %s", peer.Host, out)
			}
			return nil
		})
		if err != nil {
			return err
		}
		return r.PowerOff(a)
	},
	After: func(r *Rig, a *lab.Router) error { return errors.Join(unfill(r.Peer(a)), r.PowerOn(a)) }, Moves: true,
}

// fill puts a file system without space over the places where the router's daemon keeps
// its state and its configuration.
func fill(router *lab.Router) error {
	for _, name := range kept {
		dir := filepath.Join(router.Dir, name)
		small, err := os.MkdirTemp(router.Dir, "full-")
		if err != nil {
			return err
		}
		if err := unix.Mount("full", small, "tmpfs", 0, "size=512k"); err != nil {
			return err
		}
		if err := os.CopyFS(small, os.DirFS(dir)); err != nil {
			return errors.Join(err, unix.Unmount(small, 0))
		}
		rest, err := os.Create(filepath.Join(small, "the-rest"))
		if err != nil {
			return errors.Join(err, unix.Unmount(small, 0))
		}
		for err == nil {
			_, err = rest.Write(make([]byte, 4096))
		}
		if err := errors.Join(rest.Close(), unix.Mount(small, dir, "", unix.MS_MOVE, "")); err != nil {
			return errors.Join(err, unix.Unmount(small, 0))
		}
	}
	return nil
}

// kept are a router's directories that outlive a boot.
var kept = []string{"state", "etc"}

func unfill(router *lab.Router) (err error) {
	for _, name := range kept {
		err = errors.Join(err, unix.Unmount(filepath.Join(router.Dir, name), unix.MNT_DETACH))
	}
	return err
}

var bothBoot = Scenario{
	Name: "both: power cut, boot at once", Kept: "new connections", May: "all that were open",
	Why: "nobody remembers the flows; the same hash often finds the same real again",
	Event: func(r *Rig, _ *lab.Router) error {
		if err := errors.Join(r.PowerOff(r.Router), r.PowerOff(r.Other)); err != nil {
			return err
		}
		clear(r.off)
		var all sync.WaitGroup
		errs := make([]error, 2)
		for i, router := range r.Routers() {
			all.Go(func() { errs[i] = router.PowerOn() })
		}
		all.Wait()
		return errors.Join(errs...)
	},
	Breaks: func(string, byte) bool { return true }, Loose: true,
}

var empty = Scenario{
	Name: "standby: comes back empty; power cut", Kept: "connections", May: "packets of the gap",
	Why: "who comes back takes nothing from the other one, and gets configuration and flows",
	Event: func(r *Rig, a *lab.Router) error {
		peer := r.Peer(a)
		if err := r.PowerOff(peer); err != nil {
			return err
		}
		want, err := flows(a)
		if err != nil {
			return err
		}
		if err := errors.Join(os.RemoveAll(filepath.Join(peer.Dir, "state")), r.PowerOn(peer)); err != nil {
			return err
		}
		err = lab.Wait(30*time.Second, func() error {
			got, err := flows(peer)
			if err == nil && got < want {
				err = fmt.Errorf("expected that %s gets all %d flows, it has %d", peer.Host, want, got)
			}
			if now, e := r.Active(); e != nil || now != a {
				err = fmt.Errorf("expected that %s stays active (%v)", a.Host, errors.Join(err, e))
			}
			return err
		})
		if err != nil {
			return err
		}
		return r.PowerOff(a)
	},
	After: powerOn, Moves: true,
}
