package loader

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// programs are loaded, not yet attached. frags is the XDP program for packets in
// several buffers, which devices with a large MTU ask for; nil until one does.
type programs struct {
	xdp, frags, tc *ebpf.Program

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
		if strings.HasPrefix(name, ".") { // constants belong to one load of a program
			continue
		}
		if opened[name], err = l.pins.openMap(m, l.log); err != nil {
			delete(opened, name)
			return err
		}
	}
	return assign(&l.maps, opened)
}

// load loads the programs over these maps. frags waits until a device asks.
func (p *programs) load(maps *xdpMaps, pins *pins) error {
	secrets, err := pins.secrets()
	if err != nil {
		return err
	}
	p.maps = byName(maps)
	p.constants = map[string]any{
		"hash_secret":     secrets,
		"flow4_page_mask": maps.Flows4.MaxEntries() - 1,
		"flow6_page_mask": maps.Flows6.MaxEntries() - 1,
		"frags":           false,
	}
	if p.xdp, err = p.loadOne(loadXdp, "tarpon_xdp"); err != nil {
		return err
	}
	p.tc, err = p.loadOne(loadTc, "tarpon_tc")
	return err
}

// forFrags is the XDP program for packets in several buffers.
func (p *programs) forFrags() (_ *ebpf.Program, err error) {
	if p.frags == nil {
		p.constants["frags"] = true
		p.frags, err = p.loadOne(loadXdp, "tarpon_xdp")
	}
	return p.frags, err
}

func (p *programs) loadOne(read func() (*ebpf.CollectionSpec, error), name string) (*ebpf.Program, error) {
	spec, err := read()
	if err != nil {
		return nil, fmt.Errorf("read the built-in program: %w", err)
	}
	for name, m := range p.maps {
		spec.Maps[name].MaxEntries = m.MaxEntries()
	}
	if p.constants["frags"] == true {
		spec.Programs[name].Flags |= unix.BPF_F_XDP_HAS_FRAGS
	}
	for constant, value := range p.constants {
		v := spec.Variables[constant]
		if v == nil { // not used by this program
			continue
		}
		if err := v.Set(value); err != nil {
			return nil, fmt.Errorf("set %s: %w", constant, err)
		}
	}
	collection, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: p.maps})
	if err != nil {
		return nil, refusedProgram(name, err)
	}
	defer collection.Close()
	return collection.DetachProgram(name), nil
}

func (p *programs) close() {
	for _, program := range []*ebpf.Program{p.xdp, p.frags, p.tc} {
		program.Close() // nil is closed
	}
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
