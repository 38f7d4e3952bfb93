package loader

import (
	"fmt"
	"sync/atomic"
	"time"
)

// lineRest is how long the lines of an old schedule rest before they are used
// again: a packet that read the old word is long done.
const lineRest = time.Second

// A lineRange is some neighbouring lines of the schedules' array.
type lineRange struct {
	first, count uint32
}

// scheduleLines knows which lines are whose. The kernel's truth is in the vips'
// words; this is read from them once.
type scheduleLines struct {
	used    map[VipID]lineRange
	resting []restingRange // in the order in which they were released
	taken   []bool         // by line: used or resting
	busy    int            // taken lines
	low     uint32         // no line before is free
	scarce  uint32         // so many in a row are not free; 0: not known
}

type restingRange struct {
	lineRange
	until time.Time
}

// A schedule's word: first line, slots << 32, kind << 56 (bpf/schedule.h).
func scheduleWord(first uint32, slots int, kind ScheduleKind) uint64 {
	return uint64(first) | uint64(slots)<<32 | uint64(kind)<<56
}

func wordKind(word uint64) ScheduleKind { return ScheduleKind(word >> 56) }
func wordSlots(word uint64) int         { return int(word >> 32 & 0xffffff) }
func wordFirst(word uint64) uint32      { return uint32(word) }

func linesFor(slots int) uint32 { return uint32((slots + slotsPerLine - 1) / slotsPerLine) }

// hasLines says false of a word that nobody here wrote.
func hasLines(word uint64) bool {
	return uint64(wordFirst(word))+uint64(linesFor(wordSlots(word))) <= linesTotal
}

func (s *scheduleLines) open(vips []xdpVip) {
	s.used, s.taken = map[VipID]lineRange{}, make([]bool, linesTotal)
	for id := range vips {
		if word := vips[id].Schedule; wordSlots(word) > 0 && hasLines(word) {
			r := lineRange{wordFirst(word), linesFor(wordSlots(word))}
			s.used[VipID(id)] = r
			s.mark(r, true)
		}
	}
}

func (s *scheduleLines) mark(r lineRange, taken bool) {
	for line := r.first; line < r.first+r.count; line++ {
		s.taken[line] = taken
	}
	if taken {
		s.busy += int(r.count)
		return
	}
	s.busy -= int(r.count)
	s.low, s.scarce = min(s.low, r.first), 0
}

// crowded says that lines are better left to schedules that have none yet: thousands of
// vips change at once when the first results of their checks come in.
func (s *scheduleLines) crowded() bool { return s.busy > linesTotal/2 }

var errNoLines = fmt.Errorf("schedules of all vips together need more than %d slots; lower weights to smaller numbers in the same ratio", linesTotal*slotsPerLine)

// take finds free lines, first fit.
func (s *scheduleLines) take(count uint32, now time.Time) (lineRange, error) {
	for len(s.resting) > 0 && now.After(s.resting[0].until) {
		s.mark(s.resting[0].lineRange, false)
		s.resting = s.resting[1:]
	}
	for s.low < linesTotal && s.taken[s.low] {
		s.low++
	}
	if s.scarce > 0 && count >= s.scarce {
		return lineRange{}, errNoLines
	}
	free := uint32(0)
	for line := s.low; free < count; line++ {
		if line == linesTotal {
			s.scarce = count
			return lineRange{}, errNoLines
		}
		if free++; s.taken[line] {
			free = 0
		}
		if free == count {
			r := lineRange{line + 1 - count, count}
			s.mark(r, true)
			return r, nil
		}
	}
	return lineRange{}, nil // of none
}

// takeOrWait waits for lines that rest, if others do not suffice.
func (s *scheduleLines) takeOrWait(count uint32, beat func()) (lineRange, error) {
	for {
		lines, err := s.take(count, time.Now())
		if err == nil || len(s.resting) == 0 {
			return lines, err
		}
		beat()
		time.Sleep(time.Until(s.resting[0].until) + time.Millisecond)
	}
}

func (s *scheduleLines) release(id VipID, now time.Time) {
	if r, ok := s.used[id]; ok {
		s.resting = append(s.resting, restingRange{r, now.Add(lineRest)})
		delete(s.used, id)
	}
}

func (s PutSchedule) apply(l *Loader) error {
	vip := &l.memory.vips[s.ID]
	if vip.Protocol == 0 {
		return fmt.Errorf("there is no vip %d", s.ID)
	}
	slots := s.Schedule.Slots
	if len(slots) >= 1<<24 {
		return fmt.Errorf("%d slots are too many", len(slots))
	}
	own := l.schedules.used[s.ID]
	asLarge := vip.Schedule == scheduleWord(own.first, len(slots), s.Schedule.Kind)
	lines, err := lineRange{}, errNoLines
	if !asLarge || !l.schedules.crowded() {
		lines, err = l.schedules.take(linesFor(len(slots)), time.Now())
	}
	if err != nil && asLarge { // over the old one: a packet meets each slot as it was, or as it is to be
		l.memory.fill(own, slots)
		return nil
	}
	if err != nil {
		if lines, err = l.schedules.takeOrWait(linesFor(len(slots)), l.beat); err != nil {
			return err
		}
	}
	l.memory.fill(lines, slots)
	atomic.StoreUint64(&vip.Schedule, scheduleWord(lines.first, len(slots), s.Schedule.Kind))
	l.schedules.release(s.ID, time.Now())
	if lines.count > 0 {
		l.schedules.used[s.ID] = lines
	}
	return nil
}

// fill writes a schedule's slots.
func (m *memory) fill(lines lineRange, slots []BackendID) {
	for i, id := range slots {
		m.schedules[int(lines.first)+i/slotsPerLine].Backends[i%slotsPerLine] = uint16(id)
	}
}

// scheduleOf reads a vip's schedule back; false if it never had one.
func (m *memory) scheduleOf(vip *xdpVip) (Schedule, bool) {
	word := vip.Schedule
	if wordKind(word) == 0 || !hasLines(word) {
		return Schedule{}, false
	}
	s := Schedule{Kind: wordKind(word)}
	for i := range wordSlots(word) {
		s.Slots = append(s.Slots, m.slot(word, i))
	}
	return s, true
}

func (m *memory) slot(word uint64, i int) BackendID {
	line := &m.schedules[int(wordFirst(word))+i/slotsPerLine]
	return BackendID(line.Backends[i%slotsPerLine])
}
