package loader

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// A set is all tables of one layout and size, and what hangs on them. Its name says
// how far it is:
//
//	v1-new   is being made. No program uses it: who finds it removes it.
//	v1-next  is in use, and flows come over to it from the set that has no suffix.
//	         Only forward from here: programs may have put flows into it.
//	v1       is in use, and whole.
//	v1-old   is used by nobody: who finds it removes it.
//
// The steps between are renames of a directory. bpffs makes them atomic, only the
// owner of the lock does them, and at each one the names alone say what is to be done:
// a daemon that is killed anywhere leaves a state that the next one goes on from.
// (Names in a bpffs have no dots.)
//
//	v1                what runs
//	v1  v2-new        a set is made beside it, with all but the flows
//	v1  v2-next       decided: programs are replaced, flows are copied
//	v1-old  v2-next   nobody uses v1 any more
//	v2                done
//
// Both may have the same version: then the new one has other sizes.
const (
	making   = "-new"
	incoming = "-next"
	retired  = "-old"
)

// layoutVersion is that of the sets that this build makes, oldestReader the oldest one
// whose versions can read them too (in a downgrade).
const (
	layoutVersion = abiVersion + layoutAhead
	oldestReader  = abiVersion
)

func ownSet() string { return fmt.Sprintf("v%d", layoutVersion) }

// choose removes what a killed daemon left, and finds the sets that are in use.
func (p *pins) choose() error {
	if err := p.clean(); err != nil {
		return err
	}
	whole, next, err := p.sets()
	if err != nil {
		return err
	}
	own := filepath.Join(p.path, ownSet())
	switch {
	case len(whole) > 1 || len(next) > 1:
		return fmt.Errorf("%s has the tables of several versions of Tarpon (%s); remove those that lbctl does not use, and lose their flows",
			p.path, strings.Join(append(whole, next...), ", "))
	case len(next) == 1 && next[0] != ownSet()+incoming:
		return fmt.Errorf("%s: flows were on their way to another version of Tarpon; start that version once, which brings them all over", filepath.Join(p.path, next[0]))
	case len(next) == 1 && len(whole) == 0:
		p.set = own
		if err := os.Rename(own+incoming, own); err != nil {
			return fmt.Errorf("finish an upgrade: %w", err)
		}
	case len(next) == 1:
		p.set, p.before = own+incoming, filepath.Join(p.path, whole[0])
		return p.takeLinks()
	case len(whole) == 0, whole[0] == ownSet():
		p.set = own
	default:
		other := filepath.Join(p.path, whole[0])
		if !isReadable(other) {
			return fmt.Errorf("%s was made by a version of Tarpon that this one cannot take flows over from: start that version, or one between the two, or remove the directory and lose its flows", other)
		}
		p.set, p.before = own+making, other
		return makeDirectories(p.set, p.maps())
	}
	return makeDirectories(p.set, p.maps(), p.links(), p.clsacts())
}

// isNew says whether the set is only being made.
func (p *pins) isNew() bool { return strings.HasSuffix(p.set, making) }

// sets are the names of those that are whole, and of those on their way.
func (p *pins) sets() (whole, next []string, err error) {
	entries, err := os.ReadDir(p.path)
	if err != nil {
		return nil, nil, err
	}
	for _, entry := range entries {
		switch name := entry.Name(); {
		case !strings.HasPrefix(name, "v"):
		case strings.HasSuffix(name, incoming):
			next = append(next, name)
		default:
			whole = append(whole, name)
		}
	}
	return whole, next, nil
}

// clean removes sets that nobody uses.
func (p *pins) clean() error {
	for _, stage := range []string{making, retired} {
		left, err := filepath.Glob(filepath.Join(p.path, "v*"+stage))
		if err != nil {
			return err
		}
		for _, path := range left {
			if err := os.RemoveAll(path); err != nil {
				return fmt.Errorf("remove what an upgrade left: %w", err)
			}
		}
	}
	return nil
}

// isReadable says whether this version can read the tables of a set: of the layout
// before, or of a later one that says so.
func isReadable(set string) bool {
	version, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(set), "v"))
	if err != nil {
		return false
	}
	_, err = os.Stat(filepath.Join(set, "readers", strconv.Itoa(layoutVersion)))
	return version == layoutVersion-1 || version > layoutVersion && err == nil
}

// tellReaders marks a set for the older versions that can read it.
func (p *pins) tellReaders() error {
	readers := filepath.Join(p.set, "readers")
	for version := oldestReader; version < layoutVersion; version++ {
		if err := makeDirectories(readers, filepath.Join(readers, strconv.Itoa(version))); err != nil {
			return err
		}
	}
	return nil
}

// decide is the step from which on there is no way back.
func (p *pins) decide() error {
	dieAt("made")
	next := strings.TrimSuffix(p.set, making) + incoming
	if err := os.Rename(p.set, next); err != nil {
		return fmt.Errorf("put the new tables in use: %w", err)
	}
	p.set = next
	dieAt("decided")
	return p.takeLinks()
}

// takeLinks takes over what hangs on the interfaces.
func (p *pins) takeLinks() error {
	for _, name := range []string{"links", "clsact"} {
		from, to := filepath.Join(p.before, name), filepath.Join(p.set, name)
		if err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("take over %s: %w", from, err)
		}
		dieAt("links")
	}
	return makeDirectories(p.links(), p.clsacts())
}

// finish gives up the set before, of which nothing is used any more.
func (p *pins) finish() error {
	dieAt("copied")
	if err := os.Rename(p.before, p.before+retired); err != nil {
		return fmt.Errorf("give up the old tables: %w", err)
	}
	p.before = ""
	dieAt("retired")
	whole := strings.TrimSuffix(p.set, incoming)
	if err := os.Rename(p.set, whole); err != nil {
		return fmt.Errorf("name the new tables: %w", err)
	}
	p.set = whole
	dieAt("named")
	return p.clean()
}

// unchanged are the maps that sets of two layouts share, for they must not be in two
// states: the secrets, by which flows have their places, and the lease with what it is
// about.
var unchanged = []string{"secrets", "lease", "held4", "held6", "silence"}

// share pins maps of the set before in this one too, those that are there.
func (p *pins) share(names []string) error {
	for _, name := range names {
		m, err := ebpf.LoadPinnedMap(filepath.Join(p.before, "maps", name), nil)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("open what both sets have: %w", err)
		}
		again, err := m.Clone() // a handle has one pin
		m.Close()
		if err != nil {
			return err
		}
		err = again.Pin(filepath.Join(p.maps(), name))
		again.Close()
		if err != nil {
			return fmt.Errorf("pin %s again: %w", name, err)
		}
	}
	return nil
}
