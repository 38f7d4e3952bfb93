package revision

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/disk"
	"golang.org/x/sys/unix"
)

// A site is a configuration file, its store, and a router that follows.
type site struct {
	*Store
	t      *testing.T
	file   string
	router string // the file that it runs
}

func newSite(t *testing.T, d disk.Disk) *site {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tarpon.yaml")
	if err := os.WriteFile(file, []byte("old"), 0o604); err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, file: file, router: "old"}
	s.reopen(d)
	if _, err := s.Note(Revision{Author: AuthorFile}, []byte("old")); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *site) dir() string { return filepath.Join(filepath.Dir(s.file), "state", "revisions") }

func (s *site) reopen(d disk.Disk) {
	s.t.Helper()
	var err error
	if s.Store, err = Open(d, s.dir(), s.file); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) save(text string, follow error) (Revision, error) {
	was := s.router
	return s.Save(Save{
		Revision: Revision{Author: "0 root", What: "vip added"}, File: []byte(text),
		Follow: func() error { s.router = text; return follow },
		Back:   func() { s.router = was },
	})
}

// content is the configuration file's.
func (s *site) content() string {
	s.t.Helper()
	data, err := os.ReadFile(s.file)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(data)
}

func TestSave(t *testing.T) {
	s := newSite(t, disk.Disk{})
	old := s.Last()
	r, err := s.save("new", nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Number != 2 || r.Parent != old.Hash || r.Hash != config.HashOf([]byte("new")) || r.Author != "0 root" || time.Since(r.Time) > time.Minute {
		t.Errorf("the revision is %+v after %+v", r, old)
	}
	if info, err := os.Stat(s.file); err != nil || info.Mode().Perm() != 0o604 || s.content() != "new" {
		t.Errorf("the file is %v %q (%v), want its old mode and the new content", info.Mode(), s.content(), err)
	}
	s.reopen(disk.Disk{})
	if last := s.Last(); last.Number != 2 || !last.Time.Equal(r.Time) || last.What != r.What {
		t.Errorf("read again it is %+v, was %+v", last, r)
	}
	for number, want := range map[int]string{1: "old", 2: "new"} {
		if data, err := s.File(number); err != nil || string(data) != want {
			t.Errorf("revision %d is %q (%v), want %q", number, data, err, want)
		}
	}
	if _, err := s.File(3); !errors.Is(err, ErrNotFound) {
		t.Errorf("revision 3: %v", err)
	}
}

// Revisions that the other router made have their numbers from there.
func TestRevisionsOfTheOther(t *testing.T) {
	s := newSite(t, disk.Disk{})
	theirs := func(number int, text string) Revision {
		return Revision{ID: ID{number, config.HashOf([]byte(text))}, Router: "lb2", Author: "0 root", What: text}
	}
	if _, err := s.Save(Save{Revision: theirs(5, "fifth"), File: []byte("fifth"), Follow: func() error { return nil }, Back: func() {}}); err != nil {
		t.Fatal(err)
	}
	for _, missed := range []Revision{theirs(3, "third"), theirs(4, "fourth"), theirs(3, "again"), theirs(6, "later")} {
		if err := s.Insert(missed, []byte(missed.What)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		var got []string
		for _, r := range s.List() {
			file, err := s.File(r.Number)
			got = append(got, fmt.Sprint(r.Number, r.Router, string(file), err))
		}
		if want := "[1old<nil> 3lb2third<nil> 4lb2fourth<nil> 5lb2fifth<nil>]"; fmt.Sprint(got) != want {
			t.Errorf("kept are %v, want %s", got, want)
		}
		s.reopen(disk.Disk{})
	}
}

func TestRouterRefuses(t *testing.T) {
	s := newSite(t, disk.Disk{})
	refusal := errors.New("no room in the kernel")
	if _, err := s.save("new", refusal); !errors.Is(err, refusal) {
		t.Errorf("it says %v", err)
	}
	s.agree("old")
}

// An editor that saves while the router follows is not written over.
func TestEditedMeanwhile(t *testing.T) {
	for _, keeps := range []bool{false, true} {
		s := newSite(t, disk.Disk{})
		edited := errors.New("edited by hand")
		save := Save{
			File: []byte("new"), KeepsFile: keeps,
			Follow: func() error { s.router = "new"; return os.WriteFile(s.file, []byte("by hand"), 0o604) },
			Back:   func() { s.router = "old" },
			Replaceable: func() error {
				if s.content() != "old" {
					return edited
				}
				return nil
			},
		}
		want, router := edited, "old"
		if keeps { // the file is none of its business
			want, router = nil, "new"
		}
		if _, err := s.Save(save); !errors.Is(err, want) || s.router != router {
			t.Errorf("it says %v and the router runs %q, want %v and %q", err, s.router, want, router)
		}
		if s.content() != "by hand" {
			t.Errorf("the file is %q", s.content())
		}
		s.reopen(disk.Disk{})
		if last := s.Last(); last.Hash != config.HashOf([]byte(router)) {
			t.Errorf("opened again, the last revision is %+v", last)
		}
	}
}

// agree checks that file, router and a store opened anew are at the same revision.
func (s *site) agree(want string) {
	s.t.Helper()
	if s.content() != want || s.router != want {
		s.t.Errorf("the file is %q and the router runs %q, want %q", s.content(), s.router, want)
	}
	s.reopen(disk.Disk{})
	if last := s.Last(); last.Hash != config.HashOf([]byte(want)) {
		s.t.Errorf("opened again, the last revision is %+v, want that of %q", last, want)
	}
	if data, err := s.File(s.Last().Number); err != nil || string(data) != want {
		s.t.Errorf("its bytes are %q (%v), want %q", data, err, want)
	}
}

// Whatever step of a save fails, in whatever way: file, router and revisions agree on
// the old or on the new, and the next save works.
func TestFaultsOfASave(t *testing.T) {
	crash := errors.New("crash")
	for _, fault := range []struct {
		name    string
		err     error
		forever bool
	}{
		{"ENOSPC once", unix.ENOSPC, false}, {"ENOSPC", unix.ENOSPC, true}, {"EROFS", unix.EROFS, true},
		{"EIO", unix.EIO, true}, {"crash", crash, true},
	} {
		done := false
		for at := 1; !done; at++ {
			steps, armed := 0, false
			d := disk.Disk{Fault: func(step, path string) error {
				if !armed {
					return nil
				}
				if steps++; steps < at || (steps > at && !fault.forever) {
					return nil
				}
				if fault.err == crash {
					panic(crash)
				}
				return fault.err
			}}
			s := newSite(t, d)
			if r, err := s.save("older", nil); err != nil || r.Number != 2 {
				t.Fatal(r, err)
			}
			s.router, armed = "older", true
			err := func() (err error) {
				defer func() {
					if recover() != nil {
						err, s.router = crash, s.content() // a new daemon runs the file
					}
				}()
				_, err = s.save("new", nil)
				return err
			}()
			armed, done = false, steps < at
			t.Run(fmt.Sprintf("%s at step %d", fault.name, at), func(t *testing.T) {
				s.t = t
				want := "new"
				if err == crash {
					want = s.content()
				} else if err != nil {
					want = "older"
					if !errors.Is(err, fault.err) {
						t.Errorf("it says %v, want %v", err, fault.err)
					}
				}
				if want != "older" && want != "new" {
					t.Fatalf("the file is %q", want)
				}
				s.agree(want)
				if _, err := s.save("newer", nil); err != nil {
					t.Fatal(err)
				}
				s.agree("newer")
			})
		}
	}
}

// A disk that cannot be written does not keep a router from running.
func TestNoteOnAFullDisk(t *testing.T) {
	full := false
	s := newSite(t, disk.Disk{Fault: func(string, string) error {
		if full {
			return unix.ENOSPC
		}
		return nil
	}})
	full = true
	r, err := s.Note(Revision{Author: AuthorFile}, []byte("by hand"))
	if !errors.Is(err, unix.ENOSPC) || r.Number != 2 || s.Last().Number != 2 {
		t.Errorf("revision %+v, %v", r, err)
	}
}

func TestStoreIsBounded(t *testing.T) {
	s := newSite(t, disk.Disk{})
	for n := range keep + 20 {
		if _, err := s.save(fmt.Sprint(n), nil); err != nil {
			t.Fatal(err)
		}
	}
	s.reopen(disk.Disk{})
	list := s.List()
	entries, err := os.ReadDir(s.dir())
	if err != nil || len(list) != keep || len(entries) != 2*keep || list[0].Number != 22 {
		t.Errorf("%d revisions from %d on in %d files (%v), want %d", len(list), list[0].Number, len(entries), err, keep)
	}
}

// A revision that is damaged is told, and takes no other with it.
func TestDamage(t *testing.T) {
	s := newSite(t, disk.Disk{})
	for _, text := range []string{"two", "three", "four"} {
		if _, err := s.save(text, nil); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"2.yaml": "other bytes", "3.json": "{", "next.json": "{", "x.json": "{}", "9.json": "{}"} {
		if err := os.WriteFile(filepath.Join(s.dir(), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.reopen(disk.Disk{})
	if len(s.List()) != 3 || s.Last().Number != 4 {
		t.Errorf("the store has %+v", s.List())
	}
	if _, err := s.File(2); err == nil {
		t.Error("other bytes were taken for revision 2")
	}
}

func TestConfirm(t *testing.T) {
	s := newSite(t, disk.Disk{})
	by := time.Now().Add(time.Minute).Round(0)
	if _, err := s.Save(Save{
		Revision: Revision{ConfirmBy: by}, File: []byte("new"), Follow: func() error { return nil },
	}); err != nil {
		t.Fatal(err)
	}
	s.reopen(disk.Disk{})
	if !s.Last().ConfirmBy.Equal(by) {
		t.Errorf("after a restart it is %+v, want to be confirmed by %s", s.Last(), by)
	}
	if before, ok := s.Before(); !ok || before.Number != 1 {
		t.Errorf("before it was %+v", before)
	}
	if err := s.Confirm(); err != nil {
		t.Fatal(err)
	}
	s.reopen(disk.Disk{})
	if !s.Last().ConfirmBy.IsZero() {
		t.Errorf("confirmed, it is %+v", s.Last())
	}
}

// The file may be a link, as configuration managers make them.
func TestSymlink(t *testing.T) {
	s := newSite(t, disk.Disk{})
	link := filepath.Join(filepath.Dir(s.file), "link.yaml")
	if err := os.Symlink(s.file, link); err != nil {
		t.Fatal(err)
	}
	real := s.file
	s.file = link
	s.reopen(disk.Disk{})
	if _, err := s.save("new", nil); err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink(link); err != nil || target != real || s.content() != "new" {
		t.Errorf("the link leads to %s (%v), the file is %q", target, err, s.content())
	}
}
