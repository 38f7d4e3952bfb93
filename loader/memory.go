package loader

import (
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// memory is what Go shares with the programs: arrays mapped for reading and
// writing. No slice of it may be used after unmap.
type memory struct {
	mapped [][]byte

	vips      []xdpVip
	backends  []xdpBackend
	schedules []xdpScheduleLine
	legs      []xdpLeg
	limits    []xdpInsertLimits // one
	lease     []uint64          // one
	flows4    flowTable
	flows6    flowTable
}

func mapMemory(maps *xdpMaps) (*memory, error) {
	m := &memory{}
	for _, from := range []struct {
		m   *ebpf.Map
		use func([]byte)
	}{
		{maps.Vips, func(b []byte) { m.vips = records[xdpVip](b) }},
		{maps.Backends, func(b []byte) { m.backends = records[xdpBackend](b) }},
		{maps.Schedules, func(b []byte) { m.schedules = records[xdpScheduleLine](b) }},
		{maps.Legs, func(b []byte) { m.legs = records[xdpLeg](b) }},
		{maps.Limits, func(b []byte) { m.limits = records[xdpInsertLimits](b) }},
		{maps.Lease, func(b []byte) { m.lease = records[uint64](b) }},
		{maps.Flows4, func(b []byte) { m.flows4.words = records[uint64](b) }},
		{maps.Flows6, func(b []byte) { m.flows6.words = records[uint64](b) }},
		{maps.Dirty4, func(b []byte) { m.flows4.dirty = b }},
		{maps.Dirty6, func(b []byte) { m.flows6.dirty = b }},
	} {
		data, err := mapArray(from.m)
		if err != nil {
			m.unmap()
			return nil, fmt.Errorf("map memory of %s: %w", from.m, err)
		}
		m.mapped = append(m.mapped, data)
		from.use(data[:from.m.MaxEntries()*from.m.ValueSize()])
	}
	m.flows4.layout, m.flows6.layout = layout4, layout6
	return m, nil
}

func mapArray(m *ebpf.Map) ([]byte, error) {
	size := (int(m.MaxEntries())*int(m.ValueSize()) + pageSize - 1) &^ (pageSize - 1)
	return unix.Mmap(m.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

func (m *memory) unmap() {
	for _, data := range m.mapped {
		_ = unix.Munmap(data)
	}
	*m = memory{}
}
