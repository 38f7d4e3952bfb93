// Package program runs what an operator has us run beside the router's work: hooks, the
// services that go where the router is active, the agent that fences a peer.
package program

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// A Command is a program with its arguments; there is no shell.
type Command struct {
	Argv    []string
	Env     []string // besides the daemon's own: NAME=value
	Stdin   string
	Timeout time.Duration
}

// Run waits for the end of a program and returns what it printed, shortened. When its
// time is over, or the context ends, it is killed with all its children. The error says
// what went wrong, with the first line of the output.
func Run(ctx context.Context, c Command) (output string, err error) {
	limited, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	var printed text
	cmd := exec.CommandContext(limited, c.Argv[0], c.Argv[1:]...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.Stdin), &printed, &printed
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	// A child that left the group and holds the output is not waited for.
	cmd.WaitDelay = 100 * time.Millisecond
	err = cmd.Run()
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // it ended well; a child goes on
		return printed.String(), nil
	case ctx.Err() == nil && limited.Err() != nil:
		err = fmt.Errorf("not done after %s, killed", c.Timeout)
	}
	if line, _, _ := strings.Cut(printed.String(), "\n"); line != "" {
		err = fmt.Errorf("%w: %s", err, line)
	}
	return printed.String(), fmt.Errorf("%s: %w", c.Argv[0], err)
}

// text keeps the beginning of what is written.
type text struct{ kept []byte }

const maxText = 2000

func (t *text) Write(data []byte) (int, error) {
	t.kept = append(t.kept, data[:min(len(data), maxText-len(t.kept))]...)
	return len(data), nil
}

func (t *text) String() string {
	return strings.TrimSpace(strings.ToValidUTF8(string(t.kept), "?"))
}
