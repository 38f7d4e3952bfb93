package control

import (
	"context"
	"sync"
)

// sizing is the one goroutine that makes flow tables: it takes seconds, in which the
// router has to go on.
type sizing struct {
	sync.WaitGroup
	wanted chan struct{} // of one
	busy   bool
	err    error // of the last time
}

func (s *sizing) want() {
	select {
	case s.wanted <- struct{}{}:
	default:
	}
}

// sizeTables makes the flow tables as large as the configuration says, and brings the
// flows of an upgrade over; neither has anything to do in most cases. It does not wait.
// What fails is tried again at the next sweep. What was begun is ended, before the
// controller is.
func (c *Controller) sizeTables(ctx context.Context) {
	if c.sizing.busy || ctx.Err() != nil {
		return
	}
	c.sizing.busy = true
	size := c.config.Flows
	owner := func(f func() error) error {
		_, err := ask(context.WithoutCancel(ctx), c, func() (struct{}, error) { return struct{}{}, f() })
		return err
	}
	c.sizing.Go(func() {
		err := c.Loader.Resize(size.MaxIPv4, size.MaxIPv6, owner)
		if err == nil {
			err = c.Loader.FinishUpgrade(owner)
		}
		_ = owner(func() error { // fails where nobody is left to hear of it
			c.sizing.busy, c.sizing.err = false, err
			c.complain("size the flow tables", err)
			if !size.SameSizes(c.config.Flows) {
				c.sizing.want()
			}
			return nil
		})
	})
}
