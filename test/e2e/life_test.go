package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// stream is one TCP connection through a vip that counts numbered bytes back and
// forth: a lost packet shows as a retransmission, a cut as an error.
type stream struct {
	out  strings.Builder
	done chan error
}

// download fetches a file at a limited rate in the background.
func download(t *testing.T, l *lab.Lab, vip, name, rate string) *stream {
	t.Helper()
	s := &stream{done: make(chan error, 1)}
	cmd := l.Command("client", "curl", "-sS", "-m", "60", "--limit-rate", rate, "-o", "/dev/null",
		"-w", "%{size_download}", "http://"+vip+"/"+name)
	cmd.Stdout, cmd.Stderr = &s.out, &s.out
	if err := l.Start(cmd); err != nil {
		t.Fatal(err)
	}
	go func() { s.done <- cmd.Wait() }()
	return s
}

// serveFile puts a file of some size on every real.
func serveFile(t *testing.T, l *lab.Lab, name string, size int64) {
	t.Helper()
	for n := 1; n <= lab.Reals; n++ {
		path := filepath.Join(l.WWW(n), name)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
	}
}

// flowCount is how many flows lbctl lists, with filters.
func flowCount(t *testing.T, l *lab.Lab, filters ...string) int {
	t.Helper()
	out := lbctl(t, l, append([]string{"flows", "-o", "json"}, filters...)...)
	return strings.Count(out, "\n")
}

// waitFlows waits until so many flows are listed.
func waitFlows(t *testing.T, l *lab.Lab, want int, filters ...string) {
	t.Helper()
	err := lab.Wait(20*time.Second, func() error {
		if n := flowCount(t, l, filters...); n != want {
			return fmt.Errorf("%d flows %v, want %d", n, filters, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

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
	slow := []*stream{download(t, l, vip4(), "slow", "1M"), download(t, l, vip6(), "slow", "1M")}
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

// The table of what becomes of flows when their real goes.
func TestFlowsOfARealThatGoes(t *testing.T) {
	tests := []struct {
		name  string
		flags []string // of the vip
		do    func(t *testing.T, l *lab.Lab, real string, n int)
		ends  bool // the established connection is cut
	}{
		{"drained", nil, func(t *testing.T, l *lab.Lab, real string, _ int) {
			lbctl(t, l, "edit-real", vip4(), real, "--weight", "0")
		}, false},
		{"removed", nil, func(t *testing.T, l *lab.Lab, real string, _ int) {
			lbctl(t, l, "del-real", vip4(), real)
		}, true},
		{"failed, keep", []string{"--check", "side"}, func(t *testing.T, l *lab.Lab, _ string, n int) { failCheck(t, l, n) }, false},
		{"failed, reset", []string{"--check", "side", "--on-fail", "reset"}, func(t *testing.T, l *lab.Lab, _ string, n int) { failCheck(t, l, n) }, true},
		{"vip removed", nil, func(t *testing.T, l *lab.Lab, _ string, _ int) { lbctl(t, l, "del-vip", vip4()) }, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t, lab.Options{})
			// One that is to be cut must not fit into the client's buffers.
			size, rate := int64(1<<20), "300k"
			if test.ends {
				size, rate = 64<<20, "4M"
			}
			serveFile(t, l, "slow", size)
			serveFile(t, l, "alive", 1)
			addCheck(t, l)
			service(t, l, vip4(), test.flags...)
			s := download(t, l, vip4(), "slow", rate)
			waitFlows(t, l, 1, "--state", "established")
			n := servingReal(t, l)
			test.do(t, l, l.Real4(n)+":80", n)
			if test.name == "vip removed" {
				waitFlows(t, l, 0) // its address is gone: nobody is left to tell the client
				return
			}
			if test.ends {
				if err := <-s.done; err == nil || !strings.Contains(s.out.String(), "reset by peer") {
					t.Errorf("the connection was not reset: %v, %s", err, s.out.String())
				}
				waitFlows(t, l, 0, "--state", "established")
			} else if err := <-s.done; err != nil || s.out.String() != strconv.FormatInt(size, 10) {
				t.Errorf("the connection was cut: %v, %s bytes", err, s.out.String())
			}
			for range 15 { // new ones go elsewhere
				if server, err := get(l, vip4()); err != nil || server == fmt.Sprintf("real%d", n) {
					t.Fatalf("a new request: %q, %v", server, err)
				}
			}
		})
	}
}

// addCheck adds a check of a file, so that a test can fail it while the server
// goes on.
func addCheck(t *testing.T, l *lab.Lab) {
	t.Helper()
	data, err := os.ReadFile(l.Config())
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(data), "checks:\n", "checks:\n  side: {type: http, path: /alive, interval: 300ms, timeout: 200ms, rise: 1, fall: 2}\n", 1)
	if err := os.WriteFile(l.Config(), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	lbctl(t, l, "reload")
}

func failCheck(t *testing.T, l *lab.Lab, n int) {
	t.Helper()
	if err := os.Remove(filepath.Join(l.WWW(n), "alive")); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitUp(vip4()+"/tcp", lab.Reals-1); err != nil {
		t.Fatal(err)
	}
}

// servingReal is the real of the one established flow.
func servingReal(t *testing.T, l *lab.Lab) int {
	t.Helper()
	out := lbctl(t, l, "flows", "--state", "established")
	for n := 1; n <= lab.Reals; n++ {
		if strings.Contains(out, l.Real4(n)+":80") {
			return n
		}
	}
	t.Fatalf("no established flow:\n%s", out)
	return 0
}
