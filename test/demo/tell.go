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

// run shows an lbctl command, and what it prints.
func run(l *lab.Lab, args ...string) error { return runTo(l, 0, args...) }

// runTo is run for a command that ends with another exit code.
func runTo(l *lab.Lab, code int, args ...string) error {
	typed(args...)
	out, err := l.Lbctl(args...)
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

// typed shows an lbctl command.
func typed(args ...string) { fmt.Printf("\n$ lbctl %s\n", strings.Join(args, " ")) }
