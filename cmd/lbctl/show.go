package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/urfave/cli/v2"
)

func vips() *cli.Command {
	return &cli.Command{
		Name: "vips", Usage: "list virtual servers and their reals", ArgsUsage: "[VIP]",
		Flags: []cli.Flag{output(),
			&cli.BoolFlag{Name: "stats", Usage: "connections, packets and bytes since the start"},
			&cli.BoolFlag{Name: "rate", Usage: "the same per second, over one second"}},
		Action: func(c *cli.Context) error {
			list, err := client(c).Vips(c.Context)
			if err != nil {
				return err
			}
			if c.Bool("rate") {
				begun := time.Now()
				if err := wait(c, time.Second); err != nil {
					return err
				}
				later, err := client(c).Vips(c.Context)
				if err != nil {
					return err
				}
				list = vipRates(list, later, time.Since(begun))
			}
			if c.NArg() > 0 {
				if list, err = only(list, c.Args().First()); err != nil {
					return err
				}
			}
			if c.Bool("stats") || c.Bool("rate") {
				return print(c, list, func(l []api.Vip) string { return trafficTable(l, c.Bool("rate")) })
			}
			return print(c, list, vipTable)
		},
	}
}

func wait(c *cli.Context, d time.Duration) error {
	select {
	case <-c.Context.Done():
		return c.Context.Err()
	case <-time.After(d):
		return nil
	}
}

// only is the vip that was named.
func only(list []api.Vip, name string) ([]api.Vip, error) {
	for _, vip := range list {
		if vip.Name == name || vip.Vip == name || vip.Vip == name+"/tcp" {
			return []api.Vip{vip}, nil
		}
	}
	return nil, &api.Error{Code: api.CodeMissing, Message: "there is no vip " + name}
}

func status() *cli.Command {
	return &cli.Command{
		Name: "status", Usage: "how the router does; exit code 1 if something is wrong", Flags: []cli.Flag{output()},
		Action: func(c *cli.Context) error {
			s, err := client(c).Status(c.Context)
			if err != nil {
				return err
			}
			if err := print(c, s, statusText); err != nil {
				return err
			}
			if len(s.Problems) > 0 {
				return errTold
			}
			return nil
		},
	}
}

func flows() *cli.Command {
	return &cli.Command{
		Name: "flows", Usage: "list flows",
		Flags: []cli.Flag{output(),
			&cli.StringFlag{Name: "vip", Usage: "only of this vip"},
			&cli.StringFlag{Name: "real", Usage: "only of this real, `ADDR[:PORT]`"},
			&cli.StringFlag{Name: "client", Usage: "only of clients in `ADDR[/BITS]`"},
			&cli.StringFlag{Name: "state", Usage: "only in this state, such as established"}},
		Action: func(c *cli.Context) error {
			filter := api.FlowFilter{Vip: c.String("vip"), Real: c.String("real"), Client: c.String("client"), State: c.String("state")}
			encoder := json.NewEncoder(c.App.Writer)
			asJSON := c.String("output") == "json"
			if !asJSON {
				fmt.Fprint(c.App.Writer, flowHeader)
			}
			for flow, err := range client(c).Flows(c.Context, filter) {
				if err != nil {
					return err
				}
				if asJSON {
					err = encoder.Encode(flow)
				} else {
					_, err = fmt.Fprint(c.App.Writer, flowLine(flow))
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func stats() *cli.Command {
	return &cli.Command{
		Name: "stats", Usage: "what became of packets, by reason, and the devices' counters",
		Flags: []cli.Flag{output(),
			&cli.BoolFlag{Name: "rate", Usage: "per second, over one second"},
			&cli.BoolFlag{Name: "all", Usage: "with the reasons that never happened"}},
		Action: func(c *cli.Context) error {
			s, err := client(c).Stats(c.Context)
			if err != nil {
				return err
			}
			if c.Bool("rate") {
				if err := wait(c, time.Second); err != nil {
					return err
				}
				later, err := client(c).Stats(c.Context)
				if err != nil {
					return err
				}
				s = statRates(s, later)
			}
			return print(c, s, func(s api.Stats) string { return statsText(s, c.Bool("all")) })
		},
	}
}
