package e2e

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/test/lab"
)

// ids are the kernel's ids of everything pinned, and of the XDP links.
func pinnedIDs(t *testing.T, l *lab.Lab) map[string]string {
	t.Helper()
	ids := map[string]string{}
	for _, kind := range []string{"map", "link"} {
		paths, err := filepath.Glob(filepath.Join(l.Dir, "bpf/tarpon/v*", kind+"s", "*"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("nothing pinned in %s (%v)", kind+"s", err)
		}
		for _, path := range paths {
			out, err := l.Run("router", "bpftool", "-j", kind, "show", "pinned", path)
			if err != nil {
				t.Fatalf("bpftool %s show %s: %v: %s", kind, path, err, out)
			}
			var shown struct {
				ID int `json:"id"`
			}
			if err := json.Unmarshal([]byte(out), &shown); err != nil || shown.ID == 0 {
				t.Fatalf("bpftool says %q (%v)", out, err)
			}
			ids[filepath.Base(path)] = strconv.Itoa(shown.ID)
		}
	}
	return ids
}

// A daemon that dies takes nothing with it, and its successor adopts everything:
// connections go on, no request fails, the same maps and links are in use.
func TestKillAndRestartUnderLoad(t *testing.T) {
	l := newLab(t, lab.Options{})
	serveFile(t, l, "slow", 6<<20)
	for _, vip := range []string{vip4(), vip6()} {
		service(t, l, vip)
	}
	before := pinnedIDs(t, l)
	slow := []*transfer{download(t, l, vip4(), "slow", "1M"), download(t, l, vip6(), "slow", "1M")}
	waitFlows(t, l, 2, "--state", "established")

	var out strings.Builder
	ab := l.Command("client", "ab", "-q", "-k", "-t", "8", "-n", "10000000", "-c", "10", "-s", "3", "http://"+vip4()+"/")
	ab.Stdout, ab.Stderr = &out, &out
	if err := l.Start(ab); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := l.KillDaemon(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := l.StartDaemon(); err != nil {
			t.Fatal(err)
		}
	}
	if err := ab.Wait(); err != nil {
		t.Fatalf("ab: %v: %s", err, out.String())
	}
	if m := regexp.MustCompile(`Failed requests:\s+(\d+)`).FindStringSubmatch(out.String()); m == nil || m[1] != "0" {
		t.Errorf("ab over three kills:\n%s", out.String())
	}
	for _, s := range slow {
		if err := <-s.done; err != nil || s.out.String() != strconv.Itoa(6<<20) {
			t.Errorf("a download over three kills: %v: %s bytes", err, s.out.String())
		}
	}
	after := pinnedIDs(t, l)
	for name, id := range before {
		if after[name] != id {
			t.Errorf("%s was id %s and is %s: it was not adopted", name, id, after[name])
		}
	}
}

// Twenty restarts and upgrades: not one packet of a flow is lost, of TCP nor UDP.
func TestRestartsLoseNothing(t *testing.T) {
	next := t.TempDir()
	if err := compile(next, "-ldflags", "-X github.com/tarpon-lb/tarpon/control/version.Number=next"); err != nil {
		t.Fatal(err)
	}
	l := newLab(t, lab.Options{})
	var streams []*lab.Stream
	for _, at := range echoService(t, l, "none") {
		for range 5 {
			for _, protocol := range []string{"tcp", "udp"} {
				s, err := l.NewStream(protocol, at, 2*time.Millisecond)
				if err != nil {
					t.Fatal(err)
				}
				streams = append(streams, s)
			}
		}
	}
	for n := range 20 {
		before := count(streams)
		if err := l.KillDaemon([]syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}[n%2]); err != nil {
			t.Fatal(err)
		}
		l.Bin = []string{next, bin}[n/2%2]
		if err := l.StartDaemon(); err != nil {
			t.Fatal(err)
		}
		if count(streams) == before {
			t.Fatal("no stream moved during a restart: nothing was tested")
		}
	}
	for _, s := range streams {
		if err := s.Err(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d messages over 20 restarts", count(streams))
}

// echoService makes vips of both families over all reals' echo, TCP and UDP.
func echoService(t *testing.T, l *lab.Lab, check string) []netip.AddrPort {
	t.Helper()
	var vips []netip.AddrPort
	for n, vip := range []string{lab.Vip4(0), lab.Vip6(0)} {
		at := netip.AddrPortFrom(netip.MustParseAddr(vip), 7)
		vips = append(vips, at)
		for _, protocol := range []string{"tcp", "udp"} {
			args := []string{"add-vip", at.String() + "/" + protocol, "--check", check}
			for real := 1; real <= lab.Reals; real++ {
				address := netip.MustParseAddr([]string{l.Real4(real), l.Real6(real)}[n])
				args = append(args, "--real", netip.AddrPortFrom(address, 7).String())
			}
			lbctl(t, l, args...)
		}
	}
	for real := 1; real <= lab.Reals; real++ {
		if err := l.Echo(real, 7); err != nil {
			t.Fatal(err)
		}
	}
	return vips
}

func count(streams []*lab.Stream) (n int64) {
	for _, s := range streams {
		n += s.Count()
	}
	return n
}

// A restart changes nothing about which reals are usable.
func TestRestartKeepsHealth(t *testing.T) {
	l := newLab(t, lab.Options{})
	service(t, l, vip4())
	if err := l.StopNginx(2); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitUp(vip4()+"/tcp", 2); err != nil {
		t.Fatal(err)
	}
	if err := l.KillDaemon(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for range 20 { // without a daemon
		if server, err := get(l, vip4()); err != nil || server == "real2" {
			t.Fatalf("without a daemon: %q, %v", server, err)
		}
	}
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	vips, err := l.Vips()
	if err != nil {
		t.Fatal(err)
	}
	states := ""
	for _, real := range vips[0].Reals {
		states += real.State + " "
	}
	if states != "up down up " {
		t.Errorf("right after a restart the reals are %s, want up down up", states)
	}
}

// The capabilities that are asked for at the start are all that is needed, to start,
// to forward, and to be started again.
func TestCapabilities(t *testing.T) {
	l := bareLab(t, lab.Options{})
	l.Wrap = []string{"setpriv", "--bounding-set=-all,+bpf,+perfmon,+net_admin,+net_raw", "--inh-caps=-all"}
	startWeb(t, l)
	for range 2 {
		if err := l.StartDaemon(); err != nil {
			t.Fatal(err)
		}
		lbctl(t, l, "del-vip", vip4(), "--if-exists")
		service(t, l, vip4())
		if err := l.KillDaemon(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	if log, err := os.ReadFile(l.LogFile()); err != nil || strings.Contains(string(log), "not permitted") {
		t.Errorf("the log says (%v):\n%s", err, log)
	}
}

// Each that is missing is named, and nothing is made.
func TestMissingCapabilities(t *testing.T) {
	l := bareLab(t, lab.Options{})
	before := machine(t, l)
	for _, missing := range []string{"bpf", "perfmon", "net_admin", "net_raw"} {
		l.Wrap = []string{"setpriv", "--bounding-set=-sys_admin,-" + missing}
		said := refused(t, l.DaemonCommand(), 77)
		if want := "missing CAP_" + strings.ToUpper(missing) + ": run as root, or give the service"; !strings.Contains(said, want) {
			t.Errorf("without %s it says %q, want %q", missing, said, want)
		}
	}
	if diff := cmp.Diff(before, machine(t, l)); diff != "" {
		t.Errorf("before and after (-before +after):\n%s", diff)
	}
}
