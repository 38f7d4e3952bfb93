package main

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/tarpon-lb/tarpon/test/lab"
)

func say(format string, args ...any)  { fmt.Printf("\n"+format+"\n", args...) }
func note(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }

// run shows an lbctl command on a router, and what it prints.
func run(r *lab.Router, args ...string) error { return runTo(r, 0, args...) }

// runTo is run for a command that ends with another exit code.
func runTo(r *lab.Router, code int, args ...string) error {
	typed(r, args...)
	out, err := r.Lbctl(args...)
	fmt.Print(out)
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		return err
	}
	if got != code {
		return fmt.Errorf("lbctl %s ended with %d, not %d", strings.Join(args, " "), got, code)
	}
	return nil
}

// typed shows an lbctl command on a router, in lines of 80 columns.
func typed(r *lab.Router, args ...string) {
	line := "\n" + r.Host + "# lbctl"
	for _, arg := range args {
		if len(line)+len(arg) > 78 {
			fmt.Println(line, "\\")
			line = "     "
		}
		line += " " + arg
	}
	fmt.Println(line)
}
