package control

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/event"
	"github.com/tarpon-lb/tarpon/control/revision"
	"go.uber.org/zap"
)

// recallRevision finds the running configuration's revision. A file that was edited
// becomes one; what cannot be written down runs all the same.
func (c *Controller) recallRevision() {
	c.running = c.revisions.Last()
	if c.running.Hash != config.HashOf(c.file.Data) {
		var err error
		c.running, err = c.revisions.Note(revision.Revision{Author: revision.AuthorFile, What: "found in the file at a start"}, c.file.Data)
		c.complain("keep the revision", err)
		c.events.Info(event.Revision, "configuration found in the file", zap.Int("revision", c.running.Number))
	}
	c.awaitConfirmation()
}

// Plan implements api.Controller.
func (c *Controller) Plan(ctx context.Context, file []byte, o api.Options) (api.Result, error) {
	o.DryRun = true
	return c.change(ctx, change{
		Options: o, overEdits: true, overUnsure: true,
		edit: func([]byte) ([]byte, error) { return file, nil },
	})
}

// Apply implements api.Controller.
func (c *Controller) Apply(ctx context.Context, file []byte, o api.Options) (api.Result, error) {
	return c.change(ctx, change{Options: o, edit: func([]byte) ([]byte, error) { return file, nil }})
}

// Rollback implements api.Controller.
func (c *Controller) Rollback(ctx context.Context, number int, o api.Options) (api.Result, error) {
	return c.change(ctx, change{
		Options: o, overUnsure: true, title: fmt.Sprintf("back to revision %d", number),
		edit: func([]byte) ([]byte, error) { return c.revisions.File(number) },
	})
}

// Reload implements api.Controller.
func (c *Controller) Reload(ctx context.Context, o api.Options) (api.Result, error) {
	return c.change(ctx, change{
		Options: o, author: revision.AuthorFile, overEdits: true, inFile: true, title: "the file taken over",
		edit: func([]byte) ([]byte, error) {
			file, err := os.ReadFile(c.ConfigFile)
			if err != nil {
				err = fmt.Errorf("read the configuration: %w; lbctl export prints the one that runs", err)
			}
			return file, err
		},
	})
}

// Confirm implements api.Controller. In a pair the other router is told: it has the
// same revision, which waits there too.
func (c *Controller) Confirm(ctx context.Context) (api.Result, error) {
	result, err := ask(ctx, c, func() (api.Result, error) {
		result := api.Result{Revision: c.running.Number, Changes: []api.Change{}}
		if c.running.ConfirmBy.IsZero() {
			return result, &api.Error{Code: api.CodeConflict, Message: fmt.Sprintf(
				"no revision waits for a confirmation; revision %d runs: %s", c.running.Number, c.running.What)}
		}
		if err := c.confirm(api.Caller(ctx)); err != nil {
			return result, err
		}
		result.Changed, result.Message = true, fmt.Sprintf("revision %d: confirmed", c.running.Number)
		return result, nil
	})
	if err == nil {
		result.Message += c.confirmThere(ctx)
	}
	return result, err
}

func (c *Controller) confirm(author string) error {
	if err := c.revisions.Confirm(); err != nil {
		return err
	}
	c.running = c.revisions.Last()
	c.awaitConfirmation()
	c.tell()
	c.events.Info(event.Confirmed, "configuration confirmed", zap.Int("revision", c.running.Number), zap.String("author", author))
	return nil
}

// awaitConfirmation sets the clock for a revision that waits, if it does.
func (c *Controller) awaitConfirmation() {
	if c.running.ConfirmBy.IsZero() {
		c.unconfirmed.Stop()
		return
	}
	c.unconfirmed.Reset(time.Until(c.running.ConfirmBy))
}

// rollBackUnconfirmed goes back to the revision before the running one, whatever has
// become of the file: a file that was edited by hand meanwhile is left as it is.
func (c *Controller) rollBackUnconfirmed() {
	if c.running.ConfirmBy.IsZero() {
		return
	}
	edited, err := c.editedByHand()
	answer := make(chan outcome, 1)
	c.makeRevision([]change{{
		author: "tarpond", title: fmt.Sprintf("revision %d was not confirmed", c.running.Number),
		overEdits: true, overUnsure: true, here: true, undoes: c.running.Number, leavesFile: edited || err != nil, answer: answer,
		edit: func([]byte) ([]byte, error) {
			before, ok := c.revisions.Before()
			if !ok {
				return nil, fmt.Errorf("the revision before %d: %w", c.running.Number, revision.ErrNotFound)
			}
			return c.revisions.File(before.Number)
		},
	}})
	if o := <-answer; o.err != nil {
		c.complain("roll back what was not confirmed; again in 10 s", o.err)
		c.unconfirmed.Reset(10 * time.Second)
	}
}

// Export implements api.Controller.
func (c *Controller) Export(ctx context.Context) ([]byte, error) {
	return ask(ctx, c, func() ([]byte, error) { return bytes.Clone(c.file.Data), nil })
}

// History implements api.Controller.
func (c *Controller) History(ctx context.Context) ([]api.Revision, error) {
	return ask(ctx, c, func() ([]api.Revision, error) {
		list := []api.Revision{}
		for _, r := range c.revisions.List() {
			list = append(list, api.Revision{
				Revision: r.Number, SHA256: string(r.Hash), Parent: string(r.Parent),
				Author: r.Author, Router: r.Router, Time: r.Time, What: r.What, ConfirmBy: r.ConfirmBy,
			})
		}
		return list, nil
	})
}

// RevisionFile implements api.Controller.
func (c *Controller) RevisionFile(ctx context.Context, number int) ([]byte, error) {
	return ask(ctx, c, func() ([]byte, error) {
		file, err := c.revisions.File(number)
		if err != nil {
			return nil, c.refusal(err)
		}
		return file, nil
	})
}
