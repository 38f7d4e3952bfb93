// Command lbctl drives a Tarpon router: it asks tarpond over its unix socket.
package main

//go:generate go test -run ^TestManual$ -update

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/version"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
)

// Exit codes; 0 is success.
const (
	exitRefused     = 1 // or failed; of status: something is wrong
	exitUsage       = 2
	exitChanges     = 3 // of a plan
	exitUnreachable = 4
)

// errTold ends with exitRefused after everything has been said.
var errTold = errors.New("")

// usageError is a fault of the command line.
type usageError struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	// A reader that has enough (head) is no fault.
	signal.Ignore(unix.SIGPIPE)
	os.Exit(run(ctx, os.Args, os.Stdout, os.Stderr))
}

// run is lbctl, but for the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	app := newApp()
	app.Writer, app.ErrWriter = stdout, stderr
	if len(args) > 1 && args[1] == completeWord {
		complete(ctx, app, args[2:], stdout)
		return 0
	}
	args = flagsFirst(app, args)
	return report(stderr, app.RunContext(ctx, args), asksJSON(args))
}

// report says what went wrong and returns the exit code.
func report(w io.Writer, err error, asJSON bool) int {
	var usage usageError
	code := exitRefused
	switch {
	case errors.As(err, &usage):
		code = exitUsage
	case errors.Is(err, api.ErrUnreachable): // perhaps by a broken pipe
		code = exitUnreachable
	case err == nil, errors.Is(err, unix.EPIPE):
		return 0
	case errors.Is(err, errTold):
		return exitRefused
	case errors.Is(err, errChanges):
		return exitChanges
	}
	if !asJSON {
		fmt.Fprint(w, fit("lbctl: "+err.Error()))
		return code
	}
	told := &api.Error{}
	if !errors.As(err, &told) {
		told = &api.Error{Code: map[int]string{exitUsage: "usage", exitUnreachable: "unreachable"}[code], Message: err.Error()}
		if told.Code == "" {
			told.Code = api.CodeFailed
		}
	}
	_ = json.NewEncoder(w).Encode(told)
	return code
}

// asksJSON sees it also where the parser did not get to.
func asksJSON(args []string) bool {
	for i, arg := range args {
		if arg == "-o=json" || arg == "--output=json" || (i > 0 && arg == "json" && (args[i-1] == "-o" || args[i-1] == "--output")) {
			return true
		}
	}
	return false
}

func newApp() *cli.App {
	usage := func(_ *cli.Context, err error, _ bool) error { return usageError{err} }
	commands := []*cli.Command{
		addVip(), deleteVip(), editVip(), addReal(), deleteReal(), editReal(),
		drain(), undrain(), disable(), enable(),
		vips(), status(), flows(), stats(), events(), explain(), doctor(),
		plan(), apply(), confirm(), reload(), restart(), export(), history(), diff(), rollback(),
		pair(), switchover(), keygen(), completion(),
		{Name: "version", Usage: "print the version", Action: func(c *cli.Context) error {
			fmt.Fprintln(c.App.Writer, "lbctl", version.String())
			return nil
		}},
	}
	for _, command := range commands {
		command.OnUsageError = usage
		for _, sub := range command.Subcommands {
			sub.OnUsageError = usage
		}
	}
	return &cli.App{
		Name: "lbctl", Usage: "drives a Tarpon router", Version: version.String(),
		HideHelpCommand: true,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "socket", Value: defaultSocket, EnvVars: []string{socketVariable}, Usage: "tarpond's unix socket"},
		},
		Commands:       commands,
		OnUsageError:   usage,
		ExitErrHandler: func(*cli.Context, error) {},
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usageError{fmt.Errorf("there is no command %q (see: lbctl --help)", c.Args().First())}
			}
			return cli.ShowAppHelp(c)
		},
	}
}

// Where tarpond listens, unless told otherwise.
const (
	defaultSocket  = "/run/tarpon/tarpond.sock"
	socketVariable = "TARPON_SOCKET"
)

func client(c *cli.Context) *api.Client { return api.NewClient(c.String("socket")) }

// output is -o, which every command has.
func output() cli.Flag {
	return &cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "text", Usage: "text or json",
		Action: func(_ *cli.Context, value string) error {
			if value != "text" && value != "json" {
				return usageError{fmt.Errorf("-o %s: write text or json", value)}
			}
			return nil
		}}
}

func wantsJSON(c *cli.Context) bool { return c.String("output") == "json" }

// print writes a value as JSON if that was asked for; else text writes it.
func print[T any](c *cli.Context, value T, text func(T) string) error {
	if !wantsJSON(c) {
		_, err := fmt.Fprint(c.App.Writer, text(value))
		return err
	}
	encoder := json.NewEncoder(c.App.Writer)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// arguments checks how many there are.
func arguments(c *cli.Context, names ...string) error {
	if c.NArg() < len(names) {
		return usageError{fmt.Errorf("%s is missing (see: %s --help)", names[c.NArg()], c.Command.HelpName)}
	}
	if c.NArg() > len(names) {
		return usageError{fmt.Errorf("%q is one argument too many", c.Args().Get(len(names)))}
	}
	return nil
}
