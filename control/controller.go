// Package control decides what should be true, and makes it so: configuration and
// health become a plan, the plan's difference to what the kernel has becomes steps.
package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/disk"
	"github.com/tarpon-lb/tarpon/control/event"
	"github.com/tarpon-lb/tarpon/control/host"
	"github.com/tarpon-lb/tarpon/control/metrics"
	"github.com/tarpon-lb/tarpon/control/operational"
	"github.com/tarpon-lb/tarpon/control/pair"
	"github.com/tarpon-lb/tarpon/control/pair/agree"
	"github.com/tarpon-lb/tarpon/control/pair/program"
	"github.com/tarpon-lb/tarpon/control/revision"
	"github.com/tarpon-lb/tarpon/healthcheck"
	"github.com/tarpon-lb/tarpon/loader"
	"go.uber.org/zap"
)

// Options of New. The caller closes the Loader and the Host after Run has ended.
type Options struct {
	ConfigFile string
	RunDir     string
	StateDir   string
	Version    string
	Identity
	Loader *loader.Loader
	Host   *host.Host
	Log    *zap.Logger
	// Tell is given a line for the service manager's status; may be nil.
	Tell func(line string)
	// Beat is called between the steps of what may take long, in the goroutine that answers
	// Alive; may be nil.
	Beat func()
	// Reexec asks for this process to become the installed program, soon.
	Reexec func() error
}

// A Controller owns the router's state. One goroutine, Run's, reads and writes it;
// everybody else asks that goroutine by do.
type Controller struct {
	Options
	events   *event.Log
	requests chan func()
	changes  chan change
	ended    chan struct{}
	started  time.Time

	metrics *metrics.Server
	deaf    error // why metrics are not served; usually nil

	checks  *healthcheck.Set[checkKey]
	watcher *host.Watcher

	file        *config.File // that runs
	revisions   *revision.Store
	running     revision.Revision // it is
	broken      error             // why the file is not what runs
	unconfirmed *time.Timer       // until the running revision is rolled back

	pair     *pair.Pair // nil: this router is alone
	hooks    *program.Hooks
	reopen   *time.Timer // until the pair is begun anew
	role     role
	queue    []change      // that are to be made
	proposed *proposal     // is made on both routers
	missed   []agree.Offer // revisions of the other router that never ran here

	operational *operational.State
	zero        zero           // of the counters
	deadline    *time.Timer    // of the next drain that ends
	config      *config.Config // what it means, with the operational state: what is in force

	have   loader.Tables // what the kernel has
	writes int           // to it, of tables
	behind bool          // it did not take all that it should have
	free   map[loader.BackendID]bool
	sweep  loader.Sweep
	sizing sizing
	health map[checkKey]*realHealth
	noting bool        // there is news of it
	notes  *time.Timer // until that is written down
	said   said        // of what goes on, by events

	paths    map[netip.Addr]host.Path
	defaults map[int]host.DefaultRoute
	legs     map[string]host.LegState // by interface
	waiting  scope                    // for first results
	settle   *time.Timer              // the next of them waits no longer
}

// sweepInterval is how often silent flows are looked for.
const sweepInterval = 10 * time.Second

// New returns a Controller for a configuration that Load read. Nothing is touched
// before Start.
func New(o Options, loaded Loaded) *Controller {
	c := &Controller{
		Options: o, events: event.NewLog(o.Log), requests: make(chan func()), changes: make(chan change), ended: make(chan struct{}), started: time.Now(),
		checks: healthcheck.NewSet[checkKey](),
		file:   loaded.File, revisions: loaded.Revisions, broken: loaded.Broken,
		free: map[loader.BackendID]bool{}, health: map[checkKey]*realHealth{},
		said:  said{lostHops: map[netip.Addr]bool{}, repaired: map[string]time.Time{}, sysctls: sysctlsSet{}},
		paths: map[netip.Addr]host.Path{}, defaults: map[int]host.DefaultRoute{},
		legs:   map[string]host.LegState{},
		sizing: sizing{wanted: make(chan struct{}, 1)},
		settle: time.NewTimer(time.Hour), unconfirmed: time.NewTimer(time.Hour), reopen: stopped(), notes: stopped(), deadline: time.NewTimer(time.Hour),
	}
	c.metrics, c.hooks = metrics.NewServer(c), pair.NewHooks(c.events)
	var err error
	c.operational, err = operational.Open(disk.Disk{}, filepath.Join(o.StateDir, "state.json"))
	c.complain("start without an operational state", err)
	c.config = c.inForce(loaded.Config)
	c.complain("the configuration file is not what runs", loaded.Broken)
	return c
}

// stopped is a timer that does not run.
func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// Start makes the kernel as the configuration says: tables, sysctls, programs on the
// legs, next hops, health checks; and addresses last, as their reals' first results
// are in. Traffic that runs is not disturbed.
func (c *Controller) Start() error {
	var err error
	if c.have, err = c.Loader.Tables(); err != nil {
		return err
	}
	c.recallRevision()
	c.recallHealth()
	c.complain("count on as if nobody had set the counters to 0", c.recallZero(c.Loader.Reasons))
	run, _ := c.updateHealth(nil, nil)
	if err := c.convergeTables(nil); err != nil { // before a program has packets
		return err
	}
	lit := c.lit()
	if err := c.attachLegs(); err != nil {
		return err
	}
	if c.watcher, err = c.Host.Watch(); err != nil {
		return fmt.Errorf("watch routes and neighbours: %w", err)
	}
	c.watch()
	c.awaitNetwork(lit)
	c.setNextHops(nil)
	c.startChecks(run)
	if err := c.setAddresses(); err != nil {
		return err
	}
	if err := c.openPair(); err != nil {
		return err
	}
	c.sweepFlows()
	c.tellCapacity()
	c.awaitDeadlines()
	c.serveMetrics()
	c.tell()
	c.events.Info(event.Started, "started", zap.String("version", c.Version), zap.Int("revision", c.running.Number))
	return nil
}

// Run serves until the context ends. Traffic goes on after.
func (c *Controller) Run(ctx context.Context) error {
	defer c.sizing.Wait()
	defer close(c.ended)
	defer func() {
		if c.noting {
			c.writeNotes()
		}
	}()
	defer c.events.Close()
	defer c.hooks.Close()
	defer c.metrics.Close()
	defer c.checks.Close()
	defer c.watcher.Close()
	defer func() {
		if c.pair != nil {
			c.complain("end the pair", c.pair.Close())
		}
	}()
	sweep := time.NewTicker(sweepInterval)
	defer sweep.Stop()
	go c.repairDrift(ctx)
	c.sizing.want() // for flows that an upgrade left
	stop, sized, left := ctx.Done(), make(chan struct{}), make(chan struct{})
	for {
		select {
		case <-stop:
			stop = nil
			go func() { // the next daemon may be of a version that does not know these tables
				c.sizing.Wait()
				close(sized)
			}()
		case <-sized:
			sized = nil
			c.leave(restarts(ctx), func() { close(left) })
		case <-left:
			if restarts(ctx) {
				if c.pair != nil {
					c.pair.Restarting()
				}
				return nil
			}
			c.events.Info(event.Stopped, "stopping: traffic, flows and addresses stay; health checks rest")
			return nil
		case request := <-c.requests:
			request()
		case first := <-c.acceptChanges():
			c.takeChanges(first)
		case <-c.unconfirmed.C:
			c.rollBackUnconfirmed()
		case <-c.deadline.C:
			c.complain("cut the flows of drained reals", c.convergeTables(c.decided()))
			c.awaitDeadlines()
		case events := <-c.checks.Events():
			c.takeHealth(events)
		case change := <-c.watcher.Changes():
			c.takeChange(change)
		case <-c.sizing.wanted:
			c.sizeTables(ctx)
		case <-sweep.C:
			c.sizeTables(ctx)
			c.sweepFlows()
			c.tellCapacity()
			c.repairSysctls()
			c.serveMetrics()
		case <-c.reopen.C:
			c.reopenPair()
		case <-c.settle.C:
			c.stopWaiting()
		case <-c.notes.C:
			c.writeNotes()
		}
	}
}

// serveMetrics serves them where the configuration says. Where that cannot be, it is
// no fault of what the router is for: it is tried again, and told.
func (c *Controller) serveMetrics() {
	c.deaf = c.metrics.Listen(c.config.Metrics.Listen)
	c.complain("serve metrics", c.deaf)
}

// ErrRestart is the cause of the end of Run's context when another tarpond takes this
// one's place at once: nothing moves.
var ErrRestart = errors.New("tarpond restarts")

func restarts(ctx context.Context) bool { return errors.Is(context.Cause(ctx), ErrRestart) }

// errStopped is the answer to requests after Run has ended.
var errStopped = errors.New("tarpond is stopping")

// do runs f in the goroutine that owns the state, and waits for it.
func (c *Controller) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case c.requests <- func() { f(); close(done) }:
		<-done
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ended:
		return errStopped
	}
}

// ask is do for what has an answer.
func ask[T any](ctx context.Context, c *Controller, f func() (T, error)) (answer T, err error) {
	if asked := c.do(ctx, func() { answer, err = f() }); asked != nil {
		return answer, asked
	}
	return answer, err
}

// Alive returns when the owning goroutine has answered: for watchdogs.
func (c *Controller) Alive(ctx context.Context) error { return c.do(ctx, func() {}) }

// beat is for watchdogs too: tens of thousands of reals are not changed in a moment.
func (c *Controller) beat() {
	if c.Beat != nil {
		c.Beat()
	}
}

func (c *Controller) complain(what string, err error) { c.events.Fail(what, err) }
