package loader

import (
	"fmt"
	"sync"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// memory is what Go shares with the programs, the flows aside: arrays mapped for
// reading and writing. No slice of it may be used after unmap.
type memory struct {
	mapped

	vips      []xdpVip
	backends  []xdpBackend
	schedules []xdpScheduleLine
	legs      []xdpLeg
	limits    []xdpInsertLimits // one
	lease     []uint64          // one
}

// mapMemory maps those of the arrays that are there.
func mapMemory(maps *xdpMaps) (*memory, error) {
	m := &memory{}
	err := m.add(
		mapping{maps.Vips, func(b []byte) { m.vips = records[xdpVip](b) }},
		mapping{maps.Backends, func(b []byte) { m.backends = records[xdpBackend](b) }},
		mapping{maps.Schedules, func(b []byte) { m.schedules = records[xdpScheduleLine](b) }},
		mapping{maps.Legs, func(b []byte) { m.legs = records[xdpLeg](b) }},
		mapping{maps.Limits, func(b []byte) { m.limits = records[xdpInsertLimits](b) }},
		mapping{maps.Lease, func(b []byte) { m.lease = records[uint64](b) }},
	)
	return m, err
}

// flowTables are the flows, mapped likewise. Who reads them holds the lock for
// reading: they may be replaced meanwhile, but are unmapped only after.
type flowTables struct {
	sync.RWMutex
	mapped

	four, six flowTable
}

func mapFlows(maps *xdpMaps) (*flowTables, error) {
	t := &flowTables{four: flowTable{layout: layout4}, six: flowTable{layout: layout6}}
	err := t.add(
		mapping{maps.Flows4, func(b []byte) { t.four.words = records[uint64](b) }},
		mapping{maps.Flows6, func(b []byte) { t.six.words = records[uint64](b) }},
		mapping{maps.Dirty4, func(b []byte) { t.four.dirty = b }},
		mapping{maps.Dirty6, func(b []byte) { t.six.dirty = b }},
	)
	return t, err
}

func (t *flowTables) both() [2]*flowTable { return [2]*flowTable{&t.four, &t.six} }

// retire unmaps the tables when nobody reads them any more.
func (t *flowTables) retire() {
	go func() {
		t.Lock()
		defer t.Unlock()
		t.unmap()
	}()
}

// mapped is memory to be unmapped together.
type mapped [][]byte

// A mapping is a map and what is to be made of its memory.
type mapping struct {
	of  *ebpf.Map // nil: nothing
	use func([]byte)
}

func (m *mapped) add(mappings ...mapping) error {
	for _, from := range mappings {
		if from.of == nil {
			continue
		}
		data, err := mapArray(from.of)
		if err != nil {
			m.unmap()
			return fmt.Errorf("map memory of %s: %w", from.of, err)
		}
		*m = append(*m, data)
		from.use(data[:from.of.MaxEntries()*from.of.ValueSize()])
	}
	return nil
}

func (m *mapped) unmap() {
	for _, data := range *m {
		_ = unix.Munmap(data)
	}
	*m = nil
}

func mapArray(m *ebpf.Map) ([]byte, error) {
	size := (int(m.MaxEntries())*int(m.ValueSize()) + pageSize - 1) &^ (pageSize - 1)
	return unix.Mmap(m.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}
