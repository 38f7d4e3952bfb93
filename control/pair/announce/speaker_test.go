package announce

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/control/host"
)

// A play lets a speaker run on a clock of its own.
type play struct {
	*speaker
	start, now time.Time
	sent       []string // "after: frame", as said() writes it
	// world is what answers to a frame, at once.
	world func(frame) []heard
}

func newPlay(options Options) *play {
	start := time.Unix(1_000_000, 0)
	leg := Leg{Name: "wan", Own4: own4, Own6: own6}
	return &play{speaker: newSpeaker(leg, ours, 0x1234, options), start: start, now: start}
}

// until runs to a time since the start.
func (p *play) until(end time.Duration) {
	for {
		frames, next := p.next(p.now)
		for _, f := range frames {
			p.sent = append(p.sent, fmt.Sprintf("%dms: %s", p.now.Sub(p.start).Milliseconds(), said(f)))
			if p.world != nil {
				for _, h := range p.world(f) {
					p.take(p.now, h)
				}
			}
		}
		if len(frames) > 0 {
			continue
		}
		if next.IsZero() || next.Sub(p.start) > end {
			p.now = p.start.Add(end)
			return
		}
		p.now = next
	}
}

// said names a frame: what kind it is, of whom, and about whom.
func said(f frame) string {
	if f.bytes[12] == 8 && f.bytes[13] == 0 {
		return fmt.Sprintf("ping %s %s", netip.AddrFrom4([4]byte(f.bytes[26:30])), netip.AddrFrom4([4]byte(f.bytes[30:34])))
	}
	h, _ := hear(f.bytes, 0)
	kind := map[says]string{asks: "asks", replies: "replies", advertises: "advertises"}[h.says]
	to := ""
	if h.to == theirs {
		to = " unicast"
	}
	return fmt.Sprintf("%s %s %s%s", kind, h.sender, h.receiver, to)
}

// told lists the events since the last time.
func (p *play) told() string {
	var list []string
	for _, e := range p.events {
		list = append(list, e.String())
	}
	p.events = nil
	return strings.Join(list, "\n")
}

var defaults = Options{Repeat: 5, Refresh: time.Minute, Retry: 10 * time.Second}

func TestBurstAndRefresh(t *testing.T) {
	for _, test := range []struct {
		repeat int
		until  time.Duration
		want   string // times, in ms
	}{
		{5, 2 * time.Minute, "0 100 300 700 1500 61500"},
		{1, 2 * time.Minute, "0 60000 120000"},
		{3, 10 * time.Second, "0 100 300"},
	} {
		options := defaults
		options.Repeat = test.repeat
		p := newPlay(options)
		p.announce(p.now, []netip.Addr{vip4, vip6}, nil)
		p.until(test.until)
		var want []string
		for _, at := range strings.Fields(test.want) {
			want = append(want, at+"ms: asks "+vip4.String()+" "+vip4.String(), at+"ms: replies "+vip4.String()+" "+vip4.String(),
				at+"ms: advertises "+vip6.String()+" ff02::1")
		}
		if !slices.Equal(p.sent, want) {
			t.Errorf("repeat %d:\n%s\nwant:\n%s", test.repeat, strings.Join(p.sent, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestWithdrawAndAgain(t *testing.T) {
	p := newPlay(defaults)
	p.announce(p.now, []netip.Addr{vip4, vip6}, nil)
	p.until(150 * time.Millisecond)
	p.withdraw([]netip.Addr{vip4})
	p.sent = nil
	p.until(500 * time.Millisecond)
	if got := strings.Join(p.sent, ", "); got != "300ms: advertises 2001:db8::200 ff02::1" {
		t.Errorf("after a withdrawal: %s", got)
	}
	p.announce(p.now, []netip.Addr{vip6}, nil) // again from the first
	p.sent = nil
	p.until(1300 * time.Millisecond)
	if got := len(p.sent); got != 4 { // at 500, 600, 800, 1200
		t.Errorf("announced anew: %q", p.sent)
	}
}

// 500 addresses of each family: every address is said once before any is said the second
// time, and no 100 ms have more frames than the pace allows.
func TestPace(t *testing.T) {
	p := newPlay(defaults)
	var list []netip.Addr
	for i := range 500 {
		list = append(list, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}),
			netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1)))
	}
	p.announce(p.now, list, nil)
	p.until(30 * time.Second)
	if want := 5 * (2*500 + 500); len(p.sent) != want {
		t.Errorf("%d frames, want %d", len(p.sent), want)
	}
	seen := map[string]int{}
	for i, line := range p.sent {
		_, what, _ := strings.Cut(line, ": ")
		if seen[what]++; seen[what] == 2 && len(seen) < 3*500 {
			t.Fatalf("frame %d is the second %q, and only %d others were said", i, what, len(seen))
		}
	}
	for i := range p.sent {
		after := min(i+100+11, len(p.sent)-1)
		if first, last := at(p.sent[i]), at(p.sent[after]); after == i+111 && last-first < 100*time.Millisecond {
			t.Fatalf("%d frames in %s", after-i, last-first)
		}
	}
	if total := at(p.sent[len(p.sent)-1]); total > 8*time.Second {
		t.Errorf("the burst took %s", total)
	}
}

func at(line string) time.Duration {
	text, _, _ := strings.Cut(line, ": ")
	d, _ := time.ParseDuration(text)
	return d
}

// A machine of the world, as it answers to a frame.
type machine struct {
	address      netip.Addr
	mac          host.MAC
	off          bool
	pinned       bool // has another MAC for the vips, for ever
	forwarded    bool // by whoever has that MAC
	silentToPing bool
	after        time.Duration // is off until then
}

func (m machine) answers(p *play) func(frame) []heard {
	return func(f frame) []heard {
		what := strings.Fields(said(f))
		if m.off || p.now.Sub(p.start) < m.after {
			return nil
		}
		from, to := netip.MustParseAddr(what[1]), netip.MustParseAddr(what[2])
		stays := m.pinned && (from == vip4 || from == vip6) // goes to the other MAC
		answer := heard{to: ours, mac: m.mac, sender: m.address, receiver: from}
		switch {
		case what[0] == "ping" && to == m.address && stays && m.forwarded:
			answer.says, answer.mac = echoes, host.MAC{2, 5: 0x99}
		case what[0] == "ping" && to == m.address && !m.silentToPing && !stays:
			answer.says = echoes
		case what[0] == "asks" && to == m.address && from.Is4():
			answer.says = replies // to where it came from, whatever the cache says
		case what[0] == "asks" && from.Is6() && (to == m.address || to == solicitedNode(m.address)) && !stays:
			answer.says = advertises
		default:
			return nil
		}
		return []heard{answer}
	}
}

func TestVerify(t *testing.T) {
	const v4, v6 = "192.0.2.200", "2001:db8::200"
	for _, test := range []struct {
		name string
		machine
		knows bool // its MAC is given
		until time.Duration
		want  string
	}{
		{"it follows", machine{address: near4, mac: theirs}, true, time.Minute, "leg wan: all neighbours answer"},
		{"its MAC is not known", machine{address: near4, mac: theirs}, false, time.Minute, "leg wan: all neighbours answer"},
		{"its MAC is another one by now", machine{address: near4, mac: other}, true, time.Minute, "leg wan: all neighbours answer"},
		{"it does not answer pings", machine{address: near4, mac: theirs, silentToPing: true}, true, time.Minute, "leg wan: all neighbours answer"},
		{"it answers late", machine{address: near4, mac: theirs, after: time.Second}, true, 1900 * time.Millisecond, "leg wan: all neighbours answer"},
		{"its entry is permanent", machine{address: near4, mac: theirs, pinned: true}, true, time.Minute,
			"neighbour 192.0.2.10 does not answer to " + v4 + ", but to this router's own address\nleg wan: 1 answers of neighbours are missing"},
		{"the same, and the old router forwards", machine{address: near4, mac: theirs, pinned: true, forwarded: true}, true, time.Minute,
			"neighbour 192.0.2.10 does not answer to " + v4 + ", but to this router's own address\nleg wan: 1 answers of neighbours are missing"},
		{"it is off", machine{address: near4, off: true}, true, time.Minute,
			"neighbour 192.0.2.10 does not answer to " + v4 + "\nleg wan: 1 answers of neighbours are missing"},
		{"it is off, then on", machine{address: near4, mac: theirs, after: 20 * time.Second}, true, time.Minute,
			"neighbour 192.0.2.10 does not answer to " + v4 + "\nleg wan: 1 answers of neighbours are missing\nneighbour 192.0.2.10 answers to " + v4},
		{"it is off, then on without pings", machine{address: near4, mac: theirs, after: 20 * time.Second, silentToPing: true}, true, time.Minute,
			"neighbour 192.0.2.10 does not answer to " + v4 + "\nleg wan: 1 answers of neighbours are missing\nneighbour 192.0.2.10 answers to " + v4},
		{"it is off, then on with a permanent entry", machine{address: near4, mac: theirs, after: 20 * time.Second, pinned: true}, true, time.Minute,
			"neighbour 192.0.2.10 does not answer to " + v4 + "\nleg wan: 1 answers of neighbours are missing"},
		{"IPv6: it follows", machine{address: near6, mac: theirs}, true, time.Minute, "leg wan: all neighbours answer"},
		{"IPv6: its MAC is not known", machine{address: near6, mac: theirs}, false, time.Minute, "leg wan: all neighbours answer"},
		{"IPv6: its entry is permanent", machine{address: near6, mac: theirs, pinned: true}, true, time.Minute,
			"neighbour 2001:db8::10 does not answer to " + v6 + ", but to this router's own address\nleg wan: 1 answers of neighbours are missing"},
		{"IPv6: it is off, then on", machine{address: near6, mac: theirs, after: 20 * time.Second}, true, time.Minute,
			"neighbour 2001:db8::10 does not answer to " + v6 + "\nleg wan: 1 answers of neighbours are missing\nneighbour 2001:db8::10 answers to " + v6},
	} {
		options := defaults
		options.Verify = true
		p := newPlay(options)
		p.world = test.answers(p)
		n := Neighbour{Address: test.address}
		if test.knows {
			n.MAC = theirs
		}
		p.announce(p.now, []netip.Addr{vip4, vip6}, []Neighbour{n})
		p.until(test.until)
		if got := p.told(); got != test.want {
			t.Errorf("%s: told:\n%s\nwant:\n%s", test.name, got, test.want)
		}
		over := strings.HasSuffix(test.want, "all neighbours answer") || strings.Contains(test.want, " answers to ")
		if left := len(p.checks); over && left > 0 && !p.checksAreControls() || p.waiting != 0 {
			t.Errorf("%s: %d checks are left, %d wait", test.name, left, p.waiting)
		}
	}
}

// Where no neighbour that is alive follows, one is named before its verdict.
func TestIgnored(t *testing.T) {
	second := netip.MustParseAddr("192.0.2.11")
	follows, pinned := machine{address: near4, mac: theirs}, machine{address: second, mac: other, pinned: true}
	for _, test := range []struct {
		name     string
		machines []machine
		want     netip.Addr
	}{
		{"nobody is there", nil, netip.Addr{}},
		{"all follow", []machine{follows, {address: second, mac: other}}, netip.Addr{}},
		{"one among others does not", []machine{follows, pinned}, netip.Addr{}},
		{"one among others, which answer to ARP only", []machine{{address: near4, mac: theirs, silentToPing: true}, pinned}, netip.Addr{}},
		{"the only one does not", []machine{pinned}, second},
		{"the only one that is on does not", []machine{{address: near4, off: true}, pinned}, second},
		{"none does", []machine{{address: near4, mac: theirs, pinned: true}, pinned}, near4},
		{"all are off", []machine{{address: near4, off: true}, {address: second, off: true}}, netip.Addr{}},
		{"those of the other family do", []machine{{address: near6, mac: theirs}, pinned}, second},
	} {
		options := defaults
		options.Verify = true
		p := newPlay(options)
		var neighbours []Neighbour
		for _, m := range test.machines {
			neighbours = append(neighbours, Neighbour{m.address, m.mac})
		}
		p.world = func(f frame) (all []heard) {
			for _, m := range test.machines {
				all = append(all, m.answers(p)(f)...)
			}
			return all
		}
		p.announce(p.now, []netip.Addr{vip4, vip6}, neighbours)
		p.until(time.Second)
		var got netip.Addr
		if c := p.ignored(); c != nil {
			got = c.neighbour
		}
		if got != test.want {
			t.Errorf("%s: %s is ignored by, want %s", test.name, got, test.want)
		}
	}
}

func (p *play) checksAreControls() bool {
	for _, c := range p.checks {
		if !c.control {
			return false
		}
	}
	return true
}

// A neighbour that does not answer is asked five times in 1.5 s, told after 2 s, and
// asked on every 10 s.
func TestQuestionsBackOff(t *testing.T) {
	p := newPlay(defaults)
	p.announce(p.now, []netip.Addr{vip4}, []Neighbour{{near4, theirs}})
	p.until(0)
	p.verify(p.now)
	p.sent = nil
	p.until(23 * time.Second)
	var asked []string
	for _, line := range p.sent {
		if at, to, ok := strings.Cut(line, ": asks 192.0.2.200 192.0.2.10"); ok {
			asked = append(asked, at+to)
		}
	}
	// Where it was seen last at first, then wherever it is.
	if got := strings.Join(asked, ", "); !matches(got, "2ms unicast, 102ms unicast, 304ms, 705ms, 1506ms, 2007ms, 12007ms, 22007ms") {
		t.Errorf("asked at %s", got)
	}
}

// matches compares times up to the pace.
func matches(got, want string) bool {
	a, b := strings.Split(got, ", "), strings.Split(want, ", ")
	return slices.EqualFunc(a, b, func(x, y string) bool {
		timeX, restX, _ := strings.Cut(x, " ")
		timeY, restY, _ := strings.Cut(y, " ")
		dx, _ := time.ParseDuration(timeX)
		dy, _ := time.ParseDuration(timeY)
		return restX == restY && (dx-dy).Abs() <= 10*time.Millisecond
	})
}

// Verifying anew tells Answered of what was told before, and nothing twice.
func TestVerifyAnew(t *testing.T) {
	p := newPlay(defaults)
	m := machine{address: near4, mac: theirs, pinned: true}
	p.world = func(f frame) []heard { return m.answers(p)(f) }
	p.announce(p.now, []netip.Addr{vip4}, []Neighbour{{near4, theirs}})
	p.verify(p.now)
	p.until(3 * time.Second)
	p.told()
	p.verify(p.now)
	p.until(6 * time.Second)
	if got := p.told(); got != "leg wan: 1 answers of neighbours are missing" {
		t.Errorf("anew: %s", got)
	}
	m.pinned = false
	p.verify(p.now)
	p.until(7 * time.Second)
	if got := p.told(); got != "neighbour 192.0.2.10 answers to 192.0.2.200\nleg wan: all neighbours answer" {
		t.Errorf("its entry is gone: %s", got)
	}
	m.pinned = true
	p.verify(p.now)
	p.withdraw([]netip.Addr{vip4})
	p.until(10 * time.Second)
	if got := p.told(); got != "" {
		t.Errorf("after the withdrawal: %s", got)
	}
	if p.waiting != 0 || p.missing != 0 || len(p.checks) != 0 {
		t.Errorf("after the withdrawal: %d checks, %d wait, %d are missing", len(p.checks), p.waiting, p.missing)
	}
	p.announce(p.now, []netip.Addr{vip4}, nil)
	p.verify(p.now)
	if got := p.told(); got != "leg wan: all neighbours answer" {
		t.Errorf("without neighbours: %s", got)
	}
}

func TestConflicts(t *testing.T) {
	const conflict = "02:00:00:00:00:0b says that it has "
	for _, test := range []struct {
		name string
		heard
		want string
	}{
		{"an ARP request", heard{mac: theirs, sender: vip4, receiver: near4}, conflict + "192.0.2.200"},
		{"an ARP reply", heard{to: ours, mac: theirs, sender: vip4, receiver: own4, says: replies}, conflict + "192.0.2.200"},
		{"an advertisement", heard{mac: theirs, sender: vip6, receiver: allNodes6, says: advertises}, conflict + "2001:db8::200"},
		{"a solicitation", heard{mac: theirs, sender: vip6, receiver: near6}, conflict + "2001:db8::200"},
		{"ours, come back", heard{mac: ours, sender: vip4, receiver: vip4}, ""},
		{"a probe", heard{mac: theirs, sender: netip.IPv4Unspecified(), receiver: vip4}, ""},
		{"a question about it", heard{mac: theirs, sender: near4, receiver: vip4}, ""},
		{"another address", heard{mac: theirs, sender: near4, receiver: near4}, ""},
		{"an echo reply, which may have come by a router", heard{to: ours, mac: theirs, sender: vip4, receiver: own4, says: echoes}, ""},
	} {
		p := newPlay(defaults)
		p.announce(p.now, []netip.Addr{vip4, vip6}, nil)
		for range 3 {
			p.take(p.now, test.heard)
		}
		if got := p.told(); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
		p.until(61 * time.Second)
		p.take(p.now, test.heard)
		if got := p.told(); got != test.want {
			t.Errorf("%s, a minute later: %q, want %q", test.name, got, test.want)
		}
		p.withdraw([]netip.Addr{vip4, vip6})
		p.until(200 * time.Second)
		p.take(p.now, test.heard)
		if got := p.told(); got != "" {
			t.Errorf("%s, after the withdrawal: %q", test.name, got)
		}
	}
}
