// Package disk replaces files: at every moment, whatever dies, a file is its old
// content or its new one.
package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ErrUnsynced: the file has its new content, but after a loss of power it could be
// the old one again.
var ErrUnsynced = errors.New("not known to be on the disk")

// A Disk does it. The zero value is ready.
type Disk struct {
	// Fault, if there is one, is asked before every step; its error is the step's.
	// For tests of what a failing disk leaves behind.
	Fault func(step, path string) error
}

func (d Disk) step(name, path string, do func() error) error {
	if d.Fault != nil {
		if err := d.Fault(name, path); err != nil {
			return fmt.Errorf("%s %s: %w", name, path, err)
		}
	}
	return do()
}

// A Replacement is new content on the disk, beside the file whose place it can take.
type Replacement struct {
	disk   Disk
	path   string // of the file itself, symlinks followed
	beside string
}

// Replace gives a file other content. On any error but ErrUnsynced the old one stays.
func (d Disk) Replace(path string, data []byte, mode fs.FileMode) error {
	r, err := d.Prepare(path, data, mode)
	if err != nil {
		return err
	}
	return r.Commit()
}

// Prepare does all that can fail for want of space or permission. Owner and mode are
// those of the file, if it exists; a symlink is followed. Only one process may write
// a file. Commit or Discard must follow.
func (d Disk) Prepare(path string, data []byte, mode fs.FileMode) (*Replacement, error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	r := &Replacement{disk: d, path: path, beside: filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")}
	if err := r.write(data, mode); err != nil {
		r.Discard()
		return nil, err
	}
	return r, nil
}

func (r *Replacement) write(data []byte, mode fs.FileMode) error {
	_ = os.Remove(r.beside) // what a crash left
	var file *os.File
	err := r.disk.step("create", r.beside, func() (err error) {
		file, err = os.OpenFile(r.beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	})
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := os.Stat(r.path)
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"chown", func() error {
			if err != nil {
				return nil
			}
			mode = info.Mode().Perm()
			return copyOwner(file, info)
		}},
		{"write", func() error { _, err := file.Write(data); return err }},
		{"chmod", func() error { return file.Chmod(mode) }},
		{"sync", file.Sync},
		{"close", file.Close},
	} {
		if err := r.disk.step(step.name, r.beside, step.do); err != nil {
			return err
		}
	}
	return nil
}

// copyOwner gives a new file the owner of the one it replaces.
func copyOwner(to *os.File, from fs.FileInfo) error {
	stat, ok := from.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return to.Chown(int(stat.Uid), int(stat.Gid))
}

// Commit puts the new content in the old one's place. On any error but ErrUnsynced
// the old one is there still, and the new one is given up.
func (r *Replacement) Commit() error {
	err := r.disk.Rename(r.beside, r.path)
	if err != nil && !errors.Is(err, ErrUnsynced) {
		r.Discard()
	}
	return err
}

// Discard gives the new content up.
func (r *Replacement) Discard() { _ = os.Remove(r.beside) }

// Rename gives a file another name in its directory. On any error but ErrUnsynced it
// has the old one.
func (d Disk) Rename(from, to string) error {
	if err := d.step("rename", to, func() error { return os.Rename(from, to) }); err != nil {
		return err
	}
	dir := filepath.Dir(to)
	if err := d.step("sync directory", dir, func() error { return syncDirectory(dir) }); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsynced, err)
	}
	return nil
}

func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	defer directory.Close()
	return directory.Sync()
}
