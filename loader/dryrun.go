package loader

import (
	"errors"
	"fmt"
	"maps"

	"github.com/cilium/ebpf"
)

// A dryProgram is a program that only says what it would do (bpf/config.h, dry_run).
type dryProgram struct {
	program *ebpf.Program
	hooks   *ebpf.Map      // what it counts and keeps of its packet
	traced  *ebpf.Variable // what it found: bpf/trace.h
}

// ownMaps are what a dry run writes without asking: it has copies of its own. The
// tables that it shares with live programs it only reads.
var ownMaps = []string{"hooks", "traffic_of", "allowances", "dirty4", "dirty6", "locks4", "locks6", "strays"}

// forDryRun is the program of a hook that only says what it would do.
func (p *programs) forDryRun(hook Hook) (*dryProgram, error) {
	if p.replaced {
		return nil, errors.New("the tables were replaced in this moment: ask again")
	}
	if p.dry[hook] != nil {
		return p.dry[hook], nil
	}
	read, name := loadXdp, "tarpon_xdp"
	if hook == HookTC {
		read, name = loadTc, "tarpon_tc"
	}
	spec, err := read()
	if err != nil {
		return nil, fmt.Errorf("read the built-in program: %w", err)
	}
	shared, constants := maps.Clone(p.maps), maps.Clone(p.constants)
	for _, own := range ownMaps {
		delete(shared, own)
	}
	spec.Maps["traffic_of"].MaxEntries = 1 // nobody reads it
	constants["dry_run"] = true
	collection, err := newCollection(spec, name, shared, constants)
	if err != nil {
		return nil, err
	}
	defer collection.Close()
	p.dry[hook] = &dryProgram{
		program: collection.DetachProgram(name),
		hooks:   collection.DetachMap("hooks"),
		traced:  collection.Variables["traced"],
	}
	return p.dry[hook], nil
}

// endDryRuns waits for the one that is under way, and lets none begin.
func (p *programs) endDryRuns() {
	p.dryRun.Lock()
	defer p.dryRun.Unlock()
	p.replaced = true
	for _, dry := range p.dry {
		if dry != nil {
			dry.program.Close()
			dry.hooks.Close()
		}
	}
}

// DryRun says what a program would make of a frame, if it came in by an attached
// interface now. Nothing changes: not a flow, not a counter, not whose turn it is. The
// first of a hook loads its program, which takes a moment. May be called concurrently.
func (l *Loader) DryRun(hook Hook, ifindex int, frame []byte) (Trace, error) {
	l.replacing.RLock()
	programs := l.programs
	l.replacing.RUnlock() // who replaces them does not wait for a program to be loaded
	programs.dryRun.Lock()
	defer programs.dryRun.Unlock()
	dry, err := programs.forDryRun(hook)
	if err != nil {
		return Trace{}, err
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return Trace{}, err
	}
	if err := dry.hooks.Put(uint32(hook), make([]xdpHook, cpus)); err != nil {
		return Trace{}, fmt.Errorf("clear what the last dry run counted: %w", err)
	}
	if err := dry.traced.Set(&xdpTrace{}); err != nil {
		return Trace{}, fmt.Errorf("clear what the last dry run found: %w", err)
	}
	_, after, err := testRun(dry.program, hook, ifindex, frame)
	if err != nil {
		return Trace{}, err
	}
	var (
		found xdpTrace
		hooks []xdpHook
	)
	if err := dry.traced.Get(&found); err != nil {
		return Trace{}, fmt.Errorf("read what a dry run found: %w", err)
	}
	if err := dry.hooks.Lookup(uint32(hook), &hooks); err != nil {
		return Trace{}, fmt.Errorf("read what a dry run counted: %w", err)
	}
	for i := range hooks {
		if hooks[i].Reasons != (xdpReasons{}) { // the CPU that ran it
			trace := traceOf(&found, &hooks[i])
			trace.Hook, trace.After = hook, after
			return trace, nil
		}
	}
	return Trace{}, fmt.Errorf("a dry run counted no reason")
}
