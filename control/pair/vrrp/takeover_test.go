package vrrp

import (
	"net/netip"
	"testing"
	"time"
)

func TestTakeover(t *testing.T) {
	d := drive(t, tarpon(), settledStart)
	down := 300*ms + 100*ms*106/256
	d.until(boot + down - 1).is(Standby).sends(-1)
	d.until(boot + down).is(Active).sends(150).tells(BecameActive)
	if s := d.m.State(); s.Term != 1 || s.Announces != 1 || s.Since != boot+down {
		t.Errorf("%+v", s)
	}
	d.after(100*ms - 1).sends(-1).after(1).sends(150)
}

// Before the first takeover a stranger with our VRID keeps us standby; later not.
func TestStrangerBeforeTheFirstTakeover(t *testing.T) {
	for _, start := range []Start{{}, settledStart} {
		d := drive(t, tarpon(), start)
		for range 10 {
			h := d.advert(100)
			h.From = netip.MustParseAddr("172.31.0.9")
			d.take(d.m.Hear(d.now, h))
			d.after(100 * ms)
		}
		s := d.m.State()
		if want := start.Settled; (s.Role == Active) != want || s.Probe {
			t.Errorf("settled %t: %s, %s", start.Settled, s.Role, s.Why)
		}
	}
}

func TestFirstTakeover(t *testing.T) {
	c := tarpon(func(c *Config) { c.Settle = 5 * time.Second })
	d := drive(t, c, Start{Facts: Facts{CarrierSince: boot + 1}})
	d.until(boot + 5*time.Second).is(Standby)
	if d.m.State().Probe {
		t.Fatal("it probes before the legs have settled")
	}
	d.after(c.Advert)
	if !d.m.State().Probe {
		t.Fatal("it does not probe")
	}
	d.after(time.Hour).is(Standby).sends(-1)
	d.take(d.m.Probed(d.now, "10.0.0.254 is at 02:00:00:00:00:01"))
	d.is(Standby).tells(ProbeAnswered)
	d.after(d.m.activeDown())
	if !d.m.State().Probe {
		t.Fatal("it does not probe again")
	}
	d.hear(100)
	if d.m.State().Probe {
		t.Fatal("it probes although the peer is active")
	}
	d.take(d.m.Probed(d.now, "")) // too late
	d.is(Standby).after(d.m.activeDown())
	d.take(d.m.Probed(d.now, ""))
	d.after(0).is(Active).sends(150)
	// The next takeover asks nobody.
	d.hear(200).is(Standby).after(d.m.activeDown()).is(Active)

	t.Run("no carrier", func(t *testing.T) {
		d := drive(t, c, Start{})
		d.facts(func(f *Facts) { f.CarrierSince = 0 }).after(time.Hour)
		if s := d.m.State(); s.Probe || s.Role != Standby {
			t.Fatalf("%+v", s)
		}
		d.facts(func(f *Facts) { f.CarrierSince = d.now }).after(6 * time.Second)
		if !d.m.State().Probe {
			t.Fatal("it does not probe")
		}
	})
	t.Run("goodbye", func(t *testing.T) {
		d := drive(t, c, Start{}).hear(100).hear(0)
		d.after(100 * ms * 106 / 256).is(Active)
	})
}

func TestWithoutFlows(t *testing.T) {
	behind := Facts{Peer: Peer{Behind: "bulk copy"}}
	drive(t, tarpon(), Start{Settled: true, Facts: behind}).after(time.Second).is(Active).tells(BecameActive, TakeoverWithoutFlows)
	drive(t, tarpon(), Start{Settled: true, Facts: behind}).hear(100).hear(0).after(100*ms).is(Active).tells(BecameActive, TakeoverWithoutFlows)
	drive(t, tarpon(), settledStart).after(time.Second).is(Active).tells(BecameActive)
}
