package vrrp

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

const (
	ms   = time.Millisecond
	boot = 100 * time.Second // when the machines of these tests start
)

var floating = []netip.Addr{netip.MustParseAddr("10.0.0.254"), netip.MustParseAddr("fe80::254")}

// tarpon is one of two Tarpons over two links; who has the higher addresses is the other.
func tarpon(change ...func(*Config)) Config {
	c := Config{
		VRID: 77, Version: 3, Advert: 100 * ms, Priority: 150, Advertise: floating,
		Links: []Link{
			{"hb", netip.MustParseAddr("172.31.0.1"), netip.MustParseAddr("172.31.0.2")},
			{"lan", netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")},
		},
	}
	for _, f := range change {
		f(&c)
	}
	if err := c.Validate(); err != nil {
		panic(err)
	}
	return c
}

// foreign has a keepalived or the like on the other side.
func foreign(change ...func(*Config)) Config {
	return tarpon(append([]func(*Config){func(c *Config) {
		c.Peer, c.Transport, c.Links = Foreign, Multicast, c.Links[:1]
		c.Links = []Link{{Interface: "hb", Own: c.Links[0].Own}}
	}}, change...)...)
}

func preempt(c *Config)  { c.Preempt = true }
func version2(c *Config) { c.Version, c.Advert = 2, time.Second }

// A driver drives a machine by hand.
type driver struct {
	t   *testing.T
	m   *Machine
	now Instant
	out Output // of all inputs since the last look
}

func drive(t *testing.T, c Config, start Start) *driver {
	if start.Facts.CarrierSince == 0 {
		start.Facts.CarrierSince = 1
	}
	return &driver{t: t, m: New(c, start, boot), now: boot}
}

// settledStart is a router that was up before: no probe, no settling.
var settledStart = Start{Settled: true}

func (d *driver) take(o Output) {
	d.out.Events = append(d.out.Events, o.Events...)
	if o.SetLease {
		d.out.SetLease, d.out.Lease = true, o.Lease
	}
	if o.Send {
		d.out.Send, d.out.Priority, d.out.Interval = true, o.Priority, o.Interval
		d.take(d.m.Sent(d.now, 1))
	}
}

func (d *driver) advert(priority uint8) Heard {
	link := d.m.c.Links[0]
	from := link.Peer
	if !from.IsValid() {
		from = netip.MustParseAddr("172.31.0.2")
	}
	return Heard{Link: 0, From: from, Advert: d.m.c.advert(link, priority)}
}

func (d *driver) hear(priority uint8) *driver {
	d.take(d.m.Hear(d.now, d.advert(priority)))
	return d
}

func (d *driver) facts(change func(*Facts)) *driver {
	f := d.m.facts
	change(&f)
	d.take(d.m.SetFacts(d.now, f))
	return d
}

// until lets the time go by; every timer acts when it is due.
func (d *driver) until(at Instant) *driver {
	for next := d.m.Next(); next <= at; next = d.m.Next() {
		d.now = max(d.now, next)
		d.take(d.m.Expired(d.now))
	}
	d.now = at
	return d
}

func (d *driver) after(time time.Duration) *driver { return d.until(d.now + time) }

// active brings it there.
func (d *driver) active() *driver {
	d.t.Helper()
	d.take(d.m.Take(d.now, "test"))
	d.after(d.m.c.Advert + 1)
	d.out = Output{}
	d.is(Active)
	return d
}

func (d *driver) is(role Role) *driver {
	d.t.Helper()
	if got := d.m.State(); got.Role != role {
		d.t.Fatalf("at %s: %s (%s), want %s", d.now-boot, got.Role, got.Why, role)
	}
	return d
}

// sends checks what was sent last since the last look: -1 for nothing.
func (d *driver) sends(priority int) *driver {
	d.t.Helper()
	got := -1
	if d.out.Send {
		got = int(d.out.Priority)
	}
	if got != priority {
		d.t.Fatalf("at %s: sent %d, want %d", d.now-boot, got, priority)
	}
	d.out.Send = false
	return d
}

func (d *driver) tells(kinds ...Kind) *driver {
	d.t.Helper()
	var got []Kind
	for _, e := range d.out.Events {
		got = append(got, e.Kind)
	}
	if !slices.Equal(got, kinds) {
		d.t.Fatalf("at %s: events %+v, want %+v", d.now-boot, d.out.Events, kinds)
	}
	d.out.Events = nil
	return d
}

// RFC 9568 sections 6.4.1 to 6.4.3, and 6.4 of RFC 3768.
func TestTransitions(t *testing.T) {
	// 150 against who has the higher address.
	for _, c := range []struct {
		name    string
		config  Config
		role    Role
		hears   uint8
		becomes Role
		sends   int
		due     time.Duration // of the timer, from when the advert came
	}{
		{"standby, higher", foreign(preempt), Standby, 200, Standby, -1, 300*ms + 100*ms*106/256},
		{"standby, lower, no preempt", foreign(), Standby, 100, Standby, -1, 300*ms + 100*ms*106/256},
		{"standby, lower, preempt: left to expire", foreign(preempt), Standby, 100, Standby, -1, 300*ms + 100*ms*106/256 - 50*ms},
		{"standby, goodbye: skew time", foreign(preempt), Standby, 0, Standby, -1, 100 * ms * 106 / 256},
		{"standby, owner", foreign(preempt), Standby, 255, Standby, -1, 300*ms + 100*ms*106/256},
		{"standby, equal, higher address", foreign(preempt), Standby, 150, Standby, -1, 300*ms + 100*ms*106/256},
		{"standby, version 2", foreign(version2), Standby, 200, Standby, -1, 3*time.Second + time.Second*106/256},
		{"standby, version 2, goodbye", foreign(version2), Standby, 0, Standby, -1, time.Second * 106 / 256},
		{"active, higher", foreign(), Active, 200, Standby, -1, 300*ms + 100*ms*106/256},
		{"active, owner", foreign(), Active, 255, Standby, -1, 300*ms + 100*ms*106/256},
		{"active, equal, higher address", foreign(), Active, 150, Standby, -1, 300*ms + 100*ms*106/256},
		{"active, lower: answered, timer as it was", foreign(), Active, 100, Active, 150, 50 * ms},
		{"active, lower, version 2: discarded", foreign(version2), Active, 100, Active, -1, 950 * ms},
		{"active, goodbye: an advert, timer anew", foreign(), Active, 0, Active, 150, 100 * ms},
		{"tarpon standby never preempts by itself", tarpon(preempt), Standby, 100, Standby, -1, 300*ms + 100*ms*106/256},
		{"tarpon active, higher", tarpon(), Active, 200, Standby, -1, 300*ms + 100*ms*106/256},
		{"tarpon active, lower", tarpon(), Active, 100, Active, 150, 50 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := drive(t, c.config, settledStart)
			if c.role == Active {
				d.active()
			}
			d.after(50*ms - d.now%ms).hear(c.hears).is(c.becomes).sends(c.sends)
			if got := d.m.due - d.now; got != c.due {
				t.Errorf("the timer ends in %s, want %s", got, c.due)
			}
			if lease := d.m.State().Lease; c.becomes == Standby && lease != 0 {
				t.Errorf("a standby has a lease until %s", lease)
			}
		})
	}
}

// With equal priorities both routers must come to the same winner, on every link.
func TestEqualPriorities(t *testing.T) {
	c := tarpon(func(c *Config) { // on the second link the addresses are the other way round
		c.Links[1].Own, c.Links[1].Peer = c.Links[1].Peer, c.Links[1].Own
	})
	for link := range c.Links {
		d := drive(t, c, settledStart).active()
		h := Heard{Link: link, From: c.Links[link].Peer, Advert: c.advert(c.Links[link], 150)}
		d.take(d.m.Hear(d.now, h))
		d.is(Standby)
	}
}

// A standby counts in the active router's intervals, in version 3 only.
func TestLearnedInterval(t *testing.T) {
	d := drive(t, foreign(), settledStart)
	h := d.advert(200)
	h.Advert.Interval = time.Second
	d.take(d.m.Hear(d.now, h))
	if got, want := d.m.due-d.now, 3*time.Second+time.Second*106/256; got != want {
		t.Errorf("patience of %s, want %s", got, want)
	}
	d = drive(t, foreign(version2), settledStart)
	h = d.advert(200)
	h.Advert.Interval = 2 * time.Second
	d.take(d.m.Hear(d.now, h))
	d.tells(Conflict)
	if d.m.State().Counters.Ignored != 1 {
		t.Error("another interval was heeded in version 2")
	}
}

func TestStrangers(t *testing.T) {
	password := func(c *Config) { version2(c); c.V2Password = "secret" }
	for _, c := range []struct {
		name   string
		config Config
		change func(*Heard)
		obeyed bool
		told   bool
	}{
		{"the peer", tarpon(), func(*Heard) {}, true, false},
		{"another source", tarpon(), func(h *Heard) { h.From = netip.MustParseAddr("172.31.0.9") }, false, true},
		{"our own address", foreign(), func(h *Heard) { h.From = netip.MustParseAddr("172.31.0.1") }, false, true},
		{"any source of a foreign peer", foreign(), func(h *Heard) { h.From = netip.MustParseAddr("172.31.0.9") }, true, false},
		{"another version", foreign(), func(h *Heard) { h.Advert.Version = 2 }, false, true},
		{"another list: obeyed, or there were two", foreign(), func(h *Heard) { h.Advert.Addresses = floating[:0] }, true, true},
		{"another checksum", foreign(), func(h *Heard) { h.Checksum = PseudoHeader }, true, true},
		{"an owner among Tarpons", tarpon(), func(h *Heard) { h.Advert.Priority = 255 }, false, true},
		{"no password", foreign(password), func(h *Heard) { h.Advert.AuthType = authNone }, false, true},
		{"another password", foreign(password), func(h *Heard) { h.Advert.Password[0] = 'S' }, false, true},
		{"a password and none of ours", foreign(version2), func(h *Heard) { h.Advert.AuthType = authPassword }, false, true},
		{"the password", foreign(password), func(*Heard) {}, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := drive(t, c.config, settledStart).active()
			h := d.advert(200)
			c.change(&h)
			d.take(d.m.Hear(d.now, h))
			if got := d.m.State().Role == Standby; got != c.obeyed {
				t.Errorf("obeyed: %t", got)
			}
			told := slices.ContainsFunc(d.out.Events, func(e Event) bool { return e.Kind == Conflict })
			if told != c.told {
				t.Errorf("told: %t: %v", told, d.out.Events)
			}
			d.out = Output{}
			d.take(d.m.Hear(d.now+30*time.Second, h))
			if slices.ContainsFunc(d.out.Events, func(e Event) bool { return e.Kind == Conflict }) {
				t.Error("told again within a minute")
			}
			if s := d.m.State(); s.Counters.PseudoHeader != uint64(2*h.Checksum) || c.obeyed && s.Links[0].Checksum != h.Checksum {
				t.Errorf("its checksum: %+v, %+v", s.Counters, s.Links)
			}
		})
	}
}

// The last advert before a restart lasts longer, and the first one after it as always.
func TestPause(t *testing.T) {
	linked := func(f *Facts) { f.Peer.Linked = true }
	d := drive(t, tarpon(), settledStart).facts(linked).active()
	o := d.m.Pause(d.now, 2*time.Second)
	if !o.Send || o.Priority != 150 || o.Interval != 2*time.Second {
		t.Errorf("the last advert is %+v", o)
	}
	d.take(o)
	if d.out.Lease != d.now+6*time.Second {
		t.Errorf("at %s the lease is until %s", d.now, d.out.Lease)
	}
	if next := d.m.Next(); next != d.now+2*time.Second {
		t.Errorf("at %s the next advert is at %s: it would end the pause", d.now, next)
	}
	next := drive(t, tarpon(), Start{Settled: true, Lease: d.out.Lease})
	next.take(next.m.Expired(next.now))
	if next.is(Active).sends(150); next.out.Lease != next.now+300*ms || next.out.Interval != 100*ms {
		t.Errorf("the next life begins with %+v", next.out)
	}
	if o := drive(t, foreign(version2), settledStart).active().m.Pause(boot+2*time.Second, 2*time.Second); o.Interval != time.Second {
		t.Errorf("version 2 says %s", o.Interval)
	}
	if o := drive(t, tarpon(), settledStart).m.Pause(boot, 2*time.Second); o.Send {
		t.Error("a standby advertises")
	}
}

func TestLosingAdverts(t *testing.T) {
	d := drive(t, tarpon(), settledStart).active().after(50 * ms)
	announces := d.m.State().Announces
	d.out = Output{}
	d.hear(100).sends(150).tells(SplitBrain)
	d.hear(100).sends(-1) // within 10 ms: both may believe to win
	d.now += answerGap
	d.hear(100).sends(150)
	if got := d.m.State().Announces - announces; got != 1 {
		t.Errorf("announced %d times", got)
	}
	d.after(time.Second)
	d.hear(100).tells()
	if got := d.m.State().Announces - announces; got != 2 {
		t.Errorf("announced %d times after a second", got)
	}

	d = drive(t, foreign(version2), settledStart).active().after(500 * ms)
	announces = d.m.State().Announces
	d.out = Output{}
	d.hear(100).sends(-1)
	if got := d.m.State().Announces - announces; got != 1 {
		t.Errorf("version 2: announced %d times", got)
	}
}

func TestPreemptForeign(t *testing.T) {
	hearFor := func(d *driver, time time.Duration) {
		for end := d.now + time; d.now < end && d.m.State().Role == Standby; d.after(100 * ms) {
			d.hear(100)
		}
	}
	d := drive(t, foreign(preempt), settledStart)
	hearFor(d, time.Second)
	d.is(Active)
	d = drive(t, foreign(), settledStart)
	hearFor(d, time.Hour)
	d.is(Standby)
	d = drive(t, foreign(preempt, func(c *Config) { c.PreemptDelay = 10 * time.Second }), settledStart)
	hearFor(d, 10*time.Second)
	d.is(Standby)
	hearFor(d, time.Second)
	d.is(Active)
	for name, change := range map[string]func(*Facts){
		"fault": func(f *Facts) { f.Fault = "leg wan" },
		"hold":  func(f *Facts) { f.Hold = true },
		"low":   func(f *Facts) { f.Priority = 50 },
	} {
		d = drive(t, foreign(preempt), settledStart).facts(change)
		hearFor(d, time.Minute)
		if d.m.State().Role != Standby {
			t.Errorf("%s: preempts", name)
		}
	}
}

func TestFaults(t *testing.T) {
	t.Run("a foreign peer is told", func(t *testing.T) {
		d := drive(t, foreign(), settledStart).active()
		fault := func(f *Facts) { f.Fault = "leg wan" }
		d.facts(fault).is(Standby).sends(0)
		// It is not there: a half-dead router beats none.
		d.after(d.m.activeDown()).is(Active).sends(1).tells(BecameStandby, BecameActive, ActiveWithFault)
		d.facts(fault).is(Active)
	})
	t.Run("a weight is only advertised", func(t *testing.T) {
		d := drive(t, foreign(), settledStart).active().facts(func(f *Facts) { f.Priority = 90 })
		d.after(100 * ms).is(Active).sends(90)
	})
	t.Run("a foreign peer is not heard without carrier", func(t *testing.T) {
		d := drive(t, foreign(), settledStart).active()
		d.facts(func(f *Facts) { f.Deaf = true }).is(Standby).sends(-1).after(time.Hour).is(Standby)
		d.facts(func(f *Facts) { f.Deaf = false }).after(d.m.activeDown() - 1).is(Standby).after(1).is(Active)
	})
	t.Run("a standby leaves it to a fit peer", func(t *testing.T) {
		d := drive(t, tarpon(), settledStart).facts(func(f *Facts) { f.Fault, f.Peer.Linked = "leg wan", true })
		d.after(time.Hour).is(Standby).facts(func(f *Facts) { f.Peer.Linked = false })
		d.after(time.Second).is(Active)
	})
}

func TestHold(t *testing.T) {
	d := drive(t, tarpon(), settledStart).facts(func(f *Facts) { f.Hold = true })
	d.after(time.Hour).is(Standby).hear(0).after(time.Hour).is(Standby)
	d.facts(func(f *Facts) { f.Hold = false }).after(time.Second).is(Active)
	// Two are worse than a broken hold.
	d.facts(func(f *Facts) { f.Hold = true }).hear(200).is(Standby)
}

// While the TLS link lives, the wire alone moves nothing.
func TestForged(t *testing.T) {
	linked := Start{Settled: true, Facts: Facts{Peer: Peer{Linked: true, Priority: 100}}}
	d := drive(t, tarpon(), linked).active()
	d.hear(254).is(Active).sends(-1).after(time.Second).tells(Forged)
	d.hear(0).is(Active)
	d.out = Output{}
	d.after(2 * time.Second).tells() // once a minute
	// The peer says it: now it counts, by either way.
	d.take(d.m.Said(d.now, 200, 100*ms))
	d.is(Standby)

	d = drive(t, tarpon(), linked)
	d.take(d.m.Said(d.now, 200, 100*ms))
	for range 30 { // a slow TLS link
		d.after(100 * ms).hear(200)
	}
	d.is(Standby)
	d.hear(0).after(300 * ms).is(Standby) // a forged goodbye
	d.take(d.m.Said(d.now, 0, 100*ms))
	d.after(100 * ms).is(Active)

	// The wire may be faster than the TLS link: no event.
	d = drive(t, tarpon(), linked)
	d.hear(200).after(50 * ms)
	d.take(d.m.Said(d.now, 200, 100*ms))
	d.after(100 * ms)
	d.take(d.m.Said(d.now, 200, 100*ms))
	d.out.Events = nil
	for range 20 {
		d.hear(200)
		d.take(d.m.Said(d.now, 200, 100*ms))
		d.after(100 * ms)
	}
	d.is(Standby).tells()
	// What it said is worth something for an Active_Down_Interval.
	d = drive(t, tarpon(), linked).active()
	d.m.said, d.m.saidAt = 200, d.now
	d.after(d.m.activeDown() + 1).hear(200).is(Active)
	// Without it, the wire is believed.
	d = drive(t, tarpon(), settledStart).active().hear(254).is(Standby)
}
