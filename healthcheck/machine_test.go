package healthcheck

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestMachine(t *testing.T) {
	config := Config{Rise: 2, Fall: 3}
	tests := []struct {
		name    string
		start   State
		results string // + well, - not
		want    string // U up, d down after each
	}{
		{"rises after two", State{}, "++-+", "dUUU"},
		{"falls after three", State{Up: true}, "--+---", "UUUUUd"},
		{"rise must be in a row", State{}, "+-+-++", "dddddU"},
		{"first decides, well", State{Decisive: true}, "+--", "UUU"},
		{"first decides, not well", State{Decisive: true, Up: true}, "-+", "dd"},
		{"first decides only once", State{Decisive: true}, "-++", "ddU"},
		{"a restart believes what was", State{Up: true}, "-", "U"},
		{"what was not asked judges nobody", State{}, "+?+-?--", "ddUUUUd"},
		{"nor is it a first result", State{Decisive: true}, "?+", "dU"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			state, got := test.start, ""
			for _, r := range test.results {
				var failure error
				switch r {
				case '-':
					failure = errors.New("no")
				case '?':
					failure = fmt.Errorf("we: %w", notAsked{errors.New("out of files")})
				}
				state = state.Next(config, failure, time.Time{})
				got += map[bool]string{true: "U", false: "d"}[state.Up]
			}
			if got != test.want {
				t.Errorf("%s gives %s, want %s", test.results, got, test.want)
			}
		})
	}
}
