package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// transfer is a download that runs; out is what curl says at its end.
type transfer struct {
	out  strings.Builder
	done chan error
}

// download fetches a file at a limited rate in the background. The server keeps to it:
// curl's own limit lets most through at once, and then hurries.
func download(t *testing.T, l *lab.Lab, vip, name, rate string) *transfer {
	t.Helper()
	s := &transfer{done: make(chan error, 1)}
	cmd := l.Command("client", "curl", "-sS", "-m", "60", "-o", "/dev/null",
		"-w", "%{size_download}", "http://"+vip+"/"+name+"?rate="+rate)
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
		{"failed, keep", []string{"--check", "side"}, func(t *testing.T, l *lab.Lab, _ string, n int) { failCheck(t, l, vip4()+"/tcp", n) }, false},
		{"failed, reset", []string{"--check", "side", "--on-fail", "reset"}, func(t *testing.T, l *lab.Lab, _ string, n int) { failCheck(t, l, vip4()+"/tcp", n) }, true},
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

// The same table for what is not established: UDP, and TCP whose real has not
// answered. It stays on a drained real, and goes elsewhere from one that is gone.
func TestLooseFlowsOfARealThatGoes(t *testing.T) {
	tests := []struct {
		name string
		do   func(t *testing.T, l *lab.Lab, vip, real string, n int)
		goes bool
	}{
		{"drained", func(t *testing.T, l *lab.Lab, vip, real string, _ int) {
			lbctl(t, l, "edit-real", vip, real, "--weight", "0")
		}, false},
		{"failed", func(t *testing.T, l *lab.Lab, vip, _ string, n int) { failCheck(t, l, vip, n) }, true},
		{"removed", func(t *testing.T, l *lab.Lab, vip, real string, _ int) { lbctl(t, l, "del-real", vip, real) }, true},
	}
	for _, test := range tests {
		for _, protocol := range []string{"tcp", "udp"} {
			t.Run(test.name+" "+protocol, func(t *testing.T) {
				l := newLab(t, lab.Options{})
				serveFile(t, l, "alive", 1)
				addCheck(t, l)
				at := echoService(t, l, "side")[0]
				vip := at.String() + "/" + protocol
				if err := l.WaitUp(vip, lab.Reals); err != nil {
					t.Fatal(err)
				}
				begin := func() (*lab.Stream, error) { return l.NewStream(protocol, at, 50*time.Millisecond) }
				if protocol == "tcp" { // reals that never answer
					for n := 1; n <= lab.Reals; n++ {
						if out, err := l.Run(fmt.Sprintf("real%d", n), "nft", "add table inet t; add chain inet t i { type filter hook input priority 0; }; add rule inet t i tcp dport 7 drop"); err != nil {
							t.Fatalf("nft: %v: %s", err, out)
						}
					}
					begin = func() (*lab.Stream, error) {
						return nil, l.Start(l.Command("client", "curl", "-s", "-m", "30", "telnet://"+at.String()))
					}
				}
				s, err := begin()
				if err != nil {
					t.Fatal(err)
				}
				waitFlows(t, l, 1, "--vip", vip)
				n := realOfFlow(t, l, vip)
				before := forwarded(t, l)
				test.do(t, l, vip, l.Real4(n)+":7", n)
				err = lab.Wait(20*time.Second, func() error {
					now := realOfFlow(t, l, vip)
					switch {
					case test.goes && now == n:
						return fmt.Errorf("the flow is still on real%d", n)
					case !test.goes && now != n:
						t.Fatalf("the flow went from real%d to real%d", n, now)
					case !test.goes && forwarded(t, l) < before+1:
						return fmt.Errorf("no packet since")
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
				if s != nil {
					if err := s.Err(); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

// forwarded is how many packets went to reals.
func forwarded(t *testing.T, l *lab.Lab) (packets uint64) {
	t.Helper()
	vips, err := l.Vips()
	if err != nil {
		t.Fatal(err)
	}
	for _, vip := range vips {
		for _, real := range vip.Reals {
			packets += real.Traffic.PacketsIn
		}
	}
	return packets
}

// addCheck adds a check of a file, so that a test can fail it while the server
// goes on.
func addCheck(t *testing.T, l *lab.Lab) {
	t.Helper()
	data, err := os.ReadFile(l.Config())
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(data), "checks:\n", "checks:\n  side: {type: http, port: 80, path: /alive, interval: 300ms, timeout: 200ms, rise: 1, fall: 2}\n", 1)
	if err := os.WriteFile(l.Config(), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	lbctl(t, l, "reload")
}

func failCheck(t *testing.T, l *lab.Lab, vip string, n int) {
	t.Helper()
	if err := os.Remove(filepath.Join(l.WWW(n), "alive")); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitUp(vip, lab.Reals-1); err != nil {
		t.Fatal(err)
	}
}

// servingReal is the real of the one established flow.
func servingReal(t *testing.T, l *lab.Lab) int {
	t.Helper()
	return realIn(t, lbctl(t, l, "flows", "--state", "established"))
}

// realOfFlow is the real of a vip's one flow.
func realOfFlow(t *testing.T, l *lab.Lab, vip string) int {
	t.Helper()
	return realIn(t, lbctl(t, l, "flows", "--vip", vip))
}

func realIn(t *testing.T, flows string) int {
	t.Helper()
	m := regexp.MustCompile(`10\.0\.0\.1(\d):`).FindStringSubmatch(flows)
	if m == nil {
		t.Fatalf("no flow to a real:\n%s", flows)
	}
	n, _ := strconv.Atoi(m[1])
	return n
}
