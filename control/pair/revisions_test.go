package pair

import (
	"errors"
	"testing"

	"github.com/tarpon-lb/tarpon/control/pair/link"
)

type refusing struct{ Controller }

func (refusing) Check([]byte) error { return errors.New("line 3: no such key") }

// What a router of another version refuses may be its version's fault.
func TestRefusalByAnotherVersion(t *testing.T) {
	for version, want := range map[string]string{
		"1.0": "line 3: no such key (it runs Tarpon 1.0)",
		"":    "line 3: no such key", // as the other one, which has not said
	} {
		p := &Pair{Options: Options{Controller: refusing{}, Version: version}, link: &link.Link{}}
		if err := (agreeRouter{p}).Check(nil); err == nil || err.Error() != want {
			t.Errorf("it says %v, want %s", err, want)
		}
	}
}
