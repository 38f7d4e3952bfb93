package vrrp

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func fence(change ...func(*Fence)) func(*Config) {
	return func(c *Config) {
		c.Fence = &Fence{}
		for _, f := range change {
			f(c.Fence)
		}
	}
}

func (d *driver) fences(want bool) *driver {
	d.t.Helper()
	if s := d.m.State(); s.Fence != want {
		d.t.Fatalf("at %s: to be fenced %t (%s), want %t", d.now-boot, s.Fence, s.Why, want)
	}
	return d
}

func (d *driver) fenced(err error) *driver {
	d.take(d.m.Fenced(d.now, err))
	return d.after(0)
}

func (d *driver) rests() *driver { d.take(d.m.Rests(d.now)); return d }

// Who is fenced before a takeover, and who is not.
func TestWhoIsFenced(t *testing.T) {
	linked := func(f *Facts) { f.Peer.Linked = true }
	cut := func(f *Facts) { f.Peer.Linked = false }
	for _, c := range []struct {
		name   string
		change func(*Fence)
		start  Start
		happen func(*driver)
		fence  bool
		role   Role // after
	}{
		{"never heard", nil, Start{Settled: true}, func(*driver) {}, false, Active},
		{"never heard, and that is required", func(f *Fence) { f.Require = true }, Start{Settled: true}, func(*driver) {}, false, Standby},
		{"heard in an earlier life", nil, Start{Settled: true, Heard: true}, func(*driver) {}, true, Standby},
		{"it was active", nil, settledStart, func(d *driver) { d.hear(200) }, true, Standby},
		{"it was heard since the boot", nil, Start{}, func(d *driver) { d.hear(200) }, true, Standby},
		{"it was linked", nil, settledStart, func(d *driver) { d.facts(linked).rests().facts(cut) }, true, Standby},
		{"it is linked, a standby", nil, settledStart, func(d *driver) { d.facts(linked).rests() }, false, Active},
		{"the same, and a fence is required", func(f *Fence) { f.Require = true }, settledStart,
			func(d *driver) { d.facts(linked).rests() }, false, Active},
		{"it is linked, and has not said what it is", nil, settledStart, func(d *driver) { d.facts(linked).after(time.Hour) }, false, Standby},
		{"it is linked, and has not said so for long", nil, settledStart, func(d *driver) {
			d.facts(linked).rests().hear(200).after(100 * ms)
			d.now += restsFor
			d.take(d.m.Hear(d.now, d.advert(200))) // unproven: it keeps us waiting
		}, false, Standby},
		{"it was active, its link has not noticed", nil, settledStart, func(d *driver) {
			d.facts(linked)
			d.take(d.m.Said(d.now, 200, 100*ms))
		}, true, Standby},
		{"another life of it", nil, settledStart, func(d *driver) {
			d.facts(linked)
			d.take(d.m.Said(d.now, 200, 100*ms))
			d.facts(cut).facts(linked)
		}, false, Standby},
		{"goodbye", nil, settledStart, func(d *driver) { d.hear(200).hear(0) }, false, Active},
		{"by agreement", nil, settledStart, func(d *driver) { d.hear(200); d.take(d.m.Take(d.now, "switchover")) }, false, Active},
		{"held", nil, settledStart, func(d *driver) { d.hear(200).facts(func(f *Facts) { f.Hold = true }) }, false, Standby},
	} {
		t.Run(c.name, func(t *testing.T) {
			changes := []func(*Fence){}
			if c.change != nil {
				changes = append(changes, c.change)
			}
			d := drive(t, tarpon(fence(changes...)), c.start)
			c.happen(d)
			d.after(d.m.activeDown()).fences(c.fence).is(c.role)
			if !c.fence {
				return
			}
			d.after(time.Hour).is(Standby).sends(-1) // for as long as it takes
		})
	}
}

func TestFence(t *testing.T) {
	silent := func(change ...func(*Fence)) *driver {
		d := drive(t, tarpon(fence(change...)), settledStart).hear(200)
		return d.after(d.m.activeDown())
	}
	broken := errors.New("no answer from 10.9.9.9")

	d := silent().fences(true).after(1500*ms).fenced(nil).is(Active).sends(150).tells(Fenced, BecameActive)
	if got, want := d.m.State().Why, "nobody is heard; the peer was fenced in 1.5s"; got != want {
		t.Errorf("active because %q, want %q", got, want)
	}
	// What is off is not shot again, until it is heard: then it is on.
	d.take(d.m.Yield(d.now, "test", false))
	d.after(d.m.activeDown()).is(Active).hear(200).is(Standby).after(d.m.activeDown()).fences(true)

	d = silent().fenced(broken).is(Standby).fences(false).tells(FenceFailed)
	d.after(fenceAgain - 1).fences(false).after(1).fences(true).fenced(broken).tells() // once a minute
	d.after(fenceAgain).fenced(nil).is(Active)

	d = silent(func(f *Fence) { f.Proceed = true }).fenced(broken).is(Active).tells(FenceFailed, BecameActive)
	if got, want := d.m.State().Why, "nobody is heard; the peer could not be fenced: no answer from 10.9.9.9"; got != want {
		t.Errorf("active because %q, want %q", got, want)
	}

	// The silence may be its own doing.
	alone := func(change ...func(*Fence)) *driver {
		d := drive(t, tarpon(fence(change...)), settledStart).hear(200)
		return d.facts(func(f *Facts) { f.Fault, f.Cut = "leg wan", "leg wan" }).after(d.m.activeDown())
	}
	alone().fences(false).is(Standby).tells(FenceFailed).after(time.Hour).fences(false).is(Standby)
	d = alone().facts(func(f *Facts) { f.Fault, f.Cut = "", "" })
	d.after(fenceAgain).fences(true)
	d = alone(func(f *Fence) { f.Proceed = true }).after(0).is(Active).fences(false)
	if got, want := d.m.State().Why, "nobody is heard; the peer is not fenced: its silence may be due to this router's fault: leg wan"; got != want {
		t.Errorf("active because %q, want %q", got, want)
	}
	silent(func(f *Fence) { f.Delay = time.Second }).facts(func(f *Facts) { f.Cut = "leg wan" }).after(time.Second).fences(false)

	// The delay: the other one may shoot first.
	later := func(f *Fence) { f.Delay = 2 * time.Second }
	silent(later).fences(false).after(2*time.Second - 1).fences(false).after(1).fences(true)
	d = silent(later).after(time.Second).hear(200)
	d.after(d.m.activeDown()).fences(false).after(2 * time.Second).fences(true)

	t.Run("heard while it is fenced", func(t *testing.T) {
		d := silent().hear(200).fences(false).fenced(broken).is(Standby).tells()
		d.after(d.m.activeDown()).fences(true)
		d.hear(200).fenced(nil).is(Active) // it was its last word
	})
	t.Run("held while it is fenced", func(t *testing.T) {
		d := silent().facts(func(f *Facts) { f.Hold = true }).fences(false).fenced(nil).is(Standby)
		d.after(time.Hour).is(Standby)
	})
	t.Run("active meanwhile", func(t *testing.T) {
		d := silent()
		d.take(d.m.Take(d.now, "switchover"))
		d.fences(false).fenced(broken).is(Active)
	})
}

// Two routers with a fence that are cut from each other: one is shot, and only then the
// other one is active.
func TestOneIsShot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapid.Uint64().Draw(t, "seed"), 2, Tarpon, false)
		for i, n := range w.nodes {
			n.config.Fence = &Fence{Delay: Instant(i) * 2 * time.Second}
		}
		w.start(0)
		w.run(w.now + Instant(rapid.IntRange(0, 1000).Draw(t, "later"))*ms)
		w.start(1)
		w.run(w.now + 3*time.Second)
		if w.shots > 0 {
			t.Fatalf("%d shots of healthy routers:\n%v", w.shots, w.log)
		}
		if rapid.Bool().Draw(t, "moved") && w.nodes[0].active() {
			w.do(0, w.nodes[0].m.Yield(w.now, "switchover", false))
			w.do(1, w.nodes[1].m.Take(w.now, "switchover"))
			w.run(w.now + Instant(rapid.IntRange(0, 1000).Draw(t, "pause"))*ms)
		}
		for link := range w.cut {
			w.cut[link] = true
		}
		w.logf("all is cut")
		w.run(w.now + 10*time.Second)
		if up := w.nodes[0].up(); w.shots != 1 || up == w.nodes[1].up() || w.nodes[0].active() != up || w.nodes[1].active() == up {
			t.Errorf("%d shots; up: %t and %t, active: %t and %t", w.shots, up, w.nodes[1].up(), w.nodes[0].active(), w.nodes[1].active())
			for _, line := range w.log {
				t.Log(line)
			}
		}
	})
}

// shoot has the other router turned off after a while.
func (w *world) shoot(i int) {
	w.logf("%d: shoots", i)
	w.shots++
	at := w.now + Instant(100+w.random.IntN(1400))*ms
	w.later = append(w.later, later{at, func() {
		w.kill(1 - i)
		w.nodes[1-i].lease = 0
		if n := w.nodes[i]; n.m != nil {
			w.do(i, n.m.Fenced(w.now, nil))
		}
	}})
}
