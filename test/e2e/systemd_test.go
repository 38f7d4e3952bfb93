package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/test/lab"
)

// packageSystemd: under systemd, from the installation to the purge, with traffic.
func packageSystemd(t *testing.T, built string) {
	l := bareLab(t, lab.Options{})
	c := newChroot(t)
	c.bind(built, dist)
	c.boot(l)
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := c.run("journalctl", "--no-pager", "--lines=60")
			t.Log(log)
		}
	})
	// The lab's lbctl finds the socket in there.
	run := filepath.Join(l.Dir, "run")
	if err := errors.Join(os.Remove(run), os.Symlink("/proc/"+c.init+"/root/run/tarpon", run)); err != nil {
		t.Fatal(err)
	}
	c.write("/run/systemd/system/tarpond.service.d/quick.conf", "[Service]\nWatchdogSec=5s\n") // half the unit's

	before, files := machine(t, l), c.changed()
	u := &unit{chroot: c, lab: l}
	u.must("dpkg", "-i", debOf("1.0.0"))
	u.want("UnitFileState=disabled", "ActiveState=inactive")
	u.faulty()
	u.unprivileged()
	u.start()
	u.again(1, "killed", func() {
		u.must("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "tarpond")
	})
	u.again(2, "blocked", u.block)
	if log := u.must("journalctl", "--unit=tarpond"); strings.Count(log, "Watchdog timeout") != 1 {
		t.Errorf("the watchdog did not come once: %s", log)
	}
	u.must("systemctl", "stop", "tarpond")
	u.want("ActiveState=inactive", "Result=success")
	u.unmoved("stopped")
	u.faultyLater()
	u.upgrade()
	for _, s := range u.streams {
		if err := s.Err(); err != nil {
			t.Error(err)
		}
	}

	u.must("dpkg", "-P", "tarpon")
	u.want("LoadState=not-found", "ActiveState=inactive")
	if diff := cmp.Diff(before, machine(t, l)); diff != "" {
		t.Errorf("before the installation and after the purge (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(files, c.changed()); diff != "" {
		t.Errorf("files before the installation and after the purge: %s", diff)
	}
}

// A unit is tarpond.service of a booted chroot, with traffic through it.
type unit struct {
	*chroot
	lab     *lab.Lab
	pins    map[string]string
	streams []*lab.Stream
}

const faulty = "version: 1\nlegs: 7\n"

// faulty: without a configuration that could run it says so, and is left alone.
func (u *unit) faulty() {
	u.write("/"+conffile, faulty)
	if out, err := u.run("systemctl", "start", "tarpond"); err == nil {
		u.t.Errorf("started with a faulty file: %s", out)
	}
	u.want("ActiveState=failed", "ExecMainStatus=78", "NRestarts=0")
}

// unprivileged: without a capability it says so, and is left alone.
func (u *unit) unprivileged() {
	u.configure()
	const bounds = "/run/systemd/system/tarpond.service.d/bounds.conf"
	u.write(bounds, "[Service]\nCapabilityBoundingSet=~CAP_NET_RAW\n")
	u.must("systemctl", "daemon-reload")
	if out, err := u.run("systemctl", "start", "tarpond"); err == nil {
		u.t.Errorf("started without a capability: %s", out)
	}
	u.want("ActiveState=failed", "ExecMainStatus=77", "NRestarts=0")
	u.must("rm", bounds)
	u.must("systemctl", "daemon-reload")
}

// configure writes the lab's configuration.
func (u *unit) configure() {
	config, err := os.ReadFile(u.lab.Config())
	if err != nil {
		u.t.Fatal(err)
	}
	u.write("/"+conffile, string(config))
}

// start: systemctl returns when it is ready, not before.
func (u *unit) start() {
	u.configure()
	u.must("systemctl", "enable", "--now", "tarpond")
	u.must("lbctl", "status")
	u.want("UnitFileState=enabled", "ActiveState=active", "StatusText=running revision 1")
	for _, at := range echoService(u.t, u.lab, "none") {
		for _, protocol := range []string{"tcp", "udp"} {
			s, err := u.lab.NewStream(protocol, at, 2*time.Millisecond)
			if err != nil {
				u.t.Fatal(err)
			}
			u.streams = append(u.streams, s)
		}
	}
	u.pins = pinnedIDs(u.t, u.lab)
}

// again: after the blow, systemd starts it for the nth time.
func (u *unit) again(n int, name string, blow func()) {
	pid := u.show("MainPID")
	blow()
	if err := lab.Wait(60*time.Second, func() error {
		return u.is("ActiveState=active", fmt.Sprintf("NRestarts=%d", n))
	}); err != nil {
		u.t.Fatalf("%s: %v", name, err)
	}
	if u.show("MainPID") == pid {
		u.t.Errorf("%s: the same process", name)
	}
	u.unmoved(name)
}

// block has the owner of the state wait for ever, while all else of the process lives:
// the configuration file becomes a pipe that nobody writes to.
func (u *unit) block() {
	u.must("sh", "-ec", "cd /etc/tarpon; mv tarpon.yaml kept; mkfifo tarpon.yaml")
	asks := u.command("lbctl", "status")
	if err := asks.Start(); err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { _ = asks.Wait() })
	var pipe *os.File
	err := lab.Wait(10*time.Second, func() (err error) { // until somebody reads
		pipe, err = os.OpenFile(filepath.Join("/proc", u.init, "root", conffile), os.O_WRONLY|syscall.O_NONBLOCK, 0)
		return err
	})
	if err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { pipe.Close() })
	u.must("mv", "/etc/tarpon/kept", "/"+conffile)
}

// faultyLater: of a faulty file is told, what ran before runs.
func (u *unit) faultyLater() {
	ran := u.must("cat", "/"+conffile)
	u.write("/"+conffile, faulty)
	u.must("systemctl", "start", "tarpond")
	if out := u.must("systemctl", "status", "tarpond"); !strings.Contains(out, `Status: "config: /etc/tarpon/tarpon.yaml:2:`) ||
		!strings.Contains(out, "; running revision ") {
		u.t.Errorf("of a faulty file systemctl status says: %s", out)
	}
	if out, err := u.run("systemctl", "reload", "tarpond"); err == nil {
		u.t.Errorf("reloaded a faulty file: %s", out)
	}
	u.write("/"+conffile, ran)
	u.must("systemctl", "reload", "tarpond")
	if text := u.show("StatusText"); !strings.HasPrefix(text, "running revision ") {
		u.t.Errorf("of the file put right systemctl status says %q", text)
	}
	u.unmoved("started with a faulty file")
}

// upgrade: the process becomes the new program, and the watchdog is as it was.
func (u *unit) upgrade() {
	pid, restarts := u.show("MainPID"), u.show("NRestarts")
	if out := u.must("dpkg", "-i", debOf("1.1.0")); !strings.Contains(out, "tarpond 1.1.0 runs, before it 1.0.0") {
		u.t.Errorf("the upgrade says: %s", out)
	}
	u.want("ActiveState=active", "MainPID="+pid, "NRestarts="+restarts, "WatchdogUSec=5s")
	u.unmoved("upgraded")
}

// unmoved: the maps and links are those of the start, and packets pass.
func (u *unit) unmoved(after string) {
	u.t.Helper()
	if diff := cmp.Diff(u.pins, pinnedIDs(u.t, u.lab)); diff != "" {
		u.t.Errorf("%s: the pins are others: %s", after, diff)
	}
	sent := count(u.streams)
	if err := lab.Wait(10*time.Second, func() error {
		if count(u.streams) == sent {
			return errors.New("no stream moves")
		}
		return nil
	}); err != nil {
		u.t.Errorf("%s: %v", after, err)
	}
}

// show is a property's value.
func (u *unit) show(property string) string {
	u.t.Helper()
	return strings.TrimSpace(u.must("systemctl", "show", "tarpond", "--value", "--property="+property))
}

// is compares properties, NAME=VALUE.
func (u *unit) is(properties ...string) (wrong error) {
	u.t.Helper()
	for _, want := range properties {
		name, _, _ := strings.Cut(want, "=")
		if is := name + "=" + u.show(name); is != want {
			wrong = errors.Join(wrong, fmt.Errorf("%s, want %s", is, want))
		}
	}
	return wrong
}

func (u *unit) want(properties ...string) {
	u.t.Helper()
	if err := u.is(properties...); err != nil {
		u.t.Fatal(err)
	}
}
