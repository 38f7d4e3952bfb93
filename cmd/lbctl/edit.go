package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/urfave/cli/v2"
)

// changeFlags are those of every command that changes something.
func changeFlags(more ...cli.Flag) []cli.Flag {
	return append(more, output(),
		&cli.BoolFlag{Name: "dry-run", Usage: "only check, and say what would be done"},
		&cli.IntFlag{Name: "if-revision", Usage: "refuse if another revision than `N` runs"},
		&cli.BoolFlag{Name: "force-local", Usage: "on this router of a pair only, if the other one cannot be asked"})
}

func options(c *cli.Context) api.Options {
	return api.Options{DryRun: c.Bool("dry-run"), IfRevision: c.Int("if-revision"), IfExists: c.Bool("if-exists"), Alone: c.Bool("force-local")}
}

func printResult(c *cli.Context, result api.Result, err error) error {
	if err != nil {
		return err
	}
	return print(c, result, func(r api.Result) string {
		if c.Bool("dry-run") {
			return planText(r)
		}
		return fit(r.Message)
	})
}

func vipFlags() []cli.Flag {
	return changeFlags(
		&cli.StringFlag{Name: "name", Usage: "a label, usable wherever a VIP is asked for"},
		&cli.StringFlag{Name: "scheduler", Aliases: []string{"s"}, Usage: "mh, wrr or rr"},
		&cli.StringFlag{Name: "check", Usage: "a check's name, tcp, none, http:/path or https:/path"},
		&cli.StringFlag{Name: "leg", Usage: "the leg that has the address; none: routed to us"},
		&cli.StringFlag{Name: "initial", Usage: "up or down, until the first check's result"},
		&cli.StringFlag{Name: "on-fail", Usage: "keep or reset the flows of a failed real"},
		&cli.StringFlag{Name: "when-empty", Usage: "reject or drop when no real is usable"},
		&cli.BoolFlag{Name: "enabled", Usage: "--enabled=false: kept, not programmed"},
		&cli.BoolFlag{Name: "shares-own-address", Usage: "also on an address of this router's, where something listens"},
	)
}

func vipSettings(c *cli.Context) api.VipSettings {
	return api.VipSettings{
		Name: given(c, "name", c.String), Enabled: given(c, "enabled", c.Bool), Leg: given(c, "leg", c.String),
		Scheduler: given(c, "scheduler", c.String), Check: given(c, "check", c.String),
		Initial: given(c, "initial", c.String), OnFail: given(c, "on-fail", c.String),
		WhenEmpty: given(c, "when-empty", c.String), SharesOwnAddress: given(c, "shares-own-address", c.Bool),
	}
}

// given is a flag's value, nil if it was not given.
func given[T any](c *cli.Context, name string, value func(string) T) *T {
	if !c.IsSet(name) {
		return nil
	}
	v := value(name)
	return &v
}

func addVip() *cli.Command {
	return &cli.Command{
		Name: "add-vip", Usage: "add a virtual server", ArgsUsage: "ADDR[:PORT][/PROTO]",
		Flags: append(vipFlags(), &cli.StringSliceFlag{Name: "real", Aliases: []string{"r"}, Usage: "with this real, `ADDR[:PORT][@WEIGHT]`; repeatable"}),
		Action: func(c *cli.Context) error {
			if err := arguments(c, "VIP"); err != nil {
				return err
			}
			vip := api.NewVip{Vip: c.Args().First(), VipSettings: vipSettings(c)}
			for _, text := range c.StringSlice("real") {
				real, err := newReal(text)
				if err != nil {
					return err
				}
				vip.Reals = append(vip.Reals, real)
			}
			result, err := client(c).AddVip(c.Context, vip, options(c))
			return printResult(c, result, err)
		},
	}
}

// newReal reads ADDR[:PORT]. A comma separates flags' values, so a weight follows
// after `@`.
func newReal(text string) (api.NewReal, error) {
	address, weight, has := strings.Cut(text, "@")
	real := api.NewReal{Real: address}
	if has {
		n, err := strconv.Atoi(weight)
		if err != nil {
			return real, usageError{fmt.Errorf("--real %s: after @ comes the weight, a number", text)}
		}
		real.Weight = &n
	}
	return real, nil
}

func editVip() *cli.Command {
	return &cli.Command{
		Name: "edit-vip", Usage: "change a virtual server", ArgsUsage: "VIP", Flags: vipFlags(),
		Action: func(c *cli.Context) error {
			if err := arguments(c, "VIP"); err != nil {
				return err
			}
			result, err := client(c).EditVip(c.Context, c.Args().First(), vipSettings(c), options(c))
			return printResult(c, result, err)
		},
	}
}

func deleteVip() *cli.Command {
	return &cli.Command{
		Name: "del-vip", Usage: "delete a virtual server", ArgsUsage: "VIP", Flags: changeFlags(ifExists()),
		Action: func(c *cli.Context) error {
			if err := arguments(c, "VIP"); err != nil {
				return err
			}
			result, err := client(c).DeleteVip(c.Context, c.Args().First(), options(c))
			return printResult(c, result, err)
		},
	}
}

func ifExists() cli.Flag {
	return &cli.BoolFlag{Name: "if-exists", Usage: "what is not there is no fault"}
}

func realFlags() []cli.Flag {
	return changeFlags(
		&cli.StringFlag{Name: "name", Usage: "a label"},
		&cli.IntFlag{Name: "weight", Aliases: []string{"w"}, Usage: "share of new flows; 0: none"},
		&cli.StringFlag{Name: "check", Usage: "instead of the vip's"},
		&cli.BoolFlag{Name: "enabled", Usage: "--enabled=false: kept, not programmed"},
	)
}

func realSettings(c *cli.Context) api.RealSettings {
	return api.RealSettings{
		Name: given(c, "name", c.String), Weight: given(c, "weight", c.Int),
		Enabled: given(c, "enabled", c.Bool), Check: given(c, "check", c.String),
	}
}

func addReal() *cli.Command {
	return &cli.Command{
		Name: "add-real", Usage: "add a real server to a vip", ArgsUsage: "VIP ADDR[:PORT]", Flags: realFlags(),
		Action: func(c *cli.Context) error {
			if err := arguments(c, "VIP", "REAL"); err != nil {
				return err
			}
			real := api.NewReal{Real: c.Args().Get(1), RealSettings: realSettings(c)}
			result, err := client(c).AddReal(c.Context, c.Args().First(), real, options(c))
			return printResult(c, result, err)
		},
	}
}

func editReal() *cli.Command {
	return &cli.Command{
		Name: "edit-real", Usage: "change a real server of a vip", ArgsUsage: "VIP REAL", Flags: realFlags(),
		Action: func(c *cli.Context) error {
			if err := arguments(c, "VIP", "REAL"); err != nil {
				return err
			}
			result, err := client(c).EditReal(c.Context, c.Args().First(), c.Args().Get(1), realSettings(c), options(c))
			return printResult(c, result, err)
		},
	}
}

func deleteReal() *cli.Command {
	return &cli.Command{
		Name: "del-real", Usage: "delete a real server from a vip", ArgsUsage: "VIP REAL", Flags: changeFlags(ifExists()),
		Action: func(c *cli.Context) error {
			if err := arguments(c, "VIP", "REAL"); err != nil {
				return err
			}
			result, err := client(c).DeleteReal(c.Context, c.Args().First(), c.Args().Get(1), options(c))
			return printResult(c, result, err)
		},
	}
}
