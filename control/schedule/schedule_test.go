package schedule

import (
	"fmt"
	"math"
	"testing"

	"github.com/tarpon-lb/tarpon/loader"
	"pgregory.net/rapid"
)

func choices(weights ...int) []Choice {
	var list []Choice
	for i, w := range weights {
		list = append(list, Choice{ID: loader.BackendID(i + 1), Name: fmt.Sprintf("10.0.0.%d:80", i+1), Weight: w})
	}
	return list
}

func count(slots []loader.BackendID) map[loader.BackendID]int {
	n := map[loader.BackendID]int{}
	for _, id := range slots {
		n[id]++
	}
	return n
}

func TestSharesFollowWeights(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, 20), 1, 30).Draw(t, "weights")
		list := choices(weights...)
		for _, name := range []string{"mh", "wrr"} {
			s, _ := ByName(name)
			slots := s.Slots("vip", list)
			have, sum := count(slots), 0
			for _, w := range weights {
				sum += w
			}
			for i, w := range weights {
				want := float64(w) * float64(len(slots)) / float64(sum)
				got := float64(have[loader.BackendID(i+1)])
				if math.Abs(got-want) > 1+want*0.03 {
					t.Fatalf("%s: weight %d of %d has %v of %d slots, want about %.1f", name, w, sum, got, len(slots), want)
				}
			}
		}
	})
}

func TestMaglevKeepsTheRestWhenOneGoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(3, 40).Draw(t, "reals")
		weights := rapid.SliceOfN(rapid.IntRange(1, 5), n, n).Draw(t, "weights")
		list := choices(weights...)
		before := maglev("vip", list)
		list[n-1].Down = true
		after := maglev("vip", list)
		if len(before) != len(after) {
			t.Fatalf("the table had %d slots and has %d", len(before), len(after))
		}
		size := len(before)
		moved := 0
		for i := range size {
			if before[i] != loader.BackendID(n) && before[i] != after[i] {
				moved++
			}
		}
		lost := count(before)[loader.BackendID(n)]
		if moved > lost+size/20 {
			t.Fatalf("%d of %d slots moved between reals that stay; only %d were the lost one's", moved, size, lost)
		}
	})
}

// The other router of a pair has other ids and another order of reals.
func TestMaglevKnowsNamesOnly(t *testing.T) {
	list := choices(1, 2, 3, 4)
	other := []Choice{list[2], list[0], list[3], list[1]}
	names := map[loader.BackendID]string{}
	for i := range other {
		other[i].ID += 100
		names[other[i].ID] = other[i].Name
	}
	for _, c := range list {
		names[c.ID] = c.Name
	}
	a, b := maglev("vip", list), maglev("vip", other)
	for i := range a {
		if names[a[i]] != names[b[i]] {
			t.Fatalf("slot %d is %s here and %s there", i, names[a[i]], names[b[i]])
		}
	}
}

func TestNobodyMeansNoSlots(t *testing.T) {
	for _, name := range []string{"mh", "wrr", "rr"} {
		s, ok := ByName(name)
		if !ok || len(s.Slots("vip", nil)) != 0 {
			t.Errorf("%s: slots without a choice", name)
		}
	}
}

func TestHugeWeightsEnd(t *testing.T) {
	for _, name := range []string{"mh", "wrr", "rr"} {
		s, _ := ByName(name)
		slots := s.Slots("vip", choices(65535, 1, 65534, 65533))
		if got := count(slots); got[2] == 0 && name != "mh" || len(slots) > mostSlots {
			t.Errorf("%s: %v of %d slots", name, got, len(slots))
		}
	}
}

func BenchmarkMaglev100(b *testing.B) {
	weights := make([]int, 100)
	for i := range weights {
		weights[i] = i%5 + 1
	}
	list := choices(weights...)
	for b.Loop() {
		maglev("vip", list)
	}
}
