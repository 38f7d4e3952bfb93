package program

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// A Fence agent makes sure that a machine does nothing any more: a program of the
// fence-agents, or one that is used as they are (key=value lines on its stdin, exit 0
// when the machine is off).
type Fence struct {
	Agent   string
	Options string // file of key=value lines; it may have passwords: 0600
	Timeout time.Duration
}

// Shoot turns the machine off. Nil: it is off.
func (f Fence) Shoot(ctx context.Context) error {
	info, err := os.Stat(f.Options)
	if err != nil {
		return fmt.Errorf("read how to fence: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s may be read by others: chmod 600 %s", f.Options, f.Options)
	}
	options, err := os.ReadFile(f.Options)
	if err != nil {
		return fmt.Errorf("read how to fence: %w", err)
	}
	_, err = Run(ctx, Command{Argv: []string{f.Agent}, Stdin: agentInput(string(options)), Timeout: f.Timeout})
	return err
}

// agentInput is the options with an action, if they do not say one.
func agentInput(options string) string {
	var lines []string
	action := "action=off"
	for line := range strings.Lines(options) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if key, _, _ := strings.Cut(line, "="); strings.TrimSpace(key) == "action" {
			action = line
			continue
		}
		lines = append(lines, line)
	}
	return strings.Join(append(lines, action), "\n") + "\n"
}
