package healthcheck

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/test/namespace"
	"golang.org/x/sys/unix"
)

// A cost is what checks need of a processor, user and kernel together.
type cost struct{ User, Kernel time.Duration }

// costs are the benchmark's rows: many targets behind one wire.
var costs = []struct {
	name     string
	targets  int
	interval time.Duration
	probe    func(netip.Addr) Probe
}{
	{"tcp/10000@5s", 10_000, 5 * time.Second, func(a netip.Addr) Probe { return TCP{netip.AddrPortFrom(a, 80)} }},
	{"tcp/100@2s", 100, 2 * time.Second, func(a netip.Addr) Probe { return TCP{netip.AddrPortFrom(a, 80)} }},
	{"ping/10000@5s", 10_000, 5 * time.Second, func(a netip.Addr) Probe { return Ping{Address: a} }},
	{"ping/100@2s", 100, 2 * time.Second, func(a netip.Addr) Probe { return Ping{Address: a} }},
	{"http/1000@2s", 1000, 2 * time.Second, func(a netip.Addr) Probe { return get(netip.AddrPortFrom(a, 80)) }},
	{"http/100@2s", 100, 2 * time.Second, func(a netip.Addr) Probe { return get(netip.AddrPortFrom(a, 80)) }},
	{"https/100@2s", 100, 2 * time.Second, func(a netip.Addr) Probe {
		p := get(netip.AddrPortFrom(a, 443))
		p.TLS.On = true
		return p
	}},
	{"exec/100@2s", 100, 2 * time.Second, func(a netip.Addr) Probe { return Exec{netip.AddrPortFrom(a, 80), "/bin/true"} }},
}

// BenchmarkCost measures the whole process, in a namespace of its own, against a
// real server in another one, over a veth. The kernel takes the packets' whole way
// there and back on the sender's account.
//
//	go test ./healthcheck -run '^$' -bench Cost -benchtime 1x
func BenchmarkCost(b *testing.B) {
	if os.Getuid() != 0 {
		b.Fatal("needs root: it makes network namespaces")
	}
	here, there := fmt.Sprintf("tphc%d-here", os.Getpid()), fmt.Sprintf("tphc%d-there", os.Getpid())
	for _, name := range []string{here, there} {
		namespace.Command(b, "ip", "netns", "add", name)
		b.Cleanup(func() { namespace.Command(b, "ip", "netns", "del", name) })
		namespace.Command(b, "ip", "-n", name, "link", "set", "lo", "up")
	}
	namespace.Command(b, "ip", "-n", here, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", there)
	for i, name := range []string{here, there} {
		namespace.Command(b, "ip", "-n", name, "link", "set", "eth0", "up")
		namespace.Command(b, "ip", "-n", name, "addr", "add", fmt.Sprintf("10.0.0.%d/24", i+1), "dev", "eth0")
	}
	namespace.Command(b, "ip", "-n", here, "route", "add", "10.1.0.0/16", "via", "10.0.0.2")
	namespace.Command(b, "ip", "-n", there, "route", "add", "local", "10.1.0.0/16", "dev", "lo")

	server := inside(there, "serve")
	ready, err := server.StdoutPipe()
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	if _, err := ready.Read(make([]byte, 8)); err != nil {
		b.Fatal("the server does not start")
	}
	for i, row := range costs {
		b.Run(row.name, func(b *testing.B) {
			for range b.N {
				out, err := inside(here, fmt.Sprint(i)).Output()
				var c cost
				if err != nil || json.Unmarshal(out, &c) != nil {
					b.Fatalf("%v: %s", err, out)
				}
				checks := float64(row.targets) * measured.Seconds() / row.interval.Seconds()
				b.ReportMetric(float64(c.User.Microseconds())/checks, "user-µs/check")
				b.ReportMetric(float64(c.Kernel.Microseconds())/checks, "kernel-µs/check")
				b.ReportMetric(100*(c.User+c.Kernel).Seconds()/measured.Seconds(), "%core")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}

func inside(namespace, role string) *exec.Cmd {
	cmd := exec.Command("nsenter", "--net=/run/netns/"+namespace, os.Args[0])
	cmd.Env = append(os.Environ(), "TARPON_COST="+role)
	cmd.Stderr = os.Stderr
	return cmd
}

// playRole is what the benchmark's processes do.
func playRole(role string) error {
	if role == "serve" {
		return serve()
	}
	var row int
	if _, err := fmt.Sscan(role, &row); err != nil {
		return err
	}
	c, err := measure(row)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(c)
}

func serve() error {
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") })
	l, err := net.Listen("tcp", ":443")
	if err != nil {
		return err
	}
	plain, err := net.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	secure := httptest.NewUnstartedServer(hello) // for its certificate
	secure.Listener = l
	secure.StartTLS()
	fmt.Println("ready")
	return http.Serve(plain, hello)
}

const measured = 20 * time.Second

// measure runs checks until all targets are up, and then for some time.
func measure(i int) (cost, error) {
	row := costs[i]
	checks := map[int]Check{}
	for n := range row.targets {
		address := netip.AddrFrom4([4]byte{10, 1, byte(n >> 8), byte(n)})
		config := Config{Interval: row.interval, Timeout: time.Second, Rise: 1, Fall: 3, Jitter: 0.1}
		checks[n] = Check{Probe: row.probe(address), Config: config}
	}
	set := NewSet[int]()
	defer set.Close()
	set.Update(checks)
	for up := 0; up < len(checks); {
		for _, e := range <-set.Events() {
			if !e.State.Up {
				return cost{}, fmt.Errorf("target %d: %s", e.Key, e.State.Error)
			}
			up++
		}
	}
	before := used()
	select {
	case e := <-set.Events():
		return cost{}, fmt.Errorf("an event: %+v", e)
	case <-time.After(measured):
	}
	after := used()
	return cost{after.User - before.User, after.Kernel - before.Kernel}, nil
}

func used() (c cost) {
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var r unix.Rusage
		_ = unix.Getrusage(who, &r)
		c.User += time.Duration(r.Utime.Nano())
		c.Kernel += time.Duration(r.Stime.Nano())
	}
	return c
}
