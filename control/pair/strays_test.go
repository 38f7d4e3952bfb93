package pair

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/tarpon-lb/tarpon/loader"
)

// Who has sent since is named, by what it sends to, and none is left out in silence.
func TestStraysThatHaveGrown(t *testing.T) {
	vip := netip.MustParseAddr("192.0.2.1")
	client := func(n byte) loader.Stray { return loader.Stray{MAC: [6]byte{2, 5: n}, Vip: vip} }
	real := loader.Stray{MAC: [6]byte{4}}
	before := map[loader.Stray]uint64{client(1): 7, client(2): 1}
	after := map[loader.Stray]uint64{client(1): 7, client(2): 2, real: 1}
	if have, want := grown(before, after), "02:00:00:00:00:02 sends 192.0.2.1, 04:00:00:00:00:00 sends what reals answer"; have != want {
		t.Errorf("%q, want %q", have, want)
	}
	if have := grown(after, after); have != "" {
		t.Errorf("nobody has sent, and it says %q", have)
	}
	for n := range byte(mostStrays + 2) {
		after[client(n)]++
	}
	if have := grown(nil, after); strings.Count(have, " sends ") != mostStrays || !strings.HasSuffix(have, ", and 3 more") {
		t.Errorf("of %d it says %q", len(after), have)
	}
}
