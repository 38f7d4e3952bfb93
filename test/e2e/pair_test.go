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
	startPair(t, l)
	return l
}

// startPair starts both routers, the reals' servers and the vips.
func startPair(t *testing.T, l *lab.Lab) {
	t.Helper()
	startServers(t, l)
	for _, r := range l.Routers() {
		if err := r.StartDaemon(); err != nil {
			t.Fatal(err)
		}
	}
	settles(t, "the routers are connected", func() error { return connected(l) })
	pairVips(t, l)
}

// startServers starts a web and an echo server on every real.
func startServers(t *testing.T, l *lab.Lab) {
	t.Helper()
	startWeb(t, l)
	for n := 1; n <= lab.Reals; n++ {
		if err := l.Echo(n, 7); err != nil {
			t.Fatal(err)
		}
	}
}

// pairVips adds the vips of most tests of a pair: the web, and echo over both protocols.
func pairVips(t *testing.T, l *lab.Lab) {
	t.Helper()
	pairVip(t, l, lab.Vip4(0)+":80", "")
	pairVip(t, l, lab.Vip4(1)+":7", "tcp")
	pairVip(t, l, lab.Vip4(1)+":7/udp", "none")
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

// The active router restarts in place, again and again: nothing moves, though the other
// router takes over from a silence of less than half a second; and it does from the next.
func TestPairRestart(t *testing.T) {
	l := newPair(t, lab.Options{})
	awaitHolder(t, l, l.Router)
	streams := pairStreams(t, l, 5, "tcp", "udp")
	for range 5 {
		awaitPair(t, l.Router, l.Other)
		lbctl(t, l, "restart")
	}
	awaitPair(t, l.Router, l.Other)
	goOn(t, streams)
	lostNone(t, streams)
	if events := lbctlOf(t, l.Other, "events"); strings.Contains(events, "active: ") || strings.Contains(events, "vrrp") {
		t.Errorf("lb2 does not leave it at that:\n%s", events)
	}
	died := time.Now()
	if err := l.KillDaemon(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	settles(t, "lb2 is active", func() error {
		if !hasAddresses(l, l.Other) {
			return errors.New("it is not")
		}
		return nil
	})
	// Had it not heard of the short interval, it would not before 7.1 s.
	if took := time.Since(died); took > 6*time.Second {
		t.Errorf("lb2 took over after %s", took)
	}
}

// A router that has booted need not wait until its legs have settled where it has heard
// the other one.
func TestPairTakesOverUnsettled(t *testing.T) {
	l := newPair(t, lab.Options{})
	awaitHolder(t, l, l.Router)
	lbctl(t, l, "apply", "-f", changedFile(t, l.Router, "[hb, lan]\n  advert: 250ms\n  settle: 0s", "[hb, lan, wan]\n  advert: 250ms\n  settle: 1h"))
	awaitPair(t, l.Router, l.Other)
	if err := l.Other.PowerOff(); err != nil {
		t.Fatal(err)
	}
	if err := l.Other.PowerOn(); err != nil {
		t.Fatal(err)
	}
	awaitPair(t, l.Router, l.Other)
	streams := pairStreams(t, l, 5, "tcp")
	inSync(t, l)
	if err := l.PowerOff(); err != nil {
		t.Fatal(err)
	}
	awaitHolder(t, l, l.Other)
	goOn(t, streams)
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
	startServers(t, l)
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
	next := strings.Replace(lbctl(t, l, "export"), "advert: 250ms", "advert: 150ms", 1)
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
	settles(t, "they are a pair again", func() error {
		if p := pairOf(t, l.Other); p.Adverts.Interval != 0.15 {
			return fmt.Errorf("adverts every %v s", p.Adverts.Interval)
		}
		return nil
	})
	awaitPair(t, l.Router, l.Other)
	awaitHolder(t, l, l.Router)
	lbctl(t, l, "del-vip", lab.Vip4(0)+":80") // changes go on being taken
	goOn(t, streams)
	lostNone(t, streams)
}
