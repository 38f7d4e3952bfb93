package schedule

import (
	"hash/fnv"

	"github.com/tarpon-lb/tarpon/loader"
)

const slotsEach = 100 // per unit of weight, until mostSlots

// tableSizes are primes about a factor of two apart: another size moves every
// client, so a new real should seldom need one.
var tableSizes = [...]int{251, 509, 1021, 2039, 4093, 8191, 16381, 32749, mostSlots}

const mostSlots = 65537

// maglev fills a table by turns, each choice taking the next free slot of its own
// permutation, as often in a turn as its weight says (Eisenbud et al., "Maglev",
// NSDI 2016, section 3.4). A choice that goes gives away its own slots and few
// others.
func maglev(vip string, choices []Choice) []loader.BackendID {
	list := sorted(choices)
	size := tableSize(total(list))
	if list = up(list); len(list) == 0 {
		return nil
	}
	type walk struct{ at, skip uint64 }
	walks := make([]walk, len(list))
	for i, c := range list {
		h := hash(vip, c.Name)
		walks[i] = walk{(h >> 32) % size, uint64(uint32(h))%(size-1) + 1}
	}
	heaviest := 0
	for _, c := range list {
		heaviest = max(heaviest, c.Weight)
	}
	slots := make([]loader.BackendID, size)
	credit := make([]int, len(list))
	for filled := uint64(0); ; {
		for i, c := range list {
			// The heaviest takes one slot a round, others as often as their share.
			if credit[i] += c.Weight; credit[i] < heaviest {
				continue
			}
			credit[i] -= heaviest
			for slots[walks[i].at] != 0 {
				walks[i].at = (walks[i].at + walks[i].skip) % size
			}
			slots[walks[i].at] = c.ID
			if filled++; filled == size {
				return slots
			}
		}
	}
}

// tableSize gives every unit of weight slotsEach slots, if it can.
func tableSize(weight int) uint64 {
	for _, size := range tableSizes {
		if size >= min(weight, mostSlots)*slotsEach {
			return uint64(size)
		}
	}
	return mostSlots
}

func hash(vip, name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(vip))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(name))
	return mix(h.Sum64())
}

// mix is murmur3's finalizer: FNV alone leaves its high bits alike for names that
// differ at their end.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
