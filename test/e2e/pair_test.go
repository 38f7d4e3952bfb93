package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// newPair starts a pair with one vip for the web and one for echo, over all reals; lb1 is
// active and the routers are connected.
func newPair(t *testing.T, o lab.Options) *lab.Lab {
	t.Helper()
	o.Pair = true
	l := bareLab(t, o)
	for n := 1; n <= lab.Reals; n++ {
		if err := errors.Join(l.StartNginx(n), l.Echo(n, 7)); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range l.Routers() {
		if err := r.StartDaemon(); err != nil {
			t.Fatal(err)
		}
	}
	settles(t, "the routers are connected", func() error { return connected(l) })
	pairVip(t, l, lab.Vip4(0)+":80", "")
	pairVip(t, l, lab.Vip4(1)+":7", "tcp")
	pairVip(t, l, lab.Vip4(1)+":7/udp", "none")
	return l
}

// connected: the link is up, as both have told.
func connected(l *lab.Lab) error { return saidLast(l, "connected to lb") }

// inSync waits until both routers have all flows.
func inSync(t *testing.T, l *lab.Lab) {
	t.Helper()
	settles(t, "they are in sync", func() error { return saidLast(l, "in sync with lb") })
}

// saidLast holds when both routers have told something, and not told since that it is
// no longer so.
func saidLast(l *lab.Lab, what string) error {
	for _, r := range l.Routers() {
		log, err := r.MustLbctl("events")
		if err != nil {
			return err
		}
		if at := strings.LastIndex(log, what); at < 0 || strings.HasSuffix(log[:at], "not ") {
			return fmt.Errorf("%s does not say %q", r.Host, what)
		}
	}
	return nil
}

func pairVip(t *testing.T, l *lab.Lab, vip, check string) {
	t.Helper()
	args := []string{"add-vip", vip}
	if check != "" {
		args = append(args, "--check", check)
	}
	for n := 1; n <= lab.Reals; n++ {
		args = append(args, "--real", l.Real4(n))
	}
	if _, err := l.MustLbctl(args...); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(vip, "/") {
		vip += "/tcp"
	}
	for _, r := range l.Routers() {
		if err := r.WaitUp(vip, lab.Reals); err != nil {
			t.Fatal(r.Host, err)
		}
	}
}

// holder is the router that has the floating addresses and those of the vips; an error
// while it is not exactly one, with all of them.
func holder(l *lab.Lab) (*lab.Router, error) {
	var holder *lab.Router
	for _, r := range l.Routers() {
		if r.Off() {
			continue
		}
		out, err := l.Run(r.Host, "ip", "-j", "addr")
		if err != nil {
			return nil, err
		}
		var links []struct {
			Info []struct{ Local string } `json:"addr_info"`
		}
		if err := json.Unmarshal([]byte(out), &links); err != nil {
			return nil, err
		}
		moving := map[string]bool{"10.0.0.254": true, "2001:db8:2::254": true, lab.Vip4(0): true, lab.Vip4(1): true}
		all, has := len(moving), 0
		for _, link := range links {
			for _, a := range link.Info {
				if moving[a.Local] {
					has++
				}
			}
		}
		switch {
		case has == 0:
		case has < all:
			return nil, fmt.Errorf("%s has %d of %d addresses", r.Host, has, all)
		case holder != nil:
			return nil, errors.New("both routers have the addresses")
		default:
			holder = r
		}
	}
	if holder == nil {
		return nil, errors.New("no router has the addresses")
	}
	return holder, nil
}

func awaitHolder(t *testing.T, l *lab.Lab, want *lab.Router) {
	t.Helper()
	settles(t, want.Host+" alone has the addresses", func() error {
		has, err := holder(l)
		if err == nil && has != want {
			err = fmt.Errorf("%s has them", has.Host)
		}
		return err
	})
}

func settles(t *testing.T, what string, condition func() error) {
	t.Helper()
	if err := lab.Wait(30*time.Second, condition); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// pairStreams begins n connections of each protocol, and has them run.
func pairStreams(t *testing.T, l *lab.Lab, n int, protocols ...string) (streams []*lab.Stream) {
	t.Helper()
	vip := netip.MustParseAddrPort(lab.Vip4(1) + ":7")
	for range n {
		for _, protocol := range protocols {
			s, err := l.NewStream(protocol, vip, 5*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			streams = append(streams, s)
		}
	}
	goOn(t, streams)
	return streams
}

// goOn: every stream gets answers from now on.
func goOn(t *testing.T, streams []*lab.Stream) {
	t.Helper()
	before := make([]int64, len(streams))
	for i, s := range streams {
		before[i] = s.Count()
	}
	settles(t, "all connections go on", func() error {
		for i, s := range streams {
			if got := s.Count() - before[i]; got < 20 {
				return fmt.Errorf("%d of 20 messages of connection %d came back", got, i)
			}
		}
		return nil
	})
}

// A power cut: the other router takes over, and the connections go on there.
func TestPairPowerOff(t *testing.T) {
	l := newPair(t, lab.Options{})
	awaitHolder(t, l, l.Router)
	streams := pairStreams(t, l, 10, "tcp")
	inSync(t, l)
	if err := l.Router.PowerOff(); err != nil {
		t.Fatal(err)
	}
	awaitHolder(t, l, l.Other)
	goOn(t, streams)
	if err := l.Router.PowerOn(); err != nil {
		t.Fatal(err)
	}
	settles(t, "they are connected again", func() error { return connected(l) })
	inSync(t, l)
	awaitHolder(t, l, l.Other) // whoever comes back takes nothing
	goOn(t, streams)
}

// The daemon of the active router is stopped: the service moves, and no packet is lost.
func TestPairStop(t *testing.T) {
	l := newPair(t, lab.Options{})
	awaitHolder(t, l, l.Router)
	streams := pairStreams(t, l, 5, "tcp", "udp")
	inSync(t, l)
	if err := l.Router.KillDaemon(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	awaitHolder(t, l, l.Other)
	goOn(t, streams)
	if err := l.Router.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	settles(t, "they are connected again", func() error { return connected(l) })
	goOn(t, streams)
	lostNone(t, streams)
}

// The daemon of the active router dies, and another one starts: no packet is lost,
// whoever has the addresses then.
func TestPairKill(t *testing.T) {
	l := newPair(t, lab.Options{})
	awaitHolder(t, l, l.Router)
	streams := pairStreams(t, l, 5, "tcp", "udp")
	inSync(t, l)
	if err := l.Router.KillDaemon(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := l.Router.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	settles(t, "they are connected again", func() error { return connected(l) })
	settles(t, "one has the addresses", func() error { _, err := holder(l); return err })
	goOn(t, streams)
	lostNone(t, streams)
}

// A daemon that is frozen neither answers nor speaks for the addresses; thawed, it
// gives them up.
func TestPairFrozen(t *testing.T) {
	l := newPair(t, lab.Options{})
	awaitHolder(t, l, l.Router)
	streams := pairStreams(t, l, 5, "tcp")
	inSync(t, l)
	if err := syscall.Kill(l.DaemonPID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	settles(t, "the other one has the addresses", func() error {
		out, err := l.Run(l.Other.Host, "ip", "addr")
		if err == nil && !strings.Contains(out, lab.Vip4(0)) {
			err = errors.New("not yet")
		}
		return err
	})
	goOn(t, streams)
	if err := syscall.Kill(l.DaemonPID(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	awaitHolder(t, l, l.Other)
	goOn(t, streams)
}

// All heartbeats are cut: both have the addresses. Healed, one has them, and the
// connections are there.
func TestPairSplit(t *testing.T) {
	l := newPair(t, lab.Options{})
	awaitHolder(t, l, l.Router)
	streams := pairStreams(t, l, 5, "tcp")
	inSync(t, l)
	for _, leg := range []string{"hb", "lan"} {
		if err := l.Other.Unplug(leg); err != nil {
			t.Fatal(err)
		}
	}
	settles(t, "both have the addresses", func() error {
		if _, err := holder(l); err == nil || !strings.Contains(err.Error(), "both") {
			return fmt.Errorf("they have not: %v", err)
		}
		return nil
	})
	for _, leg := range []string{"hb", "lan"} {
		if err := l.Other.Plug(leg); err != nil {
			t.Fatal(err)
		}
	}
	settles(t, "one has the addresses", func() error { _, err := holder(l); return err })
	goOn(t, streams)
	settles(t, "they are connected again", func() error { return connected(l) })
	inSync(t, l)
}

func lostNone(t *testing.T, streams []*lab.Stream) {
	t.Helper()
	for _, s := range streams {
		if err := s.Err(); err != nil {
			t.Error(err)
		}
	}
}

// A router that runs alone becomes one of a pair, and the other one joins: nothing is
// lost meanwhile.
func TestPairOfOne(t *testing.T) {
	l := bareLab(t, lab.Options{Pair: true})
	paired, err := os.ReadFile(l.Config())
	if err != nil {
		t.Fatal(err)
	}
	alone, _, _ := strings.Cut(string(paired), "routers:")
	alone = strings.Replace(alone, "  hb:  {role: pair, interface: hb}\n", "", 1)
	if err := os.WriteFile(l.Config(), []byte(alone), 0o644); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= lab.Reals; n++ {
		if err := errors.Join(l.StartNginx(n), l.Echo(n, 7)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	reals := ""
	for n := 1; n <= lab.Reals; n++ {
		reals += fmt.Sprintf(" --real %s", l.Real4(n))
	}
	for _, vip := range []string{lab.Vip4(0) + ":80", lab.Vip4(1) + ":7 --check tcp", lab.Vip4(1) + ":7/udp --check none"} {
		lbctl(t, l, strings.Fields("add-vip "+vip+reals)...)
	}
	if err := l.WaitUp(lab.Vip4(1)+":7/tcp", lab.Reals); err != nil {
		t.Fatal(err)
	}
	settles(t, "the echo answers", func() error {
		s, err := l.NewStream("tcp", netip.MustParseAddrPort(lab.Vip4(1)+":7"), time.Millisecond)
		if err == nil {
			err = s.Err()
		}
		return err
	})
	streams := pairStreams(t, l, 5, "tcp", "udp")

	_, vips, _ := strings.Cut(lbctl(t, l, "export"), "vips:")
	both := string(paired) + "vips:" + vips
	for _, r := range l.Routers() {
		if err := os.WriteFile(r.Config(), []byte(both), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	lbctl(t, l, "reload")
	goOn(t, streams)
	if err := l.Other.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	inSync(t, l)
	awaitHolder(t, l, l.Router)
	lostNone(t, streams)
	lbctl(t, l, "del-vip", lab.Vip4(0)+":80") // from now on on both
	settles(t, "lb2 has not the vip either", func() error {
		out, err := l.Other.MustLbctl("vips")
		if err == nil && strings.Contains(out, lab.Vip4(0)) {
			err = errors.New("it has")
		}
		return err
	})
}

// A change of the pair itself begins it anew on both routers: the roles stay, and nothing
// is lost.
func TestPairChanges(t *testing.T) {
	l := newPair(t, lab.Options{})
	awaitHolder(t, l, l.Router)
	streams := pairStreams(t, l, 5, "tcp", "udp")
	inSync(t, l)
	file := filepath.Join(l.Dir, "next.yaml")
	next := strings.Replace(lbctl(t, l, "export"), "advert: 100ms", "advert: 150ms", 1)
	if err := os.WriteFile(file, []byte(next), 0o644); err != nil {
		t.Fatal(err)
	}
	lbctl(t, l, "apply", "-f", file)
	settles(t, "lb2 has it", func() error {
		out, err := l.Other.MustLbctl("export")
		if err == nil && out != next {
			err = errors.New("it has not")
		}
		return err
	})
	settles(t, "they are connected again", func() error { return connected(l) })
	inSync(t, l)
	awaitHolder(t, l, l.Router)
	lbctl(t, l, "del-vip", lab.Vip4(0)+":80") // changes go on being taken
	goOn(t, streams)
	lostNone(t, streams)
}
