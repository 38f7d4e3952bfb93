package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/urfave/cli/v2"
)

func doctor() *cli.Command {
	return &cli.Command{
		Name: "doctor", Usage: "look for what is wrong with the router and around it; exit code 1 if something is to be done",
		Flags: []cli.Flag{output()},
		Action: func(c *cli.Context) error {
			if err := arguments(c); err != nil {
				return err
			}
			findings, err := client(c).Findings(c.Context)
			if err != nil {
				return err
			}
			if err := print(c, findings, findingsText); err != nil {
				return err
			}
			if slices.ContainsFunc(findings, toBeDone) {
				return errTold
			}
			return nil
		},
	}
}

func toBeDone(f api.Finding) bool { return f.Severity != api.SeverityNote }

// findingsText is a paragraph a finding: where and what, and what to do about it.
func findingsText(findings []api.Finding) string {
	var b strings.Builder
	paragraph := func(mark, text string) { b.WriteString(hanging(fmt.Sprintf("%-8s  ", mark), text)) }
	for _, f := range findings {
		mark := f.Severity
		if toBeDone(f) {
			mark = strings.ToUpper(mark)
		}
		paragraph(mark, f.Where+": "+f.What)
		if f.Remedy != "" {
			paragraph("      ->", f.Remedy)
		}
	}
	if !slices.ContainsFunc(findings, toBeDone) {
		fmt.Fprintln(&b, "all is well")
	}
	return b.String()
}
