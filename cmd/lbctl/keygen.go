package main

import (
	"github.com/tarpon-lb/tarpon/control/pair/link"
	"github.com/urfave/cli/v2"
)

// made is a key that keygen made.
type made struct {
	File string   `json:"file"`
	Pin  link.Pin `json:"pin"`
}

func keygen() *cli.Command {
	return &cli.Command{
		Name: "keygen", Usage: "make this router's key for the pair's link, and print its pin",
		Description: "The pin goes to `routers[].key` in the configuration of both routers; the key stays\nin its file. One that exists is never overwritten. No daemon is asked.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "file", Value: "/etc/tarpon/pair.key", Usage: "the key is kept in `FILE`; pair.sync.key_file says the same"},
			output(),
		},
		Action: func(c *cli.Context) error {
			if err := arguments(c); err != nil {
				return err
			}
			pin, err := link.MakeKey(c.String("file"))
			if err != nil {
				return err
			}
			return print(c, made{c.String("file"), pin}, func(m made) string { return string(m.Pin) + "\n" })
		},
	}
}
