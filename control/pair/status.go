package pair

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/pair/agree"
	"github.com/tarpon-lb/tarpon/control/pair/announce"
	"github.com/tarpon-lb/tarpon/control/pair/link"
	"github.com/tarpon-lb/tarpon/control/pair/replica"
	"github.com/tarpon-lb/tarpon/control/pair/vrrp"
	"github.com/tarpon-lb/tarpon/control/revision"
	"github.com/tarpon-lb/tarpon/loader"
)

// A record is what is kept to be shown, and for nothing else.
type record struct {
	transition *api.Transition
	silent     map[neighbour]string // that do not follow, in words
	sync       time.Time            // since when it is as it is
}

type neighbour struct{ it, address netip.Addr }

// tookRole notes a change of the role, and how long the addresses took.
func (r *record) tookRole(role, why string, began time.Time) {
	r.transition = &api.Transition{Role: role, Time: began.Round(0), Why: why, Took: time.Since(began).Seconds()}
	r.silent = map[neighbour]string{}
}

// heard notes whether a neighbour follows. One that may just be off is no news.
func (r *record) heard(e announce.Event) {
	if r.silent == nil {
		r.silent = map[neighbour]string{}
	}
	switch n := (neighbour{e.Neighbour, e.Address}); {
	case e.Kind == announce.Answered:
		delete(r.silent, n)
	case e.Kind == announce.Unanswered && e.Alive:
		r.silent[n] = e.String()
	}
}

// learned notes when the pair began to be in sync, or ceased to be.
func (r *record) learned(before, now Facts) {
	if r.sync.IsZero() || (before.Behind == "") != (now.Behind == "") {
		r.sync = time.Now().Round(0)
	}
}

// Status is what this router knows of the two.
func (p *Pair) Status() api.Pair {
	s := p.speaker.Snapshot()
	a := api.Pair{
		Paired: true, Foreign: p.conf.Foreign, Own: p.ownView(s), Peer: p.peerView(), Lease: leaseText(p.Loader.Lease()),
		Services: p.serviceViews(), HealthDifferences: p.healthDifferences(),
		InSync: p.syncView(), Heartbeats: p.heartbeatViews(s), Agreement: p.agreementView(), OtherVRIDs: []api.OtherVRID{},
	}
	c := s.Counters
	a.Adverts = api.Adverts{
		Interval: p.conf.Advert.Seconds(), Sent: c.Sent, Late: c.Late, Unsent: c.Unsent, Received: c.Received, Ignored: c.Ignored, Unproven: c.Unproven,
		PseudoHeader: c.PseudoHeader, Transitions: s.Term,
	}
	for _, f := range s.Foreign {
		a.OtherVRIDs = append(a.OtherVRIDs, api.OtherVRID{VRID: int(f.VRID), Interface: f.Link, From: f.From.String(), Heard: wallClock(f.Last)})
	}
	if t := p.seen.transition; t != nil {
		told := *t
		if p.active {
			told.Silent = p.silentNeighbours()
		}
		a.Transition = &told
	}
	a.WhyNot = p.whyNot(s, a)
	a.Problems = problems(a, s.Kept, p.refused())
	return a
}

func (p *Pair) serviceViews() []api.Service {
	list := []api.Service{}
	for _, v := range p.services.Views() {
		s := api.Service{Name: v.Name, State: v.State, Critical: v.Critical, Failures: v.Failures, Restarts: v.Restarts}
		if v.Err != nil {
			s.Error = v.Err.Error()
		}
		list = append(list, s)
	}
	return list
}

// silentNeighbours do not follow an address that is still announced.
func (p *Pair) silentNeighbours() (list []string) {
	announced := map[netip.Addr]bool{}
	for _, addresses := range p.Controller.Moving() {
		for _, a := range addresses {
			announced[a] = true
		}
	}
	for n, words := range p.seen.silent {
		if announced[n.address] {
			list = append(list, words)
		}
	}
	slices.Sort(list)
	return list
}

// wallClock is an instant as people write it; that of never is zero.
func wallClock(at vrrp.Instant) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return time.Now().Add(at - vrrp.Now()).Round(0)
}

func leaseText(l loader.Lease) string {
	switch {
	case l == loader.LeaseOpen:
		return "open"
	case time.Duration(l) > vrrp.Now():
		return "holds"
	}
	return "ended"
}

func (p *Pair) ownView(s *vrrp.Snapshot) api.PairRouter {
	r := api.PairRouter{
		Name: p.side.Own.Name, Role: roleStandby, Since: wallClock(s.Since), Why: s.Why,
		Priority: int(p.facts.Priority), Configured: p.side.Own.Priority, Fault: p.facts.Fault, Held: p.facts.Hold,
		Software: p.Version,
	}
	if p.active {
		r.Role = roleActive
	}
	for i, track := range p.side.Tracks {
		if why := p.fails(i, track); why != "" && track.Weight > 0 {
			r.Failing = append(r.Failing, fmt.Sprintf("%s (%d off the priority)", why, track.Weight))
		} else if why != "" {
			r.Failing = append(r.Failing, why+" (a fault)")
		}
	}
	return r
}

func (p *Pair) peerView() api.PairRouter {
	r := api.PairRouter{Name: p.side.Peer.Name, Configured: p.side.Peer.Priority}
	if p.peerAt.IsZero() {
		return r
	}
	r.Role, r.Priority, r.Fault, r.Held, r.Told = p.peer.Role, int(p.peer.Priority), p.peer.Fault, p.peer.Hold, p.peerAt.Round(0)
	r.Software = p.link.State().Software
	return r
}

// factNames are in the order of replica's facts.
var factNames = []string{"linked", "copied", "equal", "prompt", "sameRevision"}

func (p *Pair) syncView() api.InSync {
	v := api.InSync{Facts: []api.Fact{}}
	if p.conf.Foreign {
		return v
	}
	s := p.status.Load()
	v.Yes, v.Since, v.Flows, v.ComparedAt, v.Aside = s.InSync(), p.seen.sync, s.Flows, s.ComparedAt.Round(0), s.Aside
	for fact, name := range factNames {
		v.Facts = append(v.Facts, api.Fact{Name: name, Yes: !slices.Contains(s.Missing, replica.Fact(fact))})
	}
	v.Lag, v.Oldest = s.Lag.Seconds(), s.Oldest.Seconds()
	v.Sent, v.Taken = s.Counts.Puts+s.Counts.Ends, s.Counts.PutsTaken+s.Counts.EndsTaken
	v.Repaired, v.Disputed, v.Lost = s.Counts.Repaired, s.Counts.Disputes, s.Counts.Full+s.Counts.AsideLost
	return v
}

// refused is why the other router is not spoken with though it is there; usually "".
func (p *Pair) refused() string {
	if p.link == nil {
		return ""
	}
	if err := p.link.State().Refused; err != nil {
		return err.Error()
	}
	return ""
}

// heartbeatViews joins what the election and the link have of each way to the other
// router: both have the ways in the configuration's order.
func (p *Pair) heartbeatViews(s *vrrp.Snapshot) []api.Heartbeat {
	list := []api.Heartbeat{}
	var over link.State
	if p.link != nil {
		over = p.link.State()
	}
	carrier := over.Carrier
	for i, l := range p.side.Links {
		h := api.Heartbeat{Leg: l.Leg, Own: l.Own.String(), Peer: l.Peer.String()}
		if heard := s.Links[i]; heard.At != 0 {
			h.Heard, h.Priority = wallClock(heard.At), int(heard.Priority)
			if heard.Checksum != vrrp.RFC9568 {
				h.Checksum = heard.Checksum.String()
			}
		}
		if i < len(over.Paths) {
			path := over.Paths[i]
			h.Up, h.Since = path.Up, path.Since.Round(0)
			if !path.Up && path.Err != nil {
				h.Error = path.Err.Error()
			}
			if path.Up && path.Name == carrier {
				h.Carries, carrier = true, ""
			}
		}
		list = append(list, h)
	}
	return list
}

func (p *Pair) agreementView() api.Agreement {
	v := api.Agreement{State: string(p.agreement.State()), Own: idView(p.facts.Revision)}
	if list := p.Controller.Revisions(); len(list) > 0 {
		v.Own = idView(list[len(list)-1].ID)
	}
	if their, told := p.agreement.Their(); told {
		v.Peer = idView(their)
	} else {
		v.Peer = idView(p.peer.Revision)
	}
	v.Error = p.agreement.Refused()
	switch p.agreement.State() {
	case agree.Conflict:
		v.Remedy = fmt.Sprintf("lbctl pair diff, then lbctl pair adopt %s or %s", p.side.Own.Name, p.side.Peer.Name)
	case agree.Ahead, agree.Behind:
		if v.Error != "" {
			v.Remedy = "mend that on the router that refuses it; it is tried again by itself"
		}
	}
	return v
}

func idView(id revision.ID) api.RevisionID {
	return api.RevisionID{Revision: id.Number, SHA256: string(id.Hash)}
}

// whyNot is why the router that does not have the service does not have it.
func (p *Pair) whyNot(s *vrrp.Snapshot, a api.Pair) string {
	peer := p.side.Peer.Name
	switch {
	case !p.active && a.Own.Fault != "":
		return "fault: " + a.Own.Fault
	case !p.active:
		return s.Why
	case p.conf.Foreign:
		return "it is heard of only when it is active"
	case !p.linked:
		return "there is no connection to " + peer
	case s.HandOver:
		return "the service is about to be handed over"
	case s.Kept != "":
		return s.Kept
	case a.Peer.Fault != "":
		return "fault: " + a.Peer.Fault
	case a.Peer.Priority <= a.Own.Priority:
		return fmt.Sprintf("its priority is %d against %d", a.Peer.Priority, a.Own.Priority)
	case !p.conf.Preempt:
		return "a router that is whole keeps the service (preempt: false)"
	}
	return ""
}
