package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/test/lab"
)

// offloads of the lab's devices: in TC, packets may be many segments in one, with
// checksums that a device is to finish.
var offloads = []struct {
	name, mode, ends, router string // what ethtool -K gets
}{
	{"native", "native", "", ""},
	{"tc", "tc", "", ""},
	{"tc, segments merged, checksums only begun", "tc", "tx on tso on gso on", "tx on tso on gso on"},
	{"tc, the same, and the router's devices finish neither", "tc", "tx on tso on gso on", "tx off tso off gso off"},
	{"tc, segments merged by the router", "tc", "", "gro on tx on tso on gso on"},
}

// Segments and datagrams as large as the MTU, both ways, both families.
func TestIperf(t *testing.T) {
	for _, o := range offloads {
		t.Run(o.name, func(t *testing.T) {
			l := newLab(t, lab.Options{Mode: o.mode})
			for _, device := range []struct{ who, name, features string }{
				{"client", "eth0", o.ends}, {"real1", "eth0", o.ends}, {"router", "wan", o.router}, {"router", "lan", o.router},
			} {
				if device.features == "" {
					continue
				}
				args := append([]string{"ethtool", "-K", device.name}, strings.Fields(device.features)...)
				if out, err := l.Run(device.who, args...); err != nil {
					t.Fatalf("%v: %v: %s", args, err, out)
				}
			}
			if err := l.Start(l.Command("real1", "iperf3", "-s")); err != nil {
				t.Fatal(err)
			}
			for vip, real := range map[string]string{lab.Vip4(0): l.Real4(1), lab.Vip6(0): l.Real6(1)} {
				if strings.Contains(vip, ":") {
					real = "[" + real + "]"
				}
				iperfService(t, l, vip, real)
				datagram := "1472"
				if strings.Contains(vip, ":") {
					datagram = "1452"
				}
				iperf(t, l, vip, "-n", "20M", "-w", "256K")
				iperf(t, l, vip, "-n", "20M", "-w", "256K", "-R")
				iperf(t, l, vip, "-u", "-b", "8M", "-n", "1600K", "-l", datagram)
				iperf(t, l, vip, "-u", "-b", "8M", "-n", "1600K", "-l", datagram, "-R")
			}
			if stats := lbctl(t, l, "stats"); strings.Contains(stats, "drop_") {
				t.Errorf("the router dropped:\n%s", stats)
			}
		})
	}
}

func iperfService(t *testing.T, l *lab.Lab, vip, real string) {
	t.Helper()
	at := vip
	if strings.Contains(vip, ":") {
		at = "[" + vip + "]"
	}
	for _, protocol := range []string{"tcp", "udp"} {
		lbctl(t, l, "add-vip", at+":5201/"+protocol, "--check", "none", "--real", real+":5201")
	}
	err := lab.Wait(10*time.Second, func() error {
		out, err := l.Run("client", "iperf3", "-c", vip, "-n", "1K")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// iperf moves bytes, and nearly all must arrive: TCP's receiver does not count what
// is in buffers when the sender is done (hence small windows), and a busy machine's UDP sockets may overflow. The router's own drops
// are looked at apart.
func iperf(t *testing.T, l *lab.Lab, vip string, args ...string) {
	t.Helper()
	args = append([]string{"iperf3", "-J", "-c", vip}, args...)
	out, err := l.Command("client", args...).Output()
	if err != nil {
		t.Errorf("%v: %v: %s", args, err, tail(string(out), 8))
		return
	}
	var result struct {
		End struct {
			Received struct {
				Bytes int64 `json:"bytes"`
			} `json:"sum_received"`
			Sum struct {
				Packets int     `json:"packets"`
				Lost    float64 `json:"lost_percent"`
			} `json:"sum"`
		} `json:"end"`
	}
	if err := json.Unmarshal(out, &result); err != nil {
		t.Fatalf("iperf3 says %q: %v", tail(string(out), 8), err)
	}
	udp := strings.Contains(strings.Join(args, " "), " -u ")
	if !udp && result.End.Received.Bytes < 18<<20 {
		t.Errorf("%v: %d bytes arrived of %d", args, result.End.Received.Bytes, 20<<20)
	}
	if udp && (result.End.Sum.Packets < 1000 || result.End.Sum.Lost > 5) {
		t.Errorf("%v: %d packets, %.1f%% lost", args, result.End.Sum.Packets, result.End.Sum.Lost)
	}
}
