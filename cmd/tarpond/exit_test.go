package main

import (
	"io"
	"strings"
	"testing"
)

// What is no fault of the machine's is not tried again: the unit has the code.
func TestExitUsage(t *testing.T) {
	for _, line := range []string{"--nonsense", "nonsense", "--log-level loud", "uninstall --nonsense", "uninstall everything"} {
		app := newApp()
		app.Writer, app.ErrWriter = io.Discard, io.Discard
		err := app.Run(append([]string{"tarpond"}, strings.Fields(line)...))
		if err == nil || exitCode(err) != exitUsage {
			t.Errorf("tarpond %s ends with %v", line, err)
		}
	}
}
