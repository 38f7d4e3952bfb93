package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/urfave/cli/v2"
)

func pairDiff() *cli.Command {
	return &cli.Command{
		Name: "diff", Usage: "compare what the two routers run: from this one to the other", Flags: []cli.Flag{output()},
		Action: func(c *cli.Context) error {
			if err := arguments(c); err != nil {
				return err
			}
			f, err := client(c).PeerFile(c.Context)
			if err != nil {
				return err
			}
			return printDiff(c, namedFile{fmt.Sprintf("%s: revision %s", f.Router, f.Own), f.File},
				namedFile{fmt.Sprintf("%s: revision %s", f.Peer, f.Theirs), f.PeerFile})
		},
	}
}

func adopt() *cli.Command {
	return &cli.Command{
		Name: "adopt", Usage: "end a conflict: both run the configuration of this router of the two", ArgsUsage: "ROUTER",
		Description: "What the other one ran stays in its history. See `lbctl pair diff` first.",
		Flags:       []cli.Flag{output()},
		Action: func(c *cli.Context) error {
			if err := arguments(c, "ROUTER"); err != nil {
				return err
			}
			result, err := client(c).Adopt(c.Context, c.Args().First())
			return printResult(c, result, err)
		},
	}
}

func leave() *cli.Command {
	return &cli.Command{
		Name: "leave", Usage: "make this router one that is alone",
		Description: "It hands the service over first, if it has it. Then `routers`, `pair`, the legs of the\n" +
			"pair, the vips and the floating addresses go out of its configuration: the other router\n" +
			"has them. If the other one is gone for good, with --force this one keeps the service.",
		Flags: membershipFlags("though the other router cannot take the service over, or cannot be asked"),
		Action: func(c *cli.Context) error {
			if err := arguments(c); err != nil {
				return err
			}
			o := options(c)
			o.Force = c.Bool("force")
			result, err := client(c).Leave(c.Context, o)
			return printResult(c, result, err)
		},
	}
}

func join() *cli.Command {
	return &cli.Command{
		Name: "join", Usage: "make this router the second of a pair, by the first one's configuration",
		Description: "FILE is what `lbctl export` prints on the first router. This one becomes the standby. A\n" +
			"router whose tarpond does not run yet needs no join: FILE as its configuration file does.",
		Flags: membershipFlags("though this router serves vips of its own, which go", fileFlag()),
		Action: func(c *cli.Context) error {
			data, o, err := readFile(c)
			if err != nil {
				return err
			}
			o.Force = c.Bool("force")
			result, err := client(c).Join(c.Context, data, o)
			return printResult(c, result, err)
		},
	}
}

func membershipFlags(force string, more ...cli.Flag) []cli.Flag {
	return append(more, output(),
		&cli.BoolFlag{Name: "dry-run", Usage: "only check, and say what would be done"},
		&cli.BoolFlag{Name: "force", Usage: force})
}

func pairInit() *cli.Command {
	return &cli.Command{
		Name: "init", Usage: "make this router the first of a pair", ArgsUsage: "ROUTER LEG=ADDR... key=PIN ROUTER LEG=ADDR... key=PIN",
		Description: "Of each of the two routers: its name, which is its hostname; an address of its own for\n" +
			"each leg (two with a comma between them, for two families); the pin that `lbctl keygen`\n" +
			"printed there; and where it differs `interface.LEG=NAME`, `priority=N` (150 and 100).\n" +
			"The routers and the pair go into the configuration, as any change does. This router\n" +
			"keeps the service. Then, for the second one: `lbctl export`, and there `lbctl pair join`.\n" +
			"For example:\n\n" +
			"    lbctl pair init --vrid 77 --leg hb=eth2 \\\n" +
			"      lb1 wan=192.0.2.1 lan=10.0.0.1 hb=172.31.0.1 key=sha256:9f86... \\\n" +
			"      lb2 wan=192.0.2.2 lan=10.0.0.2 hb=172.31.0.2 key=sha256:6030...",
		Flags: changeFlags(
			&cli.IntFlag{Name: "vrid", Usage: "1 to 255, another than any VRRP router's on these networks"},
			&cli.StringSliceFlag{Name: "leg", Usage: "a new leg for heartbeats alone, `NAME=INTERFACE`; repeatable"}),
		Action: func(c *cli.Context) error {
			pair, err := newPair(c)
			if err != nil {
				return usageError{fmt.Errorf("%w (see: %s --help)", err, c.Command.HelpName)}
			}
			result, err := initPair(c, pair)
			return printResult(c, result, err)
		},
	}
}

// initPair changes what runs; another change that comes between is not undone by it.
func initPair(c *cli.Context, pair config.NewPair) (result api.Result, err error) {
	status, err := client(c).Status(c.Context)
	if err != nil {
		return result, err
	}
	data, err := client(c).Export(c.Context)
	if err != nil {
		return result, err
	}
	if data, err = config.AddPair(data, pair); err != nil {
		return result, err
	}
	o := options(c)
	if o.File = "the configuration with the pair"; o.IfRevision == 0 {
		o.IfRevision = status.Revision
	}
	result, err = client(c).Apply(c.Context, data, o)
	if err == nil && !o.DryRun {
		result.Message += "\nnow on the second router: lbctl pair join -f FILE, with what lbctl export prints here"
	}
	return result, err
}

// newPair reads the command line: a word without `=` begins a router.
func newPair(c *cli.Context) (pair config.NewPair, err error) {
	if pair.VRID = c.Int("vrid"); pair.VRID == 0 {
		return pair, errors.New("--vrid is missing")
	}
	for _, text := range c.StringSlice("leg") {
		name, device, ok := strings.Cut(text, "=")
		if !ok {
			return pair, fmt.Errorf("--leg %s: write NAME=INTERFACE", text)
		}
		pair.Legs = append(pair.Legs, config.Leg{Name: name, Interface: device, Role: config.RolePair})
	}
	at := -1
	for _, word := range c.Args().Slice() {
		key, value, isSetting := strings.Cut(word, "=")
		if !isSetting {
			if at++; at > 1 {
				return pair, fmt.Errorf("%q: a pair has two routers", word)
			}
			pair.Routers[at] = config.Router{
				Name: word, Priority: 150 - 50*at, Addresses: map[string][]netip.Addr{}, Interfaces: map[string]string{},
			}
			continue
		}
		if at < 0 {
			return pair, fmt.Errorf("%q: a router's name comes first", word)
		}
		if err := setRouter(&pair.Routers[at], key, value); err != nil {
			return pair, fmt.Errorf("%s: %w", word, err)
		}
	}
	if at < 1 {
		return pair, errors.New("name both routers")
	}
	return pair, nil
}

func setRouter(r *config.Router, key, value string) (err error) {
	leg, isInterface := strings.CutPrefix(key, "interface.")
	switch {
	case key == "key":
		r.Keys = append(r.Keys, value)
	case key == "priority":
		r.Priority, err = strconv.Atoi(value)
	case isInterface:
		r.Interfaces[leg] = value
	default:
		for text := range strings.SplitSeq(value, ",") {
			addr, err := netip.ParseAddr(text)
			if err != nil {
				return fmt.Errorf("%q is no address", text)
			}
			r.Addresses[key] = append(r.Addresses[key], addr)
		}
	}
	return err
}
