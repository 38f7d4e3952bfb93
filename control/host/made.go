package host

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// MadeFile is the record's name in the run directory.
const MadeFile = "made.json"

// madeVersion is the version of the record's format.
const madeVersion = 1

// A MadeAddress is an address that we added. Index is the interface's at that
// time: an address on an interface that has been made anew is not ours.
type MadeAddress struct {
	Interface string       `json:"interface"`
	Index     int          `json:"index"`
	Prefix    netip.Prefix `json:"prefix"`
}

// A MadeSysctl is a sysctl that we changed. Name is its path below /proc/sys.
type MadeSysctl struct {
	Name  string `json:"name"`
	Index int    `json:"index,omitempty"` // of the interface it is about; 0: none
	Old   string `json:"old"`
	Set   string `json:"set"`
}

// A MadeNeighbour is a neighbour that we had the kernel keep up to date.
type MadeNeighbour struct {
	Interface string     `json:"interface"`
	Index     int        `json:"index"`
	Addr      netip.Addr `json:"addr"`
	// Existed: the kernel knew it before; it is let go, not deleted.
	Existed bool `json:"existed,omitempty"`
}

// A MadeOffload is an offload of an interface that we turned off.
type MadeOffload struct {
	Interface string `json:"interface"`
	Index     int    `json:"index"`
	Offload   string `json:"offload"`
}

// madeContent is the file.
type madeContent struct {
	Version int `json:"version"`
	// Boot and Netns name the life of the namespace in which it all was made.
	Boot       string          `json:"boot"`
	Netns      uint64          `json:"netns"`
	Addresses  []MadeAddress   `json:"addresses"`
	Sysctls    []MadeSysctl    `json:"sysctls"`
	Neighbours []MadeNeighbour `json:"neighbours"`
	Offloads   []MadeOffload   `json:"offloads,omitempty"`
}

type madeAddressKey struct {
	Index  int
	Prefix netip.Prefix
}

type neighbourKey struct {
	Index int
	Addr  netip.Addr
}

// Made is the record of what was made in this network namespace. It is written
// before each thing is made and after each thing is removed, so it may name
// something that does not exist, but never misses something that does. Safe
// for concurrent use.
type Made struct {
	path  string
	boot  string
	netns uint64
	// Stale: the file was of another boot or another namespace, and with them
	// went all that it names.
	Stale bool
	// Elsewhere: the file is of this boot, and of another namespace, which may live.
	Elsewhere bool

	mu         sync.Mutex
	addresses  map[madeAddressKey]MadeAddress
	sysctls    map[string]MadeSysctl
	neighbours map[neighbourKey]MadeNeighbour
	offloads   map[MadeOffload]MadeOffload
}

// OpenMade loads the record at path; no file is an empty record. A record of
// an earlier boot or of another network namespace is dropped.
func OpenMade(path string) (*Made, error) {
	boot, netns := namespaceLife()
	m := &Made{
		path:       path,
		boot:       boot,
		netns:      netns,
		addresses:  map[madeAddressKey]MadeAddress{},
		sysctls:    map[string]MadeSysctl{},
		neighbours: map[neighbourKey]MadeNeighbour{},
		offloads:   map[MadeOffload]MadeOffload{},
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the record of what was made: %w", err)
	}
	var content madeContent
	if err := json.Unmarshal(data, &content); err != nil {
		return nil, fmt.Errorf("%s: not a record of what was made (%w): move it away, and remove by hand the addresses and sysctls it lists", path, err)
	}
	if content.Version != madeVersion {
		return nil, fmt.Errorf("%s: version %d is not known (%d is): use the tarpond that wrote it, or move it away", path, content.Version, madeVersion)
	}
	if content.Boot != boot || content.Netns != netns {
		m.Stale, m.Elsewhere = true, content.Boot == boot
		return m, nil
	}
	m.fill(content)
	return m, nil
}

func (m *Made) fill(content madeContent) {
	for _, a := range content.Addresses {
		m.addresses[madeAddressKey{a.Index, a.Prefix}] = a
	}
	for _, s := range content.Sysctls {
		m.sysctls[s.Name] = s
	}
	for _, n := range content.Neighbours {
		m.neighbours[neighbourKey{n.Index, n.Addr}] = n
	}
	for _, o := range content.Offloads {
		m.offloads[o] = o
	}
}

// namespaceLife tells this boot and this network namespace from all others.
// What the kernel does not tell (cookies are of 5.14) is left zero.
func namespaceLife() (boot string, netns uint64) {
	if data, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		boot = strings.TrimSpace(string(data))
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return boot, 0
	}
	defer unix.Close(fd)
	if netns, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE); err != nil {
		return boot, 0
	}
	return boot, netns
}

// Addresses lists the addresses we made.
func (m *Made) Addresses() []MadeAddress { return listed(m, m.addresses, compareAddress) }

// Sysctls lists the sysctls we changed.
func (m *Made) Sysctls() []MadeSysctl { return listed(m, m.sysctls, compareSysctl) }

// Neighbours lists the neighbours we manage.
func (m *Made) Neighbours() []MadeNeighbour { return listed(m, m.neighbours, compareNeighbour) }

// Offloads lists the offloads we turned off.
func (m *Made) Offloads() []MadeOffload { return listed(m, m.offloads, compareOffload) }

func (m *Made) hasAddress(index int, prefix netip.Prefix) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.addresses[madeAddressKey{index, prefix}]
	return ok
}

func (m *Made) sysctl(name string) (MadeSysctl, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.sysctls[name]
	return s, ok
}

func (m *Made) putAddresses(list ...MadeAddress) error {
	entries := make(map[madeAddressKey]MadeAddress, len(list))
	for _, a := range list {
		entries[madeAddressKey{a.Index, a.Prefix}] = a
	}
	return put(m, m.addresses, entries)
}

func (m *Made) dropAddresses(list ...MadeAddress) error {
	keys := make([]madeAddressKey, len(list))
	for i, a := range list {
		keys[i] = madeAddressKey{a.Index, a.Prefix}
	}
	return drop(m, m.addresses, keys...)
}

func (m *Made) putSysctl(s MadeSysctl) error {
	return put(m, m.sysctls, map[string]MadeSysctl{s.Name: s})
}

func (m *Made) dropSysctl(name string) error { return drop(m, m.sysctls, name) }

func (m *Made) putNeighbours(list []MadeNeighbour) error {
	entries := make(map[neighbourKey]MadeNeighbour, len(list))
	for _, n := range list {
		entries[neighbourKey{n.Index, n.Addr}] = n
	}
	return put(m, m.neighbours, entries)
}

func (m *Made) dropNeighbours(keys []neighbourKey) error { return drop(m, m.neighbours, keys...) }

func (m *Made) putOffloads(list []MadeOffload) error {
	entries := make(map[MadeOffload]MadeOffload, len(list))
	for _, o := range list {
		entries[o] = o
	}
	return put(m, m.offloads, entries)
}

func (m *Made) dropOffloads(list []MadeOffload) error { return drop(m, m.offloads, list...) }

func (m *Made) neighbour(key neighbourKey) (MadeNeighbour, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, ok := m.neighbours[key]
	return n, ok
}

// neighboursExcept lists those that needed does not want to keep.
func (m *Made) neighboursExcept(needed func(neighbourKey) bool) []MadeNeighbour {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []MadeNeighbour
	for key, n := range m.neighbours {
		if !needed(key) {
			list = append(list, n)
		}
	}
	return list
}

// remove deletes the file once nothing is left of what it records.
func (m *Made) remove() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.addresses)+len(m.sysctls)+len(m.neighbours)+len(m.offloads) > 0 {
		return nil
	}
	if err := os.Remove(m.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the record of what was made: %w", err)
	}
	return nil
}

// put records entries. When the file cannot be written, the record is as it
// was and the caller must not make them.
func put[K, V comparable](m *Made, table map[K]V, entries map[K]V) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := map[K]V{}
	changed := false
	for key, entry := range entries {
		old, existed := table[key]
		if existed {
			before[key] = old
		}
		changed = changed || !existed || old != entry
		table[key] = entry
	}
	if !changed {
		return nil
	}
	if err := m.write(); err != nil {
		for key := range entries {
			delete(table, key)
		}
		maps.Copy(table, before)
		return err
	}
	return nil
}

// drop forgets entries that have been removed.
func drop[K comparable, V any](m *Made, table map[K]V, keys ...K) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := false
	for _, key := range keys {
		_, existed := table[key]
		changed = changed || existed
		delete(table, key)
	}
	if !changed {
		return nil
	}
	return m.write()
}

// write replaces the file as a whole. It lives in /run and dies with the
// machine, as does all that it names: nothing needs to reach a disk.
func (m *Made) write() error {
	data, err := json.MarshalIndent(madeContent{
		Version:    madeVersion,
		Boot:       m.boot,
		Netns:      m.netns,
		Addresses:  sorted(m.addresses, compareAddress),
		Sysctls:    sorted(m.sysctls, compareSysctl),
		Neighbours: sorted(m.neighbours, compareNeighbour),
		Offloads:   sorted(m.offloads, compareOffload),
	}, "", " ")
	if err != nil {
		return fmt.Errorf("write the record of what was made: %w", err)
	}
	next := m.path + ".new"
	if err := os.WriteFile(next, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the record of what was made: %w; is %s there and writable?", err, filepath.Dir(m.path))
	}
	if err := os.Rename(next, m.path); err != nil {
		return fmt.Errorf("write the record of what was made: %w", err)
	}
	return nil
}

func listed[K comparable, V any](m *Made, table map[K]V, compare func(a, b V) int) []V {
	m.mu.Lock()
	defer m.mu.Unlock()
	return sorted(table, compare)
}

func sorted[K comparable, V any](table map[K]V, compare func(a, b V) int) []V {
	list := make([]V, 0, len(table))
	for _, entry := range table {
		list = append(list, entry)
	}
	slices.SortFunc(list, compare)
	return list
}

func compareAddress(a, b MadeAddress) int {
	return cmp.Or(cmp.Compare(a.Interface, b.Interface), cmp.Compare(a.Index, b.Index), a.Prefix.Compare(b.Prefix))
}

func compareSysctl(a, b MadeSysctl) int { return cmp.Compare(a.Name, b.Name) }

func compareNeighbour(a, b MadeNeighbour) int {
	return cmp.Or(cmp.Compare(a.Interface, b.Interface), cmp.Compare(a.Index, b.Index), a.Addr.Compare(b.Addr))
}

func compareOffload(a, b MadeOffload) int {
	return cmp.Or(cmp.Compare(a.Interface, b.Interface), cmp.Compare(a.Index, b.Index), cmp.Compare(a.Offload, b.Offload))
}
