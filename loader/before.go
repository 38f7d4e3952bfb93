package loader

import (
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"go.uber.org/zap"
)

// before is a set that flows come over from. It is of this layout or of the one
// before, whose flows, vips, backends, schedules, names and counters are as they are
// now: the types of bpf/abi.h read both. A layout that changes one of these reads the
// old one here and in bpf/before.h.
type before struct {
	maps    xdpMaps // those that are read
	flows   *flowTables
	isEmpty bool // every flow was brought over
	isApart bool // nobody replicates until then
}

// flowsBefore and tablesBefore are the maps of a set that are read. Legs are found again
// on the machine, next hops in the kernel; locks and allowances hold nothing that lasts.
var (
	flowsBefore  = []string{"flows4", "flows6"}
	tablesBefore = []string{"vips", "backends", "schedules", "names4", "names6", "reals4", "reals6",
		"addresses4", "addresses6", "turns", "hooks", "traffic_of"}
)

// openBefore opens maps of a set that was made by another daemon.
func openBefore(set string, spec *ebpf.CollectionSpec, names []string) (_ *before, err error) {
	opened := map[string]*ebpf.Map{}
	defer func() {
		if err != nil {
			for _, m := range opened {
				m.Close()
			}
		}
	}()
	for _, name := range names {
		m, err := ebpf.LoadPinnedMap(filepath.Join(set, "maps", name), nil)
		if err != nil {
			return nil, fmt.Errorf("open the tables before: %w", err)
		}
		opened[name] = m
		wanted := spec.Maps[name].Copy()
		if slices.Contains(flowsBefore, name) {
			wanted.MaxEntries = m.MaxEntries()
		}
		if err := wanted.Compatible(m); err != nil {
			return nil, fmt.Errorf("the tables before, %s: %s is not as its version says: %w", set, name, err)
		}
	}
	b := &before{}
	assign(&b.maps, opened)
	if b.flows, err = mapFlows(&b.maps); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *before) close() {
	if b == nil {
		return
	}
	b.flows.retire()
	_ = b.maps.Close()
}

// upgrade goes over from the set of another layout to a new one.
func (l *Loader) upgrade(spec *ebpf.CollectionSpec) (err error) {
	from, err := openBefore(l.pins.before, spec, flowsBefore)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			from.close()
		}
	}()
	for name, table := range map[string]*flowTable{"flows4": &from.flows.four, "flows6": &from.flows.six} {
		if err := makeRoom(spec, name, table); err != nil {
			return err
		}
	}
	tables, err := openBefore(l.pins.before, spec, tablesBefore)
	if err != nil {
		return err
	}
	defer tables.close()
	if err := l.pins.share(unchanged); err != nil {
		return err
	}
	if err := l.openTables(spec); err != nil {
		return err
	}
	if err := l.takeTables(tables); err != nil {
		return err
	}
	l.log.Info("tables of another version are taken over", zap.String("from", filepath.Base(l.pins.before)), zap.String("to", ownSet()))
	return l.upgradeTo(l.pins, l.maps, l.flows, from, Here)
}

// makeRoom sizes a table for the flows that are there, if the options ask for less.
func makeRoom(spec *ebpf.CollectionSpec, name string, table *flowTable) error {
	pages, err := flowPages(max(table.count(), 1), pageSize/8/table.layout.words)
	if err != nil {
		return err
	}
	size(spec, name, max(pages, spec.Maps[name].MaxEntries))
	return nil
}

// takeTables makes this set's tables those of the set before, ids and secrets
// included, for flows name both; and counters go on from there. What is counted from
// now until the programs are replaced is missing.
func (l *Loader) takeTables(from *before) error {
	memory, err := mapMemory(&from.maps)
	if err != nil {
		return err
	}
	defer memory.unmap()
	tables, err := readTables(&from.maps, memory)
	if err != nil {
		return fmt.Errorf("read the tables before: %w", err)
	}
	if err := l.Apply(tables.steps()); err != nil {
		return fmt.Errorf("write the tables before: %w", err)
	}
	return l.takeCounters(from, tables)
}

// steps make empty tables these. Of a backend whose vip is gone there is no flow that
// could last.
func (t Tables) steps() (steps []Step) {
	for id, vip := range t.Vips {
		steps = append(steps, PutVip{id, vip})
	}
	for id, backend := range t.Backends {
		if _, ok := t.Vips[backend.Vip]; ok {
			steps = append(steps, PutBackend{ID: id, Backend: backend})
		}
	}
	for id, schedule := range t.Schedules {
		steps = append(steps, PutSchedule{id, schedule})
	}
	for endpoint, id := range t.Names {
		steps = append(steps, PutName{endpoint, id})
	}
	for real, id := range t.Reals {
		steps = append(steps, PutReal{real, id})
	}
	for addr, use := range t.Addresses {
		steps = append(steps, PutAddress{addr, use})
	}
	return steps
}

func (l *Loader) takeCounters(from *before, tables Tables) error {
	for hook := range uint32(2) {
		var cpus []xdpHook
		if err := from.maps.Hooks.Lookup(hook, &cpus); err != nil {
			return fmt.Errorf("read the counters before: %w", err)
		}
		for i := range cpus {
			cpus[i] = xdpHook{Reasons: cpus[i].Reasons}
		}
		if err := l.maps.Hooks.Put(hook, cpus); err != nil {
			return fmt.Errorf("carry the counters over: %w", err)
		}
	}
	for id := range tables.Backends {
		var cpus []xdpTraffic
		if err := from.maps.TrafficOf.Lookup(uint32(id), &cpus); err != nil {
			return fmt.Errorf("read the counters before: %w", err)
		}
		if err := l.maps.TrafficOf.Put(uint32(id), cpus); err != nil {
			return fmt.Errorf("carry the counters over: %w", err)
		}
	}
	for id := range tables.Vips {
		var turn uint64
		if err := from.maps.Turns.Lookup(uint32(id), &turn); err != nil {
			return fmt.Errorf("read whose turn it is: %w", err)
		}
		if err := l.maps.Turns.Put(uint32(id), turn); err != nil {
			return fmt.Errorf("carry over whose turn it is: %w", err)
		}
	}
	return nil
}

// valueBrought is set in a value of the tables before when a packet has brought its flow
// over. valueChanged says then that the program before has changed it after that: this
// is merged with its entry; but if it has none any more, it has ended.
const (
	valueChanged = uint64(FlowChanged) << 32
	valueBrought = uint64(1) << 39
)

// puts are the flows of a table that no program writes any more, as they are. beat is
// called now and then.
func (t *flowTable) puts(beat func()) iter.Seq[putFlowPut] {
	return func(yield func(putFlowPut) bool) {
		var room [slots4PerPage]int
		for page := range t.pages() {
			if page&0xfff == 0 {
				beat()
			}
			for _, slot := range t.used(page, &room) {
				key, value := atomic.LoadUint64(t.keyAt(slot)), atomic.LoadUint64(t.valueAt(slot))
				if key == 0 || valueState(value) <= stateGone || value&(valueBrought|valueChanged) == valueBrought {
					continue
				}
				put := putFlowPut{Value: value &^ valueBrought, V6: flags(t.v6, 1), Brought: flags(value&valueBrought != 0, 1)}
				words := t.words[slot*t.layout.words:]
				if t.v6 {
					put.Client.Words = [4]uint32{uint32(words[0]), uint32(words[0] >> 32), uint32(words[1]), uint32(words[1] >> 32)}
					put.ClientPort = uint16(key)
				} else {
					put.Client.Words[0], put.ClientPort = uint32(key), uint16(key>>32)
				}
				if !yield(put) {
					return
				}
			}
		}
	}
}
