package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// manyStreams begins n through every vip and protocol: each an established flow, with
// something under way at every moment.
func manyStreams(t *testing.T, l *lab.Lab, vips []netip.AddrPort, n int) (streams []*lab.Stream) {
	t.Helper()
	for _, at := range vips {
		for _, protocol := range []string{"tcp", "udp"} {
			for range n {
				s, err := l.NewStream(protocol, at, time.Duration(len(vips)*n)*time.Millisecond)
				if err != nil {
					t.Fatal(err)
				}
				streams = append(streams, s)
			}
		}
	}
	return streams
}

// browse has clients open connections to a vip, one for every request, until it is
// asked: every request must succeed.
func browse(t *testing.T, l *lab.Lab, vip string) func() int {
	return repeat(t, func(ctx context.Context) {
		out, err := l.Run("client", "ab", "-q", "-n", "200", "-c", "4", "-s", "5", "http://"+vip+"/")
		if ctx.Err() != nil {
			return
		}
		if m := regexp.MustCompile(`Failed requests:\s+(\d+)`).FindStringSubmatch(out); err != nil || m == nil || m[1] != "0" {
			t.Errorf("ab %s: %v: %s", vip, err, out)
		}
	})
}

// sets are the tables that are pinned.
func sets(t *testing.T, l *lab.Lab) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(l.Dir, "bpf/tarpon"))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// allThere waits until one set of tables is left and every stream has heard something
// again, and looks for their flows.
func allThere(t *testing.T, l *lab.Lab, streams []*lab.Stream, set string) {
	t.Helper()
	settles(t, set+" is all that is pinned", func() error {
		if have := sets(t, l); !slices.Equal(have, []string{set}) {
			return fmt.Errorf("pinned are %v", have)
		}
		return nil
	})
	before := make([]int64, len(streams))
	for i, s := range streams {
		before[i] = s.Count()
	}
	if err := lab.Wait(20*time.Second, func() error {
		for i, s := range streams {
			if s.Count() == before[i] {
				return fmt.Errorf("stream %d of %d moves no more", i, len(streams))
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	established := flowCount(t, l, "--state", "established") + flowCount(t, l, "--state", "replied")
	if established < len(streams) {
		t.Errorf("%d flows are listed, of %d streams", established, len(streams))
	}
}

func noneLost(t *testing.T, streams []*lab.Stream) {
	t.Helper()
	lost := 0
	for _, s := range streams {
		if err := s.Err(); err != nil {
			if lost++; lost < 10 {
				t.Error(err)
			}
		}
	}
	if lost > 0 {
		t.Errorf("%d streams of %d have lost something", lost, len(streams))
	}
}

// resize writes flows.max_* into the file.
func resize(t *testing.T, l *lab.Lab, flows int) {
	t.Helper()
	file := regexp.MustCompile(`max_ipv([46]): \d+`).ReplaceAllString(configFile(t, l), "max_ipv$1: "+strconv.Itoa(flows))
	if err := os.WriteFile(l.Config(), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A version with another layout of the tables is installed over a running one, and the
// one before over it again; and the tables get other sizes: no packet, no request and
// no flow is lost.
func TestOtherTablesUnderLoad(t *testing.T) {
	installed := t.TempDir()
	install := map[string]func(string){"v1": packed(t, "1.0"), "v2": packed(t, "2.0", "-tags", "layout_next")}
	install["v1"](installed)
	l := bareLab(t, lab.Options{MaxFlows: 20000})
	l.Bin = installed
	startWeb(t, l)
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	service(t, l, vip4(), "--scheduler", "rr") // nobody could find its flows again
	requests := browse(t, l, vip4())
	streams := manyStreams(t, l, echoService(t, l, "none"), 200)
	slots := func() int {
		s, err := l.Status()
		if err != nil {
			t.Fatal(err)
		}
		return s.Flows.IPv4.Slots
	}
	for _, step := range []struct {
		name  string
		do    func()
		set   string
		slots int
	}{
		{"upgrade", func() { install["v2"](installed); lbctl(t, l, "restart") }, "v2", 131072},
		{"larger tables", func() { resize(t, l, 100_000); lbctl(t, l, "reload") }, "v2", 524288},
		{"downgrade", func() { install["v1"](installed); lbctl(t, l, "restart") }, "v1", 262144},
		{"smaller tables", func() { resize(t, l, 20_000); lbctl(t, l, "reload") }, "v1", 65536},
		{"larger tables at a start", func() { resize(t, l, 50_000); lbctl(t, l, "restart") }, "v1", 131072},
		{"upgrade to smaller tables", func() { install["v2"](installed); resize(t, l, 20_000); lbctl(t, l, "restart") }, "v2", 131072},
	} {
		begun := time.Now()
		step.do()
		settles(t, step.name, func() error {
			if have := slots(); have != step.slots {
				return fmt.Errorf("%d slots, want %d", have, step.slots)
			}
			return nil
		})
		t.Logf("%s: %s", step.name, time.Since(begun).Round(10*time.Millisecond))
		allThere(t, l, streams, step.set)
		if t.Failed() {
			t.Fatalf("after %s", step.name)
		}
	}

	resize(t, l, 300)
	out, err := l.Lbctl("reload")
	if err == nil || !regexp.MustCompile(`flows.max_ipv4: \d+ flows are live, more than 300`).MatchString(out) {
		t.Errorf("tables for fewer flows than there are: %v: %s", err, out)
	}
	allThere(t, l, streams, "v2")
	if n := requests(); n < 5 {
		t.Errorf("only %d times 200 requests", n)
	}
	noneLost(t, streams)
}

// A daemon that dies anywhere on the way to other tables loses nothing either: the next
// one goes on.
func TestDeathsOnTheWayToOtherTables(t *testing.T) {
	versions := []string{t.TempDir(), t.TempDir()}
	packed(t, "1.0", "-tags", "faults")(versions[0])
	packed(t, "2.0", "-tags", "faults,layout_next")(versions[1])
	l := bareLab(t, lab.Options{MaxFlows: 20000})
	l.Bin = versions[0]
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	streams := manyStreams(t, l, echoService(t, l, "none"), 25)
	for n, place := range []string{"made", "decided", "links", "replacing", "replaced", "copying", "copied", "retired", "named"} {
		if err := l.KillDaemon(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		next := (n + 1) % 2
		l.Bin = versions[next]
		daemon := l.DaemonCommand()
		daemon.Env = append(os.Environ(), "TARPON_FAULT="+place)
		if out, err := daemon.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "signal: killed") {
			t.Fatalf("the daemon did not die where it is %s: %v: %s", place, err, out)
		}
		t.Logf("%s: pinned are %v", place, sets(t, l))
		if err := l.StartDaemon(); err != nil {
			t.Fatal(err)
		}
		allThere(t, l, streams, fmt.Sprintf("v%d", next+1))
		if t.Failed() {
			t.Fatalf("after a death where it is %s", place)
		}
	}
	noneLost(t, streams)
}

// The same while a running daemon makes tables of another size.
func TestDeathsWhileTablesAreResized(t *testing.T) {
	installed := t.TempDir()
	packed(t, "1.0", "-tags", "faults")(installed)
	l := bareLab(t, lab.Options{MaxFlows: 20000})
	l.Bin = installed
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	streams := manyStreams(t, l, echoService(t, l, "none"), 25)
	for n, place := range []string{"decided", "links", "replacing", "replaced", "copying", "copied", "retired"} {
		if err := l.KillDaemon(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		t.Setenv("TARPON_FAULT", place)
		if err := l.StartDaemon(); err != nil {
			t.Fatal(err)
		}
		resize(t, l, []int{100_000, 20_000}[n%2])
		_, _ = l.Lbctl("reload") // may be answered before it dies
		settles(t, "the daemon dies where it is "+place, func() error {
			if err := syscall.Kill(l.DaemonPID(), 0); !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("it is there (%v)", err)
			}
			return nil
		})
		t.Logf("%s: pinned are %v", place, sets(t, l))
		t.Setenv("TARPON_FAULT", "")
		if err := l.KillDaemon(syscall.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		if err := l.StartDaemon(); err != nil {
			t.Fatal(err)
		}
		allThere(t, l, streams, "v1")
		if t.Failed() {
			t.Fatalf("after a death where it is %s", place)
		}
	}
	noneLost(t, streams)
}

// A pair gets tables of other sizes, on both routers at once: the active one stays so,
// nothing is lost, and afterwards both have all flows again.
func TestPairOtherTables(t *testing.T) {
	l := newPair(t, lab.Options{MaxFlows: 20000})
	streams := pairStreams(t, l, 20, "tcp", "udp")
	inSync(t, l)
	active, err := holder(l)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []struct{ flows, slots int }{{100_000, 262144}, {20_000, 65536}} {
		resize(t, l, size.flows)
		lbctl(t, l, "reload")
		for _, r := range l.Routers() {
			settles(t, r.Host+" has other tables and all flows", func() error {
				s, err := r.Status()
				if err == nil && (s.Flows.IPv4.Slots != size.slots || s.Flows.IPv4.Flows < len(streams)) {
					err = fmt.Errorf("%+v", s.Flows.IPv4)
				}
				return err
			})
		}
		goOn(t, streams)
		inSync(t, l)
		if now, err := holder(l); err != nil || now != active {
			t.Errorf("%s was active, now %v is (%v)", active.Host, now, err)
		}
	}
	lostNone(t, streams)
}

// A pair is upgraded as docs/pair.md says, and in the other order, to a version with
// another protocol and another layout of the tables, and goes on: at every step new
// connections come to both routers, changes go both ways, and the service moves with
// all of it. A version that is too new for the other router is refused by name.
func TestPairRollingUpgrade(t *testing.T) {
	old := packed(t, "1.0")
	next := packed(t, "2.0", "-tags", "layout_next,protocol_next")
	after := packed(t, "3.0", "-tags", "layout_next,protocol_after")
	l := bareLab(t, lab.Options{Pair: true, MaxFlows: 20000})
	for _, r := range l.Routers() {
		r.Programs = t.TempDir()
		old(r.Programs)
	}
	startPair(t, l)
	streams := pairStreams(t, l, 10, "tcp", "udp")
	step := func(r *lab.Router, install func(string), version string, protocol int) {
		t.Helper()
		install(r.Programs)
		says(t, r, true, "tarpond "+version+" runs", "restart")
		for _, r := range l.Routers() {
			settles(t, fmt.Sprint(r.Host, " speaks protocol ", protocol), func() error {
				out, err := r.MustLbctl("events")
				_, last, _ := strings.Cut(out[max(0, strings.LastIndex(out, "connected to lb")):], "protocol ")
				if err == nil && !strings.HasPrefix(last, fmt.Sprint(protocol)) {
					err = errors.New(out)
				}
				return err
			})
		}
		active, standby := pairRoles(t, l)
		streams = append(streams, pairStreams(t, l, 5, "tcp")...)
		for i, from := range []*lab.Router{active, standby} {
			name := fmt.Sprintf("v%s-%s-%d", strings.TrimSuffix(version, ".0"), r.Host, i)
			says(t, from, true, "revision", "edit-vip", lab.Vip4(0)+":80", "--name", name)
			settles(t, "both have the change", func() error {
				_, err := l.Routers()[i].MustLbctl("edit-vip", name, "--name", name)
				return err
			})
		}
		awaitPair(t, active, standby)
		switchOver(t, active, standby)
		awaitPair(t, standby, active)
		goOn(t, streams)
	}
	for _, activeFirst := range []bool{false, true} {
		second, first := pairRoles(t, l)
		if activeFirst {
			first, second = second, first
		}
		step(first, next, "2.0", 1)
		step(second, next, "2.0", 2)
		step(first, old, "1.0", 1) // and back
		step(second, old, "1.0", 1)
	}

	_, standby := pairRoles(t, l)
	after(standby.Programs)
	says(t, standby, true, "tarpond 3.0 runs", "restart")
	for _, r := range l.Routers() {
		settles(t, r.Host+" says why they do not talk", func() error {
			for _, command := range []string{"pair status", "events"} {
				out, _ := r.Lbctl(strings.Fields(command)...)
				if !strings.Contains(strings.Join(strings.Fields(out), " "), "upgrade the older router first to a version in between") {
					return errors.New(out)
				}
			}
			return nil
		})
	}
	goOn(t, streams)
	lostNone(t, streams)
}

// pairRoles are the routers when they have settled.
func pairRoles(t *testing.T, l *lab.Lab) (active, standby *lab.Router) {
	t.Helper()
	settles(t, "there is one active router", func() (err error) {
		active, err = holder(l)
		return err
	})
	for _, r := range l.Routers() {
		if r != active {
			standby = r
		}
	}
	awaitPair(t, active, standby)
	return active, standby
}
