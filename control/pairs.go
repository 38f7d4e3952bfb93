package control

import (
	"context"
	"fmt"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/event"
	"github.com/tarpon-lb/tarpon/control/operational"
	"github.com/tarpon-lb/tarpon/control/pair/agree"
	"go.uber.org/zap"
)

// Pair implements api.Controller.
func (c *Controller) Pair(ctx context.Context) (api.Pair, error) {
	return ask(ctx, c, func() (api.Pair, error) { return c.pairView(), nil })
}

func (c *Controller) pairView() api.Pair {
	if c.pair == nil {
		return api.Pair{
			Problems: []string{}, OtherVRIDs: []api.OtherVRID{}, Heartbeats: []api.Heartbeat{}, InSync: api.InSync{Facts: []api.Fact{}},
		}
	}
	view := c.pair.Status()
	if d, held := c.operational.Find(operational.Target{}, operational.Held); held {
		view.Hold = &api.Hold{Author: d.Author, Since: d.Since}
	}
	return view
}

// errAlone is why a router without another one refuses what is about the pair.
func errAlone() error {
	return &api.Error{
		Code: api.CodeConflict, Message: "this router is alone: its configuration has no `routers`",
		Remedy: "lbctl pair init makes it one of a pair",
	}
}

// Switchover implements api.Controller.
func (c *Controller) Switchover(ctx context.Context, o api.SwitchoverOptions) (api.Switchover, error) {
	why := "switchover by " + api.Caller(ctx)
	if o.Why != "" {
		why += ": " + o.Why
	}
	began := time.Now()
	err := c.await(ctx, func(done func(error)) {
		if c.pair == nil {
			done(errAlone())
			return
		}
		c.pair.Switchover(why, o.Force, done)
	})
	if err != nil {
		return api.Switchover{}, err
	}
	return ask(ctx, c, func() (api.Switchover, error) {
		took := time.Since(began)
		side, _ := c.config.ForRouter(c.config.Self)
		s := api.Switchover{Active: side.Peer.Name, Took: took.Seconds()}
		switch {
		case c.config.Pair.Foreign:
			s.Message = "this router has said goodbye; " + s.Active + " takes over by itself"
			return s, nil
		case c.role == active:
			s.Active = side.Own.Name
		}
		s.Message = fmt.Sprintf("%s is active; it took %s", s.Active, took.Round(time.Millisecond))
		return s, nil
	})
}

// confirmThere tells the other router of a confirmation, and says what came of it.
func (c *Controller) confirmThere(ctx context.Context) (text string) {
	err := c.await(ctx, func(done func(error)) {
		if c.pair == nil || c.pair.Foreign() {
			done(nil)
			return
		}
		peer := c.otherRouter()
		c.pair.Confirmed(func(err error) {
			text = " on both routers"
			if err != nil {
				text = fmt.Sprintf(" here\n%s does not know yet: %v; it rolls back at its deadline unless it hears of it\nby then, or you confirm it there", peer, err)
			}
			done(nil)
		})
	})
	if err != nil {
		return ""
	}
	return text
}

// PeerFile implements api.Controller.
func (c *Controller) PeerFile(ctx context.Context) (file api.PeerFile, err error) {
	err = c.await(ctx, func(done func(error)) {
		if c.pair == nil {
			done(errAlone())
			return
		}
		if c.pair.Foreign() {
			done(errForeign())
			return
		}
		file.Router, file.Peer, file.File = c.config.Self, c.otherRouter(), string(c.file.Data)
		file.Own = api.RevisionID{Revision: c.running.Number, SHA256: string(c.running.Hash)}
		c.pair.Agreement().Fetch(func(s agree.Shown) {
			file.PeerFile = string(s.File)
			file.Theirs = api.RevisionID{Revision: s.Revision.Number, SHA256: string(s.Revision.Hash)}
			done(s.Err)
		})
	})
	return file, err
}

// Adopt implements api.Controller.
func (c *Controller) Adopt(ctx context.Context, router string) (api.Result, error) {
	err := c.await(ctx, func(done func(error)) {
		switch {
		case c.pair == nil:
			done(errAlone())
		case c.pair.Foreign():
			done(errForeign())
		default:
			c.pair.Adopt(router, done)
		}
	})
	if err != nil {
		return api.Result{}, err
	}
	return ask(ctx, c, func() (api.Result, error) {
		return api.Result{
			Revision: c.running.Number, Changed: true, Changes: []api.Change{},
			Message: fmt.Sprintf("revision %d: the configuration of %s runs on both routers", c.running.Number, router),
		}, nil
	})
}

func errForeign() error {
	return &api.Error{
		Code: api.CodeConflict, Message: "the other router is no Tarpon (peer: vrrp): no configuration is shared with it",
		Remedy: "change each router by its own means",
	}
}

// await is ask for what ends later: begin is called in the owning goroutine, and done
// too, once.
func (c *Controller) await(ctx context.Context, begin func(done func(error))) error {
	ended := make(chan error, 1)
	if err := c.do(ctx, func() { begin(func(err error) { ended <- err }) }); err != nil {
		return err
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ended:
		return errStopped
	}
}

// Hold implements api.Controller.
func (c *Controller) Hold(ctx context.Context) (api.Operated, error) {
	return c.hold(ctx, func(held bool) (text string, err error) {
		if !held {
			err = c.operational.Set(operational.Target{}, operational.Decision{
				Kind: operational.Held, Author: api.Caller(ctx), Since: time.Now().Round(0),
			})
		}
		text = "the roles are held: whatever fails, neither router takes over from the other"
		if c.pair.Foreign() {
			text = fmt.Sprintf("the roles are held, on this side: it neither takes over nor gives away, whatever fails.\n%s does not know of it and takes over when it hears nothing: hold it there too", c.otherRouter())
		}
		return text, err
	})
}

// Release implements api.Controller.
func (c *Controller) Release(ctx context.Context) (api.Operated, error) {
	return c.hold(ctx, func(bool) (string, error) {
		return "the roles are not held", c.operational.Clear(operational.Target{}, operational.Held)
	})
}

// hold changes whether the roles are held, and tells who wants to know.
func (c *Controller) hold(ctx context.Context, change func(held bool) (string, error)) (api.Operated, error) {
	return ask(ctx, c, func() (api.Operated, error) {
		if c.pair == nil {
			return api.Operated{}, errAlone()
		}
		before := inPair{c}.Held()
		text, err := change(before)
		if err != nil {
			return api.Operated{}, err
		}
		if before == (inPair{c}).Held() {
			return api.Operated{Message: "unchanged: " + text}, nil
		}
		c.pair.OperationalChanged()
		c.events.Info(event.Decided, "operational state changed", zap.String("author", api.Caller(ctx)), zap.String("what", text))
		return api.Operated{Changed: true, Message: text}, nil
	})
}
