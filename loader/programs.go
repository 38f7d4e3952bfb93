package loader

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// programs are loaded, not yet attached. frags is the XDP program for packets in
// several buffers, which devices with a large MTU ask for.
type programs struct {
	xdp, frags, tc *ebpf.Program
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

func (p *programs) load(maps *xdpMaps, pins *pins) error {
	secrets, err := pins.secrets(zap.NewNop())
	if err != nil {
		return err
	}
	replacements := byName(maps)
	load := func(spec *ebpf.CollectionSpec, err error, name string, frags bool) (*ebpf.Program, error) {
		if err != nil {
			return nil, fmt.Errorf("read the built-in program: %w", err)
		}
		for name, m := range replacements {
			spec.Maps[name].MaxEntries = m.MaxEntries()
		}
		if frags {
			spec.Programs[name].Flags |= unix.BPF_F_XDP_HAS_FRAGS
		}
		for variable, value := range map[string]any{
			"hash_secret":     secrets,
			"flow4_page_mask": maps.Flows4.MaxEntries() - 1,
			"flow6_page_mask": maps.Flows6.MaxEntries() - 1,
			"frags":           frags,
		} {
			v := spec.Variables[variable]
			if v == nil { // a constant that this program does not use
				continue
			}
			if err := v.Set(value); err != nil {
				return nil, fmt.Errorf("set %s: %w", variable, err)
			}
		}
		collection, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: replacements})
		if err != nil {
			return nil, refusedProgram(name, err)
		}
		defer collection.Close()
		return collection.DetachProgram(name), nil
	}
	xdp, err := loadXdp()
	if p.xdp, err = load(xdp, err, "tarpon_xdp", false); err != nil {
		return err
	}
	xdp, err = loadXdp()
	if p.frags, err = load(xdp, err, "tarpon_xdp", true); err != nil {
		return err
	}
	tc, err := loadTc()
	p.tc, err = load(tc, err, "tarpon_tc", false)
	return err
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
