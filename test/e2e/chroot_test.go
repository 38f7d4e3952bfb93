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
)

// A chroot is a machine of its own for dpkg and rpm: this one's files with all changes beside
// them, in a mount namespace that ends with the test.
type chroot struct {
	t     *testing.T
	root  string // as the namespace sees it
	upper string // what was changed
	pid   string // holds the namespace
	init  string // its first process, once it was booted
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
	if c.init != "" {
		return []string{"nsenter", "--mount", "--pid", "--net", "--cgroup", "--uts", "--ipc", "--target=" + c.init}
	}
	return []string{"nsenter", "--mount", "--target=" + c.pid, "chroot", c.root}
}

func (c *chroot) command(args ...string) *exec.Cmd {
	args = append(c.enter(), args...)
	return exec.Command(args[0], args[1:]...)
}

func (c *chroot) run(args ...string) (string, error) {
	out, err := c.command(args...).CombinedOutput()
	return string(out), err
}

func (c *chroot) must(args ...string) string {
	c.t.Helper()
	out, err := c.run(args...)
	if err != nil {
		c.t.Fatalf("%v: %v: %s", args, err, out)
	}
	return out
}

// write replaces a file in there.
func (c *chroot) write(path, text string) {
	c.t.Helper()
	c.must("sh", "-ec", `mkdir -p "$(dirname "$1")"; printf %s "$2" >"$1"`, "sh", path, text)
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

// folders lists those of a name that were made and are there.
func (c *chroot) folders(name string) (paths []string) {
	c.t.Helper()
	err := filepath.WalkDir(c.upper, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && entry.Name() == name {
			path, err = filepath.Rel(c.upper, path)
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return paths
}
