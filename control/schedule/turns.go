package schedule

import "github.com/tarpon-lb/tarpon/loader"

// roundRobin gives every choice one slot, whatever its weight.
func roundRobin(_ string, choices []Choice) []loader.BackendID {
	var slots []loader.BackendID
	for _, c := range up(sorted(choices)) {
		slots = append(slots, c.ID)
	}
	return slots
}

// weightedRoundRobin spreads each choice's slots evenly over the round, so that a
// heavy one gets no burst. The round is as long as the weights' sum, up to
// mostSlots; beyond, weights are scaled down, to at least one.
func weightedRoundRobin(_ string, choices []Choice) []loader.BackendID {
	list := up(sorted(choices))
	for sum := total(list); sum > mostSlots; sum = total(list) {
		scaled := false
		for i := range list {
			if w := max(1, list[i].Weight*mostSlots/sum); w < list[i].Weight {
				list[i].Weight, scaled = w, true
			}
		}
		if !scaled {
			break
		}
	}
	sum := total(list)
	current := make([]int, len(list))
	slots := make([]loader.BackendID, 0, sum)
	for range sum {
		best := 0
		for i := range list {
			current[i] += list[i].Weight
			if current[i] > current[best] {
				best = i
			}
		}
		current[best] -= sum
		slots = append(slots, list[best].ID)
	}
	return slots
}
