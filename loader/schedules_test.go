package loader

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// Where little room is left, a schedule takes the place of one of its size; one of another
// size waits for the lines of those that were given up, or is refused.
func TestSchedulesThatFillTheRoom(t *testing.T) {
	l := puttable(t, 100)
	const half = linesTotal * slotsPerLine / 2
	schedule := func(slots int, id BackendID) Schedule {
		return Schedule{Kind: ByHash, Slots: slices.Repeat([]BackendID{id}, slots)}
	}
	put := func(vip VipID, s Schedule) {
		t.Helper()
		if err := l.Apply([]Step{PutSchedule{vip, s}}); err != nil {
			t.Fatal(err)
		}
		if have, ok := l.memory.scheduleOf(&l.memory.vips[vip]); !ok || have.Kind != s.Kind || !slices.Equal(have.Slots, s.Slots) {
			t.Fatalf("vip %d has %d slots of kind %d, want %d of %d", vip, len(have.Slots), have.Kind, len(s.Slots), s.Kind)
		}
	}
	put(1, schedule(half/2, 1))
	put(2, schedule(half/2, 2))
	word := l.memory.vips[1].Schedule
	put(1, schedule(half/2, 5))
	if l.memory.vips[1].Schedule == word {
		t.Error("it is over the old one, where there is room")
	}
	word = l.memory.vips[2].Schedule
	put(2, schedule(half/2, 5)) // while the first one's old lines rest
	if l.memory.vips[2].Schedule != word {
		t.Error("it takes lines of those that have none yet")
	}

	l = puttable(t, 100)
	put(1, schedule(half, 1))
	word = l.memory.vips[1].Schedule
	put(2, schedule(half, 2))
	put(1, schedule(half, 5)) // a real has failed
	if l.memory.vips[1].Schedule != word {
		t.Error("it is elsewhere")
	}
	if err := l.Apply([]Step{PutSchedule{1, schedule(half/2, 1)}}); !errors.Is(err, errNoLines) {
		t.Errorf("a smaller one beside it: %v", err)
	}

	if err := l.Apply([]Step{DeleteVip{2}}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	put(1, schedule(half-1, 1))
	if rested := time.Since(began); rested < lineRest/2 {
		t.Errorf("lines were used again after %s", rested)
	}
	put(3, Schedule{Kind: ByTurn, Slots: []BackendID{3}})
}
