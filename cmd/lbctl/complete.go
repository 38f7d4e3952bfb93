package main

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/urfave/cli/v2"
)

//go:embed completion
var completions embed.FS

func completion() *cli.Command {
	return &cli.Command{
		Name: "completion", Usage: "print what makes a shell complete lbctl's words", ArgsUsage: "bash|zsh|fish",
		Description: "For example: `source <(lbctl completion bash)`.",
		Action: func(c *cli.Context) error {
			if err := arguments(c, "SHELL"); err != nil {
				return err
			}
			script, err := completions.ReadFile("completion/" + c.Args().First())
			if err != nil {
				return usageError{fmt.Errorf("%q: write bash, zsh or fish", c.Args().First())}
			}
			_, err = c.App.Writer.Write(script)
			return err
		},
	}
}

// completeWord is what the shells' scripts run, with the words of the line up to the
// one that is being typed. It prints what that could become, one a line.
const completeWord = "__complete"

func complete(ctx context.Context, app *cli.App, words []string, out io.Writer) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	l := readLine(app, words)
	for _, candidate := range l.candidates(ctx, app) {
		if strings.HasPrefix(candidate, l.typed) {
			fmt.Fprintln(out, candidate)
		}
	}
}

// line is a command line as far as it is written.
type line struct {
	socket    string
	command   *cli.Command // nil: none yet
	arguments []string
	pending   bool   // the flag before waits for its value
	typed     string // the word that is being typed
}

func readLine(app *cli.App, words []string) line {
	l := line{socket: cmp.Or(os.Getenv(socketVariable), defaultSocket)}
	if len(words) == 0 {
		return l
	}
	words, l.typed = words[:len(words)-1], words[len(words)-1]
	for i := 0; i < len(words); i++ {
		word, flags := words[i], app.Flags
		if l.command != nil {
			flags = l.command.Flags
		}
		switch {
		case strings.HasPrefix(word, "-") && takesValue(flags, word):
			if i++; i == len(words) {
				l.pending = true
			} else if word == "--socket" {
				l.socket = words[i]
			}
		case strings.HasPrefix(word, "-"):
			if socket, ok := strings.CutPrefix(word, "--socket="); ok {
				l.socket = socket
			}
		case l.command == nil:
			if l.command = app.Command(word); l.command == nil {
				l.pending = true // nothing is known of what follows
			}
		case subcommand(l.command, word) != nil:
			l.command = subcommand(l.command, word)
		default:
			l.arguments = append(l.arguments, word)
		}
	}
	return l
}

// candidates are the words that could stand where one is being typed.
func (l line) candidates(ctx context.Context, app *cli.App) []string {
	switch {
	case l.pending:
		return nil
	case l.command == nil && strings.HasPrefix(l.typed, "-"):
		return flagWords(app.Flags)
	case l.command == nil:
		return commandWords(app.VisibleCommands())
	case strings.HasPrefix(l.typed, "-"):
		return flagWords(l.command.Flags)
	case len(l.command.Subcommands) > 0 && len(l.arguments) == 0:
		return commandWords(l.command.Subcommands)
	}
	switch l.asked() {
	case "VIP":
		return l.vips(ctx)
	case "REAL":
		return l.reals(ctx)
	case "ROUTER":
		return l.routers(ctx)
	case "bash|zsh|fish":
		return []string{"bash", "zsh", "fish"}
	}
	return nil
}

// asked is what the command's next argument is, by its usage.
func (l line) asked() string {
	kinds := strings.Fields(l.command.ArgsUsage)
	if len(l.arguments) >= len(kinds) {
		return ""
	}
	return strings.Trim(kinds[len(l.arguments)], "[]")
}

func commandWords(commands []*cli.Command) (words []string) {
	for _, command := range commands {
		words = append(words, command.Name)
	}
	return words
}

func flagWords(flags []cli.Flag) (words []string) {
	for _, flag := range flags {
		if name := flag.Names()[0]; len(name) > 1 {
			words = append(words, "--"+name)
		}
	}
	slices.Sort(words)
	return words
}

// A daemon that does not answer has no vips.
func (l line) vips(ctx context.Context) (words []string) {
	list, _ := api.NewClient(l.socket).Vips(ctx)
	for _, vip := range list {
		words = append(words, vip.Vip)
		if vip.Name != "" {
			words = append(words, vip.Name)
		}
	}
	return words
}

func (l line) routers(ctx context.Context) []string {
	if p, _ := api.NewClient(l.socket).Pair(ctx); p.Paired {
		return []string{p.Own.Name, p.Peer.Name}
	}
	return nil
}

func (l line) reals(ctx context.Context) (words []string) {
	list, _ := api.NewClient(l.socket).Vips(ctx)
	list, _ = only(list, l.arguments[0])
	for _, vip := range list {
		for _, real := range vip.Reals {
			words = append(words, real.Real)
			if real.Name != "" {
				words = append(words, real.Name)
			}
		}
	}
	return words
}
