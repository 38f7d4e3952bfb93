package main

import (
	"fmt"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/urfave/cli/v2"
)

const notConfiguration = "It is not configuration: it needs no file in order, makes no revision, survives\n" +
	"restarts, is shown by status and vips, and export does not have it."

func drain() *cli.Command {
	return &cli.Command{
		Name: "drain", Usage: "give a real no new flows; those it has go on", ArgsUsage: "VIP REAL",
		Description: "At the deadline, if there is one, the flows that are left are ended: TCP by a reset\n" +
			"to both ends at the next packet, as on_fail: reset does; UDP goes to another real.\n" +
			"A second drain sets another deadline, or without --deadline none.\n" + notConfiguration,
		Flags: []cli.Flag{output(), &cli.DurationFlag{Name: "deadline", Usage: "reset what is left after `TIME`, such as 10m"}},
		Action: func(c *cli.Context) error {
			if err := arguments(c, "VIP", "REAL"); err != nil {
				return err
			}
			deadline := c.Duration("deadline")
			if c.IsSet("deadline") && deadline <= 0 {
				return usageError{fmt.Errorf("--deadline %s: write how long to wait, such as 10m", deadline)}
			}
			operated, err := client(c).Drain(c.Context, c.Args().Get(0), c.Args().Get(1), deadline)
			return printOperated(c, operated, err)
		},
	}
}

func undrain() *cli.Command {
	return &cli.Command{
		Name: "undrain", Usage: "end drain", ArgsUsage: "VIP REAL", Flags: []cli.Flag{output()},
		Action: func(c *cli.Context) error {
			if err := arguments(c, "VIP", "REAL"); err != nil {
				return err
			}
			operated, err := client(c).Undrain(c.Context, c.Args().Get(0), c.Args().Get(1))
			return printOperated(c, operated, err)
		},
	}
}

func disable() *cli.Command {
	return &cli.Command{
		Name: "disable", Usage: "take a vip, or one of its reals, out of service", ArgsUsage: "VIP [REAL]",
		Description: "As `enabled: false` in the configuration: a vip's flows end, a real's are reset.\n" + notConfiguration,
		Flags:       []cli.Flag{output()},
		Action: func(c *cli.Context) error {
			if err := arguments(c, vipAndMaybeReal(c)...); err != nil {
				return err
			}
			operated, err := client(c).Disable(c.Context, c.Args().Get(0), c.Args().Get(1))
			return printOperated(c, operated, err)
		},
	}
}

func enable() *cli.Command {
	return &cli.Command{
		Name: "enable", Usage: "end disable", ArgsUsage: "VIP [REAL]", Flags: []cli.Flag{output()},
		Action: func(c *cli.Context) error {
			if err := arguments(c, vipAndMaybeReal(c)...); err != nil {
				return err
			}
			operated, err := client(c).Enable(c.Context, c.Args().Get(0), c.Args().Get(1))
			return printOperated(c, operated, err)
		},
	}
}

func vipAndMaybeReal(c *cli.Context) []string {
	if c.NArg() < 2 {
		return []string{"VIP"}
	}
	return []string{"VIP", "REAL"}
}

func printOperated(c *cli.Context, operated api.Operated, err error) error {
	if err != nil {
		return err
	}
	return print(c, operated, func(o api.Operated) string { return fit(o.Message) })
}
