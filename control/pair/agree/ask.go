package agree

import (
	"errors"
	"fmt"

	"github.com/tarpon-lb/tarpon/control/config"
)

// A waiting is somebody who was promised an answer.
type waiting[T any] struct {
	done  func(T)
	turns int // calls of Again
}

// Shown is what the other router runs, or why it could not be had.
type Shown struct {
	Offer
	Err error
}

// Confirmed tells the other router that the last revision, which it has too, was
// confirmed here. Done is called once: when it is confirmed there, or with the reason
// why that is not known.
func (a *Agreement) Confirmed(done func(error)) {
	if state := a.State(); state != Same {
		done(fmt.Errorf("%s cannot be told (%s)", a.peer, state))
		return
	}
	if !a.theirs.last().Waits {
		done(nil)
		return
	}
	a.endConfirming(errors.New("it was confirmed again meanwhile"))
	a.confirming = &waiting[error]{done: done}
	a.tell()
}

func (a *Agreement) endConfirming(err error) {
	if w := a.confirming; w != nil {
		a.confirming = nil
		w.done(err)
	}
}

// takeConfirmation: of one revision that waits on one router only, the confirmation came
// to the other. So it is heard of also after the link was down.
func (a *Agreement) takeConfirmation(theirs Ref) {
	mine := a.mine().last()
	if mine.ID != theirs.ID || theirs.Waits {
		return
	}
	if !mine.Waits {
		a.endConfirming(nil)
		return
	}
	if err := a.router.Confirm(); err != nil {
		a.router.Tell(fmt.Sprintf("confirm revision %s, as %s did", mine.ID, a.peer), err)
		return
	}
	a.tell()
}

// Fetch asks for what the other router runs. Done is called once.
func (a *Agreement) Fetch(done func(Shown)) {
	switch {
	case !a.up:
		done(Shown{Err: fmt.Errorf("there is no connection to %s", a.peer)})
	case a.fetching != nil:
		done(Shown{Err: fmt.Errorf("%s was asked already; try again", a.peer)})
	default:
		a.fetching = &waiting[Shown]{done: done}
		a.router.Send(Message{Show: true})
	}
}

func (a *Agreement) endFetching(s Shown) {
	if w := a.fetching; w != nil {
		a.fetching = nil
		w.done(s)
	}
}

func (a *Agreement) show() {
	head := a.head()
	file, err := a.router.File(head.Number)
	if err != nil {
		a.router.Tell("show "+a.peer+" what runs here", err)
		return
	}
	a.router.Send(Message{Shown: &Offer{Revision: head, File: file}})
}

func (a *Agreement) takeShown(o Offer) {
	if config.HashOf(o.File) != o.Revision.Hash {
		a.endFetching(Shown{Err: errors.New("it came damaged")})
		return
	}
	a.endFetching(Shown{Offer: o})
}

// waitOn ends what has been waited for too long.
func (a *Agreement) waitOn() {
	late := fmt.Errorf("%s does not answer, though the link is up", a.peer)
	if w := a.confirming; w != nil {
		if w.turns++; w.turns > 2 {
			a.endConfirming(late)
		}
	}
	if w := a.fetching; w != nil {
		if w.turns++; w.turns > 2 {
			a.endFetching(Shown{Err: late})
		}
	}
}

func (a *Agreement) giveUpWaiting(err error) {
	a.endConfirming(err)
	a.endFetching(Shown{Err: err})
}
