package pair

import (
	"fmt"
	"time"

	"github.com/tarpon-lb/tarpon/control/pair/agree"
	"github.com/tarpon-lb/tarpon/control/pair/link"
	"github.com/tarpon-lb/tarpon/control/revision"
)

// Propose makes a change of the configuration on both routers, see agree.
func (p *Pair) Propose(change *agree.Proposal) {
	p.agreement.Propose(change)
	p.agreed()
}

// RevisionMade tells the other router of a revision that was not proposed, or that the
// file was edited.
func (p *Pair) RevisionMade() {
	p.agreement.Changed()
	p.agreed()
	p.review()
}

// Adopt ends a conflict with the configuration of one of the routers.
func (p *Pair) Adopt(router string, done func(error)) {
	p.agreement.Adopt(router, done)
	p.agreed()
}

// Confirmed tells the other router of a confirmation, see agree.
func (p *Pair) Confirmed(done func(error)) { p.agreement.Confirmed(done) }

// Agreement says how the two configurations stand.
func (p *Pair) Agreement() *agree.Agreement { return p.agreement }

func (p *Pair) takeRevisions(m agree.Message) {
	p.agreement.Receive(m.Arrived(time.Now()))
	p.agreed()
	p.review()
}

// What follows is agree.Router.

type agreeRouter struct{ *Pair }

func (r agreeRouter) Revisions() []revision.Revision  { return r.Controller.Revisions() }
func (r agreeRouter) File(number int) ([]byte, error) { return r.Controller.File(number) }
func (r agreeRouter) Edited() bool                    { return r.Controller.Edited() }
func (r agreeRouter) Active() bool                    { return r.active }
func (r agreeRouter) Confirm() error                  { return r.Controller.Confirmed() }
func (r agreeRouter) Send(m agree.Message)            { r.send(link.Revisions, m.Leaving(time.Now())) }
func (r agreeRouter) Tell(what string, err error)     { r.Events.Fail(what, err) }

// Check names this router's version where it may be the reason.
func (r agreeRouter) Check(file []byte) error {
	err := r.Controller.Check(file)
	if err != nil && r.link.State().Software != r.Version {
		return fmt.Errorf("%w (it runs Tarpon %s)", err, r.Version)
	}
	return err
}

func (r agreeRouter) Commit(v revision.Revision, file []byte) error {
	return r.Controller.Commit(v, file)
}

func (r agreeRouter) Keep(v revision.Revision, file []byte) error { return r.Controller.Keep(v, file) }
