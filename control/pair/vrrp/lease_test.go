package vrrp

import (
	"fmt"
	"testing"
	"time"
)

func TestStartWithLease(t *testing.T) {
	for _, c := range []struct {
		name  string
		lease Instant
		hears int // before the first Expired
		is    Role
	}{
		{"none", 0, -1, Standby},
		{"ended", boot - 1, -1, Standby},
		{"held", boot + ms, -1, Active},
		{"open", Open, -1, Active},
		{"open, a better advert", Open, 200, Standby},
		{"open, a losing advert", Open, 100, Active},
	} {
		d := drive(t, tarpon(func(c *Config) { c.Settle = time.Hour }), Start{Lease: c.lease})
		if c.hears >= 0 {
			d.hear(uint8(c.hears))
		}
		d.take(d.m.Expired(d.now))
		if got := d.m.State().Role; got != c.is {
			t.Errorf("%s: %s", c.name, got)
		}
		if c.is == Active {
			d.sends(150)
			if d.out.Lease != boot+300*ms {
				t.Errorf("%s: lease until %s", c.name, d.out.Lease)
			}
		} else if c.lease != 0 && (!d.out.SetLease || d.out.Lease != 0) {
			t.Errorf("%s: the lease goes on", c.name)
		}
	}
}

// A lease that ends before anything could be done is worth nothing.
func TestLeaseEndsAtTheStart(t *testing.T) {
	d := drive(t, tarpon(), Start{Lease: boot + ms})
	d.now += ms
	d.take(d.m.Expired(d.now))
	d.is(Standby)
}

func TestLease(t *testing.T) {
	d := drive(t, tarpon(), settledStart)
	d.facts(func(f *Facts) { f.Peer.Linked = true })
	o := d.m.Take(d.now, "test")
	if o.SetLease {
		t.Fatal("a lease before an advert went out")
	}
	if o = d.m.Sent(d.now, 0); o.SetLease || len(o.Events) != 1 || o.Events[0].Kind != NotSent {
		t.Fatalf("no link took the advert: %+v", o)
	}
	if o = d.m.Sent(d.now, 1); o.Lease != d.now+300*ms {
		t.Fatalf("lease until %s at %s", o.Lease, d.now)
	}
	for _, c := range []struct {
		name   string
		change func(*Facts)
		open   bool
	}{
		{"the peer is linked", func(f *Facts) {}, false},
		{"held", func(f *Facts) { f.Hold = true }, true},
		{"no more", func(f *Facts) { f.Hold = false }, false},
		{"the link died, not yet silent", func(f *Facts) { f.Peer.Linked = false }, false},
	} {
		d.facts(c.change).after(100 * ms)
		if got := d.m.State().Lease == Open; got != c.open {
			t.Errorf("%s: open is %t", c.name, got)
		}
	}
	if d.after(400 * ms); d.m.State().Lease != Open {
		t.Error("silent for Active_Down: not open")
	}
	d.hear(100)
	if lease := d.m.State().Lease; lease != d.now+300*ms {
		t.Errorf("heard again: lease until %s at %s", lease, d.now)
	}
	d.take(d.m.Yield(d.now, "test", false))
	if !d.out.SetLease || d.out.Lease != 0 {
		t.Error("the lease goes on after a yield")
	}

	d = drive(t, foreign(), settledStart).active().after(time.Hour)
	if lease := d.m.State().Lease; lease == Open {
		t.Error("open although a foreign standby may be there")
	}
	d.facts(func(f *Facts) { f.Hold = true }).after(time.Second)
	if lease := d.m.State().Lease; lease == Open {
		t.Error("open although no hold keeps a foreign standby from taking over")
	}
}

// Who wakes up late has heard the adverts first.
func TestLateWake(t *testing.T) {
	t.Run("standby", func(t *testing.T) {
		d := drive(t, tarpon(), settledStart).hear(200)
		d.now += 30 * time.Second
		d.hear(200)
		d.take(d.m.Expired(d.now))
		d.is(Standby).sends(-1)
	})
	for _, linked := range []bool{false, true} {
		t.Run(fmt.Sprintf("active, linked %t", linked), func(t *testing.T) {
			d := drive(t, tarpon(), settledStart).active()
			d.facts(func(f *Facts) { f.Peer = Peer{Linked: linked, Priority: 100} }).after(200 * ms)
			d.out = Output{}
			d.now += 30 * time.Second
			d.hear(100) // of the peer, which has taken over
			d.take(d.m.Expired(d.now))
			d.is(Standby).sends(-1)
			if d.m.State().Lease != 0 {
				t.Error("the lease goes on")
			}
		})
	}
	t.Run("active, and nobody took over", func(t *testing.T) {
		d := drive(t, tarpon(), settledStart).active()
		d.now += 30 * time.Second
		d.take(d.m.Expired(d.now))
		d.is(Active).sends(150)
		if got := d.m.State().Counters.Late; got != 1 {
			t.Errorf("%d late", got)
		}
	})
	t.Run("a foreign peer that is to be preempted", func(t *testing.T) {
		d := drive(t, foreign(preempt), settledStart).active()
		d.now += 30 * time.Second
		d.hear(100).is(Active)
	})
}

// Who was stopped does not know whether the peer died meanwhile and its kernel goes on
// answering: he asks.
func TestAwayAsksFirst(t *testing.T) {
	probes := func(d *driver, after time.Duration) bool {
		for end := d.now + after; d.now < end; d.after(100 * ms) {
			d.hear(100)
		}
		d.after(d.m.activeDown())
		return d.m.State().Probe
	}
	d := drive(t, tarpon(), settledStart)
	if probes(d, time.Second) {
		t.Error("it was not away, and asks")
	}
	d = drive(t, tarpon(), settledStart)
	d.now += 30 * time.Second
	if !probes(d, time.Minute) {
		t.Error("it was away, and does not ask")
	}
	d.is(Standby)
	d.take(d.m.Probed(d.now, ""))
	d.after(0).is(Active)
	// Back for long enough that the peer knows of it: its lease is not open.
	linked := func(f *Facts) { f.Peer.Linked = true }
	d = drive(t, tarpon(), settledStart).facts(linked)
	d.now += 30 * time.Second
	for range 20 {
		d.take(d.m.Said(d.now, 100, 100*ms))
		d.after(100 * ms)
	}
	d.facts(func(f *Facts) { f.Peer.Linked = false }).after(d.m.activeDown()).is(Active)
}
