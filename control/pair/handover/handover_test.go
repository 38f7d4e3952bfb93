package handover

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// A router as the network sees it.
type router struct {
	*Handover
	name      string
	other     *router
	did       []string
	active    bool // has the service, in its own eyes
	speaks    bool // answers and advertises
	addresses bool
	serves    bool // services run, or end just now
	unfit     error
	cannot    error         // why taking fails
	slow      time.Duration // how long flushing and taking last
	stops     time.Duration // how long services take to end
	stuck     error         // why they do not
	net       *network
}

type network struct {
	now    time.Time
	down   bool
	lost   int
	random *rand.Rand // nil: all arrives at once, in order
	events []event
}

type event struct {
	at time.Time
	do func()
}

func (n *network) after(d time.Duration, do func()) {
	n.events = append(n.events, event{n.now.Add(d), do})
}

// run lets time pass.
func (n *network) run(d time.Duration, routers ...*router) {
	for end := n.now.Add(d); n.now.Before(end); n.now = n.now.Add(10 * time.Millisecond) {
		for i := 0; i < len(n.events); i++ {
			if e := n.events[i]; !e.at.After(n.now) {
				n.events = append(n.events[:i], n.events[i+1:]...)
				e.do()
				i = -1
			}
		}
		for _, r := range routers {
			r.Tick(n.now)
		}
	}
}

func (r *router) log(what string) { r.did = append(r.did, what) }

func (r *router) Send(m Message) {
	r.log("send " + string(m.Kind))
	if r.net.down {
		return
	}
	delay := time.Millisecond
	if r.net.random != nil {
		if r.net.random.IntN(12) == 0 {
			r.net.lost++
			return
		}
		delay = time.Duration(r.net.random.IntN(900)) * time.Millisecond
	}
	r.net.after(delay, func() { r.other.Receive(r.net.now, m) })
}

func (r *router) Active() bool { return r.active }
func (r *router) Unfit(force bool) error {
	if force {
		return nil
	}
	return r.unfit
}

func (r *router) Stop(hard bool) {
	r.log(map[bool]string{false: "stop", true: "kill"}[hard])
	r.net.after(r.stops, func() {
		var err error
		if !hard {
			err = r.stuck
		}
		r.serves = r.serves && err != nil
		r.Stopped(r.net.now, err)
	})
}

func (r *router) Start() {
	r.log("start")
	r.serves = r.active
}

func (r *router) Flush() {
	r.log("flush")
	r.net.after(r.slow, func() { r.Flushed(r.net.now) })
}
func (r *router) Yield()  { r.log("yield"); r.speaks = false }
func (r *router) Resume() { r.log("resume"); r.speaks = true }
func (r *router) Leave() {
	r.log("leave")
	r.active, r.speaks, r.addresses, r.serves = false, false, false, false
}
func (r *router) Take(string) {
	r.log("take")
	r.active, r.speaks, r.addresses, r.serves = true, true, true, true
	r.net.after(r.slow, func() { r.Took(r.cannot) })
}
func (r *router) Drop() {
	r.log("drop")
	r.active, r.speaks, r.addresses, r.serves = false, false, false, false
}
func (r *router) OtherSpeaks() bool { return r.other.speaks }

func pair() (*network, *router, *router) {
	n := &network{now: time.Unix(1000, 0)}
	lb1 := &router{name: "lb1", net: n, active: true, speaks: true, addresses: true, serves: true}
	lb2 := &router{name: "lb2", net: n, other: lb1}
	lb1.other = lb2
	lb1.Handover, lb2.Handover = New("lb2", lb1), New("lb1", lb2)
	return n, lb1, lb2
}

func TestHandover(t *testing.T) {
	for _, test := range []struct {
		name     string
		change   func(n *network, old, new *router)
		force    bool
		old, new string // what they did
		err      string
	}{
		{"all is well", nil, false, "send offer, stop, flush, yield, send take, leave", "send accept, take, send taken", ""},
		{"the new one is not in sync", func(_ *network, _, new *router) { new.unfit = errors.New("not in sync") }, false,
			"send offer", "send refuse", "lb2 refuses: not in sync"},
		{"the same, with force", func(_ *network, _, new *router) { new.unfit = errors.New("not in sync") }, true,
			"send offer, kill, flush, yield, send take, leave", "send accept, take, send taken", ""},
		{"the new one cannot", func(_ *network, _, new *router) {
			new.cannot = errors.New("192.168.26.1 does not answer to 192.168.26.200")
		}, false,
			"send offer, stop, flush, yield, send take, resume, start", "send accept, take, drop, send failed", "lb2 could not take it: 192.168.26.1 does not answer to 192.168.26.200"},
		{"the same, with force", func(_ *network, _, new *router) { new.cannot = errors.New("no neighbour follows") }, true,
			"send offer, kill, flush, yield, send take, leave", "send accept, take, send taken", ""},
		{"the neighbours are too slow", func(_ *network, _, new *router) { new.slow = time.Hour }, false,
			"send offer, stop, flush, yield, send take, resume, start", "send accept, take, drop, send failed", "lb2 could not take it: the neighbours did not follow within 1.5s"},
		{"the flows are too slow", func(_ *network, old, _ *router) { old.slow = time.Hour }, false,
			"send offer, stop, flush, start", "send accept", "the flows did not reach lb2 within 2s"},
		{"the same, with force", func(_ *network, old, _ *router) { old.slow = time.Hour }, true,
			"send offer, kill, flush, yield, send take, leave", "send accept, take, send taken", ""},
		{"services do not stop", func(_ *network, old, _ *router) { old.stuck = errors.New("service ftp does not stop") }, false,
			"send offer, stop, start", "send accept", "service ftp does not stop"},
		{"the same, with force", func(_ *network, old, _ *router) { old.stuck = errors.New("service ftp does not stop") }, true,
			"send offer, kill, flush, yield, send take, leave", "send accept, take, send taken", ""},
		{"services stop slowly", func(_ *network, old, _ *router) { old.stops = 5 * time.Second }, false,
			"send offer, stop, send offer, flush, yield, send take, leave", "send accept, send accept, take, send taken", ""},
		{"the new one is gone when they have", func(n *network, old, _ *router) {
			old.stops = 5 * time.Second
			n.after(time.Second, func() { n.down = true })
		}, false, "send offer, stop, send offer, start", "send accept", "lb2 does not answer"},
		{"the service is lost while they stop", func(n *network, old, _ *router) {
			old.stops = 5 * time.Second
			n.after(time.Second, func() { old.active, old.serves = false, false })
		}, false, "send offer, stop, start", "send accept", "lb2 is active already"},
		{"no answer", func(n *network, _, _ *router) { n.down = true }, false, "send offer", "", "lb2 does not answer"},
		{"the new one is active too", func(_ *network, _, new *router) { new.active = true }, false, "send offer", "send refuse", "lb2 refuses: it is active too"},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, old, new := pair()
			if test.change != nil {
				test.change(n, old, new)
			}
			said := "nothing"
			old.Begin(n.now, "switchover", test.force, func(err error) { said = fmt.Sprint(err) })
			n.run(10*time.Second, old, new)
			if got := strings.Join(old.did, ", "); got != test.old {
				t.Errorf("the old one: %s\nwant         %s", got, test.old)
			}
			if got := strings.Join(new.did, ", "); got != test.new {
				t.Errorf("the new one: %s\nwant         %s", got, test.new)
			}
			if want := map[bool]string{true: "<nil>", false: test.err}[test.err == ""]; said != want {
				t.Errorf("said %s, want %s", said, want)
			}
		})
	}
}

// A router that ends does not take back what neighbours or flows do not follow: there is
// nobody to take it back to. That it ended once is no word on what the other one does.
func TestEnds(t *testing.T) {
	for _, test := range []struct {
		name     string
		change   func(old, new *router)
		old, new string
	}{
		{"all is well", func(_, _ *router) {}, "send offer, stop, flush, yield, send take, leave", "send accept, take, send taken"},
		{"no neighbour follows", func(_, new *router) { new.cannot = errors.New("no neighbour follows") },
			"send offer, stop, flush, yield, send take, leave", "send accept, take, send taken"},
		{"the neighbours are too slow", func(_, new *router) { new.slow = time.Hour },
			"send offer, stop, flush, yield, send take, leave", "send accept, take, send taken"},
		{"the flows are too slow", func(old, _ *router) { old.slow = time.Hour },
			"send offer, stop, flush, yield, send take, leave", "send accept, take, send taken"},
		{"services stop slowly, no neighbour follows", func(old, new *router) {
			old.stops, new.cannot = 5*time.Second, errors.New("no neighbour follows")
		}, "send offer, stop, send offer, flush, yield, send take, leave", "send accept, send accept, take, send taken"},
		{"the new one is not in sync", func(_, new *router) { new.unfit = errors.New("not in sync") }, "send offer", "send refuse"},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, old, new := pair()
			test.change(old, new)
			old.Ends()
			old.Begin(n.now, "lb1 is stopped", false, func(error) {})
			n.run(10*time.Second, old, new)
			if old, new := strings.Join(old.did, ", "), strings.Join(new.did, ", "); old != test.old || new != test.new {
				t.Errorf("the old one: %s\nwant         %s\nthe new one: %s\nwant         %s", old, test.old, new, test.new)
			}
		})
	}

	n, old, new := pair()
	old.Ends()
	old.Begin(n.now, "lb1 is stopped", false, func(error) {})
	n.run(time.Second, old, new)
	old.Handover = New("lb2", old) // its next life
	old.cannot = errors.New("no neighbour follows")
	said := "nothing"
	new.Begin(n.now, "switchover", false, func(err error) { said = fmt.Sprint(err) })
	n.run(5*time.Second, old, new)
	if said != "lb1 could not take it: no neighbour follows" || old.active || !new.active {
		t.Errorf("back: %s", said)
	}
}

// Whoever is to stop, at every moment of a switchover, does so when one of the two has
// all of the service.
func TestThen(t *testing.T) {
	for after := time.Duration(0); after < 2*time.Second; after += 10 * time.Millisecond {
		for _, stopsNew := range []bool{false, true} {
			n, old, new := pair()
			old.slow, old.stops, new.slow = 100*time.Millisecond, time.Second, 100*time.Millisecond
			stopping, left, busy := old, 0, false
			if stopsNew {
				stopping = new
			}
			old.Begin(n.now, "switchover", false, func(error) {})
			n.after(after, func() {
				busy = stopping.Busy()
				stopping.Then(func() {
					left++
					if stopping.Busy() {
						t.Errorf("after %s: it is still under way", after)
					}
					if !stopping.speaks && !stopping.other.speaks {
						t.Errorf("after %s: nobody speaks", after)
					}
					if busy && !new.active {
						t.Errorf("after %s: it was broken off", after)
					}
				})
			})
			n.run(5*time.Second, old, new)
			if left != 1 {
				t.Errorf("after %s: it was told %d times", after, left)
			}
		}
	}
}

// The link goes down at every moment, for good: then one router has the service, and
// nobody waits for ever. (Two that are heard are the election's to end.)
func TestLinkGoesDown(t *testing.T) {
	for after := time.Duration(0); after < time.Second; after += 10 * time.Millisecond {
		n, old, new := pair()
		old.slow, new.slow, old.stops = 200*time.Millisecond, 200*time.Millisecond, 200*time.Millisecond
		ended := false
		old.Begin(n.now, "switchover", false, func(error) { ended = true })
		n.run(after, old, new)
		n.down = true
		old.Down()
		new.Down()
		n.run(10*time.Second, old, new)
		if !ended || old.Busy() || new.Busy() {
			t.Errorf("cut after %s: it has not ended", after)
		}
		if old.speaks == new.speaks || old.speaks != old.addresses || new.speaks != new.addresses {
			t.Errorf("cut after %s: %+v and %+v", after, old.did, new.did)
		}
	}
}

// Messages come late, or never: when all is quiet nobody waits, and somebody speaks,
// who has the addresses. (Where both lost the word of it, the election finds one.)
func TestLateAndLost(t *testing.T) {
	for seed := range uint64(3000) {
		n, old, new := pair()
		n.random = rand.New(rand.NewPCG(seed, 2))
		for _, r := range []*router{old, new} {
			r.slow = time.Duration(n.random.IntN(2500)) * time.Millisecond
			if n.random.IntN(4) == 0 {
				r.cannot = errors.New("no")
			}
			r.stops = time.Duration(n.random.IntN(2500)) * time.Millisecond
			if n.random.IntN(4) == 0 {
				r.stuck = errors.New("no")
			}
		}
		told, force := 0, n.random.IntN(2) == 0
		done := func(error) { told++ }
		if n.random.IntN(2) == 0 {
			old.Begin(n.now, "switchover", force, done)
		} else {
			new.Request(n.now, "switchover", force, done)
		}
		n.run(20*time.Second, old, new)
		if told != 1 || old.Busy() || new.Busy() {
			t.Fatalf("seed %d: told %d times; %v and %v", seed, told, old.did, new.did)
		}
		if !old.speaks && !new.speaks && n.lost == 0 {
			t.Fatalf("seed %d: nobody speaks: %v and %v", seed, old.did, new.did)
		}
		for _, r := range []*router{old, new} {
			if r.speaks != r.addresses || r.speaks != r.active || r.speaks != r.serves {
				t.Fatalf("seed %d: %s speaks %v, has the addresses %v, is active %v, services run %v: %v", seed, r.name, r.speaks, r.addresses, r.active, r.serves, r.did)
			}
		}
	}
}

func TestRequest(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(old, new *router)
		force  bool
		said   string
	}{
		{"all is well", func(_, _ *router) {}, false, "<nil>"},
		{"not in sync", func(_, new *router) { new.unfit = errors.New("not in sync") }, false, "not in sync"},
		{"the same, with force", func(_, new *router) { new.unfit = errors.New("not in sync") }, true, "<nil>"},
		{"it is active itself", func(_, new *router) { new.active = true }, false, "this router is active already"},
		{"nobody is active", func(old, _ *router) { old.active = false }, false, "lb1 does not hand over: this router is not active"},
		{"the flows are too slow", func(old, _ *router) { old.slow = time.Hour }, false,
			"lb1 does not hand over: the flows did not reach lb2 within 2s"},
		{"it cannot", func(_, new *router) { new.cannot = errors.New("no") }, false, "no"},
		{"no answer", func(old, _ *router) { old.net.down = true }, false, "lb1 does not answer"},
	} {
		n, old, new := pair()
		test.change(old, new)
		var said []string
		new.Request(n.now, "switchover", test.force, func(err error) { said = append(said, fmt.Sprint(err)) })
		n.run(10*time.Second, old, new)
		if len(said) != 1 || said[0] != test.said {
			t.Errorf("%s: it says %q, want %q", test.name, said, test.said)
		}
		if test.said == "<nil>" && (old.active || !new.active) {
			t.Errorf("%s: %v and %v", test.name, old.did, new.did)
		}
	}
}

// Both want the same at once.
func TestRequestWhileItIsHandedOver(t *testing.T) {
	n, old, new := pair()
	said := [2]string{}
	old.Begin(n.now, "switchover", false, func(err error) { said[0] = fmt.Sprint(err) })
	new.Request(n.now, "switchover", false, func(err error) { said[1] = fmt.Sprint(err) })
	n.run(5*time.Second, old, new)
	if said != [2]string{"<nil>", "<nil>"} || old.active || !new.active {
		t.Errorf("they say %q; %v and %v", said, old.did, new.did)
	}
}
