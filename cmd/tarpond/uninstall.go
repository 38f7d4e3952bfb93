package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/tarpon-lb/tarpon/control"
	"github.com/tarpon-lb/tarpon/control/host"
	"github.com/tarpon-lb/tarpon/control/pair"
	"github.com/tarpon-lb/tarpon/loader"
	"github.com/urfave/cli/v2"
)

func uninstallCommand() *cli.Command {
	return &cli.Command{
		Name:  "uninstall",
		Usage: "remove all that tarpond made on this machine",
		Description: "Removes programs, maps with their flows, pins, addresses and managed neighbours, and " +
			"puts back sysctls and offloads: the machine is as it was before the first start. It is " +
			"refused while a daemon runs. The configuration and the state directory stay. --bpffs and " +
			"--run-dir, before the word uninstall, are those of the daemon.",
		OnUsageError: misunderstood,
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return cli.Exit(fmt.Sprintf("uninstall takes no arguments, not %q", c.Args().First()), exitUsage)
			}
			return uninstall(c.App.Writer, c.String("bpffs"), c.String("run-dir"))
		},
	}
}

// uninstall removes addresses first: while a vip's is there, packets to it must find
// the program, not the router's own stack.
//
// That no daemon runs is all that must be known. In a pair it handed over when it was
// stopped, or its lease ended with its adverts and the other router took over; a lease
// that is still open says that there was no other router, or that somebody holds the roles.
func uninstall(out io.Writer, bpffs, runDir string) error {
	remains, err := loader.Hold(bpffs)
	if err != nil {
		return fmt.Errorf("%w: stop it first", err)
	}
	defer remains.Close()
	machine, err := host.Open(runDir)
	if err != nil {
		return err
	}
	defer machine.Close()
	undone, err := machine.Undo()
	tell(out, undone)
	if err != nil {
		return err
	}
	removed, err := remains.Remove()
	for _, what := range removed {
		fmt.Fprintln(out, "removed", what)
	}
	if err != nil {
		return err
	}
	if err := removeRunFiles(runDir); err != nil {
		return err
	}
	fmt.Fprintf(out, "nothing of Tarpon's is left in the kernel, %s and %s\n", bpffs, runDir)
	return nil
}

// removeRunFiles removes what daemons write there, half-written files of killed ones
// included. The record of what was made went with what it names.
func removeRunFiles(runDir string) error {
	for _, pattern := range []string{
		filepath.Base(socketIn("")), control.NotesFile, "." + control.NotesFile + ".*", control.ZeroFile, pair.HeardFile, "." + control.ZeroFile + ".*", host.MadeFile + ".new",
	} {
		paths, err := filepath.Glob(filepath.Join(runDir, pattern))
		if err != nil {
			return err
		}
		for _, path := range paths {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

func tell(out io.Writer, undone host.Undone) {
	for _, address := range undone.Addresses {
		fmt.Fprintln(out, "removed address", address)
	}
	for _, n := range undone.Neighbours {
		fmt.Fprintf(out, "released neighbour %s on %s\n", n.Addr, n.Interface)
	}
	for _, change := range undone.Sysctls {
		fmt.Fprintln(out, "put back", change)
	}
	for _, o := range undone.Offloads {
		fmt.Fprintf(out, "turned on %s of %s\n", o.Offload, o.Interface)
	}
	for _, note := range undone.Notes {
		fmt.Fprintln(out, "left alone:", note)
	}
}
