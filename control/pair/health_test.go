package pair

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tarpon-lb/tarpon/control/api"
)

// Results as they are written here: real, and why it is down.
func results(list ...string) []Result {
	var all []Result
	for _, text := range list {
		real, why, down := strings.Cut(text, " ")
		all = append(all, Result{Vip: "v", Real: real, Up: !down, Error: why})
	}
	return all
}

func TestHealthDifferences(t *testing.T) {
	differs := func(real, up, down, why string) api.HealthDifference {
		return api.HealthDifference{Vip: "v", Real: real, Up: up, Down: down, Error: why}
	}
	for name, c := range map[string]struct {
		ours, theirs []Result
		more         int
		want         []api.HealthDifference
	}{
		"both find all up":    {results("a", "b"), results("a", "b"), 0, nil},
		"both find one down":  {results("a", "b refused"), results("a", "b timeout"), 0, nil},
		"one is down there":   {results("a", "b"), results("a", "b timeout"), 0, []api.HealthDifference{differs("b", "lb1", "lb2", "timeout")}},
		"one is down here":    {results("a refused", "b"), results("a", "b"), 0, []api.HealthDifference{differs("a", "lb2", "lb1", "refused")}},
		"not all was told":    {results("a refused", "b"), results("a", "b timeout"), 3, []api.HealthDifference{differs("b", "lb1", "lb2", "timeout")}},
		"another vip of ours": {results("a"), append(results("a"), Result{Vip: "w", Real: "a", Error: "x"}), 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			told := healthOf(slices.Values(c.theirs))
			told.More += c.more
			if got := differences(slices.Values(c.ours), told, "lb1", "lb2"); !slices.Equal(got, c.want) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// What is told of a network that is gone is bounded, and says so.
func TestHealthOfMany(t *testing.T) {
	var all []string
	for n := range mostTold + 7 {
		all = append(all, fmt.Sprintf("%d gone", n), fmt.Sprintf("up%d", n))
	}
	if h := healthOf(slices.Values(results(all...))); len(h.Down) != mostTold || h.More != 7 {
		t.Errorf("%d are told, %d are not", len(h.Down), h.More)
	}
}
