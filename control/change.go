package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

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
func (c *Controller) change(ctx context.Context, o api.Options, ch change) (result api.Result, err error) {
	if asked := c.do(ctx, func() { result, err = c.changeNow(o, ch) }); asked != nil {
		return result, asked
	}
	return result, err
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
	if !equalLegs(old, c.config) {
		if err := c.attachLegs(); err != nil {
			return err
		}
		for ifindex, route := range c.defaults {
			c.setLegRoutes(ifindex, route)
		}
	}
	return c.converge()
}

func equalLegs(a, b *config.Config) bool {
	if len(a.Legs) != len(b.Legs) {
		return false
	}
	for i := range a.Legs {
		if a.Legs[i] != b.Legs[i] {
			return false
		}
	}
	return true
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
func (c *Controller) Reload(ctx context.Context) (result api.Result, err error) {
	asked := c.do(ctx, func() {
		var loaded Loaded
		if loaded, err = Load(c.ConfigFile, c.Host); err != nil {
			err = refusal(err)
			return
		}
		if bytes.Equal(loaded.File, c.file) {
			result = api.Result{Revision: c.revision, Message: "unchanged"}
			return
		}
		result, err = c.adopt(loaded.File, false, false, "the file taken over")
	})
	return result, errors.Join(asked, err)
}

// Export implements api.Controller.
func (c *Controller) Export(ctx context.Context) (file []byte, err error) {
	return file, c.do(ctx, func() { file = bytes.Clone(c.file) })
}

func vipSettings(s api.VipSettings) []config.Setting {
	var list []config.Setting
	list = text(list, "name", s.Name)
	list = boolean(list, "enabled", s.Enabled)
	list = text(list, "leg", s.Leg)
	list = text(list, "scheduler", s.Scheduler)
	list = check(list, s.Check)
	list = text(list, "initial", s.Initial)
	list = text(list, "on_fail", s.OnFail)
	return text(list, "when_empty", s.WhenEmpty)
}

func realSettings(s api.RealSettings) []config.Setting {
	var list []config.Setting
	list = text(list, "name", s.Name)
	if s.Weight != nil {
		list = append(list, config.Setting{Key: "weight", Value: strconv.Itoa(*s.Weight)})
	}
	list = boolean(list, "enabled", s.Enabled)
	return check(list, s.Check)
}

func text(list []config.Setting, key string, value *string) []config.Setting {
	if value == nil {
		return list
	}
	return append(list, config.Setting{Key: key, Value: *value})
}

func boolean(list []config.Setting, key string, value *bool) []config.Setting {
	if value == nil {
		return list
	}
	return append(list, config.Setting{Key: key, Value: strconv.FormatBool(*value)})
}

func check(list []config.Setting, value *string) []config.Setting {
	if value == nil {
		return list
	}
	return append(list, config.CheckSetting(*value))
}
