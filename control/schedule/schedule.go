// Package schedule makes the tables that new flows are given backends from:
// weights to slots. A scheduler is a pure function, found by its name.
package schedule

import (
	"slices"

	"github.com/tarpon-lb/tarpon/loader"
)

// A Choice is a backend that new flows may go to. Its name is the real's address,
// the same on every router; ids differ between routers.
type Choice struct {
	ID     loader.BackendID
	Name   string
	Weight int // at least 1
	// Down choices get no slot, but keep their share of the table's size: who
	// fails must not move what others have.
	Down bool
}

// A Scheduler makes a vip's table. The vip's name and the choices' names and
// weights alone decide who has which slot.
type Scheduler struct {
	Kind loader.ScheduleKind
	// Deterministic: two routers place the same client alike, so that TCP in
	// mid-stream without a flow can still find its real.
	Deterministic bool
	Slots         func(vip string, choices []Choice) []loader.BackendID
}

// ByName finds a scheduler; this is the door for more of them.
func ByName(name string) (Scheduler, bool) {
	s, ok := map[string]Scheduler{
		"mh":  {Kind: loader.ByHash, Deterministic: true, Slots: maglev},
		"wrr": {Kind: loader.ByTurn, Slots: weightedRoundRobin},
		"rr":  {Kind: loader.ByTurn, Slots: roundRobin},
	}[name]
	return s, ok
}

// sorted is the choices by name, with weights divided by what all have in common.
func sorted(choices []Choice) []Choice {
	list := slices.Clone(choices)
	slices.SortFunc(list, func(a, b Choice) int {
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
	common := 0
	for _, c := range list {
		common = gcd(c.Weight, common)
	}
	for i := range list {
		list[i].Weight /= common
	}
	return list
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// up is the choices that get slots.
func up(choices []Choice) []Choice {
	return slices.DeleteFunc(slices.Clone(choices), func(c Choice) bool { return c.Down })
}

func total(choices []Choice) int {
	sum := 0
	for _, c := range choices {
		sum += c.Weight
	}
	return sum
}
