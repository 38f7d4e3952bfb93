package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"reflect"
	"runtime"
	"slices"
	"time"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/event"
	"github.com/tarpon-lb/tarpon/control/host"
	"github.com/tarpon-lb/tarpon/control/operational"
	"github.com/tarpon-lb/tarpon/control/pair"
	"github.com/tarpon-lb/tarpon/control/pair/agree"
	"github.com/tarpon-lb/tarpon/control/pair/announce"
	"github.com/tarpon-lb/tarpon/control/plan"
	"github.com/tarpon-lb/tarpon/control/revision"
)

// A role says whether the addresses that move in a pair are to be here.
type role int

const (
	undecided role = iota // those that are here stay
	active
	standby
)

// openPair begins this router's part in a pair, or makes it a router alone, which is
// always active.
func (c *Controller) openPair() error {
	if !c.config.Paired() {
		c.Loader.OpenLease()
		return c.setRole(active)
	}
	// The thread that sends adverts waits for none of Go's processors, whatever the rest
	// of the daemon does.
	runtime.GOMAXPROCS(max(8, 2*runtime.NumCPU()))
	var err error
	c.pair, err = pair.Open(pair.Options{
		Controller: inPair{c}, Config: c.config, KeyFile: cmp.Or(c.KeyFile, c.config.Pair.Sync.KeyFile), RunDir: c.RunDir, Version: c.Version, Loader: c.Loader, Events: c.events, Hooks: c.hooks,
		Post: func(ctx context.Context, f func()) {
			select {
			case c.requests <- f:
			case <-ctx.Done():
			case <-c.ended:
			}
		},
	})
	if err != nil {
		return fmt.Errorf("begin the pair: %w", err)
	}
	return nil
}

// followPair brings this router's part up to a changed configuration.
func (c *Controller) followPair(old *config.Config) error {
	same := reflect.DeepEqual(old.Routers, c.config.Routers) && reflect.DeepEqual(old.Pair, c.config.Pair) &&
		slices.Equal(old.Legs, c.config.Legs) && old.Self == c.config.Self
	switch {
	case c.pair == nil && same:
		return nil
	case c.pair == nil:
		return c.openPair()
	case same:
		c.pair.Changed()
		return nil
	case !c.config.Paired(): // it leaves: the other router is not to hear of what follows
		c.complain("end the pair", c.pair.Close())
		c.pair = nil
		return c.openPair()
	}
	// Not here: it may be the pair that made the change, and waits for the other
	// router's word.
	c.reopen.Reset(0)
	return nil
}

// reopenPair begins it anew, as the one that is active or not.
func (c *Controller) reopenPair() {
	if c.proposed != nil {
		c.reopen.Reset(100 * time.Millisecond)
		return
	}
	if c.pair != nil {
		c.complain("end the pair", c.pair.Close())
		c.pair = nil
	}
	if err := c.openPair(); err != nil {
		c.complain("begin the pair anew; again in 5 s", err)
		c.reopen.Reset(5 * time.Second)
	}
}

func (c *Controller) setRole(r role) error {
	c.role = r
	return c.setAddresses()
}

// leave ends this router's part before the daemon ends: the other router takes over if all
// is ready for it, but for a restart. Done is called when the hooks have been told.
func (c *Controller) leave(restarts bool, done func()) {
	if c.pair == nil || restarts {
		c.finishHooks(hooksTimeRestart, done)
		return
	}
	c.pair.Leaving(func(handedOver bool) {
		if !handedOver && c.role == active {
			c.events.Info(event.Stopped, "the other router cannot take over: all stays here")
		}
		c.finishHooks(hooksTime, done)
	})
}

// How long hooks may hold up the end of the daemon; as a rule their own timeouts are
// shorter. In a restart somebody waits for an answer.
const (
	hooksTime        = 30 * time.Second
	hooksTimeRestart = 10 * time.Second
)

// finishHooks lets the hooks end that run or wait: that of a handover has just begun. Then
// is called in another goroutine.
func (c *Controller) finishHooks(limit time.Duration, then func()) {
	go func() {
		select {
		case <-c.hooks.Idle():
		case <-time.After(limit):
		}
		then()
	}()
}

// inPair is what the pair sees of the controller.
type inPair struct{ *Controller }

func (c inPair) Revisions() []revision.Revision  { return c.revisions.List() }
func (c inPair) File(number int) ([]byte, error) { return c.revisions.File(number) }

func (c inPair) Edited() bool {
	edited, err := c.editedByHand()
	return edited || err != nil || c.broken != nil
}

func (c inPair) Check(file []byte) error {
	_, err := c.understand(file)
	return err
}

// understand is a file of the other router, for this one.
func (c *Controller) understand(data []byte) (*config.File, error) {
	facts, err := c.facts()
	if err != nil {
		return nil, err
	}
	next, err := config.Open(c.ConfigFile, data, facts)
	if err != nil {
		return nil, err
	}
	return next, cmp.Or(change{}.follows(c.ConfigFile, c.file.Config, next.Config), c.fits(c.ConfigFile, c.file.Config, next.Config))
}

// Commit makes a revision the running one: that of a draft here, or the other router's.
func (c inPair) Commit(r revision.Revision, data []byte) error {
	if p := c.proposed; p != nil && p.draft.file.Data != nil && config.HashOf(p.draft.file.Data) == r.Hash {
		return c.commit(r, p.draft)
	}
	d := draft{file: c.file}
	if config.HashOf(c.file.Data) != r.Hash {
		next, err := c.understand(data)
		if err != nil {
			return err
		}
		d.file, d.made = next, plan.Compare(c.file.Config, next.Config)
	}
	onDisk, err := os.ReadFile(c.ConfigFile)
	d.accepted = []change{{inFile: err == nil && config.HashOf(onDisk) == r.Hash}}
	return c.commit(r, d)
}

func (c inPair) Keep(r revision.Revision, file []byte) error {
	c.missed = append(c.missed, agree.Offer{Revision: r, File: file})
	return nil
}

func (c inPair) Confirmed() error { return c.confirm("the other router") }

func (c inPair) SetActive(is bool) error {
	if is {
		return c.setRole(active)
	}
	return c.setRole(standby)
}

func (c inPair) Moving() map[string][]netip.Addr {
	legs := map[string][]netip.Addr{}
	add := func(leg string, addr netip.Addr) {
		if leg == config.LegNone {
			leg = ""
		}
		if !slices.Contains(legs[leg], addr) {
			legs[leg] = append(legs[leg], addr)
		}
	}
	for _, f := range c.config.Floating {
		add(f.Leg, f.Address.Addr())
	}
	seen := map[netip.Addr]bool{}
	for _, vip := range c.config.Vips {
		if addr := vip.Endpoint.Addr(); vip.Enabled && !seen[addr] {
			seen[addr] = true
			add(vip.Leg, addr)
		}
	}
	return legs
}

// Neighbours are the reals that are on the leg, and whoever the kernel has seen there.
func (c inPair) Neighbours(leg string) (list []announce.Neighbour) {
	index, _ := c.Interface(leg)
	seen, err := c.Host.NeighboursOn(index)
	c.complain("list the neighbours", err)
	for addr, path := range c.paths {
		if path.OnLink > 0 && path.NextHop.Ifindex == index {
			seen[addr] = path.NextHop.Destination
		}
	}
	for _, addresses := range c.Moving() { // the other router's kernel has them too
		for _, addr := range addresses {
			delete(seen, addr)
		}
	}
	for _, router := range c.config.Routers {
		for _, addr := range router.Addresses[leg] {
			delete(seen, addr)
		}
	}
	for addr, mac := range seen {
		if !addr.Is6() || !addr.IsLinkLocalUnicast() {
			list = append(list, announce.Neighbour{Address: addr, MAC: mac})
		}
	}
	return list
}

func (c inPair) Interface(leg string) (ifindex int, carrier bool) {
	l, _ := c.config.Leg(leg)
	state := c.legs[l.Interface]
	return state.Ifindex, state.Up
}

func (c inPair) Device(leg string) (host.Interface, bool) {
	l, ok := c.config.Leg(leg)
	if !ok {
		return host.Interface{}, false
	}
	device, err := c.Host.Interface(l.Interface)
	return device, err == nil && device.Carrier
}

func (c inPair) Usable(vip string) (usable int) {
	at := c.config.FindVip(vip)
	if at < 0 {
		return 0
	}
	v := c.config.Vips[at]
	for _, real := range v.Reals {
		if real.Enabled && real.Weight > 0 && c.isUp(v, real) {
			usable++
		}
	}
	return usable
}

// Results implements pair.Controller. The first one of a new real is still to come.
func (c inPair) Results() iter.Seq[pair.Result] {
	return func(yield func(pair.Result) bool) {
		for _, vip := range c.config.Vips {
			for _, real := range vip.Reals {
				h := c.health[checkKey{vip.Endpoint, real.Address}]
				if h == nil || real.Check.Type == config.CheckNone {
					continue
				}
				r := pair.Result{Vip: config.FormatVip(vip.Endpoint), Real: real.String(), Up: h.state.Up, Error: h.state.Error}
				if h.state.Decisive && !h.state.Checked {
					r.Error = "not checked yet"
				}
				if !yield(r) {
					return
				}
			}
		}
	}
}

func (c inPair) Operational() []byte {
	data, err := c.operational.Encode()
	c.complain("tell the operational state", err)
	return data
}

func (c inPair) TakeOperational(data []byte) {
	changed, err := c.operational.Take(data)
	if err != nil {
		c.complain("take the other router's operational state", err)
		return
	}
	if changed {
		c.events.Info(event.Decided, "operational state of the other router taken over")
		c.complain("follow the operational state", c.Controller.run(c.file, nil))
	}
}

func (c inPair) Held() bool {
	_, held := c.operational.Find(operational.Target{}, operational.Held)
	return held
}

// A proposal is a draft that waits for the other router's word.
type proposal struct {
	draft    draft
	changes  []change
	outcomes []outcome
}

// propose makes a draft a revision of both routers. Changes that come meanwhile wait.
func (c *Controller) propose(d draft, changes []change, outcomes []outcome) {
	c.proposed = &proposal{d, changes, outcomes}
	c.pair.Propose(&agree.Proposal{
		Revision: d.revision(), File: d.file.Data, Alone: d.accepted[0].Alone,
		Done: func(_ revision.Revision, pending bool, err error) {
			c.proposed = nil
			if errors.Is(err, agree.ErrMoved) {
				c.queue = append(slices.Clone(changes), c.queue...)
				c.nextChanges()
				return
			}
			c.settleAll(d, changes, outcomes, err, pending)
			c.nextChanges()
		},
	})
}

// pendingText says what an answer adds when the other router does not have it yet.
func (c *Controller) pendingText() string {
	return fmt.Sprintf("\npending for %s, which does not have it yet", c.otherRouter())
}

func (c *Controller) otherRouter() string {
	side, _ := c.config.ForRouter(c.config.Self)
	return side.Peer.Name
}

// insertMissed keeps revisions that this router never ran, for the history.
func (c *Controller) insertMissed() {
	for _, o := range c.missed {
		c.complain("keep a revision of the other router", c.revisions.Insert(o.Revision, o.File))
	}
	c.missed = nil
}

// revision is what a draft becomes.
func (d draft) revision() revision.Revision {
	ch := d.accepted[0]
	r := revision.Revision{Author: d.authors(), What: ch.titled(plan.Summary(d.made)), Undoes: ch.undoes, Time: time.Now().Round(0)}
	if ch.Confirm > 0 {
		r.ConfirmBy = time.Now().Add(ch.Confirm) // with its monotonic reading: for as long as this process lives
	}
	return r
}
