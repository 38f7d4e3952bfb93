package replica

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/control/pair/link"
	"github.com/tarpon-lb/tarpon/loader"
	"golang.org/x/sys/unix"
)

// What replication costs, between two processes over the pair's link on loopback:
//
//	go test ./control/pair/replica -run '^$' -bench Cost -benchtime 1x
//
// The active process makes flows as the program does: half are opened and the rest
// closed a second later. Its figures are without what making them costs.

const (
	standbyVariable = "TARPON_REPLICA_STANDBY" // a directory with the keys
	costRate        = 50000                    // new flows/s, and as many ends
	costSeconds     = 8
	probeFrom       = 12 << 20 // clients that only lag is measured by
)

func monotonic() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return time.Duration(now.Nano())
}

func cpu() time.Duration {
	var usage unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// linked is a site whose frames go over the pair's link.
func linked(t testing.TB, dir, name, peer string, port uint16, own, theirs string) *site {
	t.Helper()
	key := mustKey(t, filepath.Join(dir, name))
	pin := link.PinOf(mustKey(t, filepath.Join(dir, peer)).Public().(ed25519.PublicKey))
	l := openSite(t, 1<<20)
	configure(t, l, 1, "10.0.0.1:80", "10.0.0.2:80", "[2001:db8:1::1]:80")
	table, err := l.Replication()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{tables: l}
	line, err := link.New(link.Config{
		Name: name, Peer: peer, Key: key, Pins: []link.Pin{pin}, Port: port,
		Paths: []link.Path{{Name: "hb", Own: netip.MustParseAddr(own), Peer: netip.MustParseAddr(theirs)}},
		Tell: func(e link.Event) {
			if e.Kind == link.Carrier {
				protocol := 0
				if e.Path != "" {
					protocol = 1
					s.up.CompareAndSwap(0, int64(monotonic()))
				}
				go s.Connected(protocol)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Replica = New(Config{Table: table, Send: func(frame []byte) error { return line.Send(link.Flows, frame) }})
	line.Handle(link.Flows, s.Receive)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	running.Go(func() { line.Run(ctx) })
	s.stop = func() { cancel(); running.Wait() }
	t.Cleanup(s.stop)
	s.Revision(true)
	return s
}

func mustKey(t testing.TB, path string) ed25519.PrivateKey {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		if _, err := link.MakeKey(path); err != nil {
			t.Fatal(err)
		}
	}
	key, err := link.LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestStandbyOfCost is the other process. It answers lines: "cpu" with its CPU time in
// ns, "taken" and "flows" with how many it was told and has, "seen" with when each probe came.
func TestStandbyOfCost(t *testing.T) {
	dir, port, ok := strings.Cut(os.Getenv(standbyVariable), ":")
	if !ok {
		return // nobody's process
	}
	number, _ := strconv.Atoi(port)
	s := linked(t, dir, "lb2", "lb1", uint16(number), "127.0.31.2", "127.0.31.1")
	look, err := s.tables.Replication()
	if err != nil {
		t.Fatal(err)
	}
	seen, ended := make(chan []string), make(chan struct{})
	var looking sync.WaitGroup
	defer looking.Wait()
	defer close(ended)
	looking.Go(func() {
		var times []string
		for n := 0; ; time.Sleep(500 * time.Microsecond) {
			select {
			case seen <- times:
				times = nil
			case <-ended:
				return
			default:
			}
			for there := true; there; {
				look.Merge(loader.Flow{Client: clientAt(probeFrom + n), Vip: 1}, func(have loader.Entry, found bool) (loader.Entry, loader.Act) {
					there = found
					return have, loader.Keep
				})
				if there {
					times = append(times, strconv.Itoa(int(monotonic())))
					n++
				}
			}
		}
	})
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch in.Text() {
		case "cpu":
			fmt.Println(int64(cpu()))
		case "taken":
			fmt.Println(s.Status().Counts.PutsTaken)
		case "flows":
			n := 0
			for range s.tables.Flows() {
				n++
			}
			fmt.Println(n)
		case "seen":
			fmt.Println(strings.Join(<-seen, " "))
		}
	}
}

// standby is the other process, and how it is asked.
type standby struct {
	ask func(string) string
}

func startStandby(b *testing.B, dir string, port uint16) standby {
	b.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestStandbyOfCost$", "-test.timeout=30m")
	child.Env = append(os.Environ(), fmt.Sprintf("%s=%s:%d", standbyVariable, dir, port))
	child.Stderr = os.Stderr
	in, _ := child.StdinPipe()
	out, _ := child.StdoutPipe()
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	lines := bufio.NewReaderSize(out, 1<<20)
	ask := func(what string) string {
		fmt.Fprintln(in, what)
		line, err := lines.ReadString('\n')
		if err != nil {
			b.Fatalf("the standby's process: %v", err)
		}
		return strings.TrimSpace(line)
	}
	if line, err := lines.ReadString('\n'); err != nil || line != "ready\n" {
		b.Fatalf("the standby's process: %q, %v", line, err)
	}
	b.Cleanup(func() { in.Close(); _ = child.Wait() })
	return standby{ask}
}

func (s standby) number(what string) int {
	n, _ := strconv.Atoi(s.ask(what))
	return n
}

// traffic makes flows for a while, with probes among them; and says when each probe was
// put.
func traffic(b *testing.B, l *loader.Loader, look *loader.Replication, from int, state loader.State, rate int, d time.Duration, probes *int) (put []time.Duration) {
	const steps = 100 // a second
	per := rate / steps
	began := time.Now()
	end := func(n int, f func(have loader.Entry) (loader.Entry, loader.Act)) {
		for i := range per {
			if n < 0 {
				return
			}
			look.Merge(loader.Flow{Client: clientAt(from + n*per + i), Vip: 1}, func(have loader.Entry, found bool) (loader.Entry, loader.Act) {
				if !found {
					return have, loader.Keep
				}
				return f(have)
			})
		}
	}
	total := int(d / time.Second * steps)
	for n := range total + 2*steps {
		if n < total {
			puts := fresh(per, 1, func(i int) netip.AddrPort { return clientAt(from + n*per + i) })
			for i := range puts {
				puts[i].State = state
			}
			if probes != nil {
				puts = append(puts, fresh(1, 1, func(int) netip.AddrPort { return clientAt(probeFrom + *probes) })...)
				*probes++
			}
			if _, err := l.PutFlows(puts); err != nil {
				b.Fatal(err)
			}
			put = append(put, monotonic())
		}
		if n-steps < total {
			end(n-steps, func(have loader.Entry) (loader.Entry, loader.Act) {
				have.State, have.Flags = loader.Closed, have.Flags|loader.FlowChanged
				return have, loader.Write
			})
		}
		end(n-2*steps, func(have loader.Entry) (loader.Entry, loader.Act) { return have, loader.End })
		time.Sleep(time.Until(began.Add(time.Duration(n+1) * time.Second / steps)))
	}
	return put
}

func BenchmarkCost(b *testing.B) {
	for _, flows := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(flows), func(b *testing.B) { cost(b, flows) })
	}
}

func cost(b *testing.B, flows int) {
	dir := b.TempDir()
	for _, name := range []string{"lb1", "lb2"} {
		mustKey(b, filepath.Join(dir, name))
	}
	listener, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		b.Fatal(err)
	}
	port := uint16(listener.Addr().(*net.TCPAddr).Port)
	listener.Close()
	a := linked(b, dir, "lb1", "lb2", port, "127.0.31.1", "127.0.31.2")
	look, err := a.tables.Replication()
	if err != nil {
		b.Fatal(err)
	}
	a.Lead(true)
	look.Hold()
	look.Release()
	put(b, a.tables, fresh(flows, 1, clientAt))
	const base = 1 << 21
	alone := cpu()
	traffic(b, a.tables, look, base, loader.Established, costRate, 3*time.Second, nil)
	alone = (cpu() - alone) / 3

	other := startStandby(b, dir, port)
	report := func(value float64, unit string) { b.ReportMetric(value, unit) }
	eventually(b, "the link", func() bool { return a.up.Load() > 0 })
	for other.number("taken") < flows {
		time.Sleep(5 * time.Millisecond)
	}
	report((monotonic()-time.Duration(a.up.Load())).Seconds()*1000, "bulk-ms")
	if n := other.number("flows"); n != flows {
		b.Errorf("the standby has %d flows of %d", n, flows)
	}
	eventually(b, "in sync", func() bool { s := a.Status(); return s.InSync() })

	// bytes on the wire are the frames, each with its header and TLS record.
	bytes := func() (n, updates uint64) {
		c := a.Status().Counts
		return c.Bytes + 26*c.Batches, c.Puts + c.Ends
	}
	measure := func(d time.Duration, do func()) (active, standby float64, n, updates uint64) {
		cpuA, cpuB := cpu(), other.number("cpu")
		n0, u0 := bytes()
		do()
		n1, u1 := bytes()
		return float64(cpu()-cpuA) / float64(d), float64(other.number("cpu")-cpuB) / float64(d), n1 - n0, u1 - u0
	}
	const idle = 10 * time.Second
	active, passive, n, _ := measure(idle, func() { time.Sleep(idle) })
	report(100*active, "idle-active-cpu%")
	report(100*passive, "idle-standby-cpu%")
	report(float64(n)/idle.Seconds(), "idle-B/s")

	probes := 0
	other.ask("seen")
	var sent []time.Duration
	d := costSeconds * time.Second
	active, passive, n, updates := measure(d, func() {
		sent = traffic(b, a.tables, look, base, loader.Established, costRate, d, &probes)
	})
	report(100*(active-float64(alone)/float64(time.Second)), "active-cpu%")
	report(100*passive, "standby-cpu%")
	report(float64(n)/float64(updates), "B/update")
	report(float64(updates)/d.Seconds(), "updates/s")
	time.Sleep(time.Second)
	var lags []time.Duration
	for i, at := range strings.Fields(other.ask("seen")) {
		ns, _ := strconv.Atoi(at)
		lags = append(lags, time.Duration(ns)-sent[i])
	}
	if len(lags) < len(sent) {
		b.Errorf("%d of %d probes came", len(lags), len(sent))
	}
	if c := a.Status().Counts; c.Begun != 1 || c.Differed != 0 {
		b.Errorf("it did not go smoothly: %+v", c)
	}
	slices.Sort(lags)
	report(float64(lags[len(lags)/2].Microseconds())/1000, "lag-median-ms")
	report(float64(lags[len(lags)*99/100].Microseconds())/1000, "lag-p99-ms")

	n0, _ := bytes()
	traffic(b, a.tables, look, base, loader.Handshake, 4*costRate, 3*time.Second, nil)
	n1, _ := bytes()
	report(float64(n1-n0)/5, "half-open-B/s")
	report(0, "ns/op")
}

// What a comparison costs either side: the walk of a million flows.
func BenchmarkWalk1M(b *testing.B) {
	l := openSite(b, 1<<20)
	configure(b, l, 1, "10.0.0.1:80", "10.0.0.2:80", "[2001:db8:1::1]:80")
	table, err := l.Replication()
	if err != nil {
		b.Fatal(err)
	}
	puts := fresh(1_000_000, 1, clientAt)
	for i := range puts {
		puts[i].Flags, puts[i].Idle = loader.FlowSent, 10*time.Minute
	}
	put(b, l, puts)
	r := New(Config{Table: table})
	r.out = func([]byte) {}
	b.Run("leader", func(b *testing.B) {
		for b.Loop() {
			r.hold(func() {
				r.behind = false
				r.sender.unacked, r.sender.waiting = nil, 0
				r.compare()
			})
			if r.flows != len(puts) {
				b.Fatal(r.flows)
			}
		}
	})
	b.Run("other", func(b *testing.B) {
		for b.Loop() {
			r.hold(func() {
				if _, n := r.receiver.sums(); n != len(puts) {
					b.Fatal(n)
				}
			})
		}
	})
}

// What a bulk copy costs who takes it: a million flows that it does not have.
func BenchmarkTake1M(b *testing.B) {
	const flows, at = 1_000_000, 30 // batches at once, as the window has
	names := newFake()
	names.names[1] = name4
	from := New(Config{Table: names})
	var frames [][]byte
	from.out = func(f []byte) { frames = append(frames, f) }
	from.sender.begin(time.Now())
	for i := range flows {
		from.sender.entry(&loader.Entry{Flow: loader.Flow{Client: clientAt(i), Vip: 1, Backend: 1, State: loader.Established}}, false, true)
		from.sender.flushFull(time.Now())
	}
	from.sender.flush(time.Now())
	var spent time.Duration
	for b.Loop() {
		b.StopTimer()
		l := openSite(b, 1<<20)
		configure(b, l, 1, name4.Real.String(), "[2001:db8:1::1]:80")
		table, err := l.Replication()
		if err != nil {
			b.Fatal(err)
		}
		r := New(Config{Table: table})
		r.out = func([]byte) {}
		began := cpu()
		b.StartTimer()
		for batch := range slices.Chunk(frames, at) {
			r.hold(func() {
				for _, frame := range batch {
					r.take(frame)
				}
				r.acknowledge()
			})
		}
		b.StopTimer()
		spent += cpu() - began
		n := 0
		for range l.Flows() {
			n++
		}
		if n != flows {
			b.Errorf("%d flows of %d: %+v", n, flows, r.counts())
		}
		if err := l.Close(); err != nil {
			b.Error(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(spent)/float64(b.N)/flows, "cpu-ns/flow")
}
