package e2e

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// newPair starts a pair with one vip and its web servers; lb1 is active.
func newPair(t *testing.T, o lab.Options) *lab.Lab {
	t.Helper()
	o.Pair = true
	l := bareLab(t, o)
	for n := 1; n <= lab.Reals; n++ {
		if err := l.StartNginx(n); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range l.Routers() {
		if err := r.StartDaemon(); err != nil {
			t.Fatal(err)
		}
	}
	addVip(t, l, lab.Vip4(0)+":80")
	return l
}

func addVip(t *testing.T, l *lab.Lab, vip string) {
	t.Helper()
	args := []string{"add-vip", vip}
	for n := 1; n <= lab.Reals; n++ {
		args = append(args, "--real", l.Real4(n))
	}
	if out, err := l.MustLbctl(args...); err != nil {
		t.Fatal(err)
	} else {
		t.Log(out)
	}
	for _, r := range l.Routers() {
		if err := r.WaitUp(vip+"/tcp", lab.Reals); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPairPowerOff(t *testing.T) {
	l := newPair(t, lab.Options{})
	vip := netip.MustParseAddrPort(lab.Vip4(0) + ":7")
	_ = vip
	if out, err := l.Run("client", "curl", "-sS", "-m", "2", fmt.Sprintf("http://%s/", lab.Vip4(0))); err != nil {
		t.Fatal(err, out)
	}
	if err := l.Router.PowerOff(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	err := lab.Wait(20*time.Second, func() error {
		out, err := l.Run("client", "curl", "-sS", "-m", "1", fmt.Sprintf("http://%s/", lab.Vip4(0)))
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("served again after %s", time.Since(began))
}
