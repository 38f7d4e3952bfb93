// Package manual writes a program's page and its man page: a frame, which people
// write, around its commands and flags as the program itself knows them.
package manual

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/urfave/cli/v2"
)

// Page is the frame, in Markdown, with {{flags}} and {{commands}} filled in.
func Page(frame string, app *cli.App) []byte {
	return []byte(strings.NewReplacer(
		"{{flags}}\n", flags(app.VisibleFlags()),
		"{{commands}}\n", commands(app),
	).Replace(frame))
}

// Man is the same as a man page of section 8. The frame's first line, a heading, is
// only the page's.
func Man(frame string, app *cli.App) []byte {
	_, body, _ := strings.Cut(string(Page(frame, app)), "\n")
	name := fmt.Sprintf("# %s 8 \"\" Tarpon\n\n# NAME\n\n%s - %s\n", strings.ToUpper(app.Name), app.Name, app.Usage)
	return md2man.Render([]byte(name + "\n# DESCRIPTION\n" + body))
}

func commands(app *cli.App) string {
	var b strings.Builder
	for _, named := range named(app.Name, app.VisibleCommands()) {
		command := named.Command
		fmt.Fprintf(&b, "### %s\n\n", strings.TrimSpace(named.name+" "+command.ArgsUsage))
		fmt.Fprintf(&b, "%s.\n", sentence(command.Usage))
		if command.Description != "" {
			fmt.Fprintf(&b, "%s\n", command.Description)
		}
		if list := flags(command.VisibleFlags()); list != "" {
			fmt.Fprintf(&b, "\n%s", list)
		}
		b.WriteString("\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// namedCommand is one with all words that call it.
type namedCommand struct {
	name string
	*cli.Command
}

// named are those that do something: of a command with others below it, those.
func named(before string, commands []*cli.Command) (list []namedCommand) {
	for _, command := range commands {
		name := before + " " + command.Name
		if len(command.Subcommands) > 0 {
			list = append(list, named(name, command.Subcommands)...)
		} else if command.Name != "help" {
			list = append(list, namedCommand{name, command})
		}
	}
	return list
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func flags(list []cli.Flag) string {
	var b strings.Builder
	for _, flag := range list {
		documented, ok := flag.(cli.DocGenerationFlag)
		if !ok || flag.Names()[0] == "help" || flag.Names()[0] == "version" {
			continue
		}
		value, usage := unquoted(documented.GetUsage())
		var names []string
		for _, name := range flag.Names() {
			dashes := "--"
			if len(name) == 1 {
				dashes = "-"
			}
			names = append(names, dashes+name)
		}
		text := strings.Join(names, ", ")
		if documented.TakesValue() {
			text += " " + value
		}
		fmt.Fprintf(&b, "- `%s`: %s", text, usage)
		if is := documented.GetValue(); documented.TakesValue() && is != "" && is != "0" && is != "[]" && is != "0s" {
			fmt.Fprintf(&b, " (default: `%s`)", is)
		}
		if env := documented.GetEnvVars(); len(env) > 0 {
			fmt.Fprintf(&b, " (or `$%s`)", env[0])
		}
		b.WriteString("\n")
	}
	return b.String()
}

// unquoted takes the name of a flag's value, in backquotes, out of its usage.
func unquoted(usage string) (value, text string) {
	before, rest, ok := strings.Cut(usage, "`")
	if !ok {
		return "VALUE", usage
	}
	value, after, _ := strings.Cut(rest, "`")
	return value, before + value + after
}

// Written compares a program's two pages with what manual.md, in the directory of its
// source, and the program say; with update it makes them that.
func Written(update bool, app *cli.App) error {
	frame, err := os.ReadFile("manual.md")
	if err != nil {
		return err
	}
	for path, want := range map[string][]byte{
		"../../docs/" + app.Name + ".md":     Page(string(frame), app),
		"../../packaging/" + app.Name + ".8": Man(string(frame), app),
	} {
		if update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				return err
			}
		}
		if is, err := os.ReadFile(path); err != nil || !bytes.Equal(is, want) {
			return fmt.Errorf("%s is stale (%v), run: go generate ./cmd/...", path, err)
		}
	}
	return nil
}
