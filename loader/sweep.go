package loader

import "sync/atomic"

// Live is how many flows a backend has.
type Live struct {
	Established, Other int
}

func (l *Live) count(state State) {
	if state == Established {
		l.Established++
	} else {
		l.Other++
	}
}

// Sweep is what a sweep found, after it ended what had timed out.
type Sweep struct {
	Flows4, Flows6 int
	Ended          int
	Backends       map[BackendID]Live
}

// A slot that is GONE with the same key in two sweeps is nobody's work under
// way: whoever ended it died between its two writes.
type goneSlots struct {
	four, six map[int]uint64 // slot: key
}

// Sweep ends every flow that was silent for longer than its vip's timeout, and
// counts the others. Flows of a vip that has no record end at once. One that the other
// router has keeps its slot until replication has told its end, or for another sweep.
func (l *Loader) Sweep() Sweep {
	var sweep Sweep
	live := make([]Live, maxBackends)
	sweep.Flows4, l.gone.four = l.sweepTable(&l.flows.four, l.gone.four, live, &sweep)
	sweep.Flows6, l.gone.six = l.sweepTable(&l.flows.six, l.gone.six, live, &sweep)
	if l.before != nil && !l.before.isEmpty { // on their way, and not to be swept
		l.before.flows.countLive(live)
	}
	sweep.Backends = byBackend(live)
	return sweep
}

// Live counts the flows of every backend that has any, now. A flow that comes, goes or
// moves meanwhile may be missed or counted twice. May be called concurrently.
func (l *Loader) Live() map[BackendID]Live {
	tables, done := l.readFlows()
	defer done()
	live := make([]Live, maxBackends)
	tables.countLive(live)
	return byBackend(live)
}

func (t *flowTables) countLive(live []Live) {
	var room [slots4PerPage]int
	for _, t := range t.both() {
		for page := range t.pages() {
			for _, slot := range t.used(page, &room) {
				value := atomic.LoadUint64(t.valueAt(slot))
				if state := valueState(value); state > stateGone {
					live[valueBackend(value)].count(state)
				}
			}
		}
	}
}

func byBackend(live []Live) map[BackendID]Live {
	backends := map[BackendID]Live{}
	for id, count := range live {
		if count != (Live{}) {
			backends[BackendID(id)] = count
		}
	}
	return backends
}

func (l *Loader) sweepTable(t *flowTable, before map[int]uint64, live []Live, sweep *Sweep) (flows int, gone map[int]uint64) {
	now := clock()
	gone = map[int]uint64{}
	var room [slots4PerPage]int
	for page := range t.pages() {
		for _, slot := range t.used(page, &room) {
			key, value := atomic.LoadUint64(t.keyAt(slot)), atomic.LoadUint64(t.valueAt(slot))
			state := valueState(value)
			switch {
			case key == 0: // it was given back meanwhile
			case state <= stateGone:
				t.finish(slot, key, state, before, gone)
				if valueFlags(value)&FlowSent != 0 { // its backend's id is yet to be told
					live[valueBackend(value)].count(state)
				}
			case l.isDead(t.vip(key), value, now) && t.end(slot, key, value):
				sweep.Ended++
			default:
				flows++
				live[valueBackend(value)].count(state)
			}
		}
	}
	return flows, gone
}

// count counts the live flows of a table.
func (t *flowTable) count() (n int) {
	var room [slots4PerPage]int
	for page := range t.pages() {
		for _, slot := range t.used(page, &room) {
			if valueState(atomic.LoadUint64(t.valueAt(slot))) > stateGone {
				n++
			}
		}
	}
	return n
}

// CountFlows counts what is in each table now. May be called concurrently.
func (l *Loader) CountFlows() (flows4, flows6 int) {
	tables, done := l.readFlows()
	defer done()
	return tables.four.count(), tables.six.count()
}

// used are the slots of a page that have a key. Whether a slot has one cannot be
// predicted, so it must not become a branch.
func (t *flowTable) used(page int, room *[slots4PerPage]int) []int {
	n, size := 0, t.layout.words
	words := t.words[page*pageSize/8:][:pageSize/8]
	slot := page * pageSize / 8 / size
	for at := t.key; at < len(words); at += size {
		room[n&(slots4PerPage-1)] = slot
		slot++
		if atomic.LoadUint64(&words[at]) != 0 {
			n++
		}
	}
	return room[:n]
}

// finish gives back a slot that was GONE with the same key one sweep before. One
// without a state is being written.
func (t *flowTable) finish(slot int, key uint64, state State, before, gone map[int]uint64) {
	switch {
	case state == stateNone:
	case before[slot] == key:
		atomic.CompareAndSwapUint64(t.keyAt(slot), key, 0)
		t.markDirty(slot)
	default:
		gone[slot] = key
	}
}

func (l *Loader) isDead(id VipID, value uint64, now uint32) bool {
	vip := &l.memory.vips[id]
	if vip.Protocol == 0 {
		return true
	}
	if l.held.Load() && valueFlags(value)&FlowSent != 0 {
		return false
	}
	return valueAge(value, now) > uint32(vip.Timeouts[valueState(value).timeout()])
}

// Capacity of the flow tables.
type Capacity struct {
	Slots4, Slots6 int
	// Bytes of memory that both take.
	Bytes int
	// Moved, Evicted and Full count what inserts had to do: see the reasons
	// flow_moved, flow_evicted, flow_full.
	Moved, Evicted, Full uint64
}

// Capacity says how large the tables are and how hard inserts had it.
func (l *Loader) Capacity() (Capacity, error) {
	c := Capacity{
		Slots4: l.flows.four.slots(), Slots6: l.flows.six.slots(),
		Bytes: 8 * (len(l.flows.four.words) + len(l.flows.six.words)),
	}
	reasons, err := l.Reasons()
	for _, counts := range [][]Count{reasons.XDP, reasons.TC} {
		for _, count := range counts {
			switch count.Name {
			case "flow_moved":
				c.Moved += count.Packets
			case "flow_evicted":
				c.Evicted += count.Packets
			case "flow_full":
				c.Full += count.Packets
			}
		}
	}
	return c, err
}
