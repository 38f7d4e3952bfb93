package loader

import "iter"

// Holds says whether the kernel has these tables, to the last byte and nothing beside
// them. It makes no copy of them. May be called concurrently: while steps are taken
// the answer may be wrong.
func (l *Loader) Holds(t Tables) (bool, error) {
	if !l.holdsVips(t) || !l.holdsBackends(t) {
		return false, nil
	}
	var err error
	holds := same(names(l.maps.Names4, l.maps.Names6, &err), t.Names) &&
		same(names(l.maps.Reals4, l.maps.Reals6, &err), t.Reals) &&
		same(addresses(l.maps.Addresses4, l.maps.Addresses6, &err), t.Addresses)
	return holds, err
}

// same says whether a sequence, in which a key comes once, is what a map has.
func same[K comparable, V ~uint8 | ~uint16](have iter.Seq2[K, uint32], want map[K]V) bool {
	count := 0
	for key, value := range have {
		if wanted, ok := want[key]; !ok || value != uint32(wanted) {
			return false
		}
		count++
	}
	return count == len(want)
}

func (l *Loader) holdsVips(t Tables) bool {
	count := 0
	for id := range l.memory.vips {
		have := l.memory.vips[id]
		if have.Protocol == 0 {
			continue
		}
		vip, ok := t.Vips[VipID(id)]
		want := vip.record()
		want.Schedule = have.Schedule
		if !ok || have != want || !l.holdsSchedule(have.Schedule, t.Schedules[VipID(id)]) {
			return false
		}
		count++
	}
	return count == len(t.Vips)
}

func (l *Loader) holdsSchedule(word uint64, s Schedule) bool {
	if !hasLines(word) || wordKind(word) != s.Kind || wordSlots(word) != len(s.Slots) {
		return false
	}
	for i, id := range s.Slots {
		if l.memory.slot(word, i) != id {
			return false
		}
	}
	return true
}

// holdsBackends leaves out the next hops, which are no part of tables.
func (l *Loader) holdsBackends(t Tables) bool {
	count := 0
	for id := range l.memory.backends {
		have := l.memory.backends[id]
		if have.VipId == 0 {
			continue
		}
		backend, ok := t.Backends[BackendID(id)]
		want := backend.record(&l.memory.vips[backend.Vip])
		want.Hop = have.Hop
		if !ok || have != want {
			return false
		}
		count++
	}
	return count == len(t.Backends)
}
