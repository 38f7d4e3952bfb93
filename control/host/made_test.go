package host

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	madeAddress   = MadeAddress{"wan", 7, netip.MustParsePrefix("192.0.2.100/32")}
	madeSysctl    = MadeSysctl{"net/ipv4/conf/wan/forwarding", 7, "0", "1"}
	madeNeighbour = MadeNeighbour{"lan", 8, netip.MustParseAddr("10.0.0.11"), true}
	madeOffload   = MadeOffload{"wan", 7, "rx-lro"}
)

// kinds are what can be recorded.
var kinds = []struct {
	name      string
	put, drop func(*Made) error
}{
	{"address", func(m *Made) error { return m.putAddresses(madeAddress) }, func(m *Made) error { return m.dropAddresses(madeAddress) }},
	{"sysctl", func(m *Made) error { return m.putSysctl(madeSysctl) }, func(m *Made) error { return m.dropSysctl(madeSysctl.Name) }},
	{"neighbour", func(m *Made) error { return m.putNeighbours([]MadeNeighbour{madeNeighbour}) },
		func(m *Made) error {
			return m.dropNeighbours([]neighbourKey{{madeNeighbour.Index, madeNeighbour.Addr}})
		}},
	{"offload", func(m *Made) error { return m.putOffloads([]MadeOffload{madeOffload}) }, func(m *Made) error { return m.dropOffloads([]MadeOffload{madeOffload}) }},
}

// content is all that a record has.
func content(m *Made) madeContent {
	return madeContent{Addresses: m.Addresses(), Sysctls: m.Sysctls(), Neighbours: m.Neighbours(), Offloads: m.Offloads()}
}

func openMade(t *testing.T, path string) *Made {
	t.Helper()
	m, err := OpenMade(path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var comparePrefixes = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
var compareAddrs = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func TestMadeIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), MadeFile)
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			m := openMade(t, path)
			if err := kind.put(m); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(content(m), content(openMade(t, path)), comparePrefixes, compareAddrs); diff != "" {
				t.Error(diff)
			}
			if err := m.remove(); err != nil {
				t.Fatal(err)
			}
			if data, err := os.ReadFile(path); err != nil || !strings.Contains(string(data), `"index": `) {
				t.Errorf("a record that is not empty was removed (%v): %s", err, data)
			}
			if err := kind.drop(m); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(content(openMade(t, t.TempDir()+"/none")), content(openMade(t, path))); diff != "" {
				t.Error("after dropping:", diff)
			}
			if err := m.remove(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("an empty record is left: %v", err)
			}
		})
	}
}

// What cannot be recorded is not recorded: its caller must not make it.
func TestMadeCannotBeWritten(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			m := openMade(t, filepath.Join(t.TempDir(), "nowhere", MadeFile))
			if err := kind.put(m); err == nil || !strings.Contains(err.Error(), "nowhere") {
				t.Errorf("the error is %v", err)
			}
			if diff := cmp.Diff(content(openMade(t, t.TempDir()+"/none")), content(m)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A value that was there before an attempt that failed is there after.
func TestMadeKeepsTheOldOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), MadeFile)
	m := openMade(t, path)
	if err := m.putSysctl(madeSysctl); err != nil {
		t.Fatal(err)
	}
	m.path = filepath.Join(t.TempDir(), "nowhere", MadeFile)
	changed := madeSysctl
	changed.Set = "2"
	if err := m.putSysctl(changed); err == nil {
		t.Error("written to nowhere")
	}
	if got, _ := m.sysctl(madeSysctl.Name); got != madeSysctl {
		t.Errorf("the record has %v, want %v", got, madeSysctl)
	}
}

func TestMadeOfAnotherLife(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*madeContent)
		stale  bool
		fault  string
	}{
		{"this one", func(*madeContent) {}, false, ""},
		{"another boot", func(c *madeContent) { c.Boot = "another" }, true, ""},
		{"another namespace", func(c *madeContent) { c.Netns++ }, true, ""},
		{"another version", func(c *madeContent) { c.Version++ }, false, "version 2 is not known (1 is)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), MadeFile)
			if err := openMade(t, path).putAddresses(madeAddress); err != nil {
				t.Fatal(err)
			}
			alter(t, path, test.change)
			m, err := OpenMade(path)
			if test.fault != "" {
				if err == nil || !strings.Contains(err.Error(), test.fault) || !strings.Contains(err.Error(), path) {
					t.Errorf("the error is %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if m.Stale != test.stale || m.hasAddress(7, madeAddress.Prefix) == test.stale {
				t.Errorf("stale: %v, and it has %v", m.Stale, m.Addresses())
			}
		})
	}
}

func alter(t *testing.T, path string, change func(*madeContent)) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var c madeContent
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	change(&c)
	if data, err = json.Marshal(c); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestMadeIsNoRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), MadeFile)
	if err := os.WriteFile(path, []byte("{half"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenMade(path); err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("the error is %v", err)
	}
}
