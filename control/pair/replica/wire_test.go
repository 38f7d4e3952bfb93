package replica

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/loader"
)

// notes writes down what a batch says.
type notes struct {
	names map[wireID]loader.BackendName
	lines []string
}

func (n *notes) say(format string, args ...any) {
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

func (n *notes) name(id wireID, name loader.BackendName) {
	n.names[id] = name
	n.say("name %d %v %v", id, name.Vip, name.Real)
}

func (n *notes) anyPort(id wireID) (any, named bool) {
	name, ok := n.names[id]
	return name.Vip.Port() == 0, ok
}

func (n *notes) update(u *update) {
	n.say("end %v news %v generation %v %v %v to %d port %d age %v", u.end, u.news, u.generation, u.state, u.client, u.backend, u.vipPort, u.age)
}
func (n *notes) lead(is bool)                   { n.say("lead %v", is) }
func (n *notes) list(set partSet)               { n.say("list %d", set.count()) }
func (n *notes) listEnd()                       { n.say("list end") }
func (n *notes) digest(applied uint64, s *sums) { n.say("digest %d %x %x", applied, s[0], s[parts-1]) }

func read(body []byte) ([]string, error) {
	n := &notes{names: map[wireID]loader.BackendName{}}
	err := readBatch(body, n)
	return n.lines, err
}

func endpoint(s string, p loader.Protocol) loader.Endpoint {
	return loader.Endpoint{AddrPort: netip.MustParseAddrPort(s), Protocol: p}
}

var (
	name4   = loader.BackendName{Vip: endpoint("192.0.2.1:80", loader.TCP), Real: netip.MustParseAddrPort("10.0.0.1:8080")}
	name6   = loader.BackendName{Vip: endpoint("[2001:db8::1]:53", loader.UDP), Real: netip.MustParseAddrPort("[2001:db8:1::2]:53")}
	nameAny = loader.BackendName{Vip: endpoint("192.0.2.2:0", loader.TCP), Real: netip.MustParseAddrPort("10.0.0.1:0")}
	client4 = netip.MustParseAddrPort("203.0.113.5:4711")
	client6 = netip.MustParseAddrPort("[2001:db8:9::5]:4711")
)

// The bytes are of the protocol: they must not change without its version.
func TestBytes(t *testing.T) {
	for _, c := range []struct {
		name, bytes string
		want        []string
		write       func(b []byte) []byte
	}{
		{"a name and a put", "020306c0000201" + "0050" + "0a000001" + "1f90" + "80cb0071051267" + "0384" + "07",
			[]string{"name 3 192.0.2.1:80/tcp 10.0.0.1:8080", "end false news true generation false established 203.0.113.5:4711 to 3 port 0 age 15m0s"},
			func(b []byte) []byte {
				b = appendName(b, 3, name4)
				return appendUpdate(b, &update{news: true, state: loader.Established, client: client4, backend: 3, age: 15 * time.Minute}, false)
			}},
		{"IPv6, closing, again", "0a0211" + "20010db8000000000000000000000001" + "0035" + "20010db8000100000000000000000002" + "0035" + "7820010db8000900000000000000000005" + "1267" + "02" + "00",
			[]string{"name 2 [2001:db8::1]:53/udp [2001:db8:1::2]:53", "end false news false generation true replied [2001:db8:9::5]:4711 to 2 port 0 age 0s"},
			func(b []byte) []byte {
				b = appendName(b, 2, name6)
				return appendUpdate(b, &update{generation: true, state: loader.UDPReplied, client: client6, backend: 2}, false)
			}},
		{"an end, any port", "02ffff0306c0000202" + "0000" + "0a000001" + "0000" + "01cb0071051267" + "ffff03" + "0050",
			[]string{"name 65535 192.0.2.2:0/tcp 10.0.0.1:0", "end true news false generation false none 203.0.113.5:4711 to 65535 port 80 age 0s"},
			func(b []byte) []byte {
				b = appendName(b, 65535, nameAny)
				return appendUpdate(b, &update{end: true, client: client4, backend: 65535, vipPort: 80}, true)
			}},
	} {
		got := c.write(nil)
		if hex.EncodeToString(got) != c.bytes {
			t.Errorf("%s: %x, want %s", c.name, got, c.bytes)
		}
		lines, err := read(got)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, lines); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// A flow's update costs under 24 bytes (IPv4) and 40 (IPv6) on the wire, all that
// surrounds it included, when a batch is full.
func TestUpdatesAreSmall(t *testing.T) {
	const tls, frame, head = 5 + 1 + 16, 4, 1 + 8 + 10 + 10
	for _, c := range []struct {
		name  string
		of    loader.BackendName
		from  netip.AddrPort
		limit float64
	}{{"IPv4", name4, client4, 24}, {"IPv6", name6, client6, 40}, {"any port", nameAny, client4, 24}} {
		b := appendName(nil, 65000, c.of)
		n := 0
		for ; len(b) < frameSize; n++ {
			b = appendUpdate(b, &update{news: true, state: loader.Established, client: c.from, backend: 65000, vipPort: 80, age: 24 * time.Hour}, c.of.Vip.Port() == 0)
		}
		cost := float64(len(b)+tls+frame+head) / float64(n)
		t.Logf("%s: %.1f bytes", c.name, cost)
		if cost >= c.limit {
			t.Errorf("%s: %.1f bytes an update, want under %g", c.name, cost, c.limit)
		}
	}
}

func FuzzBatch(f *testing.F) {
	b := appendName(nil, 3, name4)
	b = appendUpdate(b, &update{news: true, state: loader.Established, client: client4, backend: 3, age: time.Hour}, false)
	b = appendName(b, 4, name6)
	b = appendUpdate(b, &update{end: true, client: client6, backend: 4}, false)
	f.Add(b)
	set := all()
	f.Add(append(appendParts([]byte{opList}, &set), opListEnd, opLead|opNews, opLead))
	f.Add(appendDigest(nil, 77, &sums{1, 2, 3}))
	f.Fuzz(func(t *testing.T, body []byte) {
		lines, err := read(body)
		if again, failed := read(body); (failed == nil) != (err == nil) || len(again) != len(lines) {
			t.Fatal("the same bytes are read in two ways")
		}
		// And into a table, from the wire on.
		r := New(Config{Table: newFake()})
		r.out = func([]byte) {}
		r.take(append(appendHead(nil, frameBatch, streamID{5, 1}, 1), body...))
		r.take(body)
		r.acknowledge()
	})
}
