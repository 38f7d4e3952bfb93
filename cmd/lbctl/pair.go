package main

import (
	"fmt"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/urfave/cli/v2"
)

func pair() *cli.Command {
	return &cli.Command{
		Name: "pair", Usage: "two routers that stand in for each other", ArgsUsage: "COMMAND",
		HideHelpCommand: true,
		Subcommands:     []*cli.Command{pairStatus(), hold(), release(), pairDiff(), adopt(), pairInit(), join(), leave()},
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usageError{fmt.Errorf("there is no command pair %q (see: lbctl pair --help)", c.Args().First())}
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

func pairStatus() *cli.Command {
	return &cli.Command{
		Name: "status", Usage: "how the two routers stand to each other; exit code 1 if something is wrong",
		Description: "A router that is alone says so, and nothing is wrong with that.",
		Flags:       []cli.Flag{output()},
		Action: func(c *cli.Context) error {
			if err := arguments(c); err != nil {
				return err
			}
			p, err := client(c).Pair(c.Context)
			if err != nil {
				return err
			}
			if err := print(c, p, func(p api.Pair) string { return pairText(p, time.Now()) }); err != nil {
				return err
			}
			if len(p.Problems) > 0 {
				return errTold
			}
			return nil
		},
	}
}

func hold() *cli.Command {
	return &cli.Command{
		Name: "hold", Usage: "keep the roles as they are, whatever fails",
		Description: "On both routers, until `lbctl pair release`. Neither takes over from the other, and the\n" +
			"active one answers on even if its daemon dies.\n" + notConfiguration,
		Flags: []cli.Flag{output()},
		Action: func(c *cli.Context) error {
			if err := arguments(c); err != nil {
				return err
			}
			operated, err := client(c).Hold(c.Context)
			return printOperated(c, operated, err)
		},
	}
}

func release() *cli.Command {
	return &cli.Command{
		Name: "release", Usage: "end hold", Flags: []cli.Flag{output()},
		Action: func(c *cli.Context) error {
			if err := arguments(c); err != nil {
				return err
			}
			operated, err := client(c).Release(c.Context)
			return printOperated(c, operated, err)
		},
	}
}

func switchover() *cli.Command {
	return &cli.Command{
		Name: "switchover", Usage: "move the service to the other router of the pair, and wait until it is there",
		Description: "From either router. First the flows are brought up to date there, so no packet of a\n" +
			"connection is lost; if the other router cannot take the service, all stays as it was.",
		Flags: []cli.Flag{output(),
			&cli.BoolFlag{Name: "force", Usage: "though the flows are not all there, or the roles are held"},
			&cli.StringFlag{Name: "why", Usage: "for the events and the hooks, such as \"upgrade of lb1\""}},
		Action: func(c *cli.Context) error {
			if err := arguments(c); err != nil {
				return err
			}
			s, err := client(c).Switchover(c.Context, api.SwitchoverOptions{Force: c.Bool("force"), Why: c.String("why")})
			if err != nil {
				return err
			}
			return print(c, s, func(s api.Switchover) string { return fit(s.Message) })
		},
	}
}
