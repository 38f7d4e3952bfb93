package control

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDrained(t *testing.T) {
	waiting := make(chan int, 3)
	for _, n := range []int{2, 3} {
		waiting <- n
	}
	for _, want := range [][]int{{1, 2, 3}, {1}} {
		if diff := cmp.Diff(want, drained(1, waiting)); diff != "" {
			t.Error(diff)
		}
	}
}
