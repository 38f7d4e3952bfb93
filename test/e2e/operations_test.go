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
	l := bareLab(t, lab.Options{})
	if out, err := l.Run("router", "ip", "route", "add", "default", "via", lab.Client4); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	o := operate(t, l, map[string]*lab.Router{"lb1": l.Router})
	if run, instead := o.read(t, "../../docs/operations.md"); run < 50 || instead > 12 {
		t.Errorf("%d commands were run, and %d done in another way: a page that is not run is only believed", run, instead)
	}
}

// docs/pair.md likewise, on two routers.
func TestPairPage(t *testing.T) {
	l := bareLab(t, lab.Options{Pair: true})
	o := operate(t, l, map[string]*lab.Router{"lb1": l.Router, "lb2": l.Other})
	if run, instead := o.read(t, "../../docs/pair.md"); run < 15 || instead > 4 {
		t.Errorf("%d commands were run, and %d done in another way: a page that is not run is only believed", run, instead)
	}
}

// Operated routers have their files where a package puts them, each on a machine of its
// own; by the names that a page has for them.
type operated struct {
	*lab.Lab
	routers  map[string]*lab.Router
	machines map[string]*chroot
}

func operate(t *testing.T, l *lab.Lab, routers map[string]*lab.Router) *operated {
	t.Helper()
	startWeb(t, l)
	o := &operated{l, routers, map[string]*chroot{}}
	for name, r := range routers {
		c := newChroot(t) // after the lab, whose bpffs it must see
		c.bind(bin, "/mnt")
		c.must("cp", "/mnt/lbctl", "/usr/bin/lbctl")
		c.must("cp", "/mnt/tarpond", "/usr/sbin/tarpond")
		for of, at := range map[string]string{"etc": "/etc/tarpon", "run": "/run/tarpon", "state": "/var/lib/tarpon", "bpf": "/sys/fs/bpf"} {
			c.bind(filepath.Join(r.Dir, of), at)
		}
		// With its defaults: what the lab would tell it is not looked at.
		r.Machine = append(c.enter(), "sh", "-c", "exec /usr/sbin/tarpond")
		o.machines[name] = c
	}
	return o
}

// read does all that a page has its reader do, and counts.
func (o *operated) read(t *testing.T, name string) (run, instead int) {
	t.Helper()
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := stepsOf(string(page))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, s := range steps {
		switch {
		case s.file != "":
			err = os.WriteFile(filepath.Join(o.routers["lb1"].Dir, "etc", filepath.Base(s.file)), []byte(s.content), 0o644)
		case s.instead:
			instead++
			err = o.instead(s.where, s.command)
		default:
			run++
			err = o.run(s)
		}
		if err != nil {
			t.Errorf("%s:%d: %s%s\n%v", name, s.line, s.prompt, s.command, err)
		}
	}
	return run, instead
}

// instead does what a command does that a lab cannot run. Packages have a test of their
// own, TestPackage.
func (o *operated) instead(where, command string) error {
	r := o.routers[where]
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
		"systemctl stop nginx":            func() error { return o.StopNginx(2) },
		"systemctl start nginx":           func() error { return o.StartNginx(2) },
		"scp lb2:lb2.pin .":               func() error { return o.copy("lb2", "/root/lb2.pin", "lb1", "/root/lb2.pin") },
		"scp pair.yaml lb2:/etc/tarpon/tarpon.yaml": func() error {
			return o.copy("lb1", "/root/pair.yaml", "lb2", "/etc/tarpon/tarpon.yaml")
		},
	}[command]
	if !known {
		return errors.New("nobody knows how to do that in the lab")
	}
	return do()
}

// copy copies a file from one machine to the other.
func (o *operated) copy(from, file, to, as string) error {
	data, err := o.machines[from].run("cat", file)
	if err != nil {
		return err
	}
	o.machines[to].write(as, data)
	return nil
}

// looks change nothing: who does not see yet what he waits for looks again.
var looks = regexp.MustCompile(`^lbctl (status|vips|flows|stats|events|explain|doctor|history|pair status)\b`)

func (o *operated) run(s step) error {
	limit := time.Duration(0)
	if looks.MatchString(s.command) && !strings.Contains(s.command, "--zero") {
		limit = 20 * time.Second
	}
	return lab.Wait(limit, func() error {
		out, err := o.shell(s.where, s.command).CombinedOutput()
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

func (o *operated) shell(where, command string) *exec.Cmd {
	args := []string{"sh", "-c", "cd /root && " + command}
	if r := o.routers[where]; r != nil {
		return o.Command(r.Host, append(o.machines[where].enter(), args...)...)
	}
	return o.Command(where, args...)
}
