package control

import (
	"context"
	"fmt"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/config"
)

// AddVip implements api.Controller.
func (c *Controller) AddVip(ctx context.Context, vip api.NewVip, o api.Options) (api.Result, error) {
	var reals []config.NewReal
	for _, real := range vip.Reals {
		reals = append(reals, config.NewReal{Real: real.Real, Settings: realSettings(real.RealSettings)})
	}
	return c.edit(ctx, o, vip.Vip, func(file []byte) ([]byte, error) {
		return config.AddVip(file, vip.Vip, vipSettings(vip.VipSettings), reals)
	})
}

// EditVip implements api.Controller.
func (c *Controller) EditVip(ctx context.Context, vip string, s api.VipSettings, o api.Options) (api.Result, error) {
	return c.edit(ctx, o, vip, func(file []byte) ([]byte, error) { return config.EditVip(file, vip, vipSettings(s)) })
}

// DeleteVip implements api.Controller.
func (c *Controller) DeleteVip(ctx context.Context, vip string, o api.Options) (api.Result, error) {
	return c.edit(ctx, o, vip, func(file []byte) ([]byte, error) { return config.DeleteVip(file, vip) })
}

// AddReal implements api.Controller.
func (c *Controller) AddReal(ctx context.Context, vip string, real api.NewReal, o api.Options) (api.Result, error) {
	return c.edit(ctx, o, vip, func(file []byte) ([]byte, error) {
		return config.AddReal(file, vip, config.NewReal{Real: real.Real, Settings: realSettings(real.RealSettings)})
	})
}

// EditReal implements api.Controller.
func (c *Controller) EditReal(ctx context.Context, vip, real string, s api.RealSettings, o api.Options) (api.Result, error) {
	return c.edit(ctx, o, vip, func(file []byte) ([]byte, error) { return config.EditReal(file, vip, real, realSettings(s)) })
}

// DeleteReal implements api.Controller.
func (c *Controller) DeleteReal(ctx context.Context, vip, real string, o api.Options) (api.Result, error) {
	return c.edit(ctx, o, vip, func(file []byte) ([]byte, error) { return config.DeleteReal(file, vip, real) })
}

func (c *Controller) edit(ctx context.Context, o api.Options, vip string, edit func(file []byte) ([]byte, error)) (api.Result, error) {
	return c.change(ctx, change{Options: o, vip: vip, edit: edit})
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
	list = given(list, "when_empty", s.WhenEmpty)
	return given(list, "shares_own_address", s.SharesOwnAddress)
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
