package link

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// end is one router's end of a link, and all that it was told.
type end struct {
	*Link
	stop func()

	mu     sync.Mutex
	events []Event
	frames []string
}

func (e *end) told() []Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.events)
}

func (e *end) received() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.frames)
}

// start runs an end until the test is over, or stop.
func start(t *testing.T, config Config) *end {
	t.Helper()
	return startSpeaking(t, config, oldestProtocol, protocol)
}

// startSpeaking is start, of a version that speaks these protocols.
func startSpeaking(t *testing.T, config Config, oldest, newest int) *end {
	t.Helper()
	e := &end{}
	config.Tell = func(event Event) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.events = append(e.events, event)
	}
	var err error
	if e.Link, err = New(config); err != nil {
		t.Fatal(err)
	}
	e.oldest, e.newest = oldest, newest
	for _, kind := range []Kind{Facts, Flows, Revisions} {
		e.Handle(kind, func(body []byte) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.frames = append(e.frames, fmt.Sprintf("%d:%s", kind, body))
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { e.Run(ctx); close(done) }()
	e.stop = func() { cancel(); <-done }
	t.Cleanup(e.stop)
	return e
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func address(s string) netip.Addr { return netip.MustParseAddr(s) }

// freePort is one that nobody has on any of these addresses.
func freePort(t *testing.T) uint16 {
	t.Helper()
	listener, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return uint16(listener.Addr().(*net.TCPAddr).Port)
}

// pair are the configurations of two routers, lb1 that dials and lb2 that listens.
func pair(t *testing.T, paths ...Path) (one, two Config) {
	t.Helper()
	keys := [2]ed25519.PrivateKey{newKey(t), newKey(t)}
	port := freePort(t)
	one = Config{Name: "lb1", Peer: "lb2", Key: keys[0], Pins: []Pin{pinOf(keys[1])}, Software: "1.0", Port: port, Paths: paths}
	two = Config{Name: "lb2", Peer: "lb1", Key: keys[1], Pins: []Pin{pinOf(keys[0])}, Software: "1.1", Port: port}
	for _, p := range paths {
		two.Paths = append(two.Paths, Path{Name: p.Name, Own: p.Peer, Peer: p.Own})
	}
	return one, two
}

var (
	pathA = Path{"hb", address("127.0.21.1"), address("127.0.21.2")}
	pathB = Path{"lan", address("127.0.22.1"), address("127.0.22.2")}
)

func isUp(e *end, carrier string, paths int) func() bool {
	return func() bool {
		state, up := e.State(), 0
		for _, p := range state.Paths {
			if p.Up {
				up++
			}
		}
		return state.Carrier == carrier && up == paths
	}
}

func TestFramesBothWays(t *testing.T) {
	defer goleak.VerifyNone(t)
	configs := [2]Config{}
	configs[0], configs[1] = pair(t, pathA, pathB)
	one, two := start(t, configs[0]), start(t, configs[1])
	defer two.stop()
	defer one.stop()
	eventually(t, "both paths up on both ends", func() bool { return isUp(one, "hb", 2)() && isUp(two, "hb", 2)() })
	var sent []string
	large := strings.Repeat("x", 300000)
	for i := range 100 {
		for _, from := range []*end{one, two} {
			if err := from.Send(Flows, fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
		}
		sent = append(sent, fmt.Sprintf("%d:%d", Flows, i))
	}
	for _, e := range []*end{one, two} {
		if err := e.Send(Revisions, []byte(large)); err != nil {
			t.Fatal(err)
		}
		if err := e.Send(Operational, []byte("nobody handles it")); err != nil {
			t.Fatal(err)
		}
		if err := e.Send(99, []byte("nobody knows it")); err != nil {
			t.Fatal(err)
		}
		if err := e.Send(Flows, make([]byte, Flows.Limit()+1)); err == nil {
			t.Error("a frame over its limit was sent")
		}
	}
	sent = append(sent, fmt.Sprintf("%d:%s", Revisions, large))
	for name, e := range map[string]*end{"lb1": one, "lb2": two} {
		eventually(t, "all frames", func() bool { return len(e.received()) == len(sent) })
		if !slices.Equal(e.received(), sent) {
			t.Errorf("%s received other frames than were sent", name)
		}
	}
	if s := one.State(); s.Software != "1.1" || s.Protocol != protocol || s.Strangers != 0 {
		t.Errorf("lb1: %+v", s)
	}
}

// Every way to be no peer, and what becomes of it: nothing but an event.
func TestStrangers(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *testing.T, one, two *Config)
		// what lb2, which listens, and lb1 say of it
		listener, dialer string
	}{
		{"a key that is not pinned", func(t *testing.T, one, _ *Config) { one.Key = newKey(t) },
			"is not lb1's", "does lb2 know our key"},
		{"a server with another key", func(t *testing.T, _, two *Config) { two.Key = newKey(t) },
			"bad certificate", "is not lb2's"},
		{"a cloned machine", func(_ *testing.T, one, two *Config) {
			two.Key, two.Pins, one.Pins = one.Key, []Pin{pinOf(one.Key)}, []Pin{pinOf(one.Key)}
		}, "bad certificate", "cloned"},
		{"another name", func(_ *testing.T, one, _ *Config) { one.Name = "lb0" },
			`calls itself "lb0"`, ""},
		{"from elsewhere", func(_ *testing.T, one, _ *Config) { one.Paths[0].Own = address("127.0.21.3") },
			"from elsewhere than lb1's address", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := pair(t, pathA)
			c.change(t, &a, &b)
			one, two := start(t, a), start(t, b)
			for name, side := range map[string]struct {
				*end
				want string
			}{"listener": {two, c.listener}, "dialer": {one, c.dialer}} {
				if side.want == "" {
					continue
				}
				eventually(t, "the "+name+" tells it", func() bool { return len(side.told()) > 0 })
				told := side.told()[0]
				if told.Kind != Stranger || !strings.Contains(told.Err.Error(), side.want) {
					t.Errorf("the %s says %v; want %q", name, told, side.want)
				}
				if name == "listener" && told.Remote.Addr() != a.Paths[0].Own {
					t.Errorf("the event names %s, not %s", told.Remote, a.Paths[0].Own)
				}
				if s := side.State(); s.Strangers == 0 {
					t.Errorf("the %s has not counted it: %+v", name, s)
				}
			}
			if err := two.Send(Facts, []byte("x")); !errors.Is(err, ErrDown) {
				t.Errorf("sent to a stranger: %v", err)
			}
			if got := two.received(); len(got) > 0 {
				t.Errorf("taken from a stranger: %q", got)
			}
		})
	}
}

// The peer's own address has a connection, and says what no peer would.
func TestGarbage(t *testing.T) {
	for _, c := range []struct {
		name  string
		speak func(conn net.Conn)
	}{
		{"silence", func(net.Conn) {}},
		{"text", func(conn net.Conn) { _, _ = io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n") }},
		{"an endless stream", func(conn net.Conn) {
			for noise := make([]byte, 1<<16); ; {
				rand.Read(noise)
				if _, err := conn.Write(noise); err != nil {
					return
				}
			}
		}},
		{"an endless handshake", func(conn net.Conn) {
			// A record of the largest size begins, and comes by the byte.
			_, _ = conn.Write([]byte{22, 3, 1, 0x40, 0})
			for {
				if _, err := conn.Write([]byte{1}); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, b := pair(t, pathA)
			two := start(t, b)
			conn := dialFrom(t, pathA.Own, netip.AddrPortFrom(pathA.Peer, b.Port))
			go c.speak(conn)
			eventually(t, "it is told", func() bool { return len(two.told()) > 0 })
			if told := two.told()[0]; told.Kind != Stranger || told.Remote != localOf(conn) {
				t.Errorf("%v; want a stranger at %s", told, localOf(conn))
			}
			_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			if _, err := io.Copy(io.Discard, conn); errors.Is(err, context.DeadlineExceeded) {
				t.Error("the connection was left open")
			}
		})
	}
}

func localOf(conn net.Conn) netip.AddrPort { return conn.LocalAddr().(*net.TCPAddr).AddrPort() }

func dialFrom(t *testing.T, own netip.Addr, to netip.AddrPort) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: own.AsSlice()}}
	var conn net.Conn
	eventually(t, "somebody listens", func() (ok bool) {
		var err error
		conn, err = dialer.Dial("tcp", to.String())
		return err == nil
	})
	t.Cleanup(func() { conn.Close() })
	return conn
}

// What was heard of a connection is worth nothing afterwards.
func TestReplay(t *testing.T) {
	a, b := pair(t, Path{"hb", address("127.0.21.1"), address("127.0.21.9")})
	b.Paths = []Path{{"hb", address("127.0.21.2"), address("127.0.21.8")}}
	wire := startWire(t, a.Port, address("127.0.21.9"), address("127.0.21.8"), address("127.0.21.2"))
	one, two := start(t, a), start(t, b)
	eventually(t, "it is up", isUp(one, "hb", 1))
	for range 10 {
		if err := one.Send(Flows, []byte("once")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the frames", func() bool { return len(two.received()) == 10 })
	one.stop()
	eventually(t, "it is down", isUp(two, "", 0))
	conn := dialFrom(t, address("127.0.21.8"), netip.AddrPortFrom(address("127.0.21.2"), b.Port))
	if _, err := conn.Write(wire.heard()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is told", func() bool { return two.State().Strangers > 0 })
	if n := len(two.received()); n != 10 {
		t.Errorf("%d frames, 10 were sent", n)
	}
	if isUp(two, "hb", 1)() {
		t.Error("a recording passes for the peer")
	}
}

// A path that falls silent, without a word from the kernel, is left for the other one
// within the time that silence may last; and taken again when it speaks.
func TestSilence(t *testing.T) {
	wired := Path{"hb", address("127.0.21.1"), address("127.0.21.9")}
	a, b := pair(t, wired, pathB)
	b.Paths[0] = Path{"hb", address("127.0.21.2"), address("127.0.21.8")}
	wire := startWire(t, a.Port, wired.Peer, address("127.0.21.8"), address("127.0.21.2"))
	one, two := start(t, a), start(t, b)
	eventually(t, "both paths up", func() bool { return isUp(one, "hb", 2)() && isUp(two, "hb", 2)() })
	began := time.Now()
	wire.hold()
	eventually(t, "lan carries", func() bool { return isUp(one, "lan", 1)() && isUp(two, "lan", 1)() })
	t.Logf("the carrier changed %s after the silence began", time.Since(began))
	if err := one.Send(Facts, []byte("by lan")); err != nil {
		t.Error(err)
	}
	eventually(t, "the frame comes", func() bool { return slices.Contains(two.received(), "2:by lan") })
	wire.release()
	eventually(t, "hb is back", func() bool { return isUp(one, "hb", 2)() && isUp(two, "hb", 2)() })
	var kinds []string
	for _, e := range one.told() {
		kinds = append(kinds, e.Path+" "+e.Kind.String())
	}
	if !slices.Contains(kinds, "hb down") || !slices.Contains(kinds, "lan carrier") {
		t.Errorf("told: %q", kinds)
	}
}

// The router that dials has restarted before the other noticed.
func TestRestartOfOneEnd(t *testing.T) {
	a, b := pair(t, pathA)
	one, two := start(t, a), start(t, b)
	eventually(t, "it is up", isUp(two, "hb", 1))
	for n := 1; n <= 3; n++ {
		one.stop()
		one = start(t, a)
		eventually(t, "it is up again", isUp(one, "hb", 1))
		if err := one.Send(Facts, []byte("again")); err != nil {
			t.Error(err)
		}
		eventually(t, "the frame comes", func() bool { return len(two.received()) == n })
	}
	two.stop()
	two = start(t, b)
	eventually(t, "it is up again", func() bool { return isUp(one, "hb", 1)() && isUp(two, "hb", 1)() })
}

func TestConfigurationsRefused(t *testing.T) {
	good, _ := pair(t, pathA)
	for _, c := range []struct {
		name   string
		change func(*Config)
	}{
		{"one name", func(c *Config) { c.Peer = c.Name }},
		{"no pin", func(c *Config) { c.Pins = nil }},
		{"no key", func(c *Config) { c.Key = nil }},
		{"no path", func(c *Config) { c.Paths = nil }},
		{"one address", func(c *Config) { c.Paths = []Path{{"hb", pathA.Own, pathA.Own}} }},
	} {
		config := good
		c.change(&config)
		if _, err := New(config); err == nil {
			t.Errorf("%s: taken", c.name)
		}
	}
}

// Two routers of neighbouring versions speak the older one's protocol; two that are
// further apart say so on both ends, and try again.
func TestOtherVersions(t *testing.T) {
	a, b := pair(t, pathA, pathB)
	one, far := startSpeaking(t, a, 3, 4), startSpeaking(t, b, 5, 6)
	for name, e := range map[string]*end{"lb1": one, "lb2": far} {
		eventually(t, name+" refuses it", func() bool { return e.State().Refused != nil })
		if err := e.State().Refused.Error(); !strings.Contains(err, "upgrade the older router") {
			t.Errorf("%s says %q", name, err)
		}
		if s := e.State(); s.Strangers != 0 || s.Carrier != "" {
			t.Errorf("%s: %+v", name, s)
		}
	}
	far.stop()
	for _, c := range []struct{ oldest, newest, want int }{{4, 5, 4}, {2, 3, 3}} {
		near := startSpeaking(t, b, c.oldest, c.newest)
		eventually(t, "both paths up", func() bool { return isUp(one, "hb", 2)() && isUp(near, "hb", 2)() })
		for name, e := range map[string]*end{"lb1": one, "lb2": near} {
			if s := e.State(); s.Refused != nil || s.Protocol != c.want {
				t.Errorf("%s: %+v; want protocol %d", name, s, c.want)
			}
		}
		near.stop()
	}
}
