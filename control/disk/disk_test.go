package disk

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestReplace(t *testing.T) {
	write := func(t *testing.T, path, text string) {
		t.Helper()
		if err := (Disk{}).Replace(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	is := func(t *testing.T, path, text string, mode os.FileMode, owner uint32) {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil || string(data) != text {
			t.Errorf("%s has %q (%v), want %q", path, data, err, text)
		}
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != mode || info.Sys().(*syscall.Stat_t).Uid != owner {
			t.Errorf("%s has mode %v and owner %d, want %v and %d", path, info.Mode(), info.Sys().(*syscall.Stat_t).Uid, mode, owner)
		}
		entries, err := os.ReadDir(filepath.Dir(path))
		if err != nil || len(entries) != 1 {
			t.Errorf("left behind: %v (%v)", entries, err)
		}
	}
	t.Run("new", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "f")
		write(t, path, "new")
		is(t, path, "new", 0o640, uint32(os.Getuid()))
	})
	t.Run("owner and mode are kept", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "f")
		write(t, path, "a longer old text")
		if err := os.Chmod(path, 0o604); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, 7, 8); err != nil {
			t.Fatalf("%v (run this test as root)", err)
		}
		write(t, path, "new")
		is(t, path, "new", 0o604, 7)
		if info, err := os.Stat(path); err != nil || info.Sys().(*syscall.Stat_t).Gid != 8 {
			t.Errorf("the group is another (%v)", err)
		}
	})
	t.Run("symlinks are followed", func(t *testing.T) {
		path, link := filepath.Join(t.TempDir(), "f"), filepath.Join(t.TempDir(), "link")
		write(t, path, "old")
		if err := os.Symlink(path, link); err != nil {
			t.Fatal(err)
		}
		write(t, link, "new")
		is(t, path, "new", 0o640, uint32(os.Getuid()))
		if target, err := os.Readlink(link); err != nil || target != path {
			t.Errorf("the link is %q (%v)", target, err)
		}
	})
	t.Run("another file, not the old one changed", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "f")
		write(t, path, "old")
		reader, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		write(t, path, "new")
		old := make([]byte, 9)
		if n, err := reader.Read(old); string(old[:n]) != "old" {
			t.Errorf("who reads the old file finds %q (%v)", old[:n], err)
		}
	})
	t.Run("failed", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "f")
		if err := os.MkdirAll(filepath.Join(dir, "full"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := (Disk{}).Replace(dir, []byte("new"), 0o644); err == nil {
			t.Error("a directory was replaced")
		}
		if entries, _ := os.ReadDir(filepath.Dir(dir)); len(entries) != 1 {
			t.Errorf("left behind: %v", entries)
		}
		if err := (Disk{}).Replace(filepath.Join(dir, "nowhere", "f"), nil, 0o644); err == nil {
			t.Error("written to nowhere")
		}
	})
}
