package revision

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/disk"
)

// keep is how many revisions are kept; the last one runs.
const keep = 100

// A Store is a directory of revisions: NUMBER.yaml with the bytes, NUMBER.json with
// the rest. A revision whose save is under way is next.json. Not for concurrent use.
type Store struct {
	disk disk.Disk
	dir  string
	file string // the configuration
	list []Revision
	next bool // the last one is next.json still
}

// Open reads a directory, which need not exist, and writes nothing: a router starts
// on a disk that is full or read-only. The configuration file's bytes decide whether
// a save that was cut short came to be.
func Open(d disk.Disk, dir, file string) (*Store, error) {
	s := &Store{disk: d, dir: dir, file: file}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the revisions: %w", err)
	}
	for _, entry := range entries {
		number, isRevision := strings.CutSuffix(entry.Name(), ".json")
		if n, err := strconv.Atoi(number); isRevision && err == nil {
			if r, ok := s.read(entry.Name()); ok && r.Number == n {
				s.list = append(s.list, r)
			}
		}
	}
	slices.SortFunc(s.list, func(a, b Revision) int { return cmp.Compare(a.Number, b.Number) })
	if r, ok := s.read("next.json"); ok && r.Number > s.number() {
		if data, err := os.ReadFile(file); err == nil && config.HashOf(data) == r.Hash {
			s.list, s.next = append(s.list, r), true
		}
	}
	return s, nil
}

// read leaves out what is damaged: the other revisions are worth having.
func (s *Store) read(name string) (r Revision, ok bool) {
	data, err := os.ReadFile(filepath.Join(s.dir, name))
	return r, err == nil && json.Unmarshal(data, &r) == nil
}

func (s *Store) path(number int, kind string) string {
	return filepath.Join(s.dir, strconv.Itoa(number)+kind)
}

func (s *Store) number() int { return s.Last().Number }

// Last is the newest revision; its Number is 0 if there is none.
func (s *Store) Last() Revision {
	if len(s.list) == 0 {
		return Revision{}
	}
	return s.list[len(s.list)-1]
}

// List has the oldest first.
func (s *Store) List() []Revision { return slices.Clone(s.list) }

// Before is the revision before the last.
func (s *Store) Before() (Revision, bool) {
	if len(s.list) < 2 {
		return Revision{}, false
	}
	return s.list[len(s.list)-2], true
}

// ErrNotFound is returned for a revision that is not kept.
var ErrNotFound = errors.New("is not kept")

// File is a revision's bytes.
func (s *Store) File(number int) ([]byte, error) {
	at := slices.IndexFunc(s.list, func(r Revision) bool { return r.Number == number })
	if at < 0 {
		return nil, fmt.Errorf("revision %d %w", number, ErrNotFound)
	}
	data, err := os.ReadFile(s.path(number, ".yaml"))
	if err != nil {
		return nil, fmt.Errorf("read revision %d: %w", number, err)
	}
	if config.HashOf(data) != s.list[at].Hash {
		return nil, fmt.Errorf("revision %d is damaged: %s has other bytes than it had", number, s.path(number, ".yaml"))
	}
	return data, nil
}
