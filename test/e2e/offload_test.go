package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// Tags are left in the frames of a native leg, for as long as it is one.
func TestOffloads(t *testing.T) {
	l := newLab(t, lab.Options{Mode: "native"})
	is := func(want string) {
		t.Helper()
		out, err := l.Run("router", "ethtool", "-k", "wan")
		if err != nil || !strings.Contains(out, "rx-vlan-offload: "+want) {
			t.Errorf("VLAN tags taken out is not %s (%v):\n%s", want, err, out)
		}
	}
	is("off")
	if err := l.KillDaemon(9); err != nil {
		t.Fatal(err)
	}
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	is("off")
	lbctl(t, l, "apply", "-f", altered(t, l, "interface: wan, mode: native", "interface: wan, mode: tc"))
	is("on")
	log, err := os.ReadFile(l.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]int{"offloads turned off": 2, "offload turned on again": 2, "offloads stay on": 0} {
		if n := strings.Count(string(log), line); n != want {
			t.Errorf("the log says %q %d times, want %d", line, n, want)
		}
	}
}
