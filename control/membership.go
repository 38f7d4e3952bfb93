package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/pair/agree"
	"github.com/tarpon-lb/tarpon/control/pair/link"
	"github.com/tarpon-lb/tarpon/loader"
)

// Leave implements api.Controller. While the other router lives, the service is its:
// this one goes without vips and floating addresses. A router whose other one is gone
// keeps them.
func (c *Controller) Leave(ctx context.Context, o api.Options) (api.Result, error) {
	var keeps bool
	err := c.await(ctx, func(done func(error)) {
		if c.pair == nil {
			done(errAlone())
			return
		}
		apart := c.pair.Agreement().State() == agree.Apart
		keeps = c.role == active && apart && !c.pair.Foreign()
		c.handOverToLeave(o, apart, done)
	})
	if err != nil {
		return api.Result{}, err
	}
	return c.change(ctx, change{
		Options: o, here: true, leaves: true, title: "left the pair",
		edit: func(file []byte) ([]byte, error) {
			if !o.DryRun && (c.role == active) != keeps {
				return nil, errors.New("the roles changed meanwhile; try again")
			}
			return config.RemovePair(file, keeps)
		},
	})
}

// handOverToLeave makes sure that whoever is to have the service from now on has it, or
// says why that is not so.
func (c *Controller) handOverToLeave(o api.Options, apart bool, done func(error)) {
	peer := c.otherRouter()
	refuse := func(remedy, format string, args ...any) {
		done(&api.Error{Code: api.CodeConflict, Message: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	isActive := c.role == active
	switch {
	case !o.Force && isActive && c.pair.Foreign():
		refuse("if it can: lbctl pair leave --force", "%s is no Tarpon: whether it can take the service over is not known", peer)
	case !o.Force && isActive && apart:
		refuse("if it is gone for good: lbctl pair leave --force, and this router keeps the service alone",
			"%s cannot be asked to take the service over", peer)
	case !o.Force && apart && !c.pair.Foreign():
		refuse("lbctl pair leave --force: this router goes without it",
			"%s cannot be asked whether it has the service", peer)
	case o.DryRun || !isActive || apart && !c.pair.Foreign():
		done(nil)
	default:
		c.pair.Switchover(c.config.Self+" leaves the pair", o.Force, func(err error) {
			if err != nil {
				err = &api.Error{
					Code: api.CodeConflict, Message: fmt.Sprintf("%s does not take the service over: %v; nothing was changed", peer, err),
					Remedy: "lbctl pair status says more; --force does not wait for the flows",
				}
			}
			done(err)
		})
	}
}

// Join implements api.Controller: this router becomes the second of a pair. It begins
// as a standby, whatever it was.
func (c *Controller) Join(ctx context.Context, file []byte, o api.Options) (api.Result, error) {
	return c.change(ctx, change{
		Options: o, here: true, joins: true, title: "joined the pair",
		edit: func([]byte) ([]byte, error) { return file, c.mayJoin(file, o) },
	})
}

func (c *Controller) mayJoin(file []byte, o api.Options) error {
	name := change{Options: o}.name("the file")
	next, err := config.Parse(name, file)
	if err != nil {
		return err
	}
	serves := len(slices.DeleteFunc(slices.Clone(c.config.Vips), func(v config.Vip) bool { return !v.Enabled }))
	conflict := func(remedy, format string, args ...any) error {
		return &api.Error{Code: api.CodeConflict, Message: fmt.Sprintf(format, args...), Remedy: remedy}
	}
	switch {
	case c.pair != nil:
		return conflict("lbctl apply changes it", "this router is one of a pair already")
	case !next.Paired():
		return conflict("on the first router: lbctl pair init, then lbctl export", "%s has no `routers`: it is not the configuration of a pair", name)
	case serves > 0 && !o.Force:
		return conflict("if that is as it should be: --force", "this router serves %d vips, and would stop: it joins as the standby", serves)
	}
	return nil
}

// standBack makes a router that was alone one that has to hear who is active, and asks
// for the addresses, before it takes them.
func (c *Controller) standBack() {
	c.complain("remove the addresses", c.setRole(standby))
	c.Loader.SetLease(loader.LeaseUnset)
}

// hasKey refuses a configuration by which the other router would refuse this one.
func (c *Controller) hasKey(running, next *config.Config) error {
	side, ok := next.ForRouter(next.Self)
	if running.Paired() || !ok || next.Pair.Foreign {
		return nil
	}
	pin, err := link.PinIn(cmp.Or(c.KeyFile, next.Pair.Sync.KeyFile))
	if err != nil {
		return err
	}
	if !slices.Contains(side.Own.Keys, string(pin)) {
		return fmt.Errorf("the key of this router, %s, is none of those of %s in the file (routers[].key): write its pin there, %s", cmp.Or(c.KeyFile, next.Pair.Sync.KeyFile), side.Own.Name, pin)
	}
	return nil
}
