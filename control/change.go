package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/config"
	"go.uber.org/zap"
)

// change is one way from the file's bytes to others.
type change struct {
	what string // done, as a person is told
	edit func(file []byte) ([]byte, error)
}

// change edits the file and makes the kernel follow. Either both have the change
// after, or neither.
func (c *Controller) change(ctx context.Context, o api.Options, ch change) (api.Result, error) {
	return ask(ctx, c, func() (api.Result, error) { return c.changeNow(o, ch) })
}

func (c *Controller) changeNow(o api.Options, ch change) (api.Result, error) {
	unchanged := api.Result{Revision: c.revision, Message: "unchanged"}
	if edited, err := c.editedByHand(); err != nil || edited {
		return unchanged, &api.Error{
			Code: api.CodeConflict, File: c.ConfigFile, Remedy: "lbctl reload",
			Message: c.ConfigFile + " was edited by hand and is not what runs; take it over first",
		}
	}
	if o.IfRevision != 0 && o.IfRevision != c.revision {
		return unchanged, &api.Error{
			Code:    api.CodeConflict,
			Message: fmt.Sprintf("revision %d runs, not %d: another change came between", c.revision, o.IfRevision),
		}
	}
	edited, err := ch.edit(c.file)
	switch {
	case errors.Is(err, config.ErrNotFound) && o.IfExists:
		return unchanged, nil
	case err != nil:
		return unchanged, refusal(err)
	case bytes.Equal(edited, c.file):
		return unchanged, nil
	}
	return c.adopt(edited, o.DryRun, true, ch.what)
}

// adopt makes other bytes the running configuration; write: and the file's.
func (c *Controller) adopt(file []byte, dryRun, write bool, what string) (api.Result, error) {
	next, err := understand(c.ConfigFile, file, c.Host)
	if err == nil {
		err = config.ValidateChange(c.ConfigFile, c.config, next)
	}
	if err != nil {
		return api.Result{Revision: c.revision}, refusal(err)
	}
	if dryRun {
		return api.Result{Revision: c.revision, Changed: true, Message: "would be done: " + what}, nil
	}
	oldFile, oldConfig := c.file, c.config
	if write {
		if err := writeFile(c.ConfigFile, file, 0o644); err != nil {
			return api.Result{Revision: c.revision}, fmt.Errorf("write the configuration: %w; nothing was changed", err)
		}
	}
	c.file, c.config = file, next
	if err := c.follow(oldConfig); err != nil {
		c.file, c.config = oldFile, oldConfig
		c.complain("go back to the old configuration", c.follow(next))
		if write {
			c.complain("write the old configuration back", writeFile(c.ConfigFile, oldFile, 0o644))
		}
		return api.Result{Revision: c.revision}, fmt.Errorf("%w; revision %d goes on", err, c.revision)
	}
	c.revision++
	c.complain("note the revision", saveRevision(c.StateDir, c.revision, file))
	c.Log.Info("configuration changed", zap.Int("revision", c.revision), zap.String("what", what))
	return api.Result{
		Revision: c.revision, Changed: true, Message: fmt.Sprintf("revision %d: %s", c.revision, what),
	}, nil
}

// follow makes machine and kernel as the configuration says.
func (c *Controller) follow(old *config.Config) error {
	c.watch()
	if !slices.Equal(old.Legs, c.config.Legs) {
		if err := c.attachLegs(); err != nil {
			return err
		}
		for ifindex, route := range c.defaults {
			c.setLegRoutes(ifindex, route)
		}
	}
	return c.converge()
}

// refusal says in the API's words why a change was refused.
func refusal(err error) error {
	var faults *config.Errors
	switch {
	case errors.As(err, &faults):
		told := &api.Error{Code: api.CodeInvalid, Message: faults.Error(), File: faults.File}
		for _, f := range faults.List {
			told.Faults = append(told.Faults, api.Fault{
				Line: f.Line, Column: f.Column, Path: f.Path, Message: f.Message, Remedy: f.Remedy,
			})
		}
		return told
	case errors.Is(err, config.ErrExists):
		return &api.Error{Code: api.CodeExists, Message: err.Error()}
	case errors.Is(err, config.ErrNotFound):
		return &api.Error{Code: api.CodeMissing, Message: err.Error()}
	}
	return &api.Error{Code: api.CodeInvalid, Message: err.Error()}
}

// AddVip implements api.Controller.
func (c *Controller) AddVip(ctx context.Context, vip api.NewVip, o api.Options) (api.Result, error) {
	var reals []config.NewReal
	for _, real := range vip.Reals {
		reals = append(reals, config.NewReal{Real: real.Real, Settings: realSettings(real.RealSettings)})
	}
	return c.change(ctx, o, change{
		what: fmt.Sprintf("vip %s added", vip.Vip),
		edit: func(file []byte) ([]byte, error) {
			return config.AddVip(file, vip.Vip, vipSettings(vip.VipSettings), reals)
		},
	})
}

// EditVip implements api.Controller.
func (c *Controller) EditVip(ctx context.Context, vip string, s api.VipSettings, o api.Options) (api.Result, error) {
	return c.change(ctx, o, change{
		what: fmt.Sprintf("vip %s changed", vip),
		edit: func(file []byte) ([]byte, error) { return config.EditVip(file, vip, vipSettings(s)) },
	})
}

// DeleteVip implements api.Controller.
func (c *Controller) DeleteVip(ctx context.Context, vip string, o api.Options) (api.Result, error) {
	return c.change(ctx, o, change{
		what: fmt.Sprintf("vip %s deleted", vip),
		edit: func(file []byte) ([]byte, error) { return config.DeleteVip(file, vip) },
	})
}

// AddReal implements api.Controller.
func (c *Controller) AddReal(ctx context.Context, vip string, real api.NewReal, o api.Options) (api.Result, error) {
	return c.change(ctx, o, change{
		what: fmt.Sprintf("vip %s: real %s added", vip, real.Real),
		edit: func(file []byte) ([]byte, error) {
			return config.AddReal(file, vip, config.NewReal{Real: real.Real, Settings: realSettings(real.RealSettings)})
		},
	})
}

// EditReal implements api.Controller.
func (c *Controller) EditReal(ctx context.Context, vip, real string, s api.RealSettings, o api.Options) (api.Result, error) {
	return c.change(ctx, o, change{
		what: fmt.Sprintf("vip %s: real %s changed", vip, real),
		edit: func(file []byte) ([]byte, error) { return config.EditReal(file, vip, real, realSettings(s)) },
	})
}

// DeleteReal implements api.Controller.
func (c *Controller) DeleteReal(ctx context.Context, vip, real string, o api.Options) (api.Result, error) {
	return c.change(ctx, o, change{
		what: fmt.Sprintf("vip %s: real %s deleted", vip, real),
		edit: func(file []byte) ([]byte, error) { return config.DeleteReal(file, vip, real) },
	})
}

// Apply implements api.Controller.
func (c *Controller) Apply(ctx context.Context, file []byte, o api.Options) (api.Result, error) {
	return c.change(ctx, o, change{
		what: "the whole configuration replaced",
		edit: func([]byte) ([]byte, error) { return file, nil },
	})
}

// Reload implements api.Controller.
func (c *Controller) Reload(ctx context.Context) (api.Result, error) {
	return ask(ctx, c, func() (api.Result, error) {
		loaded, err := Load(c.ConfigFile, c.Host)
		if err != nil {
			return api.Result{}, refusal(err)
		}
		if bytes.Equal(loaded.File, c.file) {
			return api.Result{Revision: c.revision, Message: "unchanged"}, nil
		}
		return c.adopt(loaded.File, false, false, "the file taken over")
	})
}

// Export implements api.Controller.
func (c *Controller) Export(ctx context.Context) ([]byte, error) {
	return ask(ctx, c, func() ([]byte, error) { return bytes.Clone(c.file), nil })
}

func vipSettings(s api.VipSettings) []config.Setting {
	var list []config.Setting
	list = given(list, "name", s.Name)
	list = given(list, "enabled", s.Enabled)
	list = given(list, "leg", s.Leg)
	list = given(list, "scheduler", s.Scheduler)
	list = check(list, s.Check)
	list = given(list, "initial", s.Initial)
	list = given(list, "on_fail", s.OnFail)
	return given(list, "when_empty", s.WhenEmpty)
}

func realSettings(s api.RealSettings) []config.Setting {
	var list []config.Setting
	list = given(list, "name", s.Name)
	list = given(list, "weight", s.Weight)
	list = given(list, "enabled", s.Enabled)
	return check(list, s.Check)
}

// given adds a key that the request has.
func given[T any](list []config.Setting, key string, value *T) []config.Setting {
	if value == nil {
		return list
	}
	return append(list, config.Setting{Key: key, Value: fmt.Sprint(*value)})
}

func check(list []config.Setting, value *string) []config.Setting {
	if value == nil {
		return list
	}
	return append(list, config.CheckSetting(*value))
}
