package revision

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/disk"
)

// A Save is a revision to be made.
type Save struct {
	Revision         // author, what, confirmation; the rest is filled in, if it has no number
	File      []byte // its bytes
	KeepsFile bool   // the configuration file has them already, or is not to have them

	// Follow makes the router as the file says, Back as it was before.
	Follow func() error
	Back   func()

	// Replaceable says whether the configuration file may be written over. It is asked
	// last, since all before takes time in which an editor may save. Nil: it may.
	Replaceable func() error
}

// Save makes a revision. The order is such that a crash at any moment leaves the old
// file or the new one, and an error leaves the old file and the router as it was:
// first everything that needs room on the disk, then the router, then a rename of the
// file, which decides, then a rename of the revision, which Open can do without.
func (s *Store) Save(save Save) (_ Revision, err error) {
	if err := s.settle(); err != nil {
		return Revision{}, fmt.Errorf("keep revision %d: %w", s.number(), err)
	}
	r, err := s.prepare(save)
	defer func() {
		if err != nil {
			_ = os.Remove(filepath.Join(s.dir, "next.json"))
		}
	}()
	if err != nil {
		return Revision{}, err
	}
	commit := func() error { return nil }
	if !save.KeepsFile {
		replacement, err := s.disk.Prepare(s.file, save.File, 0o644)
		if err != nil {
			return Revision{}, fmt.Errorf("write the configuration: %w", err)
		}
		defer replacement.Discard()
		commit = func() error {
			if save.Replaceable != nil {
				if err := save.Replaceable(); err != nil {
					return err
				}
			}
			return replacement.Commit()
		}
	}
	if err := save.Follow(); err != nil {
		save.Back()
		return Revision{}, err
	}
	if err := commit(); err != nil && !errors.Is(err, disk.ErrUnsynced) {
		save.Back()
		return Revision{}, fmt.Errorf("write the configuration: %w", err)
	}
	s.list, s.next = append(s.list, r), true
	_ = s.settle() // else before the next save
	s.prune()
	return r, nil
}

// Note makes a revision of what runs already. It counts even if it cannot be kept;
// the error says why.
func (s *Store) Note(r Revision, file []byte) (Revision, error) {
	noted, err := s.Save(Save{Revision: r, File: file, KeepsFile: true, Follow: func() error { return nil }})
	if err == nil {
		return noted, nil
	}
	noted = s.numbered(r, file)
	s.list = append(s.list, noted)
	return noted, err
}

func (s *Store) numbered(r Revision, file []byte) Revision {
	if r.Number > s.number() { // made by the other router
		return r
	}
	r.Number, r.Hash, r.Parent, r.Time = s.number()+1, config.HashOf(file), s.Last().Hash, time.Now().Round(0)
	return r
}

// prepare writes a revision's bytes, and next.json, which makes a revision of them as
// soon as the configuration file has them.
func (s *Store) prepare(save Save) (Revision, error) {
	r := s.numbered(save.Revision, save.File)
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return Revision{}, fmt.Errorf("keep revision %d: %w", r.Number, err)
	}
	if err := s.disk.Replace(s.path(r.Number, ".yaml"), save.File, 0o640); err != nil {
		return Revision{}, fmt.Errorf("keep revision %d: %w", r.Number, err)
	}
	if err := s.write("next.json", r); err != nil {
		return Revision{}, fmt.Errorf("keep revision %d: %w", r.Number, err)
	}
	return r, nil
}

func (s *Store) write(name string, r Revision) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return s.disk.Replace(filepath.Join(s.dir, name), append(data, '\n'), 0o640)
}

// settle gives the last revision its number as its name.
func (s *Store) settle() error {
	if !s.next {
		return nil
	}
	err := s.disk.Rename(filepath.Join(s.dir, "next.json"), s.path(s.number(), ".json"))
	if err == nil || errors.Is(err, disk.ErrUnsynced) {
		s.next = false
		return nil
	}
	return err
}

// Insert keeps a revision that never ran here, if its number is free and before the
// last one's.
func (s *Store) Insert(r Revision, file []byte) error {
	at, taken := slices.BinarySearchFunc(s.list, r.Number, func(r Revision, n int) int { return cmp.Compare(r.Number, n) })
	if taken || at == len(s.list) {
		return nil
	}
	err := s.disk.Replace(s.path(r.Number, ".yaml"), file, 0o640)
	if err == nil {
		err = s.write(filepath.Base(s.path(r.Number, ".json")), r)
	}
	if err != nil {
		return fmt.Errorf("keep revision %d: %w", r.Number, err)
	}
	s.list = slices.Insert(s.list, at, r)
	s.prune()
	return nil
}

// Confirm ends the last revision's wait for a confirmation.
func (s *Store) Confirm() error {
	if err := s.settle(); err != nil {
		return err
	}
	r := s.Last()
	r.ConfirmBy = time.Time{}
	if err := s.write(filepath.Base(s.path(r.Number, ".json")), r); err != nil {
		return fmt.Errorf("keep the confirmation of revision %d: %w", r.Number, err)
	}
	s.list[len(s.list)-1] = r
	return nil
}

// prune gives up the oldest.
func (s *Store) prune() {
	for len(s.list) > keep {
		_ = os.Remove(s.path(s.list[0].Number, ".json"))
		_ = os.Remove(s.path(s.list[0].Number, ".yaml"))
		s.list = s.list[1:]
	}
}
