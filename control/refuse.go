package control

import (
	"errors"
	"fmt"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/revision"
)

// refuses says why a change is not even looked at.
func (c *Controller) refuses(ch change, d *draft) error {
	if ch.IfRevision != 0 && (ch.IfRevision != c.running.Number || len(d.accepted) > 0) {
		return c.conflict("", "revision %d runs, not %d: another change came between", c.running.Number, ch.IfRevision)
	}
	if !ch.overUnsure && !c.running.ConfirmBy.IsZero() {
		before, _ := c.revisions.Before()
		return c.conflict(fmt.Sprintf("lbctl confirm, or: lbctl rollback %d", before.Number),
			"revision %d waits for its confirmation until %s; decide about it first", c.running.Number, c.running.ConfirmBy.Format(time.TimeOnly))
	}
	if ch.overEdits {
		return nil
	}
	if c.broken != nil {
		told := &api.Error{Code: api.CodeConflict, File: c.ConfigFile, Message: c.brokenText(), Remedy: "correct it, then: lbctl reload"}
		tellFaults(told, c.broken)
		return told
	}
	return c.refusesOver(c.file)
}

// refusesOver says why the configuration file is not written over: it is no longer what
// runs, or ran until now.
func (c *Controller) refusesOver(file *config.File) error {
	if edited, err := c.editedSince(file); err != nil || edited {
		return c.conflict("lbctl reload", "%s was edited by hand and is not what runs; take it over first", c.ConfigFile)
	}
	return nil
}

func (c *Controller) conflict(remedy, format string, args ...any) error {
	return &api.Error{Code: api.CodeConflict, File: c.ConfigFile, Message: fmt.Sprintf(format, args...), Remedy: remedy}
}

// follows says why a running configuration cannot become another, or not in this way.
func (ch change) follows(name string, running, next *config.Config) error {
	if ch.Confirm > 0 && next.Paired() && !running.Paired() {
		return &config.Errors{File: name, List: []config.Error{{
			Place: next.Place("routers"), Path: "routers", Message: "a router cannot be rolled back out of a pair",
			Remedy: "apply it without --confirm; to leave the pair: lbctl pair leave",
		}}}
	}
	if ch.leaves {
		return nil
	}
	return config.ValidateStay(name, running, next)
}

// fits says why the flow tables of a configuration would not hold what is live.
func (c *Controller) fits(name string, running, next *config.Config) error {
	if running.Flows.SameSizes(next.Flows) {
		return nil
	}
	live4, live6 := c.Loader.CountFlows()
	return config.ValidateFlows(name, next, live4, live6)
}

// fileProblems is what status says of the configuration file.
func (c *Controller) fileProblems() (problems []string) {
	if by := c.running.ConfirmBy; !by.IsZero() {
		problems = append(problems, fmt.Sprintf("revision %d is rolled back at %s; keep it: lbctl confirm", c.running.Number, by.Format(time.TimeOnly)))
	}
	if c.broken != nil {
		return append(problems, c.brokenText()+"; correct it, then: lbctl reload")
	}
	if edited, err := c.editedByHand(); err != nil || edited {
		problems = append(problems, c.ConfigFile+" was edited by hand; take it over: lbctl reload")
	}
	return problems
}

// tell says in one line which configuration runs.
func (c *Controller) tell() {
	if c.Tell == nil {
		return
	}
	if problems := c.fileProblems(); len(problems) > 0 {
		c.Tell(problems[0])
		return
	}
	c.Tell(fmt.Sprintf("running revision %d", c.running.Number))
}

// brokenText is one line about a file that could not be run.
func (c *Controller) brokenText() string {
	text := c.broken.Error()
	var faults *config.Errors
	if errors.As(c.broken, &faults) && len(faults.List) > 0 {
		first := faults.List[0]
		text = fmt.Sprintf("%s:%d:%d %s: %s", faults.File, first.Line, first.Column, first.Path, first.Message)
		if more := len(faults.List) + faults.More - 1; more > 0 {
			text += fmt.Sprintf(" (and %d more)", more)
		}
	}
	return fmt.Sprintf("config: %s; running revision %d", text, c.running.Number)
}

// refusal is why a change was refused, and that nothing came of it.
func (c *Controller) refusal(err error) error {
	if faults := (*config.Errors)(nil); errors.As(err, &faults) {
		faults.Note = fmt.Sprintf("revision %d goes on", c.running.Number)
	}
	return refusal(err)
}

// refusal says it in the API's words.
func refusal(err error) error {
	var faults *config.Errors
	var refused *api.Error
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &faults):
		told := &api.Error{Code: api.CodeInvalid, Message: faults.Error(), File: faults.File}
		tellFaults(told, err)
		return told
	case errors.Is(err, config.ErrExists):
		return &api.Error{Code: api.CodeExists, Message: err.Error()}
	case errors.Is(err, config.ErrNotFound), errors.Is(err, revision.ErrNotFound):
		return &api.Error{Code: api.CodeMissing, Message: err.Error()}
	}
	return &api.Error{Code: api.CodeInvalid, Message: err.Error()}
}

// tellFaults adds the faults of a configuration, if err is of one.
func tellFaults(told *api.Error, err error) {
	var faults *config.Errors
	if !errors.As(err, &faults) || len(faults.List) == 0 {
		return
	}
	told.Line, told.Column = faults.List[0].Line, faults.List[0].Column
	for _, f := range faults.List {
		told.Faults = append(told.Faults, api.Fault{
			Line: f.Line, Column: f.Column, Path: f.Path, Message: f.Message, Remedy: f.Remedy,
		})
	}
}
