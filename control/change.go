package control

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/event"
	"github.com/tarpon-lb/tarpon/control/plan"
	"github.com/tarpon-lb/tarpon/control/revision"
	"go.uber.org/zap"
)

// A change is one way from a configuration to the next. All changes of it go through
// one door: takeChanges.
type change struct {
	api.Options
	edit   func(file []byte) ([]byte, error)
	vip    string // the only one that is edited; it shares a revision with others'
	title  string // of the revision, before what differs
	author string

	inFile     bool // the configuration file has the edited bytes already
	leavesFile bool // the file is not to have them
	overEdits  bool // the file may be another than the one that runs
	overUnsure bool // a revision may wait for its confirmation
	here       bool // on this router, without asking the other one
	leaves     bool // the pair
	joins      bool // one, as its standby
	undoes     int  // the revision that nobody confirmed
	single     bool // it shares no revision

	answer chan<- outcome
}

// An outcome is the answer to a change.
type outcome struct {
	api.Result
	err error
}

// change waits until it is made, saved, and in the kernel; or refused.
func (c *Controller) change(ctx context.Context, ch change) (api.Result, error) {
	if ch.author == "" {
		ch.author = api.Caller(ctx)
	}
	answer := make(chan outcome, 1)
	ch.answer = answer
	select {
	case c.changes <- ch:
		o := <-answer
		return o.Result, o.err
	case <-ctx.Done():
		return api.Result{}, ctx.Err()
	case <-c.ended:
		return api.Result{}, errStopped
	}
}

// takeChanges takes a change and those that wait behind it. While a revision is being
// saved others arrive: they share the next one.
func (c *Controller) takeChanges(first change) {
	c.queue = append(c.queue, drained(first, c.changes)...)
	c.nextChanges()
}

// nextChanges makes revisions of what waits, as long as no other router is asked.
func (c *Controller) nextChanges() {
	for c.proposed == nil && len(c.queue) > 0 {
		together := 1
		for c.queue[0].shares() && together < len(c.queue) && c.queue[together].shares() {
			together++
		}
		group := c.queue[:together]
		c.queue = c.queue[together:]
		c.makeRevision(group)
	}
}

func (ch change) shares() bool { return ch.vip != "" && !ch.single && !ch.Alone }

// acceptChanges is where changes come from; nobody reads it while one is under way.
func (c *Controller) acceptChanges() <-chan change {
	if c.proposed != nil {
		return nil
	}
	return c.changes
}

// makeRevision makes one revision of some changes, in their order, and answers each.
// One that is refused does not keep the others.
func (c *Controller) makeRevision(changes []change) {
	d := draft{
		file: c.file, live: sync.OnceValue(c.liveFlows),
		facts: sync.OnceValues(c.facts),
	}
	outcomes := make([]outcome, len(changes))
	for i, ch := range changes {
		outcomes[i] = c.consider(ch, &d)
	}
	switch {
	case len(d.accepted) == 0:
		c.settleAll(d, changes, outcomes, nil, false)
	case c.pair != nil && !c.pair.Foreign() && !changes[0].here:
		c.propose(d, changes, outcomes)
	default:
		c.settleAll(d, changes, outcomes, c.adopt(d), false)
	}
}

// settleAll answers changes that were made, or refused, together. If they could not be
// made together, each is tried by itself.
func (c *Controller) settleAll(d draft, changes []change, outcomes []outcome, err error, pending bool) {
	if err != nil && len(d.accepted) > 1 {
		again := slices.Clone(changes)
		for i := range again {
			again[i].single = true
		}
		c.queue = append(again, c.queue...)
		return
	}
	for i, ch := range changes {
		if len(d.accepted) > 0 {
			outcomes[i].settle(c.running, ch, err)
		}
		if pending && outcomes[i].Changed && outcomes[i].err == nil {
			outcomes[i].Message += c.pendingText()
		}
		ch.answer <- outcomes[i]
	}
}

// A draft is the next configuration, as far as it is written.
type draft struct {
	file     *config.File
	accepted []change
	made     []plan.Change
	live     func() liveFlows
	facts    func() (config.Facts, error)
}

// consider adds a change to a draft, if that is what it should and can be.
func (c *Controller) consider(ch change, d *draft) outcome {
	unchanged := api.Result{Revision: c.running.Number, Message: "unchanged", Changes: []api.Change{}}
	if err := c.refuses(ch, d); err != nil {
		return outcome{unchanged, err}
	}
	next, err := c.edited(ch, d)
	c.beat()
	if err == nil && next != d.file {
		name := ch.name(c.ConfigFile)
		if err = ch.follows(name, d.file.Config, next.Config); err == nil {
			err = cmp.Or(c.hasKey(d.file.Config, next.Config), c.fits(name, d.file.Config, next.Config))
		}
	}
	switch {
	case errors.Is(err, config.ErrNotFound) && ch.IfExists:
		return outcome{unchanged, nil}
	case err != nil:
		return outcome{unchanged, c.refusal(err)}
	case next == d.file:
		c.tookOver(ch)
		return outcome{unchanged, nil}
	}
	changes := plan.Compare(d.file.Config, next.Config)
	result := told(changes, d.live())
	result.Revision, result.Message = c.running.Number, ch.titled(result.Message)
	if !ch.DryRun {
		d.file = next
		d.accepted, d.made = append(d.accepted, ch), append(d.made, changes...)
	}
	return outcome{result, nil}
}

// edited is the draft's file after a change; the same if that changes nothing.
func (c *Controller) edited(ch change, d *draft) (*config.File, error) {
	if ch.vip != "" {
		facts, err := d.facts()
		if err != nil {
			return nil, err
		}
		return d.file.Edit(ch.vip, facts, ch.edit)
	}
	data, err := ch.edit(d.file.Data)
	if err != nil || bytes.Equal(data, d.file.Data) {
		return d.file, err
	}
	facts, err := d.facts()
	if err != nil {
		return nil, err
	}
	return config.Open(ch.name(c.ConfigFile), data, facts)
}

// name is what the caller calls the configuration.
func (ch change) name(otherwise string) string { return cmp.Or(ch.File, otherwise) }

func (ch change) titled(message string) string {
	if ch.title == "" {
		return message
	}
	return ch.title + ": " + message
}

// settle is the answer after the revision was made, or was not.
func (o *outcome) settle(running revision.Revision, ch change, err error) {
	switch {
	case o.err != nil || ch.DryRun:
		return
	case err != nil && o.Changed:
		*o = outcome{api.Result{Revision: running.Number, Changes: []api.Change{}}, fmt.Errorf("%w; revision %d goes on", err, running.Number)}
		return
	}
	o.Revision = running.Number
	if o.Changed {
		o.Message = fmt.Sprintf("revision %d: %s", running.Number, o.Message)
	}
	if !running.ConfirmBy.IsZero() {
		o.Message += fmt.Sprintf("\nit is rolled back at %s unless you confirm it: lbctl confirm", running.ConfirmBy.Format(time.TimeOnly))
	}
}

// adopt makes a draft the running configuration of this router.
func (c *Controller) adopt(d draft) error {
	err := c.commit(d.revision(), d)
	if err == nil && c.pair != nil {
		c.pair.RevisionMade()
	}
	return err
}

// commit makes a draft a revision: the kernel has it, and the file too, unless somebody
// has edited it since the change was considered.
func (c *Controller) commit(r revision.Revision, d draft) error {
	ch, save := d.accepted[0], c.save(r, d)
	if !save.KeepsFile { // before the kernel follows, which may be for nothing
		if err := save.Replaceable(); err != nil {
			return err
		}
	}
	c.beat()
	saved, err := c.revisions.Save(save)
	if err != nil {
		return err
	}
	c.running = saved
	c.insertMissed()
	c.tookOver(ch)
	c.forgetRemoved()
	c.awaitConfirmation()
	c.serveMetrics()
	c.tell()
	c.events.Info(event.Revision, "configuration changed", zap.Int("revision", saved.Number), zap.String("author", saved.Author), zap.String("what", saved.What))
	return nil
}

// save is how a draft becomes a revision.
func (c *Controller) save(r revision.Revision, d draft) revision.Save {
	old, ch := c.file, d.accepted[0]
	return revision.Save{
		Revision: r, File: d.file.Data, KeepsFile: ch.inFile || ch.leavesFile,
		Follow: func() error {
			if ch.joins {
				c.standBack()
			}
			return c.run(d.file, scopeOf(d.made))
		},
		Back:        func() { c.complain("go back to the old configuration", c.run(old, nil)) },
		Replaceable: func() error { return c.refusesOver(old) },
	}
}

// tookOver ends what was told of a file that did not run.
func (c *Controller) tookOver(ch change) {
	if ch.inFile && !ch.DryRun && c.broken != nil {
		c.broken = nil
		c.tell()
	}
}

func (d draft) authors() string {
	var list []string
	for _, ch := range d.accepted {
		if !slices.Contains(list, ch.author) {
			list = append(list, ch.author)
		}
	}
	return strings.Join(list, ", ")
}

// run makes machine and kernel as a file says. Vips out of the scope are as they were.
func (c *Controller) run(file *config.File, changed scope) error {
	old := c.config
	c.file, c.config = file, c.inForce(file.Config)
	c.awaitDeadlines()
	if changed == nil {
		c.watch()
	}
	if !slices.Equal(old.Legs, c.config.Legs) {
		if err := c.attachLegs(); err != nil {
			return err
		}
		for ifindex, route := range c.defaults {
			c.setLegRoutes(ifindex, route)
		}
	}
	if err := c.converge(old, changed); err != nil {
		return err
	}
	if !old.Flows.SameSizes(c.config.Flows) {
		c.sizing.want()
	}
	return c.followPair(old)
}
