package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"iter"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/urfave/cli/v2"
)

func vips() *cli.Command {
	return &cli.Command{
		Name: "vips", Usage: "list virtual servers and their reals", ArgsUsage: "[VIP]",
		Flags: []cli.Flag{output(),
			&cli.BoolFlag{Name: "stats", Usage: "connections, packets and bytes since it was added, or since stats --zero"},
			&cli.BoolFlag{Name: "rate", Usage: "the same per second, over one second"}},
		Action: func(c *cli.Context) error {
			if c.NArg() > 1 {
				return arguments(c, "VIP")
			}
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
			if !c.Bool("rate") {
				list = sinceZero(list)
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
			if err := arguments(c); err != nil {
				return err
			}
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
			if err := arguments(c); err != nil {
				return err
			}
			filter := api.FlowFilter{Vip: c.String("vip"), Real: c.String("real"), Client: c.String("client"), State: c.String("state")}
			return printFlows(c, client(c).Flows(c.Context, filter))
		},
	}
}

// printFlows prints them as they come: a million are never held.
func printFlows(c *cli.Context, flows iter.Seq2[api.Flow, error]) error {
	out := bufio.NewWriter(c.App.Writer)
	line := func(flow api.Flow) error { _, err := out.WriteString(flowLine(flow)); return err }
	if wantsJSON(c) {
		encoder := json.NewEncoder(out)
		line = func(flow api.Flow) error { return encoder.Encode(flow) }
	} else if _, err := out.WriteString(flowHeader); err != nil {
		return err
	}
	for flow, err := range flows {
		if err == nil {
			err = line(flow)
		}
		if err != nil {
			return errors.Join(err, out.Flush())
		}
	}
	return out.Flush()
}

func stats() *cli.Command {
	return &cli.Command{
		Name: "stats", Usage: "what became of packets, by reason, and the devices' counters",
		Description: "--zero changes what is shown, and nothing else: stats, vips and doctor count from\n" +
			"then on, until the next boot, whoever asks. It is no configuration, and events says\n" +
			"who did it. Prometheus's counters go on.",
		Flags: []cli.Flag{output(),
			&cli.BoolFlag{Name: "rate", Usage: "per second, over one second"},
			&cli.BoolFlag{Name: "all", Usage: "with the reasons that never happened"},
			&cli.BoolFlag{Name: "zero", Usage: "count from 0 from now on; says so, and shows nothing"}},
		Action: func(c *cli.Context) error {
			if err := arguments(c); err != nil {
				return err
			}
			if c.Bool("zero") {
				return zero(c)
			}
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
			} else {
				s = s.SinceZero()
			}
			return print(c, s, func(s api.Stats) string { return statsText(s, c.Bool("all")) })
		},
	}
}

func zero(c *cli.Context) error {
	if c.Bool("rate") || c.Bool("all") {
		return usageError{errors.New("--zero shows nothing: leave --rate and --all out")}
	}
	z, err := client(c).Zero(c.Context)
	if err != nil {
		return err
	}
	return print(c, z, func(z api.Zero) string { return fit("all counters are 0 " + zeroText(z) + "; Prometheus's go on") })
}
