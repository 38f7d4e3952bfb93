package vrrp_test

import (
	"encoding/binary"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/control/pair/vrrp"
	"golang.org/x/sys/unix"
)

// pairConfig is one of two Tarpons over hb, with both families: router 0 is ours.
func pairConfig(router int) vrrp.Config {
	own4, own6 := []string{our4, their4}, []string{our6, their6}
	c := vrrp.Config{VRID: vrid, Version: 3, Advert: 100 * ms, Priority: uint8(better - worse*router),
		Advertise: []netip.Addr{netip.MustParseAddr(floating4), netip.MustParseAddr(floating6)}}
	for _, own := range [][]string{own4, own6} {
		c.Links = append(c.Links, vrrp.Link{Interface: "hb", Own: netip.MustParseAddr(own[router]), Peer: netip.MustParseAddr(own[1-router])})
	}
	return c
}

// A router of the test: a speaker with the lease that it wrote last.
type router struct {
	*vrrp.Speaker
	mu    sync.Mutex
	lease vrrp.Instant
}

func (r *router) until() vrrp.Instant {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lease
}

func (w *wire) router(ns string, c vrrp.Config, start vrrp.Start) *router {
	w.t.Helper()
	start.Facts.CarrierSince = 1
	r := &router{}
	w.inside(ns, func() (err error) {
		r.Speaker, err = vrrp.Run(c, start, func(until vrrp.Instant) {
			r.mu.Lock()
			r.lease = until
			r.mu.Unlock()
		})
		return err
	})
	w.t.Cleanup(func() { r.Close() })
	return r
}

func (w *wire) wait(what string, condition func() bool) {
	w.t.Helper()
	for limit := time.Now().Add(10 * time.Second); !condition(); time.Sleep(ms) {
		if time.Now().After(limit) {
			w.t.Fatalf("%s: it does not come", what)
		}
	}
}

func (r *router) is(role vrrp.Role) func() bool {
	return func() bool { return r.Snapshot().Role == role }
}

func TestTwoSpeakers(t *testing.T) {
	w := newWire(t)
	settled := vrrp.Start{Settled: true}
	linked := vrrp.Facts{CarrierSince: 1, Peer: vrrp.Peer{Linked: true, Priority: better}}
	a := w.router(w.us, pairConfig(0), settled)
	w.wait("a is active", a.is(vrrp.Active))
	w.wait("alone, its lease is open", func() bool { return a.until() == vrrp.Open })
	b := w.router(w.them, pairConfig(1), settled)
	w.wait("b hears both links", func() bool {
		s := b.Snapshot()
		return s.Links[0].At != 0 && s.Links[1].At != 0 && s.Links[0].Priority == better
	})
	a.SetFacts(linked)
	w.wait("with a peer, its lease ends", func() bool { return a.until() != vrrp.Open })
	if left := a.until() - vrrp.Now(); left > 300*ms {
		t.Errorf("the lease is of %s", left)
	}

	// Both calls have happened when they return.
	a.Yield("switchover", false)
	if a.until() != 0 || a.Snapshot().Role != vrrp.Standby {
		t.Errorf("after Yield: lease until %s, %s", a.until(), a.Snapshot().Role)
	}
	b.Take("switchover")
	if b.Snapshot().Role != vrrp.Active || b.until() < vrrp.Now() {
		t.Errorf("after Take: lease until %s, %s", b.until(), b.Snapshot().Role)
	}
	if left := a.Snapshot(); left.Role != vrrp.Standby {
		t.Errorf("a is active again")
	}

	// b dies; a waits for the lease to end.
	a.SetFacts(vrrp.Facts{CarrierSince: 1})
	w.wait("a hears b", func() bool { return a.Snapshot().Links[0].Priority == better-worse })
	b.Close()
	w.wait("a takes over", a.is(vrrp.Active))
	if a.Snapshot().Since < b.until() {
		t.Errorf("a took over at %s, the lease of b held until %s", a.Snapshot().Since, b.until())
	}
	// b returns, and with a lease that still holds: it is active at once, and two are.
	b = w.router(w.them, pairConfig(1), vrrp.Start{Lease: vrrp.Open})
	w.wait("b hears a and stands back", func() bool { s := b.Snapshot(); return s.Term == 2 && s.Role == vrrp.Standby })
	var kinds []vrrp.Kind
	for len(b.Events()) > 0 {
		kinds = append(kinds, (<-b.Events()).Kind)
	}
	if !slices.Equal(kinds, []vrrp.Kind{vrrp.BecameActive, vrrp.SplitBrain, vrrp.BecameStandby}) {
		t.Errorf("events of b: %q", kinds)
	}
	if a.Snapshot().Term != 3 {
		t.Errorf("a moved: %+v", a.Snapshot().State)
	}
	a.Yield("stop", true)
	w.wait("b hears the goodbye", b.is(vrrp.Active))
	if s := b.Snapshot(); s.Why != "the peer said goodbye" {
		t.Error(s.Why)
	}
	for _, r := range []*router{a, b} {
		if s := r.Snapshot(); s.Refused != 0 || s.Counters.Ignored != 0 || s.Lost != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// say sends raw bytes from the far end, with a TTL and perhaps from another address.
func (w *wire) say(from string, ttl int, advert vrrp.Advert) {
	w.t.Helper()
	to := netip.MustParseAddr(our4)
	packet, err := advert.Append(nil, netip.MustParseAddr(from), to, vrrp.RFC9568)
	if err != nil {
		w.t.Fatal(err)
	}
	w.inside(w.them, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		header := make([]byte, 20, 20+len(packet))
		header[0], header[8], header[9] = 0x45, byte(ttl), vrrp.Protocol
		binary.BigEndian.PutUint16(header[2:], uint16(20+len(packet)))
		copy(header[12:], netip.MustParseAddr(from).AsSlice())
		copy(header[16:], to.AsSlice())
		return unix.Sendto(fd, append(header, packet...), 0, &unix.SockaddrInet4{Addr: to.As4()})
	})
}

func TestWhoIsHeard(t *testing.T) {
	w := newWire(t)
	r := w.router(w.us, pairConfig(0), vrrp.Start{Settled: true})
	w.wait("it is active", r.is(vrrp.Active))
	advert := vrrp.Advert{Version: 3, VRID: vrid, Priority: 200, Interval: 100 * ms, Addresses: []netip.Addr{netip.MustParseAddr(floating4)}}
	w.say(their4, 254, advert)
	w.wait("a TTL of 254 is refused", func() bool { return r.Snapshot().RefusedWhy == "hb: from 10.9.0.2: a TTL of 254" })
	w.say("10.9.0.3", 255, advert)
	w.wait("a stranger is ignored", func() bool { return r.Snapshot().Counters.Ignored == 1 })
	other := advert
	other.VRID = 78
	w.say(their4, 255, other)
	w.wait("another VRID is seen", func() bool {
		f := r.Snapshot().Foreign
		return len(f) == 1 && f[0].VRID == 78 && f[0].Link == "hb" && f[0].From == netip.MustParseAddr(their4)
	})
	if s := r.Snapshot(); s.Role != vrrp.Active || s.Refused != 1 {
		t.Errorf("%+v", s)
	}
	w.say(their4, 255, advert)
	w.wait("the peer is obeyed", r.is(vrrp.Standby))
}

// TestMain is a router of its own process for those tests that stop it.
func TestMain(m *testing.M) {
	if os.Getenv("VRRP_ROUTER") != "" {
		linked := vrrp.Facts{CarrierSince: 1, Peer: vrrp.Peer{Linked: true, Priority: better - worse}}
		r, err := vrrp.Run(pairConfig(0), vrrp.Start{Settled: true, Facts: linked}, func(vrrp.Instant) {})
		if err != nil {
			panic(err)
		}
		for range r.Changed() {
			if r.Snapshot().Probe {
				r.Probed("") // there are no floating addresses here
			}
		}
	}
	os.Exit(m.Run())
}

// A router that was stopped reads what the other said before it says anything itself:
// nobody hears of it, though its priority is the better one.
func TestStopped(t *testing.T) {
	w := newWire(t)
	command := exec.Command("nsenter", "--net=/run/netns/"+w.us, os.Args[0])
	command.Env = append(os.Environ(), "VRRP_ROUTER=1")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	own := netip.MustParseAddr(our4)
	spoke := func() time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.heard[own].at
	}
	w.wait("it is active", func() bool { return !spoke().IsZero() })
	b := w.router(w.them, pairConfig(1), vrrp.Start{Settled: true})
	w.wait("b hears it", func() bool { return b.Snapshot().Links[0].At != 0 })

	if err := command.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	w.wait("b takes over", b.is(vrrp.Active))
	sent := b.Snapshot().Counters.Sent
	w.wait("b speaks", func() bool { return b.Snapshot().Counters.Sent > sent+5 })
	before := spoke()
	if err := command.Process.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	sent = b.Snapshot().Counters.Sent
	w.wait("b speaks on", func() bool { return b.Snapshot().Counters.Sent > sent+10 })
	if spoke() != before || b.Snapshot().Term != 1 {
		t.Errorf("it spoke %s after it was stopped; b: %+v", spoke().Sub(before), b.Snapshot().State)
	}
	// It is there, as a standby: b goes, and it comes.
	b.Yield("stop", true)
	w.wait("it takes over", func() bool { return spoke() != before })
}

// What cannot be opened says which link, and leaves nothing.
func TestRunRefuses(t *testing.T) {
	c := pairConfig(0)
	c.Links[1].Interface = "nowhere"
	if _, err := vrrp.Run(c, vrrp.Start{}, nil); err == nil {
		t.Error("it runs without its interface")
	}
	c.VRID = 0
	if _, err := vrrp.Run(c, vrrp.Start{}, nil); err == nil {
		t.Error("it runs without a VRID")
	}
}
