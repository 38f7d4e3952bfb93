package main

import (
	"fmt"
	"strings"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/urfave/cli/v2"
)

func explain() *cli.Command {
	return &cli.Command{
		Name: "explain", Usage: "what would become of a packet now, step by step; nothing is sent or changed",
		Flags: []cli.Flag{output(),
			&cli.StringFlag{Name: "from", Usage: "the client, `ADDR[:PORT]`"},
			&cli.StringFlag{Name: "to", Usage: "the `VIP` by its name or address, or any ADDR:PORT[/udp]"},
			&cli.StringFlag{Name: "flags", Usage: "TCP `FLAGS`, letters of FSRPA", DefaultText: "S, a first packet"},
			&cli.StringFlag{Name: "leg", Usage: "where it comes in", DefaultText: "where a reply would leave"},
			&cli.IntFlag{Name: "size", Usage: "`BYTES` of the IP packet", DefaultText: "headers only"},
			&cli.IntFlag{Name: "ttl", Usage: "TTL or hop limit", DefaultText: "64"},
			&cli.BoolFlag{Name: "fragment", Usage: "the first of several fragments"}},
		Action: func(c *cli.Context) error {
			if err := arguments(c); err != nil {
				return err
			}
			for _, end := range []string{"from", "to"} {
				if c.String(end) == "" {
					return usageError{fmt.Errorf("--%s is missing (see: lbctl explain --help)", end)}
				}
			}
			e, err := client(c).Explain(c.Context, api.Packet{
				From: c.String("from"), To: c.String("to"), TCP: c.String("flags"), Leg: c.String("leg"),
				Size: c.Int("size"), TTL: c.Int("ttl"), Fragment: c.Bool("fragment"),
			})
			if err != nil {
				return err
			}
			return print(c, e, explanationText)
		},
	}
}

// explanationText is a line a step, and more where they are long.
func explanationText(e api.Explanation) string {
	var b strings.Builder
	for _, step := range e.Steps {
		b.WriteString(hanging(fmt.Sprintf("%-9s ", step.Name), step.Text))
	}
	return b.String()
}
