// Package loader owns the kernel: it loads, attaches, pins and upgrades the
// programs of bpf/, and gives typed access to their maps and to the flow table,
// which it maps into memory. It is the only package of the daemon that imports
// cilium/ebpf, and knows nothing of configuration, health or policy.
package loader

import (
	"errors"
	"fmt"
	"os"
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

	maps     xdpMaps
	programs programs
	memory   *memory

	legs      map[int]*leg // by ifindex
	schedules scheduleLines
	gone      goneSlots
	meaning   meaning
	// held: sweeps leave flows alone that the other router has, and ends.
	held    atomic.Bool
	watched bool // strays are
	// sequence numbers the states of next hops.
	sequence uint32
}

// Open loads the programs and opens the pinned maps, or makes new ones. Nothing
// is attached and no traffic is touched. It fails without privileges, without a
// bpffs, on a kernel that refuses the programs, and while another Loader has the
// same pins.
func Open(options Options) (_ *Loader, err error) {
	l := &Loader{
		log:      options.Log,
		legs:     map[int]*leg{},
		sequence: uint32(time.Now().UnixNano()) &^ 1,
	}
	if l.log == nil {
		l.log = zap.NewNop()
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
	if err := l.openMaps(spec); err != nil {
		return nil, err
	}
	if err := l.programs.load(&l.maps, l.pins); err != nil {
		return nil, err
	}
	if l.memory, err = mapMemory(&l.maps); err != nil {
		return nil, err
	}
	l.schedules.open(l.memory.vips)
	return l, nil
}

// Lock is what keeps other Loaders from the pins, for as long as it is open: also in
// the program that this process becomes, whose Options take it.
func (l *Loader) Lock() *os.File { return l.pins.directory }

// Close gives the pins free for another Loader. Traffic goes on.
func (l *Loader) Close() error {
	if l.memory != nil {
		l.memory.unmap()
	}
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
	spec.Maps["flows4"].MaxEntries = pages4
	spec.Maps["flows6"].MaxEntries = pages6
	spec.Maps["dirty4"].MaxEntries = max(pages4/64, 1)
	spec.Maps["dirty6"].MaxEntries = max(pages6/64, 1)
	return spec, nil
}
