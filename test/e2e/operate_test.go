package e2e

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
	"golang.org/x/sys/unix"
)

// elsewhere checks that new connections go to every real but one.
func elsewhere(t *testing.T, l *lab.Lab, n int) {
	t.Helper()
	if count := spread(t, l, vip4(), 20); count[fmt.Sprintf("real%d", n)] != 0 {
		t.Errorf("real%d got new connections: %v", n, count)
	}
}

// A drain lets what runs go on, outlives the daemon and a file that was edited by
// hand, and cuts what is left at its deadline.
func TestDrain(t *testing.T) {
	l := newLab(t, lab.Options{})
	service(t, l, vip4())
	echo := echoService(t, l, "none")[0]
	s, err := l.NewStream("tcp", echo, 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	waitFlows(t, l, 1, "--state", "established", "--vip", echo.String())
	n := realOfFlow(t, l, echo.String())
	real := fmt.Sprintf("%s:7", l.Real4(n))
	file := configFile(t, l)
	if err := os.WriteFile(l.Config(), []byte(file+"# half edited"), 0o644); err != nil {
		t.Fatal(err)
	}

	contains(t, lbctl(t, l, "drain", echo.String(), real), real+" drained; 1 flow left (now)")
	lbctl(t, l, "drain", vip4(), l.Real4(n)+":80")
	contains(t, lbctl(t, l, "vips"), "drained 1 flow left")
	contains(t, exits(t, l, 1, "status"), real+": drained, 1 flow left (0 root, ")
	if strings.Contains(lbctl(t, l, "export"), "drain") || configFile(t, l) != file+"# half edited" {
		t.Error("the drain is in the configuration")
	}
	elsewhere(t, l, n)

	if err := os.WriteFile(l.Config(), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := l.KillDaemon(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	exits(t, l, 0, "status") // a drain is no fault
	elsewhere(t, l, n)
	moves(t, s)

	contains(t, lbctl(t, l, "undrain", vip4(), l.Real4(n)+":80"), "not drained")
	contains(t, lbctl(t, l, "undrain", vip4(), l.Real4(n)+":80"), "unchanged")
	if count := spread(t, l, vip4(), 40); count[fmt.Sprintf("real%d", n)] == 0 {
		t.Errorf("after undrain: %v", count)
	}

	contains(t, lbctl(t, l, "drain", echo.String(), real, "--deadline", "10m"), "what is left at")
	moves(t, s)
	lbctl(t, l, "drain", echo.String(), real, "--deadline", "1s")
	waitFlows(t, l, 0, "--state", "established", "--vip", echo.String())
	if err := s.Err(); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("at the deadline the connection ended with %v, want a reset", err)
	}
	exits(t, l, 1, "drain", vip4(), "10.0.0.99:80")
	exits(t, l, 1, "drain", "192.0.2.77:80", real)
	exits(t, l, 2, "drain", vip4())

	lbctl(t, l, "del-real", echo.String(), real)
	lbctl(t, l, "add-real", echo.String(), real)
	if out := lbctl(t, l, "vips"); strings.Contains(out, "drained") {
		t.Errorf("a real that was removed and added is drained still:\n%s", out)
	}
}

// moves checks that a stream goes on.
func moves(t *testing.T, s *lab.Stream) {
	t.Helper()
	before := s.Count()
	if err := lab.Wait(10*time.Second, func() error {
		if s.Count() < before+5 {
			return fmt.Errorf("%d messages, before %d", s.Count(), before)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestDisable(t *testing.T) {
	l := newLab(t, lab.Options{})
	service(t, l, vip4(), "--name", "shop")
	contains(t, lbctl(t, l, "disable", "shop", l.Real4(2)), "vip shop: real "+l.Real4(2)+":80 disabled; ")
	contains(t, lbctl(t, l, "vips"), "disabled by 0 root")
	elsewhere(t, l, 2)
	contains(t, lbctl(t, l, "enable", "shop", l.Real4(2)), "not disabled")
	if err := l.WaitUp(vip4()+"/tcp", lab.Reals); err != nil {
		t.Fatal(err)
	}
	contains(t, lbctl(t, l, "disable", "shop"), "vip shop disabled; ")
	if server, err := get(l, vip4()); err == nil {
		t.Errorf("a disabled vip answered: %s", server)
	}
	if err := l.KillDaemon(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	contains(t, lbctl(t, l, "vips"), "disabled by 0 root")
	if server, err := get(l, vip4()); err == nil {
		t.Errorf("after a restart the disabled vip answered: %s", server)
	}
	lbctl(t, l, "edit-vip", "shop", "--enabled=false")
	contains(t, lbctl(t, l, "enable", "shop"), "in the configuration still")
	lbctl(t, l, "edit-vip", "shop", "--enabled")
	if err := lab.Wait(20*time.Second, func() error {
		_, err := get(l, vip4())
		return err
	}); err != nil {
		t.Error(err)
	}
}
