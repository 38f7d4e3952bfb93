package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/test/lab"
)

// A chroot is a machine of its own for dpkg: this one's files with all changes beside
// them, in a mount namespace that ends with the test.
type chroot struct {
	t     *testing.T
	root  string // as the namespace sees it
	upper string // what was changed
	pid   string // holds the namespace
}

func newChroot(t *testing.T) *chroot {
	t.Helper()
	dir := t.TempDir()
	c := &chroot{t: t, root: filepath.Join(dir, "root"), upper: filepath.Join(dir, "upper")}
	// The upper layer must not be in another overlay, as this machine's root may be.
	if err := syscall.Mount("tarpon", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	holder := exec.Command("unshare", "-m", "sh", "-ec", `
		cd "$1"; mkdir root upper work
		mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work overlay root
		mount --rbind /proc root/proc
		mount --rbind /dev root/dev
		mount -t tmpfs run root/run
		mount --rbind /sys root/sys
		mount -t bpf bpf root/sys/fs/bpf # never this machine's pins
		echo ready
		read end`, "sh", dir)
	end, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	ready, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	holder.Stderr = os.Stderr
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		end.Close()
		_ = holder.Wait()
	})
	if _, err := fmt.Fscanln(ready, new(string)); err != nil {
		t.Fatal(err)
	}
	c.pid = fmt.Sprint(holder.Process.Pid)
	return c
}

// enter is what runs a command in there.
func (c *chroot) enter() []string {
	return []string{"nsenter", "--mount", "--target=" + c.pid, "chroot", c.root}
}

func (c *chroot) must(args ...string) string {
	c.t.Helper()
	args = append(c.enter(), args...)
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		c.t.Fatalf("%v: %v: %s", args, err, out)
	}
	return string(out)
}

// bind shows a directory of this machine in there.
func (c *chroot) bind(from, to string) {
	c.t.Helper()
	c.must("mkdir", "-p", to)
	out, err := exec.Command("nsenter", "--mount", "--target="+c.pid, "mount", "--rbind", from, filepath.Join(c.root, to)).CombinedOutput()
	if err != nil {
		c.t.Fatalf("bind %s to %s: %v: %s", from, to, err, out)
	}
}

// changed lists the files that differ from this machine's, but for what dpkg and
// the tools for groups keep for themselves.
func (c *chroot) changed() (files []string) {
	c.t.Helper()
	own := []string{"var/lib/dpkg", "var/log", "etc/group", "etc/gshadow", "etc/.pwd.lock", "var/cache"}
	err := filepath.WalkDir(c.upper, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(c.upper, path)
		if !entry.IsDir() && !slices.ContainsFunc(own, func(o string) bool { return strings.HasPrefix(name, o) }) {
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return files
}

// packages builds the .deb of each version, where chroots see it.
func packages(t *testing.T, versions ...string) (debs []string) {
	t.Helper()
	dir := t.TempDir()
	for _, version := range versions {
		cmd := exec.Command("../../packaging/build", dir)
		cmd.Env = append(os.Environ(), "VERSION="+version, "ARCH=amd64")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		debs = append(debs, filepath.Join(dir, "tarpon_"+version+"_amd64.deb"))
	}
	return debs
}

func TestPackage(t *testing.T) {
	debs := packages(t, "1.0.0", "1.1.0")
	t.Run("files", func(t *testing.T) { packageFiles(t, debs) })
	t.Run("router", func(t *testing.T) { packageRouter(t, debs) })
}

const conffile = "etc/tarpon/tarpon.yaml"

// packageFiles: installed, upgraded, removed and purged where no daemon runs.
func packageFiles(t *testing.T, debs []string) {
	c := newChroot(t)
	out := c.must("dpkg", "-i", debs[0])
	if !strings.Contains(out, "edit /etc/tarpon/tarpon.yaml, then: systemctl enable --now tarpond") {
		t.Errorf("it does not say what to do next: %s", out)
	}
	want := []string{
		conffile, "usr/bin/lbctl",
		"usr/lib/systemd/system/tarpond.service", "usr/lib/sysusers.d/tarpon.conf", "usr/sbin/tarpond",
		"usr/share/bash-completion/completions/lbctl", "usr/share/doc/tarpon/config.md", "usr/share/doc/tarpon/copyright",
		"usr/share/doc/tarpon/lbctl.md", "usr/share/doc/tarpon/tarpond.md", "usr/share/fish/vendor_completions.d/lbctl.fish",
		"usr/share/man/man8/lbctl.8.gz", "usr/share/man/man8/tarpond.8.gz", "usr/share/tarpon/tarpon.schema.json",
		"usr/share/zsh/vendor-completions/_lbctl",
	}
	if diff := cmp.Diff(want, c.changed()); diff != "" {
		t.Errorf("files: %s", diff)
	}
	c.must("getent", "group", "tarpon")
	version := func(want string) {
		t.Helper()
		if out := c.must("tarpond", "--version") + c.must("lbctl", "version"); strings.Count(out, want) != 2 {
			t.Errorf("want version %s of both: %s", want, out)
		}
	}
	version("1.0.0")
	mine := "# mine\n" + c.must("cat", "/"+conffile)
	c.must("sed", "-i", "1i # mine", "/"+conffile)

	if out := c.must("dpkg", "-i", debs[1]); strings.Contains(out, "systemctl enable") {
		t.Errorf("an upgrade says: %s", out)
	}
	version("1.1.0")
	kept := func(after string) {
		t.Helper()
		if is, err := os.ReadFile(filepath.Join(c.upper, conffile)); err != nil || string(is) != mine {
			t.Errorf("after the %s the configuration is (%v): %s", after, err, is)
		}
	}
	kept("upgrade")
	c.must("sh", "-c", "mkdir -p /var/lib/tarpon/revisions && touch /var/lib/tarpon/revisions/1")
	c.must("dpkg", "-r", "tarpon")
	kept("removal")
	if diff := cmp.Diff([]string{conffile, "var/lib/tarpon/revisions/1"}, c.changed()); diff != "" {
		t.Errorf("a removal leaves: %s", diff)
	}
	c.must("dpkg", "-P", "tarpon")
	if left := c.changed(); len(left) > 0 {
		t.Errorf("a purge leaves %v", left)
	}
}

// packageRouter: upgraded and purged on a router at work.
func packageRouter(t *testing.T, debs []string) {
	l := bareLab(t, lab.Options{})
	c := newChroot(t) // after the lab, whose bpffs it must see
	c.bind(l.Dir, l.Dir)
	c.bind(filepath.Join(l.Dir, "bpf"), "/sys/fs/bpf")
	c.must("ln", "-s", filepath.Join(l.Dir, "run"), "/run/tarpon")
	dpkg := func(args ...string) (string, error) {
		return l.Run("router", append(append(c.enter(), "dpkg"), args...)...)
	}
	before := machine(t, l)
	if out, err := dpkg("-i", debs[0]); err != nil {
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
	out, err := dpkg("-i", debs[1])
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
