package healthcheck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Exec runs a program, without a shell: the server is well if it exits 0 in time. It
// finds the server's address as TARPON_REAL and TARPON_PORT in its environment. A few
// run at a time: who waits for others has its whole timeout still.
type Exec struct {
	Address netip.AddrPort
	Argv    string // see Argv
}

// Argv is a command line as Exec has it: arguments cannot contain the NUL.
func Argv(args []string) string { return strings.Join(args, "\x00") }

func (p Exec) begin(e *engine, r *run) error {
	return e.alone(r, func(ctx context.Context) error {
		select {
		case e.scripts <- struct{}{}:
			defer func() { <-e.scripts }()
		case <-ctx.Done():
			return ctx.Err()
		}
		ctx, cancel := context.WithTimeout(ctx, r.config.Timeout)
		defer cancel()
		return p.ask(ctx)
	})
}

func (p Exec) ask(ctx context.Context) error {
	argv := strings.Split(p.Argv, "\x00")
	var output firstLine
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "TARPON_REAL="+p.Address.Addr().String(), fmt.Sprintf("TARPON_PORT=%d", p.Address.Port()))
	cmd.Stdout, cmd.Stderr = &output, &output
	// A group of its own, to be killed with all its children.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	// A child that left the group and holds the output is not waited for.
	cmd.WaitDelay = 100 * time.Millisecond
	if err := cmd.Start(); err != nil {
		return notAsked{err}
	}
	err := cmd.Wait()
	switch {
	case cmd.ProcessState.Success():
		return nil
	case ctx.Err() != nil:
		return errTimeout
	case output.text() != "":
		return errors.New(output.text())
	}
	return err // exit status 1, signal: killed
}

// firstLine keeps the first line of what is written.
type firstLine struct{ line []byte }

const maxLine = 200

func (f *firstLine) Write(data []byte) (int, error) {
	if room := maxLine - len(f.line); room > 0 && !bytes.ContainsRune(f.line, '\n') {
		f.line = append(f.line, data[:min(len(data), room)]...)
	}
	return len(data), nil
}

func (f *firstLine) text() string {
	line, _, _ := strings.Cut(string(f.line), "\n")
	return strings.TrimSpace(strings.ToValidUTF8(line, "?"))
}
