// Package handover moves the service from the active router of a pair to the other
// one, on purpose, so that no packet is lost: the services that run beside it end, then
// the flows, then the silence of the old router, then the addresses of the new one; and
// back again if the new one cannot.
//
// The programs of both routers translate whatever reaches them, whoever is active. So
// frames that are late find the old router working; what moves is who answers and
// speaks for the floating addresses.
//
//	old     offer          take                     leave
//	           \  / stop,    \      addresses,     /
//	             / flush      \                   /
//	new       accept      mute of old, then take, taken
//
// It is a state machine fed with messages and time. One goroutine owns it, the
// controller's.
package handover

import (
	"errors"
	"fmt"
	"time"
)

// A Message is for the other router.
type Message struct {
	Kind Kind
	Why  string `json:",omitempty"` // of an offer, a refusal, a failure
	// Force: take it though the flows are not all there, or held, and keep it though the
	// neighbours do not follow.
	Force bool `json:",omitempty"`
	// Ends: the old router ends, and has nothing to take it back to: keep it though the
	// neighbours do not follow. A version that does not know this gives it back.
	Ends bool `json:",omitempty"`
}

// A Kind of message.
type Kind string

const (
	Offer   Kind = "offer"   // old: will you?
	Accept  Kind = "accept"  // new: I will
	Refuse  Kind = "refuse"  // new: I will not
	Take    Kind = "take"    // old: you have all flows, and I am silent: take it
	Taken   Kind = "taken"   // new: it is mine, and the neighbours follow
	Failed  Kind = "failed"  // new: it is not; take it back
	Late    Kind = "late"    // old: I have taken it back already
	Ask     Kind = "ask"     // new: give it to me
	Decline Kind = "decline" // old: I will not
)

// A Router is this one. Nothing here waits.
type Router interface {
	Send(Message)
	// Active: this router has the service.
	Active() bool
	// Unfit is why this router should not take the service, nil if it may. Force
	// overrides what an operator may override.
	Unfit(force bool) error

	// Stop ends the services; Stopped is called when they have ended, or do not. Hard:
	// they are killed rather.
	Stop(hard bool)
	// Start is the opposite of Stop, where this router is active still.
	Start()
	// Flush sends the flows that changed; Flushed is called when they have arrived.
	Flush()
	// Yield ends this router's answers, speech and adverts for floating addresses, which
	// it keeps.
	Yield()
	// Resume is the opposite of Yield.
	Resume()
	// Leave removes the addresses: the other router has the service.
	Leave()

	// Take makes this router active: addresses, adverts, announcements. Took is called
	// when the neighbours follow, or when they do not.
	Take(why string)
	// Drop is the opposite of Take.
	Drop()
	// OtherSpeaks: adverts of the other router are heard, as the active one's.
	OtherSpeaks() bool
}

// How long each step may last. A service that nobody answers for is an outage, so the
// step in which that is so is the one with the sharpest limit.
const (
	answerTime = time.Second
	flushTime  = 2 * time.Second
	takeTime   = 1500 * time.Millisecond
	yieldTime  = 2 * time.Second // longer: the new router must know of its failure first
)

type state int

const (
	idle   state = iota
	asking       // this is to be the new router
	offered
	stopping // until the services have ended, by limits of their own
	flushing
	yielded   // the new router takes it
	accepting // this is the new router
	taking
)

// A Handover is one router's side.
type Handover struct {
	peer     string
	router   Router
	state    state
	deadline time.Time
	force    bool
	ends     bool // the old router does, after it
	leaving  bool // this router ends
	why      string
	stopped  bool // the services were told to end
	done     func(error)
	then     []func() // when nothing is under way any more
}

// New returns the side of a router whose peer has this name.
func New(peer string, router Router) *Handover { return &Handover{peer: peer, router: router} }

// Busy: a handover is under way.
func (h *Handover) Busy() bool { return h.state != idle }

// Stopping: this router has the service, and ends what runs beside it.
func (h *Handover) Stopping() bool { return h.state == stopping }

// Deadline is when Tick must be called; zero: nothing is waited for.
func (h *Handover) Deadline() time.Time { return h.deadline }

// Ends: this router is about to end. What it hands over from now on is not taken back: what
// does not follow, as flows and neighbours, would not follow a takeover from silence either.
func (h *Handover) Ends() { h.leaving = true }

// Begin gives the service to the other router. Done is called once, when it has it or
// will not.
func (h *Handover) Begin(now time.Time, why string, force bool, done func(error)) {
	switch {
	case !h.router.Active():
		done(errors.New("this router is not active"))
	case h.Busy():
		done(errUnderWay)
	default:
		h.force, h.ends, h.why, h.done = force, h.leaving, why, done
		h.enter(offered, now.Add(answerTime))
		h.router.Send(h.offer())
	}
}

func (h *Handover) offer() Message {
	return Message{Kind: Offer, Why: h.why, Force: h.force, Ends: h.ends}
}

// Request asks the active router for the service. Done is called once, when this router
// has it or will not.
func (h *Handover) Request(now time.Time, why string, force bool, done func(error)) {
	if h.router.Active() {
		done(errors.New("this router is active already"))
		return
	}
	if h.Busy() {
		done(errUnderWay)
		return
	}
	if err := h.router.Unfit(force); err != nil {
		done(err)
		return
	}
	h.done = done
	h.enter(asking, now.Add(answerTime))
	h.router.Send(Message{Kind: Ask, Why: why, Force: force})
}

var errUnderWay = errors.New("a switchover is under way")

func (h *Handover) enter(s state, deadline time.Time) { h.state, h.deadline = s, deadline }

func (h *Handover) end(err error) {
	done, start := h.done, h.stopped && err != nil
	h.state, h.deadline, h.done, h.stopped = idle, time.Time{}, nil, false
	if start {
		h.router.Start()
	}
	if done != nil {
		done(err)
	}
	then := h.then
	h.then = nil
	for _, do := range then {
		do()
	}
}

// Then calls once, when what is under way has ended; at once if nothing is.
func (h *Handover) Then(do func()) {
	if !h.Busy() {
		do()
		return
	}
	h.then = append(h.then, do)
}

// Receive takes a message of the other router. What comes out of turn is of a
// handover that has ended.
func (h *Handover) Receive(now time.Time, m Message) {
	switch {
	case m.Kind == Ask && h.state == idle: // else it gets an offer, or no answer
		h.Begin(now, m.Why, m.Force, func(err error) {
			if err != nil {
				h.router.Send(Message{Kind: Decline, Why: err.Error()})
			}
		})
	case m.Kind == Decline && (h.state == asking || h.state == accepting):
		h.end(fmt.Errorf("%s does not hand over: %s", h.peer, m.Why))
	case m.Kind == Offer && (h.state == idle || h.state == asking || h.state == accepting):
		h.takeOffer(now, m)
	case m.Kind == Take && h.state == accepting:
		h.enter(taking, now.Add(takeTime))
		h.router.Take(h.why)
	case m.Kind == Refuse && h.state == offered:
		h.end(fmt.Errorf("%s refuses: %s", h.peer, m.Why))
	case m.Kind == Accept && h.state == offered && h.stopped:
		h.flush(now)
	case m.Kind == Accept && h.state == offered:
		h.stopped = true
		h.enter(stopping, now.Add(answerTime))
		h.router.Stop(h.force)
	case m.Kind == Taken && h.state == yielded:
		h.router.Leave()
		h.end(nil)
	case m.Kind == Failed && h.state == yielded:
		h.router.Resume()
		h.end(fmt.Errorf("%s could not take it: %s", h.peer, m.Why))
	case m.Kind == Taken && h.state == idle && h.router.Active():
		// It came after this router had taken the service back: both have it.
		h.router.Send(Message{Kind: Late})
	case m.Kind == Late && h.state == idle && h.router.Active():
		h.router.Drop()
	case m.Kind == Failed && (h.state == idle || h.state == asking) && !h.router.Active(): // after it had left
		h.end(nil)
		h.router.Take("taken back from " + h.peer)
	}
}

func (h *Handover) takeOffer(now time.Time, m Message) {
	if h.router.Active() {
		h.router.Send(Message{Kind: Refuse, Why: "it is active too"})
		return
	}
	if err := h.router.Unfit(m.Force); err != nil {
		h.router.Send(Message{Kind: Refuse, Why: err.Error()})
		h.end(err)
		return
	}
	h.why, h.force, h.ends = m.Why, m.Force, m.Ends
	h.enter(accepting, now.Add(answerTime+flushTime))
	h.router.Send(Message{Kind: Accept})
}

// Stopped: the services have ended, or one of them has not. That may have lasted for
// longer than the other router waits: then it is asked again.
func (h *Handover) Stopped(now time.Time, err error) {
	switch {
	case h.state != stopping:
	case err != nil:
		h.end(err)
	case now.Before(h.deadline):
		h.flush(now)
	default:
		h.enter(offered, now.Add(answerTime))
		h.router.Send(h.offer())
	}
}

func (h *Handover) flush(now time.Time) {
	h.enter(flushing, now.Add(flushTime))
	h.router.Flush()
}

// Flushed: the other router has all flows.
func (h *Handover) Flushed(now time.Time) {
	if h.state != flushing {
		return
	}
	h.router.Yield()
	h.enter(yielded, now.Add(yieldTime))
	h.router.Send(Message{Kind: Take})
}

// Took is told how the taking went. Who forces it wants it there whatever becomes of the
// neighbours: the old router may have a fault. One that ends answers them no longer.
func (h *Handover) Took(err error) {
	if h.state != taking {
		return
	}
	if h.force || h.ends {
		err = nil
	}
	if err != nil {
		h.router.Drop()
		h.router.Send(Message{Kind: Failed, Why: err.Error()})
	} else {
		h.router.Send(Message{Kind: Taken})
	}
	h.end(err)
}

// Tick ends what has waited too long.
func (h *Handover) Tick(now time.Time) {
	if h.state == idle || now.Before(h.deadline) {
		return
	}
	switch h.state {
	case stopping:
		if !h.router.Active() {
			h.end(fmt.Errorf("%s is active already", h.peer))
		}
	case flushing:
		if h.force || h.ends {
			h.Flushed(now)
			return
		}
		h.end(fmt.Errorf("the flows did not reach %s within %s", h.peer, flushTime))
	case yielded:
		h.giveUpWaiting()
	case taking:
		h.Took(fmt.Errorf("the neighbours did not follow within %s", takeTime))
	default:
		h.end(fmt.Errorf("%s does not answer", h.peer))
	}
}

// giveUpWaiting: nobody says whether the other has taken the service. Whoever is heard
// has it.
func (h *Handover) giveUpWaiting() {
	if h.router.OtherSpeaks() {
		h.router.Leave()
		h.end(nil)
		return
	}
	h.router.Resume()
	h.end(fmt.Errorf("%s took the service and is not heard", h.peer))
}

// Abandon ends what is under way, wherever it is: this router's part in the pair ends.
func (h *Handover) Abandon(why error) {
	if h.state != idle {
		h.end(why)
	}
}

// Down: the link to the other router is down. What is in the balance is decided by
// the deadline, and by who is heard.
func (h *Handover) Down() {
	switch h.state {
	case asking, offered, stopping, flushing, accepting:
		h.end(fmt.Errorf("the link to %s went down", h.peer))
	}
}
