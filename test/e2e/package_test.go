package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/test/lab"
)

// dist is where chroots see the packages.
const dist = "/run/dist"

// packages builds the .deb and the .rpm of each version and returns where.
func packages(t *testing.T, versions ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, version := range versions {
		cmd := exec.Command("../../packaging/build", dir)
		cmd.Env = append(os.Environ(), "VERSION="+version, "ARCH=amd64")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return dir
}

func debOf(version string) string { return filepath.Join(dist, "tarpon_"+version+"_amd64.deb") }
func rpmOf(version string) string { return filepath.Join(dist, "tarpon-"+version+"-1.x86_64.rpm") }

func TestPackage(t *testing.T) {
	built := packages(t, "1.0.0", "1.1.0")
	rpm := []string{"rpm", "--dbpath=/run/rpm"}
	for name, kind := range map[string]packageKind{
		"deb": {
			install: []string{"dpkg", "-i", debOf("1.0.0")}, upgrade: []string{"dpkg", "-i", debOf("1.1.0")},
			remove: []string{"dpkg", "-r", "tarpon"}, leaves: conffile, purge: []string{"dpkg", "-P", "tarpon"},
			completion: "usr/share/zsh/vendor-completions/_lbctl",
		},
		"rpm": {
			install: append(rpm, "-i", rpmOf("1.0.0")), upgrade: append(rpm, "-U", rpmOf("1.1.0")),
			remove: append(rpm, "-e", "tarpon"), leaves: conffile + ".rpmsave",
			completion: "usr/share/zsh/site-functions/_lbctl",
		},
	} {
		t.Run(name, func(t *testing.T) { packageFiles(t, built, kind) })
	}
	// Of a changed sample an upgrade makes .rpmnew, and leaves an edited file alone.
	t.Run("noreplace", func(t *testing.T) {
		path := filepath.Join(built, filepath.Base(rpmOf("1.0.0")))
		out, err := exec.Command("rpm", "-qp", "--qf", `[%{FILENAMES} %{FILEFLAGS:fflags}\n]`, path).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "/"+conffile+" cn\n") {
			t.Errorf("the configuration is not %%config(noreplace) (%v): %s", err, out)
		}
	})
	t.Run("router", func(t *testing.T) { packageRouter(t, built) })
}

const conffile = "etc/tarpon/tarpon.yaml"

// A packageKind is how packages of a kind are handled, and what they do otherwise.
type packageKind struct {
	install, upgrade, remove, purge []string
	leaves                          string // of an edited configuration, removed
	completion                      string // for zsh
}

// packageFiles: installed, upgraded, removed and purged where no daemon runs.
func packageFiles(t *testing.T, built string, kind packageKind) {
	c := newChroot(t)
	c.bind(built, dist)
	out := c.must(kind.install...)
	if !strings.Contains(out, "edit /etc/tarpon/tarpon.yaml, then: systemctl enable --now tarpond") {
		t.Errorf("it does not say what to do next: %s", out)
	}
	want := []string{
		conffile, "usr/bin/lbctl",
		"usr/lib/systemd/system/tarpond.service", "usr/lib/sysusers.d/tarpon.conf", "usr/sbin/tarpond",
		"usr/share/bash-completion/completions/lbctl", "usr/share/doc/tarpon/config.md", "usr/share/doc/tarpon/copyright",
		"usr/share/doc/tarpon/lbctl.md", "usr/share/doc/tarpon/metrics.md", "usr/share/doc/tarpon/tarpond.md",
		"usr/share/fish/vendor_completions.d/lbctl.fish",
		"usr/share/man/man8/lbctl.8.gz", "usr/share/man/man8/tarpond.8.gz", "usr/share/tarpon/grafana/tarpon.json",
		"usr/share/tarpon/prometheus/tarpon.rules.yaml", "usr/share/tarpon/tarpon.schema.json", kind.completion,
	}
	if diff := cmp.Diff(want, c.changed()); diff != "" {
		t.Errorf("files: %s", diff)
	}
	c.must("getent", "group", "tarpon")
	if out := c.must("systemd-analyze", "verify", "--man=no", "tarpond.service"); out != "" {
		t.Errorf("of the unit systemd says: %s", out)
	}
	version := func(want string) {
		t.Helper()
		if out := c.must("tarpond", "--version") + c.must("lbctl", "version"); strings.Count(out, want) != 2 {
			t.Errorf("want version %s of both: %s", want, out)
		}
	}
	version("1.0.0")
	mine := "# mine\n" + c.must("cat", "/"+conffile)
	c.must("sed", "-i", "1i # mine", "/"+conffile)

	if out := c.must(kind.upgrade...); strings.Contains(out, "systemctl enable") {
		t.Errorf("an upgrade says: %s", out)
	}
	version("1.1.0")
	kept := func(name, after string) {
		t.Helper()
		if is, err := os.ReadFile(filepath.Join(c.upper, name)); err != nil || string(is) != mine {
			t.Errorf("after the %s the configuration is (%v): %s", after, err, is)
		}
	}
	kept(conffile, "upgrade")
	c.must("sh", "-c", "mkdir -p /var/lib/tarpon/revisions && touch /var/lib/tarpon/revisions/1")
	c.must(kind.remove...)
	kept(kind.leaves, "removal")
	if diff := cmp.Diff([]string{kind.leaves, "var/lib/tarpon/revisions/1"}, c.changed()); diff != "" {
		t.Errorf("a removal leaves: %s", diff)
	}
	folders := []string{"etc/tarpon", "var/lib/tarpon"}
	if kind.purge != nil {
		c.must(kind.purge...)
		if left := c.changed(); len(left) > 0 {
			t.Errorf("a purge leaves %v", left)
		}
		folders = nil
	}
	if diff := cmp.Diff(folders, c.folders("tarpon")); diff != "" {
		t.Errorf("folders that are left: %s", diff)
	}
}

// packageRouter: upgraded and purged on a router at work.
func packageRouter(t *testing.T, built string) {
	l := bareLab(t, lab.Options{})
	c := newChroot(t) // after the lab, whose bpffs it must see
	c.bind(built, dist)
	c.bind(l.Dir, l.Dir)
	c.bind(filepath.Join(l.Dir, "bpf"), "/sys/fs/bpf")
	c.must("ln", "-s", filepath.Join(l.Dir, "run"), "/run/tarpon")
	dpkg := func(args ...string) (string, error) {
		return l.Run("router", append(append(c.enter(), "dpkg"), args...)...)
	}
	before := machine(t, l)
	if out, err := dpkg("-i", debOf("1.0.0")); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	l.Wrap, l.Daemon = c.enter(), "/usr/sbin/tarpond"
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	var streams []*lab.Stream
	for _, at := range echoService(t, l, "none") {
		s, err := l.NewStream("tcp", at, 2*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}

	pid, sent := l.DaemonPID(), count(streams)
	out, err := dpkg("-i", debOf("1.1.0"))
	if err != nil || !strings.Contains(out, "tarpond 1.1.0 runs, before it 1.0.0") {
		t.Errorf("the upgrade says (%v): %s", err, out)
	}
	if s, err := l.Status(); err != nil || s.Version != "1.1.0" {
		t.Errorf("after it %q runs (%v)", s.Version, err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("process %d: %v", pid, err)
	}
	if count(streams) == sent {
		t.Error("no stream moved during the upgrade: nothing was tested")
	}
	if out, err := dpkg("-P", "tarpon"); err == nil || !strings.Contains(out, "held by another tarpond: stop it first") {
		t.Errorf("purged beside a daemon (%v): %s", err, out)
	}
	for _, s := range streams {
		if err := s.Err(); err != nil {
			t.Error(err)
		}
	}

	if err := l.KillDaemon(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if out, err := dpkg("-P", "tarpon"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if diff := cmp.Diff(before, machine(t, l)); diff != "" {
		t.Errorf("before the installation and after the purge (-before +after):\n%s", diff)
	}
}
