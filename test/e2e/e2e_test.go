// Package e2e runs the daemon between real clients and servers, in a network of
// namespaces of its own. KEEP=1 leaves the network of a failed test up.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// bin is where TestMain built tarpond and lbctl.
var bin string

func TestMain(m *testing.M) {
	code, err := 1, error(nil)
	if bin, err = build(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	if os.Getenv("TARPON_BIN") == "" {
		os.RemoveAll(bin)
	}
	os.Exit(code)
}

// build makes tarpond and lbctl; TARPON_BIN has them already (in a guest that has
// no time to compile).
func build() (string, error) {
	if ready := os.Getenv("TARPON_BIN"); ready != "" {
		return ready, nil
	}
	dir, err := os.MkdirTemp("", "tarpon-bin-")
	if err != nil {
		return "", err
	}
	return dir, compile(dir)
}

func compile(dir string, flags ...string) error {
	args := append([]string{"build", "-o", dir}, flags...)
	out, err := exec.Command("go", append(args, "github.com/tarpon-lb/tarpon/cmd/...")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build: %w: %s", err, out)
	}
	return nil
}

// newLab makes a lab with nginx on every real and a running daemon.
func newLab(t *testing.T, o lab.Options) *lab.Lab {
	t.Helper()
	l := bareLab(t, o)
	startWeb(t, l)
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	return l
}

// startWeb starts nginx on every real.
func startWeb(t *testing.T, l *lab.Lab) {
	t.Helper()
	for n := 1; n <= lab.Reals; n++ {
		if err := l.StartNginx(n); err != nil {
			t.Fatal(err)
		}
	}
}

// bareLab makes a lab in which nothing runs.
func bareLab(t testing.TB, o lab.Options) *lab.Lab {
	t.Helper()
	o.Bin = bin
	l, err := lab.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, r := range l.Routers() {
				log, _ := os.ReadFile(r.LogFile())
				stats, _ := r.Lbctl("stats")
				vips, _ := r.Lbctl("vips")
				t.Logf("%s: tarpond's log:\n%s\n%s\n%s", r.Host, tail(string(log), 60), stats, vips)
			}
			if os.Getenv("KEEP") != "" {
				t.Logf("left up: %s (nsenter --net=/run/netns/%s), files in %s", l.Name, l.NS(l.Host), l.Dir)
				return
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func tail(text string, lines int) string {
	list := strings.Split(text, "\n")
	return strings.Join(list[max(0, len(list)-lines):], "\n")
}

func lbctl(t *testing.T, l *lab.Lab, args ...string) string {
	t.Helper()
	out, err := l.MustLbctl(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// service makes a vip over all reals' web servers and waits for it.
func service(t *testing.T, l *lab.Lab, vip string, flags ...string) {
	t.Helper()
	args := append([]string{"add-vip", vip}, flags...)
	for n := 1; n <= lab.Reals; n++ {
		real := l.Real4(n) + ":80"
		if strings.Contains(vip, "::") {
			real = "[" + l.Real6(n) + "]:80"
		}
		args = append(args, "--real", real)
	}
	lbctl(t, l, args...)
	if err := l.WaitUp(vip+"/tcp", lab.Reals); err != nil {
		t.Fatal(err)
	}
	if err := lab.Wait(10*time.Second, func() error {
		_, err := get(l, vip)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// get asks a vip once and returns the server that answered.
func get(l *lab.Lab, vip string) (string, error) {
	out, err := l.Run("client", "curl", "-sS", "-m", "3", "http://"+vip+"/")
	if err != nil {
		return "", fmt.Errorf("curl %s: %w: %s", vip, err, out)
	}
	return strings.TrimSpace(out), nil
}

// spread asks a vip many times and counts answers by server.
func spread(t *testing.T, l *lab.Lab, vip string, requests int) map[string]int {
	t.Helper()
	count := map[string]int{}
	for range requests {
		server, err := get(l, vip)
		if err != nil {
			t.Fatal(err)
		}
		count[server]++
	}
	return count
}

func vip4() string { return lab.Vip4(0) + ":80" }
func vip6() string { return "[" + lab.Vip6(0) + "]:80" }

func TestWebTrafficIsSpread(t *testing.T) {
	for _, mode := range []string{"native", "tc", "generic"} {
		for _, oneArmed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,onearmed=%v", mode, oneArmed), func(t *testing.T) {
				l := newLab(t, lab.Options{Mode: mode, OneArmed: oneArmed})
				for _, vip := range []string{vip4(), vip6()} {
					service(t, l, vip)
					count := spread(t, l, vip, 30)
					if len(count) != lab.Reals {
						t.Errorf("%s: answers by %v, want all of %d", vip, count, lab.Reals)
					}
				}
				if _, err := os.Stat(filepath.Join(l.Dir, "run", "made.json")); err != nil {
					t.Error(err)
				}
				log, err := os.ReadFile(l.AccessLog(1))
				if err != nil || !strings.Contains(string(log), lab.Client4) {
					t.Errorf("real1 did not see the client's address %s (%v):\n%s", lab.Client4, err, tail(string(log), 5))
				}
				s, err := l.Status()
				if err != nil {
					t.Fatal(err)
				}
				for _, leg := range s.Legs {
					if leg.Mode != mode {
						t.Errorf("leg %s runs in mode %s (%s), want %s", leg.Name, leg.Mode, leg.Reason, mode)
					}
				}
			})
		}
	}
}

// Frames of 9,000 bytes do not fit into a page: drivers ask for the program that
// takes packets in several buffers.
func TestJumboFrames(t *testing.T) {
	l := newLab(t, lab.Options{MTU: 9000})
	serveFile(t, l, "big", 4<<20)
	for _, vip := range []string{vip4(), vip6()} {
		service(t, l, vip)
		out, err := l.Run("client", "curl", "-sS", "-m", "20", "-o", "/dev/null", "-w", "%{size_download}", "http://"+vip+"/big")
		if err != nil || out != fmt.Sprint(4<<20) {
			t.Errorf("%s: downloaded %s bytes of %d: %v", vip, out, 4<<20, err)
		}
	}
	s, err := l.Status()
	if err != nil {
		t.Fatal(err)
	}
	for _, leg := range s.Legs {
		if leg.Mode != "native" {
			t.Errorf("leg %s runs in mode %s (%s)", leg.Name, leg.Mode, leg.Reason)
		}
	}
}
