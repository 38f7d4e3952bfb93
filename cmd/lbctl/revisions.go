package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pmezard/go-difflib/difflib"
	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/count"
	"github.com/urfave/cli/v2"
)

// errChanges ends with exitChanges after everything has been said.
var errChanges = errors.New("")

func fileFlag() cli.Flag {
	return &cli.StringFlag{Name: "file", Aliases: []string{"f"}, Usage: "`FILE`, or - for standard input"}
}

// readFile reads what -f names, and has its name for messages.
func readFile(c *cli.Context) (data []byte, o api.Options, err error) {
	if err := arguments(c); err != nil {
		return nil, o, err
	}
	o = options(c)
	switch o.File = c.String("file"); o.File {
	case "":
		err = usageError{fmt.Errorf("--file is missing (see: lbctl %s --help)", c.Command.Name)}
	case "-":
		o.File = "standard input"
		data, err = io.ReadAll(os.Stdin)
	default:
		data, err = os.ReadFile(o.File)
	}
	return data, o, err
}

func plan() *cli.Command {
	return &cli.Command{
		Name: "plan", Usage: "say what apply would do; exit code 0: nothing, 3: changes, 1: the file is invalid",
		Flags: []cli.Flag{output(), fileFlag()},
		Action: func(c *cli.Context) error {
			data, o, err := readFile(c)
			if err != nil {
				return err
			}
			result, err := client(c).Plan(c.Context, data, o)
			if err != nil {
				return err
			}
			if err := print(c, result, planText); err != nil || !result.Changed {
				return err
			}
			return errChanges
		},
	}
}

// planText is what a change would do.
func planText(r api.Result) string {
	if !r.Changed {
		return "no change\n"
	}
	var b strings.Builder
	for _, change := range r.Changes {
		text := change.Text
		if change.FlowsTouched > 0 {
			text += "; " + count.Of(change.FlowsTouched, "flow") + " touched"
		}
		b.WriteString(fit(text))
	}
	if len(r.Changes) == 0 {
		b.WriteString("nothing changes but comments, order or layout\n")
	}
	fmt.Fprintf(&b, "now %d of %d flows would be touched\n", r.FlowsTouched, r.Flows)
	return b.String()
}

func apply() *cli.Command {
	return &cli.Command{
		Name: "apply", Usage: "replace the whole configuration by a file",
		Flags: changeFlags(fileFlag(),
			&cli.DurationFlag{Name: "confirm", Usage: "roll back by itself unless confirmed within `TIME`, such as 5m"}),
		Action: func(c *cli.Context) error {
			data, o, err := readFile(c)
			if err != nil {
				return err
			}
			if o.Confirm = c.Duration("confirm"); c.IsSet("confirm") && o.Confirm <= 0 {
				return usageError{fmt.Errorf("--confirm %s: write how long to wait, such as 5m", o.Confirm)}
			}
			result, err := client(c).Apply(c.Context, data, o)
			return printResult(c, result, err)
		},
	}
}

func confirm() *cli.Command {
	return &cli.Command{
		Name: "confirm", Usage: "keep what `apply --confirm` applied", Flags: []cli.Flag{output()},
		Action: func(c *cli.Context) error {
			if err := arguments(c); err != nil {
				return err
			}
			result, err := client(c).Confirm(c.Context)
			return printResult(c, result, err)
		},
	}
}

func reload() *cli.Command {
	return &cli.Command{
		Name: "reload", Usage: "take over a configuration file that was edited by hand", Flags: changeFlags(),
		Action: func(c *cli.Context) error {
			if err := arguments(c); err != nil {
				return err
			}
			result, err := client(c).Reload(c.Context, options(c))
			return printResult(c, result, err)
		},
	}
}

func rollback() *cli.Command {
	return &cli.Command{
		Name: "rollback", Usage: "make a new revision of an old one's file", ArgsUsage: "REVISION", Flags: changeFlags(),
		Action: func(c *cli.Context) error {
			if err := arguments(c, "REVISION"); err != nil {
				return err
			}
			number, err := revision(c.Args().First())
			if err != nil {
				return err
			}
			result, err := client(c).Rollback(c.Context, number, options(c))
			return printResult(c, result, err)
		},
	}
}

func revision(text string) (int, error) {
	number, err := strconv.Atoi(text)
	if err != nil || number <= 0 {
		return 0, usageError{fmt.Errorf("%q is no revision's number (see: lbctl history)", text)}
	}
	return number, nil
}

func history() *cli.Command {
	return &cli.Command{
		Name: "history", Usage: "list the revisions that are kept", Flags: []cli.Flag{output()},
		Action: func(c *cli.Context) error {
			if err := arguments(c); err != nil {
				return err
			}
			list, err := client(c).History(c.Context)
			if err != nil {
				return err
			}
			return print(c, list, historyTable)
		},
	}
}

// historyTable has a column for the router, where there are two.
func historyTable(list []api.Revision) string {
	ofPair := slices.ContainsFunc(list, func(r api.Revision) bool { return r.Router != "" })
	router := func(name string) string {
		if !ofPair {
			return ""
		}
		return fmt.Sprintf("%-8s ", cmp.Or(name, "-"))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-5s %-6s %-16s %s%-10s %s\n", "Rev", "SHA256", "Time", router("Router"), "Author", "What")
	for _, r := range list {
		what := r.What
		if !r.ConfirmBy.IsZero() {
			what = "(confirm by " + r.ConfirmBy.Local().Format(time.TimeOnly) + ") " + what
		}
		mark := fmt.Sprintf("%-5d %-6.6s %-16s %s%-10s ", r.Revision, r.SHA256, r.Time.Local().Format("2006-01-02 15:04"), router(r.Router), r.Author)
		b.WriteString(beside(mark, 6, what))
	}
	return b.String()
}

func diff() *cli.Command {
	return &cli.Command{
		Name: "diff", Usage: "compare two revisions' files; without B: with the one that runs", ArgsUsage: "A [B]",
		Flags: []cli.Flag{output()},
		Action: func(c *cli.Context) error {
			names := []string{"A", "B"}[:min(max(c.NArg(), 1), 2)]
			if err := arguments(c, names...); err != nil {
				return err
			}
			from, err := revisionFile(c, c.Args().Get(0))
			if err != nil {
				return err
			}
			to, err := revisionFile(c, c.Args().Get(1))
			if err != nil {
				return err
			}
			return printDiff(c, from, to)
		},
	}
}

func printDiff(c *cli.Context, from, to namedFile) error {
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: lines(from.text), FromFile: from.Name, B: lines(to.text), ToFile: to.Name, Context: 3,
	})
	if err != nil {
		return err
	}
	return print(c, fileDiff{from.Name, to.Name, text}, func(d fileDiff) string { return d.Diff })
}

type fileDiff struct {
	From string `json:"from"`
	To   string `json:"to"`
	Diff string `json:"diff"` // unified
}

type namedFile struct{ Name, text string }

// revisionFile is that of a revision, or if it has no number the one that runs.
func revisionFile(c *cli.Context, number string) (namedFile, error) {
	if number == "" {
		data, err := client(c).Export(c.Context)
		return namedFile{"the one that runs", string(data)}, err
	}
	n, err := revision(number)
	if err != nil {
		return namedFile{}, err
	}
	data, err := client(c).RevisionFile(c.Context, n)
	return namedFile{"revision " + number, string(data)}, err
}

// lines are a text's, each with its end.
func lines(text string) []string {
	if text == "" {
		return nil
	}
	list := strings.SplitAfter(text, "\n")
	if last := len(list) - 1; list[last] == "" {
		return list[:last]
	}
	list[len(list)-1] += "\n\\ No newline at end of file\n"
	return list
}

func export() *cli.Command {
	return &cli.Command{
		Name: "export", Usage: "print the configuration that runs", Flags: []cli.Flag{output()},
		Action: func(c *cli.Context) error {
			if err := arguments(c); err != nil {
				return err
			}
			data, err := client(c).Export(c.Context)
			if err != nil {
				return err
			}
			return print(c, exported{string(data)}, func(e exported) string { return e.File })
		},
	}
}

type exported struct {
	File string `json:"file"`
}
