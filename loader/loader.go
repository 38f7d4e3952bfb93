// Package loader owns the kernel: it loads, attaches, pins and upgrades the
// programs of bpf/, and gives typed access to their maps and to the flow table,
// which it maps into memory. It is the only package of the daemon that imports
// cilium/ebpf, and knows nothing of configuration, health or policy.
package loader

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"go.uber.org/zap"
)

// A Loader is an open set of pinned programs and maps, and the only one of its
// bpffs: it holds a lock on the pin directory until Close. Its methods are not
// safe for concurrent use, except those that say so.
type Loader struct {
	log  *zap.Logger
	pins *pins

	maps   xdpMaps
	memory *memory
	before *before // that flows still come over from; nil: none

	// replacing guards who may be replaced while others use them: it is held for
	// writing for a moment.
	replacing sync.RWMutex
	programs  *programs
	flows     *flowTables

	beat      func()
	legs      map[int]*leg // by ifindex
	schedules scheduleLines
	gone      goneSlots
	meaning   meaning
	// partial is held while the tables may lack flows of the set before.
	partial sync.RWMutex
	// held: sweeps leave flows alone that the other router has, and ends.
	held    atomic.Bool
	watched bool // strays are
	// sequence numbers the states of next hops.
	sequence uint32
}

// Open loads the programs and opens the pinned maps, or makes new ones. Nothing
// is attached and no traffic is touched. Pins of another layout are read, and go over
// to this one as the programs are attached: see FinishUpgrade. It fails without
// privileges, without a bpffs, on a kernel that refuses the programs, with pins that
// it cannot read, and while another Loader has the same pins.
func Open(options Options) (_ *Loader, err error) {
	l := &Loader{
		log:      options.Log,
		beat:     options.Beat,
		legs:     map[int]*leg{},
		sequence: uint32(time.Now().UnixNano()) &^ 1,
	}
	if l.log == nil {
		l.log = zap.NewNop()
	}
	if l.beat == nil {
		l.beat = func() {}
	}
	if err := checkPrivileges(); err != nil {
		return nil, err
	}
	if l.pins, err = openPins(options.BPFFS, options.Lock); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	spec, err := newSpec(options)
	if err != nil {
		return nil, err
	}
	if l.pins.isNew() {
		if err := l.upgrade(spec); err != nil {
			return nil, err
		}
		return l, nil
	}
	if err := l.openTables(spec); err != nil {
		return nil, err
	}
	if l.pins.before != "" {
		from, err := openBefore(l.pins.before, spec, flowsBefore)
		if err != nil {
			return nil, err
		}
		l.comeFrom(from)
	}
	if l.programs, err = l.loadPrograms(&l.maps, l.before); err != nil {
		return nil, err
	}
	return l, nil
}

// openTables opens the maps of the set in use, and its memory.
func (l *Loader) openTables(spec *ebpf.CollectionSpec) (err error) {
	if err := l.openMaps(spec); err != nil {
		return err
	}
	if l.memory, err = mapMemory(&l.maps); err != nil {
		return err
	}
	l.schedules.open(l.memory.vips)
	l.flows, err = mapFlows(&l.maps)
	return err
}

// Lock is what keeps other Loaders from the pins, for as long as it is open: also in
// the program that this process becomes, whose Options take it.
func (l *Loader) Lock() *os.File { return l.pins.directory }

// Close gives the pins free for another Loader. Traffic goes on.
func (l *Loader) Close() error {
	if l.memory != nil {
		l.memory.unmap()
	}
	if l.flows != nil {
		l.flows.unmap()
	}
	l.before.close()
	l.programs.close()
	_ = l.maps.Close()
	for _, leg := range l.legs {
		leg.close()
	}
	return l.pins.close()
}

// newSpec is the program's maps with the sizes that the options ask for.
func newSpec(options Options) (*ebpf.CollectionSpec, error) {
	spec, err := loadXdp()
	if err != nil {
		return nil, fmt.Errorf("read the built-in program: %w", err)
	}
	pages4, err := flowPages(options.MaxFlows4, slots4PerPage)
	if err != nil {
		return nil, err
	}
	pages6, err := flowPages(options.MaxFlows6, slots6PerPage)
	if err != nil {
		return nil, err
	}
	size(spec, "flows4", pages4)
	size(spec, "flows6", pages6)
	return spec, nil
}

// size says how large a flow table is to be, and what belongs to it.
func size(spec *ebpf.CollectionSpec, flows string, pages uint32) {
	spec.Maps[flows].MaxEntries = pages
	spec.Maps[strings.Replace(flows, "flows", "dirty", 1)].MaxEntries = max(pages/64, 1)
}
