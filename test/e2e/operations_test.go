package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// docs/operations.md is done as it is written, in order, on the router that it is about:
// what it says is typed, and what it shows is printed.
func TestOperations(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	steps, err := stepsOf(string(page))
	if err != nil {
		t.Fatalf("docs/operations.md: %v", err)
	}
	r := newOperated(t)
	run, instead := 0, 0
	for _, s := range steps {
		switch {
		case s.file != "":
			err = os.WriteFile(filepath.Join(r.Dir, "etc", filepath.Base(s.file)), []byte(s.content), 0o644)
		case s.instead:
			instead++
			err = r.instead(s.command)
		default:
			run++
			err = r.run(s)
		}
		if err != nil {
			t.Errorf("docs/operations.md:%d: %s%s\n%v", s.line, s.prompt, s.command, err)
		}
	}
	if run < 50 || instead > 12 {
		t.Errorf("%d commands were run, and %d done in another way: a page that is not run is only believed", run, instead)
	}
}

// An operated router has its files where a package puts them, on a machine of its own.
type operated struct {
	*lab.Lab
	machine *chroot
}

func newOperated(t *testing.T) *operated {
	t.Helper()
	l := bareLab(t, lab.Options{})
	if out, err := l.Run("router", "ip", "route", "add", "default", "via", lab.Client4); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for n := 1; n <= lab.Reals; n++ {
		if err := l.StartNginx(n); err != nil {
			t.Fatal(err)
		}
	}
	c := newChroot(t) // after the lab, whose bpffs it must see
	c.bind(bin, "/mnt")
	c.must("cp", "/mnt/lbctl", "/usr/bin/lbctl")
	c.must("cp", "/mnt/tarpond", "/usr/sbin/tarpond")
	for of, at := range map[string]string{"etc": "/etc/tarpon", "run": "/run/tarpon", "state": "/var/lib/tarpon", "bpf": "/sys/fs/bpf"} {
		c.bind(filepath.Join(l.Dir, of), at)
	}
	// With its defaults: what the lab would tell it is not looked at.
	l.Wrap = append(c.enter(), "sh", "-c", "exec /usr/sbin/tarpond")
	return &operated{l, c}
}

// instead does what a command does that a lab cannot run. Packages have a test of their
// own, TestPackage.
func (r *operated) instead(command string) error {
	stop := func() error { return r.KillDaemon(syscall.SIGTERM) }
	done := func() error { return nil }
	do, known := map[string]func() error{
		"dpkg -i tarpon_1.0.0_amd64.deb":  done,
		"dpkg -i tarpon_1.1.0_amd64.deb":  done,
		"dpkg -P tarpon":                  done,
		"systemctl enable --now tarpond":  r.StartDaemon,
		"systemctl start tarpond":         r.StartDaemon,
		"systemctl stop tarpond":          stop,
		"systemctl disable --now tarpond": stop,
		"systemctl stop nginx":            func() error { return r.StopNginx(2) },
		"systemctl start nginx":           func() error { return r.StartNginx(2) },
	}[command]
	if !known {
		return errors.New("nobody knows how to do that in the lab")
	}
	return do()
}

// looks change nothing: who does not see yet what he waits for looks again.
var looks = regexp.MustCompile(`^lbctl (status|vips|flows|stats|events|explain|doctor|history)\b`)

func (r *operated) run(s step) error {
	limit := time.Duration(0)
	if looks.MatchString(s.command) && !strings.Contains(s.command, "--zero") {
		limit = 20 * time.Second
	}
	return lab.Wait(limit, func() error {
		out, err := r.shell(s.where, s.command).CombinedOutput()
		code := 0
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			code = exit.ExitCode()
		} else if err != nil {
			return err
		}
		if code != s.exit {
			return fmt.Errorf("exit code %d, not %d:\n%s", code, s.exit, out)
		}
		if !alike(s.shown, lines(string(out))) {
			return fmt.Errorf("it prints something else:\n%s", out)
		}
		return nil
	})
}

func (r *operated) shell(where, command string) *exec.Cmd {
	args := []string{"sh", "-c", "cd /root && " + command}
	if where != "lb1" {
		return r.Command(where, args...)
	}
	return r.Command("router", append(r.machine.enter(), args...)...)
}
