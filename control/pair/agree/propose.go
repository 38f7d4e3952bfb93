package agree

import (
	"errors"
	"fmt"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/revision"
)

// Propose makes a change on both routers, or on this one if it may; Done is called
// exactly once, by this call or a later one. One proposal at a time.
func (a *Agreement) Propose(p *Proposal) {
	if a.proposal != nil {
		p.Done(revision.Revision{}, false, errors.New("another change is under way; try again"))
		return
	}
	a.proposal = p
	if head := a.head().Hash; p.base == "" {
		p.base = head
	} else if p.base != head {
		a.end(false, ErrMoved)
		return
	}
	p.sent = false
	a.number(p)
	switch state := a.State(); {
	case state == Same:
		p.sent = true
		a.router.Send(Message{Prepare: &Offer{Revision: p.Revision, File: p.File}})
	case p.Alone || state == Apart && a.router.Active():
		a.commit()
	case state == Apart:
		a.end(false, fmt.Errorf("this router is standby and %s does not answer: make the change there, or here alone with --force-local", a.peer))
	case state == Conflict:
		a.end(false, fmt.Errorf("%s runs another configuration: see lbctl pair diff, and end it with lbctl pair adopt", a.peer))
	}
	// Else one is just catching up: goOn, or Again.
}

// goOn sends a proposal that waits until both are the same.
func (a *Agreement) goOn() {
	if p := a.proposal; p != nil && !p.sent && !p.committed {
		a.proposal = nil
		a.Propose(p)
	}
}

func (a *Agreement) number(p *Proposal) {
	head := a.head()
	r := &p.Revision
	r.ID = revision.ID{Number: head.Number + 1, Hash: config.HashOf(p.File)}
	r.Parent, r.Router = head.Hash, a.me
	if r.Merged != (revision.ID{}) {
		r.Number = max(r.Number, r.Merged.Number+1)
	}
}

// commit makes the proposal here; the other's next heads, or their silence, end it.
func (a *Agreement) commit() {
	p := a.proposal
	if err := a.take(Offer{Revision: p.Revision, File: p.File}, true); err != nil {
		a.end(false, err)
		return
	}
	p.committed = true
	if !a.up {
		a.end(true, nil)
		return
	}
	a.router.Send(Message{Commit: &p.Revision.ID})
	a.tell()
	if a.State() == Conflict { // made alone
		a.end(true, nil)
	}
}

func (a *Agreement) end(pending bool, err error) {
	p := a.proposal
	a.proposal = nil
	p.Done(p.Revision, pending, err)
}

// takePrepare answers whether a revision could run here.
func (a *Agreement) takePrepare(o Offer) {
	if err := a.prepare(o); err != nil {
		a.refuse(o.Revision.ID, err)
		return
	}
	a.offered = &o
	a.router.Send(Message{Prepared: &o.Revision.ID})
}

func (a *Agreement) prepare(o Offer) error {
	a.offered = nil
	head := a.head()
	switch p := a.proposal; {
	case p == nil || !p.sent && !p.committed:
	case p.committed || a.me < a.peer: // of two at once, one must give way
		return fmt.Errorf("%s has a change under way; try again", a.me)
	default:
		a.end(false, fmt.Errorf("%s has a change under way; try again", a.peer))
	}
	switch {
	case o.Revision.Parent != head.Hash && o.Revision.Merged != head.ID || o.Revision.Number <= head.Number:
		return fmt.Errorf("%s is at revision %s, this one follows another; try again", a.me, head.ID)
	case a.router.Edited():
		return fmt.Errorf("its configuration file was edited by hand: lbctl reload on %s, or put the old file back", a.me)
	case config.HashOf(o.File) != o.Revision.Hash:
		return errors.New("it came damaged")
	}
	return a.router.Check(o.File)
}

func (a *Agreement) takeRefusal(r Refusal) {
	switch p := a.proposal; {
	case p != nil && !p.committed && p.Revision.ID == r.ID:
		a.end(false, fmt.Errorf("%s refuses: %s", a.peer, r.Why))
	case a.head().ID == r.ID:
		a.refused = r.Why
		if p != nil && p.committed {
			a.end(true, nil)
		}
	}
}

// takeCommit makes what was prepared. If it fails, this router is behind, and says so.
func (a *Agreement) takeCommit(id revision.ID) {
	o := a.offered
	a.offered = nil
	if o == nil || o.Revision.ID != id {
		return
	}
	err := a.take(*o, true)
	a.tell()
	defer a.goOn()
	if err != nil {
		a.router.Tell(fmt.Sprintf("make revision %s, which %s made", id, a.peer), err)
		a.refuse(id, err)
	}
}

// Adopt ends a conflict: the winner's configuration becomes that of both, as a new
// revision; the loser's stay in its history. Done is called once.
func (a *Agreement) Adopt(winner string, done func(error)) {
	switch state := a.State(); {
	case winner != a.me && winner != a.peer:
		done(fmt.Errorf("there is no router %q: %s or %s", winner, a.me, a.peer))
	case state != Conflict:
		done(fmt.Errorf("there is no conflict between %s and %s (%s)", a.me, a.peer, state))
	case a.theirs.Edited || a.router.Edited():
		done(errors.New("a configuration file was edited by hand: lbctl reload there first, so that nothing is lost"))
	case winner == a.me:
		a.adopt(done)
	case a.adopting != nil:
		done(fmt.Errorf("%s was asked already", a.peer))
	default:
		a.adopting = done
		a.router.Send(Message{Adopt: true})
	}
}

func (a *Agreement) adopt(done func(error)) {
	head := a.head()
	file, err := a.router.File(head.Number)
	if err != nil {
		done(err)
		return
	}
	if a.proposal != nil {
		done(errors.New("another change is under way; try again"))
		return
	}
	a.proposal = &Proposal{
		Revision: revision.Revision{
			Author: head.Author, What: "the configuration of " + a.me + " adopted", Merged: a.theirs.last().ID,
		},
		File: file,
		Done: func(_ revision.Revision, _ bool, err error) { done(err) },
	}
	a.number(a.proposal)
	a.proposal.sent = true
	a.router.Send(Message{Prepare: &Offer{Revision: a.proposal.Revision, File: file}})
}
