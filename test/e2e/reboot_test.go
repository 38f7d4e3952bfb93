package e2e

import (
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/test/lab"
	"golang.org/x/sys/unix"
)

// Who connects to a vip while its router boots hears nothing, and then is served: he
// is never refused, even if he remembers where the vip was. What was drained stays so.
func TestReboot(t *testing.T) {
	l := bareLab(t, lab.Options{})
	slow := "checks:\n  slow: {type: exec, run: [/bin/sleep, \"2\"], interval: 4s, timeout: 3s}\n"
	if err := os.WriteFile(l.Config(), []byte(strings.Replace(configFile(t, l), "checks:\n", slow, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	startWeb(t, l)
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	service(t, l, vip4(), "--check", "slow")
	service(t, l, vip6(), "--check", "slow")
	lbctl(t, l, "drain", vip4(), l.Real4(2)+":80")

	boot(t, l, "wan", "lan")
	knocks := []*knocks{knock(t, l, vip4()), knock(t, l, vip6())}
	if err := l.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	for _, k := range knocks {
		served := k.served.Load()
		err := lab.Wait(30*time.Second, func() error {
			if k.served.Load() < served+20 {
				return errors.New("nobody is served")
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if err := k.stop(); err != nil {
			t.Errorf("of those who knocked: %v", err)
		}
		if k.silent.Load() == 0 {
			t.Error("nobody knocked before there was service: nothing was tested")
		}
	}
	elsewhere(t, l, 2)
	comeAfter(t, l, lab.Vip4(0), vip4())
	comeAfter(t, l, lab.Vip6(0), vip6())
}

// boot leaves of a router what a power cut leaves: its disk, and its network as it is
// configured. The client still knows where the vips were.
func boot(t *testing.T, l *lab.Lab, legs ...string) {
	t.Helper()
	if err := l.KillDaemon(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	run := func(who, command string) string {
		t.Helper()
		out, err := l.Run(who, strings.Fields(command)...)
		if err != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
		return out
	}
	mac := strings.Fields(run("router", "ip -br link show wan"))[2]
	for _, vip := range []string{lab.Vip4(0), lab.Vip6(0)} {
		run("client", "ip neigh replace "+vip+" lladdr "+mac+" dev eth0 nud permanent")
	}
	for _, leg := range legs {
		run("router", "ip link set "+leg+" down")
	}
	err := errors.Join(os.RemoveAll(filepath.Join(l.Dir, "bpf", "tarpon")), os.RemoveAll(filepath.Join(l.Dir, "run")), os.Mkdir(filepath.Join(l.Dir, "run"), 0o755))
	if err != nil {
		t.Fatal(err)
	}
	own := map[string][]string{"wan": {"192.0.2.1/24", "2001:db8:1::1/64"}, "lan": {"10.0.0.1/24", "2001:db8:2::1/64"}}
	for _, leg := range legs {
		run("router", "ip addr flush dev "+leg)
		run("router", "sysctl -qw net.ipv4.conf."+leg+".forwarding=0 net.ipv6.conf."+leg+".forwarding=0")
		run("router", "ip link set "+leg+" up")
		for _, address := range own[leg] {
			run("router", "ip addr add "+address+" dev "+leg)
		}
	}
}

// comeAfter checks that an address was added when each real had its first result.
func comeAfter(t *testing.T, l *lab.Lab, address, vip string) {
	t.Helper()
	up, added := 0, false
	for decoder := json.NewDecoder(strings.NewReader(lbctl(t, l, "events", "-o", "json"))); decoder.More(); {
		var e api.Event
		if err := decoder.Decode(&e); err != nil {
			t.Fatal(err)
		}
		if e.Kind == "real_up" && strings.HasPrefix(e.Fields["vip"], vip) {
			up++
		}
		if e.Kind == "address_added" && strings.HasPrefix(e.Fields["address"], address+"/") {
			added = true
			if up != lab.Reals {
				t.Errorf("%s was added after %d results of %d", address, up, lab.Reals)
			}
		}
	}
	if !added {
		t.Errorf("%s was not added", address)
	}
}

// knocks are a client's attempts to connect, one after the other.
type knocks struct {
	served, silent atomic.Int64
	end            chan struct{}
	done           chan error
}

// knock connects to a vip until it is stopped, which returns the first refusal.
func knock(t *testing.T, l *lab.Lab, vip string) *knocks {
	k := &knocks{end: make(chan struct{}), done: make(chan error, 1)}
	at := netip.MustParseAddrPort(vip).String()
	go func() {
		k.done <- l.In("client", func() error {
			for {
				select {
				case <-k.end:
					return nil
				default:
				}
				conn, err := net.DialTimeout("tcp", at, 200*time.Millisecond)
				switch {
				case err == nil:
					k.served.Add(1)
					conn.Close()
				case err.(net.Error).Timeout():
					k.silent.Add(1)
				case !errors.Is(err, unix.EADDRNOTAVAIL):
					return err
				}
			}
		})
	}()
	return k
}

func (k *knocks) stop() error {
	close(k.end)
	return <-k.done
}
