// Package agree keeps one configuration on the two routers of a pair. A change is
// prepared on both, then made here, then there. What a router missed while the link
// was down it catches up with. Two that went different ways run on, each with its own,
// until an operator decides: nothing is ever merged silently.
//
// It is a state machine without time or sockets. One goroutine owns it, the
// controller's: what it has a Router do is done before the call returns.
package agree

import (
	"errors"
	"fmt"
	"time"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/revision"
)

// ErrMoved ends a proposal whose base is no longer what runs, as this router has caught
// up meanwhile: the change can be made of the new one.
var ErrMoved = errors.New("the configuration has changed meanwhile; try again")

// A State says how this router's configuration stands to the other one's.
type State string

const (
	Apart    State = "apart"   // the link is down
	Meeting  State = "meeting" // the link is up, the other has not told yet
	Same     State = "same"
	Ahead    State = "ahead"  // the other is catching up
	Behind   State = "behind" // this one is
	Conflict State = "conflict"
)

// A Router is this one.
type Router interface {
	// Revisions that are kept, oldest first; the last one runs.
	Revisions() []revision.Revision
	// File is a revision's bytes.
	File(number int) ([]byte, error)
	// Edited: the configuration file has other bytes than what runs.
	Edited() bool
	// Active: while the link is down, changes are accepted here only.
	Active() bool
	// Check says whether a configuration could run here.
	Check(file []byte) error
	// Commit makes a revision, as numbered, the running one. An error: all is as before.
	// It never writes over a file that was edited to something else.
	Commit(r revision.Revision, file []byte) error
	// Keep keeps a revision that never runs here, for the history: if its number is
	// between that of the last one and that of the one that is committed next.
	Keep(r revision.Revision, file []byte) error
	// Confirm ends the wait of the last revision for its confirmation.
	Confirm() error
	// Send gives a message to the link, as Leaving now, which keeps the order; what cannot
	// be sent is lost, and the link goes down.
	Send(Message)
	// Tell is given what nobody waits for: a revision that cannot be caught up with.
	Tell(what string, err error)
}

// A Message is for the other router: one of the fields.
type Message struct {
	Heads    *Heads       `json:",omitempty"`
	Prepare  *Offer       `json:",omitempty"` // could it run there?
	Prepared *revision.ID `json:",omitempty"` // it could
	Refused  *Refusal     `json:",omitempty"` // it could not
	Commit   *revision.ID `json:",omitempty"` // it runs here: now there
	Want     *revision.ID `json:",omitempty"` // send what came after
	Missed   *Offer       `json:",omitempty"` // a revision that came after
	Adopt    bool         `json:",omitempty"` // end the conflict with yours
	Show     bool         `json:",omitempty"` // send what runs
	Shown    *Offer       `json:",omitempty"` // it is this
}

// An Offer is a revision and its bytes.
type Offer struct {
	Revision revision.Revision
	File     []byte
	// ConfirmIn is in how long the revision is rolled back, on its way: see Leaving.
	ConfirmIn time.Duration `json:",omitempty"`
}

// A Refusal says why a revision cannot be.
type Refusal struct {
	ID  revision.ID
	Why string
}

// A Proposal is a change that one router wants on both.
type Proposal struct {
	Revision revision.Revision // author, time, what, confirmation; the rest is filled in
	File     []byte
	// Alone: here only, if the other cannot be asked.
	Alone bool
	// Done is told the end. Pending: the other router does not have it yet.
	Done func(made revision.Revision, pending bool, err error)

	base            config.Hash // of the configuration that was changed
	sent, committed bool
	waited          int // calls of Again
}

// An Agreement is this router's side. The zero value is none: see New.
type Agreement struct {
	me, peer string
	router   Router

	up       bool
	theirs   *Heads // nil: not told yet
	wanted   bool   // what is missing here is asked for
	refused  string // why the other cannot catch up
	proposal *Proposal
	offered  *Offer              // prepared here
	adopting func(pending error) // the other was asked to end the conflict

	confirming *waiting[error] // the other is told of a confirmation
	fetching   *waiting[Shown] // the other was asked for what it runs
}

// New returns an Agreement whose link is down. Names are the routers'.
func New(me, peer string, router Router) *Agreement {
	return &Agreement{me: me, peer: peer, router: router}
}

// State is how the two stand.
func (a *Agreement) State() State {
	switch {
	case !a.up:
		return Apart
	case a.theirs == nil:
		return Meeting
	}
	return compare(a.mine(), *a.theirs)
}

// Their is the revision that the other router runs, as last told.
func (a *Agreement) Their() (id revision.ID, told bool) {
	if a.theirs == nil {
		return id, false
	}
	return a.theirs.last().ID, true
}

// Refused is why the other router cannot catch up; usually "".
func (a *Agreement) Refused() string { return a.refused }

func (a *Agreement) mine() Heads { return headsOf(a.router.Revisions(), a.router.Edited()) }

func (a *Agreement) head() revision.Revision {
	list := a.router.Revisions()
	if len(list) == 0 {
		return revision.Revision{}
	}
	return list[len(list)-1]
}

// Up: the link is there.
func (a *Agreement) Up() {
	a.Down()
	a.up = true
	a.ask()
}

// Down: it is not. A change that only the other's word was missing for goes on if it
// may.
func (a *Agreement) Down() {
	a.up, a.theirs, a.wanted, a.offered, a.refused = false, nil, false, nil, ""
	if done := a.adopting; done != nil {
		a.adopting = nil
		done(fmt.Errorf("the link to %s went down", a.peer))
	}
	a.giveUpWaiting(fmt.Errorf("the link to %s went down", a.peer))
	switch p := a.proposal; {
	case p == nil:
	case p.committed:
		a.end(true, nil)
	default:
		a.proposal = nil
		a.Propose(p)
	}
}

// Changed: a revision was made here without being proposed, or the file was edited.
func (a *Agreement) Changed() {
	if p := a.proposal; p != nil && p.sent && !p.committed {
		a.end(false, errors.New("another change came between"))
	}
	a.offered = nil
	a.tell()
}

// Again tries what could not be done before, and ends what has waited too long. Call
// it every few seconds.
func (a *Agreement) Again() {
	if p := a.proposal; p != nil {
		if p.waited++; p.waited > 1 {
			var err error
			if !p.committed {
				err = fmt.Errorf("%s does not answer, or cannot catch up, though the link is up (%s)", a.peer, a.State())
			}
			a.end(true, err)
		}
	}
	a.waitOn()
	if a.State() == Meeting {
		a.ask()
	}
	a.wanted = false
	a.catchUp()
}

func (a *Agreement) tell() { a.sendHeads(false) }

// ask tells too. One end of a link may find it up before the other does, which then
// hears nothing: so whoever finds it up asks.
func (a *Agreement) ask() { a.sendHeads(true) }

func (a *Agreement) sendHeads(ask bool) {
	if a.up {
		heads := a.mine()
		heads.Ask = ask
		a.router.Send(Message{Heads: &heads})
	}
}

// Receive takes a message of the other router, as Arrived now.
func (a *Agreement) Receive(m Message) {
	switch {
	case !a.up:
	case m.Heads != nil:
		a.takeHeads(*m.Heads)
	case m.Prepare != nil:
		a.takePrepare(*m.Prepare)
	case m.Prepared != nil:
		if p := a.proposal; p != nil && !p.committed && p.Revision.ID == *m.Prepared {
			a.commit()
		}
	case m.Refused != nil:
		a.takeRefusal(*m.Refused)
	case m.Commit != nil:
		a.takeCommit(*m.Commit)
	case m.Want != nil:
		a.sendMissed(*m.Want)
	case m.Missed != nil:
		a.takeMissed(*m.Missed)
	case m.Show:
		a.show()
	case m.Shown != nil:
		a.takeShown(*m.Shown)
	case m.Adopt:
		a.Adopt(a.me, func(err error) {
			if err != nil {
				a.router.Tell("end the conflict, as "+a.peer+" asks", err)
			}
		})
	}
}

func (a *Agreement) takeHeads(h Heads) {
	a.theirs, a.wanted, a.refused = &h, false, ""
	if h.Ask {
		a.tell()
	}
	a.takeConfirmation(h.last())
	if p := a.proposal; p != nil && p.committed {
		a.end(a.State() != Same, nil)
	}
	if done := a.adopting; done != nil && a.State() == Same {
		a.adopting = nil
		done(nil)
	}
	a.catchUp()
	a.goOn()
}

// catchUp asks for what this router missed.
func (a *Agreement) catchUp() {
	if a.State() != Behind || a.wanted {
		return
	}
	a.wanted = true
	id := a.head().ID
	a.router.Send(Message{Want: &id})
}

func (a *Agreement) sendMissed(after revision.ID) {
	for _, r := range a.router.Revisions() {
		if r.Number <= after.Number {
			continue
		}
		if file, err := a.router.File(r.Number); err == nil { // of older ones it may be damaged
			a.router.Send(Message{Missed: &Offer{Revision: r, File: file}})
		}
	}
}

func (a *Agreement) takeMissed(o Offer) {
	if a.State() != Behind || o.Revision.Number <= a.head().Number {
		return
	}
	err := a.take(o, o.Revision.ID == a.theirs.last().ID)
	if err != nil {
		a.router.Tell(fmt.Sprintf("catch up with %s: revision %s", a.peer, o.Revision.ID), err)
		a.refuse(o.Revision.ID, err)
		return
	}
	if a.State() == Same {
		a.tell()
		a.goOn()
	}
}

// take makes a revision of the other router one of this.
func (a *Agreement) take(o Offer, run bool) error {
	switch {
	case config.HashOf(o.File) != o.Revision.Hash:
		return errors.New("it came damaged")
	case !run:
		return a.router.Keep(o.Revision, o.File)
	}
	return a.router.Commit(o.Revision, o.File)
}

func (a *Agreement) refuse(id revision.ID, why error) {
	a.router.Send(Message{Refused: &Refusal{id, why.Error()}})
}
