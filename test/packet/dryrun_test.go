package packet

import (
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/loader"
	"golang.org/x/sys/unix"
)

// A dry run says what the live program does next, and leaves every map as it was.
func TestDryRun(t *testing.T) {
	r := newRig(t, 1000, services)
	r.runTable(t, func(t *testing.T, hook loader.Hook, name string, s step) { r.foretell(t, hook, name, s) })
}

// The same where an insert must move or end others, and where it finds no slot.
func TestDryRunInAFullTable(t *testing.T) {
	r := newRig(t, 1, services) // one page
	counts := map[string]int{}
	for i := range 400 {
		client := fmt.Sprintf("203.0.113.%d:%d", i%250+1, 20000+i)
		told := r.foretell(t, loader.HookXDP, client, step{in: in(P{From: client, To: "192.0.2.106:80", Flags: "S"})})
		for _, note := range told.Notes {
			counts[note]++
		}
		if i%40 != 0 { // a few stay half-open, and give way
			answer, ack := fromReal(P{From: "10.0.0.14:80", To: client, Flags: "SA"}), in(P{From: client, To: "192.0.2.106:80"})
			r.mustRun(t, r.lan, answer.Frame())
			r.mustRun(t, r.wan, ack.Frame())
		}
	}
	for _, note := range []string{"flow_new", "flow_moved", "flow_evicted", "flow_full"} {
		if counts[note] == 0 {
			t.Errorf("%s never happened: %v", note, counts)
		}
	}
}

func (r *rig) mustRun(t *testing.T, ifindex int, frame []byte) {
	t.Helper()
	if _, _, err := r.Run(loader.HookXDP, ifindex, frame); err != nil {
		t.Fatal(err)
	}
}

// foretell compares a dry run of a step with the step itself.
func (r *rig) foretell(t *testing.T, hook loader.Hook, name string, s step) loader.Trace {
	t.Helper()
	if s.do != nil {
		s.do(t, r)
		return loader.Trace{}
	}
	ifindex := r.wan
	if s.on == "lan" {
		ifindex = r.lan
	}
	frame := s.in.Frame()
	before := r.contents(t)
	told, err := r.DryRun(hook, ifindex, frame)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if d := cmp.Diff(before, r.contents(t)); d != "" {
		t.Errorf("%s: the dry run changed maps:\n%s", name, d)
	}
	counted := r.counted(t, hook)
	_, after, err := r.Run(hook, ifindex, frame)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var done []string
	for reason, n := range r.counted(t, hook) {
		if n != counted[reason] {
			done = append(done, reason)
		}
	}
	slices.Sort(done)
	foretold := append([]string{told.Reason}, told.Notes...)
	slices.Sort(foretold)
	if got, want := strings.Join(foretold, " "), strings.Join(done, " "); got != want {
		t.Errorf("%s: foretold %s, but counted %s", name, got, want)
	}
	if d := Differ(told.After, after); d != "" {
		t.Errorf("%s: %s", name, d)
	}
	return told
}

var seed = maphash.MakeSeed()

// contents are all pinned maps as they are, as far as these tests can reach.
func (r *rig) contents(t *testing.T) map[string]uint64 {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(r.bpffs, "tarpon/v1/maps"))
	if err != nil {
		t.Fatal(err)
	}
	contents := map[string]uint64{}
	for _, entry := range entries {
		m, err := ebpf.LoadPinnedMap(filepath.Join(r.bpffs, "tarpon/v1/maps", entry.Name()), nil)
		if err != nil {
			t.Fatal(err)
		}
		contents[entry.Name()] = digest(t, m)
		m.Close()
	}
	if len(contents) < 20 {
		t.Fatalf("only %d maps were found", len(contents))
	}
	return contents
}

func digest(t *testing.T, m *ebpf.Map) uint64 {
	t.Helper()
	if m.Flags()&unix.BPF_F_MMAPABLE != 0 {
		size := min((int(m.MaxEntries()*m.ValueSize())+4095)&^4095, 1<<20)
		data, err := unix.Mmap(m.FD(), 0, size, unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Munmap(data)
		return maphash.Bytes(seed, data)
	}
	var sum uint64 // of entries, whose order does not matter
	add := func(key, value any) { sum += maphash.String(seed, fmt.Sprint(key, value)) }
	if m.Type() == ebpf.Hash || m.Type() == ebpf.LRUHash {
		key, value := make([]byte, m.KeySize()), make([]byte, m.ValueSize())
		entries := m.Iterate()
		for entries.Next(&key, &value) {
			add(key, value)
		}
		if entries.Err() != nil {
			t.Fatal(entries.Err())
		}
		return sum
	}
	for i := range min(m.MaxEntries(), 64) {
		var err error
		if m.Type() == ebpf.PerCPUArray {
			var values [][]byte
			err = m.Lookup(i, &values)
			add(i, values)
		} else {
			value := make([]byte, m.ValueSize())
			err = m.Lookup(i, &value)
			add(i, value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return sum
}
