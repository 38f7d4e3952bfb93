package control

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/disk"
	"github.com/tarpon-lb/tarpon/healthcheck"
	"github.com/tarpon-lb/tarpon/loader"
)

// checkKey names the check of one real of one vip.
type checkKey struct {
	vip  loader.Endpoint
	real netip.AddrPort
}

// realHealth is what is known of one real.
type realHealth struct {
	state healthcheck.State
	start time.Time // of its check
}

func (c *Controller) isUp(vip config.Vip, real config.Real) bool {
	if real.Check.Type == config.CheckNone {
		return true
	}
	h := c.health[checkKey{vip.Endpoint, real.Address}]
	return h != nil && h.state.Up
}

// updateHealth says what is believed of every real of the vips in a scope, and returns
// which checks should run of them, and which should no longer; old is the configuration
// until now. What the kernel's tables say of a real is believed; one that they do not know
// starts as the configuration says. Who has a check from now on is probed at once.
func (c *Controller) updateHealth(old *config.Config, of scope) (run map[checkKey]healthcheck.Check, end []checkKey) {
	serving := sync.OnceValue(func() map[checkKey]bool { return c.serving(of) })
	run = map[checkKey]healthcheck.Check{}
	for vip := range of.vips(c.config) {
		for _, real := range vip.Reals {
			if !vip.Enabled || !real.Enabled || real.Check.Type == config.CheckNone {
				continue
			}
			key := checkKey{vip.Endpoint, real.Address}
			h, known := c.health[key]
			if !known {
				h = &realHealth{start: time.Now(), state: healthcheck.State{Up: vip.InitialUp, Decisive: true, Since: time.Now()}}
				if serving()[key] { // without a check, so far
					h.state.Up, h.state.Decisive = true, false
				}
				c.health[key] = h
			}
			run[key] = healthcheck.Check{
				Probe: probe(real), Config: judgement(real.Check), Start: h.state, Now: !known || h.state.Decisive,
			}
		}
	}
	for key := range c.known(old, of) {
		if _, ok := run[key]; !ok {
			delete(c.health, key)
			end = append(end, key)
		}
	}
	return run, end
}

// known are the reals in a scope of whose health something is known.
func (c *Controller) known(old *config.Config, of scope) iter.Seq[checkKey] {
	if of == nil {
		return maps.Keys(c.health)
	}
	return func(yield func(checkKey) bool) {
		for vip := range of.vips(old) {
			for _, real := range vip.Reals {
				key := checkKey{vip.Endpoint, real.Address}
				if _, ok := c.health[key]; ok && !yield(key) {
					return
				}
			}
		}
	}
}

// serving are the reals of these vips that get flows by the kernel's tables.
func (c *Controller) serving(of scope) map[checkKey]bool {
	reals := map[checkKey]bool{}
	for _, backend := range c.have.Backends {
		if backend.Removed || backend.Down {
			continue
		}
		if vip := c.have.Vips[backend.Vip].Endpoint; of.has(vip) {
			reals[checkKey{vip, backend.Real}] = true
		}
	}
	return reals
}

// startChecks begins checks. Only from then on are first results waited for.
func (c *Controller) startChecks(run map[checkKey]healthcheck.Check) {
	for _, h := range c.health {
		h.start = time.Now()
	}
	c.checks.Change(run, nil)
}

// recallHealth takes over what an earlier daemon decided: usable or not from the
// kernel's tables, since when and why from its notes.
func (c *Controller) recallHealth() {
	notes := c.readNotes()
	for _, backend := range c.have.Backends {
		if backend.Removed {
			continue
		}
		vip := c.have.Vips[backend.Vip].Endpoint
		note := notes[noteKey(vip, backend.Real)]
		if note.Since.IsZero() {
			note.Since = time.Now()
		}
		c.health[checkKey{vip, backend.Real}] = &realHealth{
			start: time.Now(),
			state: healthcheck.State{Up: !backend.Down, Since: note.Since, Error: note.Error},
		}
	}
}

// takeHealth acts on results, on a burst of them once: the first results of a start
// come all together.
func (c *Controller) takeHealth(events []healthcheck.Event[checkKey]) {
	news, changed := false, scope{}
	for _, event := range events {
		h, ok := c.health[event.Key]
		if !ok {
			continue // its real was removed meanwhile
		}
		if event.State.Up != h.state.Up {
			changed[event.Key.vip] = true
			c.tellHealth(event.Key, event.State)
		}
		if event.State.Decisive != h.state.Decisive { // a first result: see addressDue
			changed[event.Key.vip] = true
		}
		h.state = event.State
		news = news || event.Changed
	}
	if len(changed) > 0 {
		c.complain("apply the reals' health", c.convergeTables(changed))
		if c.pair != nil {
			c.pair.Review()
		}
	}
	if news && !c.noting {
		c.noting = true
		c.notes.Reset(notesDelay)
	}
	if news && len(c.waiting) > 0 {
		c.complain("set addresses", c.setAddresses())
	}
}

// drained is a value with those that wait behind it.
func drained[T any](first T, more <-chan T) []T {
	list := []T{first}
	for {
		select {
		case next := <-more:
			list = append(list, next)
		default:
			return list
		}
	}
}

func upDown(up bool) string {
	if up {
		return "up"
	}
	return "down"
}

// addressDue is how long a vip waits for its reals' first results, with its address and
// with a refusal of clients for want of a real; 0: no longer. A boot is silence, not a
// burst of resets: clients and routers may know from before where the address was.
func (c *Controller) addressDue(vip config.Vip) time.Duration {
	var due time.Duration
	for _, real := range vip.Reals {
		h := c.health[checkKey{vip.Endpoint, real.Address}]
		if h == nil || h.state.Checked || !h.state.Decisive {
			continue
		}
		due = max(due, time.Until(h.start.Add(real.Check.Interval+real.Check.Timeout)))
	}
	return due
}

// probe is what a real's check asks.
func probe(real config.Real) healthcheck.Probe {
	address, check := real.Address, real.Check
	if check.Port != 0 {
		address = netip.AddrPortFrom(address.Addr(), check.Port)
	}
	switch check.Type {
	case config.CheckPing:
		return healthcheck.Ping{Address: address.Addr()}
	case config.CheckExec:
		return healthcheck.Exec{Address: address, Argv: healthcheck.Argv(check.Run)}
	case config.CheckHTTP, config.CheckHTTPS:
		var status []string
		for _, r := range check.Status {
			status = append(status, fmt.Sprintf("%d-%d", r.First, r.Last))
		}
		return healthcheck.HTTP{
			Address: address, Method: check.Method, Path: check.Path, Host: check.Host,
			Status: strings.Join(status, ","), Body: check.Body,
			TLS: healthcheck.TLS{
				On: check.Type == config.CheckHTTPS, Verify: check.Verify, CA: check.CA, Name: check.SNI,
			},
		}
	}
	return healthcheck.TCP{Address: address}
}

func judgement(check config.Check) healthcheck.Config {
	return healthcheck.Config{
		Interval: check.Interval, Timeout: check.Timeout, Jitter: check.Jitter, Rise: check.Rise, Fall: check.Fall,
	}
}

// notesDelay is how long news are gathered before they are written down: all notes are
// written each time, and what matters, up or down, is in the kernel's tables.
const notesDelay = time.Second

// A note is what a restart should remember besides the kernel's tables.
type note struct {
	Since time.Time `json:"since"`
	Error string    `json:"error,omitempty"`
}

func noteKey(vip loader.Endpoint, real netip.AddrPort) string {
	return config.FormatVip(vip) + " " + real.String()
}

// NotesFile is the name, in the run directory, of what is known of the reals' health
// beside the tables.
const NotesFile = "health.json"

func (c *Controller) notesFile() string { return filepath.Join(c.RunDir, NotesFile) }

func (c *Controller) readNotes() map[string]note {
	notes := map[string]note{}
	data, err := os.ReadFile(c.notesFile())
	if err != nil || json.Unmarshal(data, &notes) != nil {
		return map[string]note{} // only "since" and the last error are lost
	}
	return notes
}

func (c *Controller) writeNotes() {
	c.noting = false
	notes := map[string]note{}
	for key, h := range c.health {
		notes[noteKey(key.vip, key.real)] = note{h.state.Since, h.state.Error}
	}
	data, err := json.Marshal(notes)
	if err == nil {
		err = disk.Disk{}.Replace(c.notesFile(), data, 0o600)
	}
	c.complain("write health.json", err)
}
