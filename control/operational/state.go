// Package operational keeps what an operator decided for the time being: which reals
// are drained, what is disabled. It is not configuration: it needs no file in order,
// makes no revision, and is never exported. It survives restarts.
package operational

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/disk"
	"github.com/tarpon-lb/tarpon/loader"
)

// A Kind says what was decided.
type Kind string

const (
	// Drained reals get no new flows.
	Drained Kind = "drained"
	// Held: the roles of a pair stay as they are. Of no target.
	Held Kind = "held"
	// Disabled vips and reals are as with `enabled: false`.
	Disabled Kind = "disabled"
)

// A Target is a vip, or one of its reals.
type Target struct {
	Vip  loader.Endpoint
	Real netip.AddrPort // zero: the vip
}

// A Decision is one that stands.
type Decision struct {
	Kind   Kind
	Author string
	Since  time.Time
	// Deadline of a drain: the flows that are left then are cut. Zero: never.
	Deadline time.Time
}

// Over says whether the deadline has passed.
func (d Decision) Over(now time.Time) bool { return !d.Deadline.IsZero() && !now.Before(d.Deadline) }

// State is all decisions that stand, as a file has them. Not for concurrent use.
type State struct {
	disk    disk.Disk
	path    string
	counter uint64 // of writes: of two routers' states the later one wins
	made    map[key]Decision
}

type key struct {
	Target
	kind Kind
}

// Open reads a file, which need not exist. With an error the state is empty, and good
// to be used.
func Open(d disk.Disk, path string) (*State, error) {
	s := &State{disk: d, path: path, made: map[key]Decision{}}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = s.decode(data)
	}
	if err != nil {
		return s, fmt.Errorf("read the operational state: %w", err)
	}
	return s, nil
}

// Find is a decision about a target.
func (s *State) Find(t Target, kind Kind) (Decision, bool) {
	d, ok := s.made[key{t, kind}]
	return d, ok
}

// All goes over the decisions, by target.
func (s *State) All(yield func(Target, Decision) bool) {
	for _, k := range s.keys() {
		if !yield(k.Target, s.made[k]) {
			return
		}
	}
}

func (s *State) keys() []key {
	return slices.SortedFunc(maps.Keys(s.made), func(a, b key) int {
		return cmp.Or(a.Vip.AddrPort.Compare(b.Vip.AddrPort), cmp.Compare(a.Vip.Protocol, b.Vip.Protocol),
			a.Real.Compare(b.Real), cmp.Compare(a.kind, b.kind))
	})
}

// Set makes a decision, in the place of an earlier one of its kind.
func (s *State) Set(t Target, d Decision) error {
	return s.save(func(made map[key]Decision) { made[key{t, d.Kind}] = d })
}

// Clear ends a decision.
func (s *State) Clear(t Target, kind Kind) error {
	return s.save(func(made map[key]Decision) { delete(made, key{t, kind}) })
}

// Keep ends all decisions about targets that do not exist.
func (s *State) Keep(exists func(Target) bool) error {
	return s.save(func(made map[key]Decision) {
		maps.DeleteFunc(made, func(k key, _ Decision) bool { return !exists(k.Target) })
	})
}

// save changes the file, then the state: either both, or neither.
func (s *State) save(change func(map[key]Decision)) error {
	next := &State{counter: s.counter + 1, made: maps.Clone(s.made)}
	change(next.made)
	if maps.Equal(next.made, s.made) {
		return nil
	}
	data, err := next.encode()
	if err != nil {
		return err
	}
	if err := s.keep(data); err != nil {
		return err
	}
	s.counter, s.made = next.counter, next.made
	return nil
}

// stateFile is the file's form.
type stateFile struct {
	Counter   uint64         `json:"counter"`
	Decisions []decisionFile `json:"decisions"`
}

type decisionFile struct {
	Vip      string    `json:"vip,omitempty"`
	Real     string    `json:"real,omitempty"`
	State    Kind      `json:"state"`
	Author   string    `json:"author"`
	Since    time.Time `json:"since"`
	Deadline time.Time `json:"deadline,omitzero"`
}

// Encode is the state as a file has it, for the other router of a pair.
func (s *State) Encode() ([]byte, error) { return s.encode() }

// Take takes the other router's state, if it was written later; by as many writes the
// greater one counts, so that both come to the same.
func (s *State) Take(data []byte) (changed bool, err error) {
	theirs := &State{}
	if err := theirs.decode(data); err != nil {
		return false, fmt.Errorf("read the operational state: %w", err)
	}
	ours, err := s.encode()
	if err != nil {
		return false, err
	}
	if theirs.counter < s.counter || theirs.counter == s.counter && bytes.Compare(data, ours) <= 0 {
		return false, nil
	}
	if err := s.keep(data); err != nil {
		return false, err
	}
	changed = !maps.Equal(s.made, theirs.made)
	s.counter, s.made = theirs.counter, theirs.made
	return changed, nil
}

func (s *State) keep(data []byte) error {
	if err := s.disk.Replace(s.path, data, 0o640); err != nil && !errors.Is(err, disk.ErrUnsynced) {
		return fmt.Errorf("keep the operational state: %w", err)
	}
	return nil
}

func (s *State) encode() ([]byte, error) {
	file := stateFile{Counter: s.counter, Decisions: []decisionFile{}}
	for target, d := range s.All {
		entry := decisionFile{
			State: d.Kind, Author: d.Author, Since: d.Since, Deadline: d.Deadline,
		}
		if target.Vip.IsValid() {
			entry.Vip = config.FormatVip(target.Vip)
		}
		if target.Real.IsValid() {
			entry.Real = config.Real{Address: target.Real}.String()
		}
		file.Decisions = append(file.Decisions, entry)
	}
	data, err := json.MarshalIndent(file, "", "  ")
	return append(data, '\n'), err
}

func (s *State) decode(data []byte) error {
	var file stateFile
	if err := json.Unmarshal(data, &file); err != nil {
		return err
	}
	made := map[key]Decision{}
	for _, d := range file.Decisions {
		var t Target
		var err error
		if d.Vip != "" {
			if t.Vip, err = config.ParseVip(d.Vip); err != nil {
				return err
			}
		}
		if d.Real != "" {
			if t.Real, err = config.ParseReal(d.Real, t.Vip.Port()); err != nil {
				return err
			}
		}
		made[key{t, d.State}] = Decision{Kind: d.State, Author: d.Author, Since: d.Since, Deadline: d.Deadline}
	}
	s.counter, s.made = file.Counter, made
	return nil
}
