package vrrp

import (
	"strings"
	"testing"
	"time"
)

// Decision by decision: what an active router does about its service.
func TestJudge(t *testing.T) {
	all := []health{whole, degraded, faulted, silent}
	names := []string{"whole", "degraded", "faulted", "silent"}
	for _, preempt := range []bool{false, true} {
		for _, inSync := range []bool{false, true} {
			for _, own := range all[:3] {
				for _, peer := range all {
					for _, better := range []bool{false, true} {
						want := keep
						switch there := peer == whole || peer == degraded; {
						case own == faulted && there:
							want = give
						case own == faulted:
							want = suffer
						case there && better && (own == degraded || preempt) && inSync:
							want = give
						case there && better && (own == degraded || preempt):
							want = blocked
						}
						if got := judge(preempt, inSync, own, peer, better); got != want {
							t.Errorf("preempt %t, in sync %t, active %s, peer %s, better %t: %d, want %d",
								preempt, inSync, names[own], names[peer], better, got, want)
						}
					}
				}
			}
		}
	}
}

func TestHandOver(t *testing.T) {
	fit := Facts{CarrierSince: 1, Peer: Peer{Linked: true, Priority: 100}}
	for _, c := range []struct {
		name   string
		config Config
		change func(*Facts)
		gives  bool
		kept   string
		told   []Kind
	}{
		{"both whole, the active one is better", tarpon(preempt), func(f *Facts) {}, false, "", nil},
		{"both whole, the peer is better", tarpon(), func(f *Facts) { f.Peer.Priority = 200 }, false, "", nil},
		{"preempt", tarpon(preempt), func(f *Facts) { f.Peer.Priority = 200 }, true, "", nil},
		{"preempt, not in sync", tarpon(preempt), func(f *Facts) { f.Peer.Priority, f.Peer.Behind = 200, "bulk copy" }, false, "not in sync: bulk copy", nil},
		{"degraded", tarpon(), func(f *Facts) { f.Priority = 90 }, true, "", nil},
		{"degraded, still better", tarpon(), func(f *Facts) { f.Priority = 120 }, false, "", nil},
		{"degraded, not in sync", tarpon(), func(f *Facts) { f.Priority, f.Peer.Behind = 90, "x" }, false, "not in sync: x", nil},
		{"degraded, held", tarpon(), func(f *Facts) { f.Priority, f.Hold = 90, true }, false, "held", nil},
		{"degraded, the peer held", tarpon(), func(f *Facts) { f.Priority, f.Peer.Hold = 90, true }, false, "the peer is held", nil},
		{"degraded, the peer faulted", tarpon(), func(f *Facts) { f.Priority, f.Peer.Fault = 90, true }, false, "", nil},
		{"degraded, the peer silent", tarpon(), func(f *Facts) { f.Priority, f.Peer.Linked = 90, false }, false, "", nil},
		{"fault", tarpon(), func(f *Facts) { f.Fault, f.Peer.Behind = "leg wan", "x" }, true, "", nil},
		{"fault, the peer faulted", tarpon(), func(f *Facts) { f.Fault, f.Peer.Fault = "leg wan", true }, false, "the peer is faulted too", []Kind{ActiveWithFault}},
		{"fault, the peer silent", tarpon(), func(f *Facts) { f.Fault, f.Peer.Linked = "leg wan", false }, false, "the peer is silent", []Kind{ActiveWithFault}},
	} {
		d := drive(t, c.config, Start{Settled: true, Facts: fit}).active()
		d.facts(c.change).after(time.Second)
		if s := d.m.State(); s.Role != Active || s.HandOver != c.gives || s.Kept != c.kept {
			t.Errorf("%s: hand over %t, kept %q", c.name, s.HandOver, s.Kept)
		}
		d.tells(c.told...)
	}

	d := drive(t, tarpon(preempt, func(c *Config) { c.PreemptDelay = 10 * time.Second }), Start{Settled: true, Facts: fit}).active()
	d.facts(func(f *Facts) { f.Peer.Priority = 200 }).after(10*time.Second - 1)
	if s := d.m.State(); s.HandOver {
		t.Error("the delay was not waited for")
	}
	if d.after(1); !d.m.State().HandOver {
		t.Error("the delay does not end")
	}
	d.facts(func(f *Facts) { f.Peer.Behind = "digest differs" }).after(closedFor - 11*time.Second).tells().after(11 * time.Second)
	if d.tells(GateClosed).after(time.Hour).tells(); !strings.Contains(d.m.State().Kept, "digest differs") {
		t.Error(d.m.State().Kept)
	}
	// Done: the peer takes, and this router is a standby without a word on the wire.
	d.facts(func(f *Facts) { f.Peer.Behind = "" })
	d.out = Output{}
	d.take(d.m.Yield(d.now, "switchover", false))
	if d.is(Standby).sends(-1); d.m.State().HandOver {
		t.Error("a standby hands over")
	}
}

// Adverts that the peer sent before it yielded do not undo a switchover.
func TestTakeIsNotUndone(t *testing.T) {
	d := drive(t, tarpon(func(c *Config) { c.Priority = 100 }), settledStart).hear(150)
	d.take(d.m.Take(d.now, "switchover"))
	d.hear(150).is(Active).after(100 * ms).hear(150).is(Standby)
}
