package pair

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/event"
	"github.com/tarpon-lb/tarpon/control/pair/link"
	"github.com/tarpon-lb/tarpon/control/pair/vrrp"
	"github.com/tarpon-lb/tarpon/control/revision"
	"github.com/tarpon-lb/tarpon/healthcheck"
	"go.uber.org/zap"
)

// Facts are what a router tells the other one, at each of its adverts and at each
// change.
type Facts struct {
	Role     string      `json:"role"`
	Priority uint8       `json:"priority"` // effective
	Fault    string      `json:"fault,omitempty"`
	Hold     bool        `json:"hold,omitempty"`
	Behind   string      `json:"behind,omitempty"` // what is missing to be in sync
	Strays   string      `json:"strays,omitempty"` // who still sends to a standby
	MACs     string      `json:"macs,omitempty"`   // of its data legs, with spaces between
	Revision revision.ID `json:"revision"`
	// Split is how long both were active, until that is mended; 0: they were not.
	Split time.Duration `json:"split,omitempty"`
	// Advert is the priority of the advert that went out with it, nil: none did.
	Advert   *uint8        `json:"advert,omitempty"`
	Interval time.Duration `json:"interval"`
}

const (
	roleActive  = "active"
	roleStandby = "standby"
)

// review brings up to date what the election and the other router know.
func (p *Pair) review() {
	f := p.ownFacts()
	if f != p.facts {
		p.tellFault(f)
		p.seen.learned(p.facts, f)
		p.facts = f
		p.toldFacts.Store(&f)
	}
	p.speaker.SetFacts(p.vrrpFacts())
}

func (p *Pair) tellFault(f Facts) {
	switch {
	case f.Fault == p.facts.Fault:
	case f.Fault != "":
		p.Events.Warn(event.PairFault, "fault: "+f.Fault)
		p.fire("fault", f.Fault)
	default:
		p.Events.Info(event.PairFault, "no fault any more")
	}
}

func (p *Pair) ownFacts() Facts {
	f := Facts{Role: roleStandby, Strays: p.strays.text, MACs: p.ownMACs(), Hold: p.Controller.Held(), Interval: max(p.conf.Advert, p.pausing)}
	if p.active {
		f.Role = roleActive
	}
	if p.split != nil {
		f.Split = p.split.lasted
	}
	if p.replica != nil {
		f.Behind = behind(p.status.Load())
	}
	if list := p.Controller.Revisions(); len(list) > 0 {
		f.Revision = list[len(list)-1].ID
	}
	f.Priority, f.Fault = p.judge()
	return f
}

func (p *Pair) vrrpFacts() vrrp.Facts {
	priority, fault := p.judge()
	f := vrrp.Facts{
		Priority: priority, Fault: fault, Cut: p.cut(), Hold: p.Controller.Held(),
		CarrierSince: p.carriers(vrrp.Now()), Deaf: p.deaf(),
	}
	if p.link != nil {
		f.Peer = vrrp.Peer{
			Linked: p.linked, Priority: p.peer.Priority, Fault: p.peer.Fault != "", Hold: p.peer.Hold,
			Behind: behind(p.status.Load()),
		}
	}
	return f
}

// judge is this router's effective priority, and its fault.
func (p *Pair) judge() (uint8, string) {
	left := p.side.Own.Priority
	for i, track := range p.side.Tracks {
		if p.fails(i, track) != "" {
			left -= track.Weight
		}
	}
	return uint8(max(left, 1)), cmp.Or(p.services.Fault(), p.cut())
}

// cut is the first track without a weight that fails: what this router does not hear may
// be its own doing. A service that failed says nothing of that.
func (p *Pair) cut() string {
	for i, track := range p.side.Tracks {
		if why := p.fails(i, track); why != "" && track.Weight == 0 {
			return why
		}
	}
	return ""
}

// fails says why a track does; empty: it does not.
func (p *Pair) fails(i int, track config.Track) string {
	switch track.Kind {
	case config.TrackLeg:
		if _, up := p.Controller.Interface(track.Leg); !up {
			return "leg " + track.Leg + " has no carrier"
		}
	case config.TrackQuorum:
		if usable := p.Controller.Usable(track.Quorum); usable < track.AtLeast {
			return fmt.Sprintf("vip %s has %d usable reals, needs %d", track.Quorum, usable, track.AtLeast)
		}
	default:
		return p.failing[i]
	}
	return ""
}

// watchTracks pings the gateways and runs the scripts.
func (p *Pair) watchTracks() {
	checks := map[int]healthcheck.Check{}
	for i, track := range p.side.Tracks {
		judged := healthcheck.Config{Interval: track.Interval, Timeout: track.Timeout, Fall: track.Fall, Rise: track.Rise}
		start := healthcheck.State{Up: true, Since: time.Now()}
		switch track.Kind {
		case config.TrackGateway:
			judged.Timeout = track.Interval
			ping := healthcheck.Ping{Address: track.Gateway, Interface: p.side.Interface(track.Leg)}
			checks[i] = healthcheck.Check{Probe: ping, Config: judged, Start: start, Now: true}
		case config.TrackScript:
			checks[i] = healthcheck.Check{
				Probe:  healthcheck.Exec{Argv: healthcheck.Argv([]string{track.Script}), Address: netip.AddrPortFrom(netip.IPv4Unspecified(), 0)},
				Config: judged, Start: start, Now: true,
			}
		}
	}
	p.tracks.Update(checks)
}

func (p *Pair) takeTracks(events []healthcheck.Event[int]) {
	for _, e := range events {
		track := p.side.Tracks[e.Key]
		what := "script " + track.Script
		if track.Kind == config.TrackGateway {
			what = "gateway " + track.Gateway.String()
		}
		if e.State.Up {
			delete(p.failing, e.Key)
		} else {
			p.failing[e.Key] = what + " fails"
		}
		if e.Changed {
			p.Events.Info(event.PairTrack, what, zap.Bool("good", e.State.Up))
		}
	}
	p.review()
}

// takeFacts hears the other router, in the link's goroutine.
func (p *Pair) takeFacts(body []byte) {
	var f Facts
	if json.Unmarshal(body, &f) != nil {
		return
	}
	if f.Advert != nil {
		p.speaker.Said(*f.Advert, f.Interval)
	} else if f.Role == roleStandby {
		p.speaker.Rests()
	}
	f.Advert = nil
	p.post(func() {
		changed := f != p.peer
		p.tellStrays(p.peer, f)
		var active time.Duration
		if s := p.speaker.Snapshot(); s.Role == vrrp.Active {
			active = vrrp.Now() - s.Since
		}
		p.hearOfSplit(p.peer, f, active)
		p.peer, p.peerAt = f, time.Now()
		if changed {
			p.review()
		}
	})
}

// tellFacts tells ours, in a goroutine of its own.
func (p *Pair) tellFacts() {
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	for {
		var advert *uint8
		select {
		case <-p.advert:
			if s := p.speaker.Snapshot(); s.Role == vrrp.Active {
				advert = &s.Priority
			}
		case <-ticker.C:
		case <-p.ctx.Done():
			return
		}
		p.sayFacts(advert, nil)
	}
}

// sayFacts keeps the order in which facts were made. Sent is closed when the line has
// taken them; nil: nobody waits.
func (p *Pair) sayFacts(advert *uint8, sent chan struct{}) {
	p.saying.Lock()
	defer p.saying.Unlock()
	f := p.toldFacts.Load()
	if f == nil {
		return
	}
	told := *f
	told.Advert = advert
	p.tell(link.Facts, told, sent)
}
