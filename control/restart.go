package control

import (
	"context"

	"github.com/tarpon-lb/tarpon/control/api"
)

// Restart implements api.Controller. It is not done by the goroutine that owns the
// state: the installed program is tried first.
func (c *Controller) Restart(ctx context.Context) (api.Result, error) {
	revision, err := ask(ctx, c, func() (int, error) { return c.running.Number, nil })
	if err != nil {
		return api.Result{}, err
	}
	return api.Result{Revision: revision, Message: "restarting"}, c.Reexec()
}
