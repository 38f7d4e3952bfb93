package loader

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// programs are loaded, not yet attached. frags is the XDP program for packets in
// several buffers, which devices with a large MTU ask for; nil until one does. lease is
// for what leaves a leg.
type programs struct {
	xdp, frags, tc, lease *ebpf.Program

	dryRun sync.Mutex     // is held by one at a time
	dry    [2]*dryProgram // by hook; nil until somebody asks
	// replaced: the maps may be closed.
	replaced bool

	put putProgram

	maps      map[string]*ebpf.Map // the Loader's
	constants map[string]any
}

// openMaps opens every map of the spec by its pin.
func (l *Loader) openMaps(spec *ebpf.CollectionSpec) (err error) {
	opened := map[string]*ebpf.Map{}
	defer func() {
		if err != nil {
			for _, m := range opened {
				m.Close()
			}
		}
	}()
	for name, m := range spec.Maps {
		if !isPinned(name) {
			continue
		}
		if opened[name], err = l.pins.openMap(m, l.log); err != nil {
			delete(opened, name)
			return err
		}
	}
	assign(&l.maps, opened)
	return nil
}

// isPinned says no of constants and of room to work in, which belong to one load of a
// program, and of the tables before, which another set has.
func isPinned(name string) bool {
	return !strings.HasPrefix(name, ".") && !slices.Contains([]string{"before4", "before6", "put_rooms"}, name)
}

// loadPrograms loads them over these maps. Flows that these do not have are looked for
// in the set before, unless it is nil. frags waits until a device asks.
func (l *Loader) loadPrograms(opened *xdpMaps, before *before) (_ *programs, err error) {
	secrets, err := l.pins.secrets()
	if err != nil {
		return nil, err
	}
	p := &programs{maps: byName(opened)}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	p.maps["before4"], p.maps["before6"] = opened.Flows4, opened.Flows6
	if before != nil {
		p.maps["before4"], p.maps["before6"] = before.maps.Flows4, before.maps.Flows6
	}
	p.constants = map[string]any{
		"hash_secret":       secrets,
		"flow4_page_mask":   opened.Flows4.MaxEntries() - 1,
		"flow6_page_mask":   opened.Flows6.MaxEntries() - 1,
		"upgrading":         before != nil,
		"before4_page_mask": p.maps["before4"].MaxEntries() - 1,
		"before6_page_mask": p.maps["before6"].MaxEntries() - 1,
		"frags":             false,
		"dry_run":           false,
	}
	l.beat() // each may take seconds
	if p.xdp, err = p.loadOne(loadXdp, "tarpon_xdp", p.constants); err != nil {
		return nil, err
	}
	l.beat()
	if p.tc, err = p.loadOne(loadTc, "tarpon_tc", p.constants); err != nil {
		return nil, err
	}
	p.lease, err = p.loadOne(loadLease, "tarpon_lease", nil)
	l.beat()
	return p, err
}

// forFrags is the XDP program for packets in several buffers.
func (p *programs) forFrags() (_ *ebpf.Program, err error) {
	if p.frags == nil {
		constants := maps.Clone(p.constants)
		constants["frags"] = true
		p.frags, err = p.loadOne(loadXdp, "tarpon_xdp", constants)
	}
	return p.frags, err
}

func (p *programs) loadOne(read func() (*ebpf.CollectionSpec, error), name string, constants map[string]any) (*ebpf.Program, error) {
	spec, err := read()
	if err != nil {
		return nil, fmt.Errorf("read the built-in program: %w", err)
	}
	if constants["frags"] == true {
		spec.Programs[name].Flags |= unix.BPF_F_XDP_HAS_FRAGS
	}
	collection, err := newCollection(spec, name, p.maps, constants)
	if err != nil {
		return nil, err
	}
	defer collection.Close()
	return collection.DetachProgram(name), nil
}

// newCollection loads a program over these maps, and makes the others.
func newCollection(spec *ebpf.CollectionSpec, program string, over map[string]*ebpf.Map, constants map[string]any) (*ebpf.Collection, error) {
	for name, m := range over {
		spec.Maps[name].MaxEntries = m.MaxEntries()
	}
	for constant, value := range constants {
		v := spec.Variables[constant]
		if v == nil { // not used by this program
			continue
		}
		if err := v.Set(value); err != nil {
			return nil, fmt.Errorf("set %s: %w", constant, err)
		}
	}
	collection, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: over})
	if err != nil {
		return nil, refusedProgram(program, err)
	}
	return collection, nil
}

func (p *programs) close() {
	if p == nil {
		return
	}
	for _, program := range []*ebpf.Program{p.xdp, p.frags, p.tc, p.lease} {
		program.Close() // nil is closed
	}
	p.put.close()
	go p.endDryRuns() // one that loads its program takes its time
}

// refusedProgram says what to do about a program that the kernel did not take.
func refusedProgram(name string, err error) error {
	var verifier *ebpf.VerifierError
	if errors.As(err, &verifier) {
		return fmt.Errorf("the kernel (%s) refused the program %s; Tarpon needs 6.1 or newer: %w", release(), name, err)
	}
	return fmt.Errorf("load the program %s into the kernel (%s; Tarpon needs 6.1 or newer): %w", name, release(), err)
}

func release() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(name.Release[:])
}
