// Package pair is this router's part in a pair. It joins the rooms below it: vrrp
// elects, link carries, replica keeps the flows alike, agree the configuration,
// handover moves the service, announce tells the neighbours. What they decide is done
// by a Controller, the rest of the router.
//
// A Pair is owned by the controller's goroutine: its methods, and all that it asks of
// the Controller, run there. What happens in other goroutines comes by Options.Post.
package pair

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/event"
	"github.com/tarpon-lb/tarpon/control/host"
	"github.com/tarpon-lb/tarpon/control/pair/agree"
	"github.com/tarpon-lb/tarpon/control/pair/announce"
	"github.com/tarpon-lb/tarpon/control/pair/handover"
	"github.com/tarpon-lb/tarpon/control/pair/link"
	"github.com/tarpon-lb/tarpon/control/pair/program"
	"github.com/tarpon-lb/tarpon/control/pair/replica"
	"github.com/tarpon-lb/tarpon/control/pair/service"
	"github.com/tarpon-lb/tarpon/control/pair/vrrp"
	"github.com/tarpon-lb/tarpon/control/revision"
	"github.com/tarpon-lb/tarpon/healthcheck"
	"github.com/tarpon-lb/tarpon/loader"
	"go.uber.org/zap"
)

// A Controller is the rest of the router. Its methods are called in its own goroutine.
type Controller interface {
	Revisions() []revision.Revision
	File(number int) ([]byte, error)
	Edited() bool
	Check(file []byte) error
	Commit(r revision.Revision, file []byte) error
	Keep(r revision.Revision, file []byte) error
	// Confirmed: the last revision was confirmed on the other router.
	Confirmed() error

	// SetActive has the addresses that move added, or removed.
	SetActive(active bool) error
	// Moving are the addresses that move, by leg; those of no leg under "".
	Moving() map[string][]netip.Addr
	// Neighbours on a leg, that send to them.
	Neighbours(leg string) []announce.Neighbour
	// Interface of a leg: its index, and whether it has carrier. 0: it is not there.
	Interface(leg string) (ifindex int, carrier bool)
	// Device is a leg's interface, to be probed on.
	Device(leg string) (host.Interface, bool)
	// Usable is how many reals of a vip are up, Results those of all checks.
	Usable(vip string) int
	Results() iter.Seq[Result]

	// Operational is what was decided for the time being, to be told to the other
	// router; TakeOperational takes theirs, if it is newer.
	Operational() []byte
	TakeOperational(data []byte)
	Held() bool
}

// Options of Open.
type Options struct {
	Controller Controller
	Config     *config.Config // of a pair, found valid on this machine
	KeyFile    string
	RunDir     string // emptied by a boot
	Version    string
	Loader     *loader.Loader
	Events     *event.Log
	Hooks      *program.Hooks // the caller closes them: they outlive a Pair that begins anew
	// Post has a function run in the controller's goroutine, soon. It waits for its turn,
	// or until the context ends.
	Post func(context.Context, func())
}

// A Pair is at work from Open to Close.
type Pair struct {
	Options
	side config.Side
	conf config.Pair

	speaker   *vrrp.Speaker
	announcer *announce.Announcer
	agreement *agree.Agreement
	handover  *handover.Handover
	services  *service.Services
	tracks    *healthcheck.Set[int]
	link      *link.Link       // nil with a foreign peer
	replica   *replica.Replica // likewise

	active    bool   // the addresses are here
	decided   bool   // or are not; until then those of an earlier life stay
	told      uint64 // Snapshot.Announces that were heeded
	probing   bool
	strays    strays
	split     *split         // nil: there is none
	alike     replica.Counts // when the flows of both were last the same
	fencing   bool
	heard     bool                    // the peer, since our boot
	tried     time.Time               // the last handover that failed, or is under way
	verifying map[string]bool         // legs whose neighbours a handover waits for; nil: it does not
	verifyBy  time.Time               // and until when
	failing   map[int]string          // gateways and scripts
	stops     int                     // of the services, for handovers
	ending    bool                    // this router: a service that does not stop is killed
	stuck     time.Time               // when a service last did not stop, or the addresses came back
	carrier   map[string]vrrp.Instant // since when, by leg
	macs      map[string]host.MAC     // of the legs that the announcer is on
	facts     Facts                   // ours, as told last
	peer      Facts                   // the other's
	peerAt    time.Time
	linked    bool
	same      bool // both have one configuration
	seen      record
	health    struct {
		news bool    // of ours, not told yet
		peer *health // the other's; nil: it has not told
	}

	pausing   time.Duration         // the interval of the last advert before a restart
	toldFacts atomic.Pointer[Facts] // for the goroutine that tells them
	saying    sync.Mutex
	status    atomic.Pointer[replica.Status]
	advert    chan struct{} // one went out
	outbox    chan message
	calls     chan func() // for the replica, in order
	ctx       context.Context
	end       context.CancelFunc
	running   sync.WaitGroup
}

type message struct {
	kind link.Kind
	body []byte
	sent chan struct{} // closed when it is; nil: nobody waits
}

// Open begins. The kernel is as the configuration says, but for the addresses.
func Open(o Options) (*Pair, error) {
	side, ok := o.Config.ForRouter(o.Config.Self)
	if !ok {
		return nil, errors.New("this machine is none of the pair's routers")
	}
	p := &Pair{
		Options: o, side: side, conf: o.Config.Pair,
		failing: map[int]string{}, carrier: map[string]vrrp.Instant{}, macs: map[string]host.MAC{},
		advert: make(chan struct{}, 1), outbox: make(chan message, 256), calls: make(chan func(), 64),
	}
	p.ctx, p.end = context.WithCancel(context.Background())
	p.status.Store(&replica.Status{Missing: []replica.Fact{replica.Linked}})
	p.agreement = agree.New(side.Own.Name, side.Peer.Name, agreeRouter{p})
	p.handover = handover.New(side.Peer.Name, handoverRouter{p})
	p.services = service.New(p.conf.Services, p.tellServices)
	p.tracks = healthcheck.NewSet[int]()
	p.heard = p.wasHeard()
	p.announcer = announce.New(announce.Options{
		Repeat: p.conf.Announce.Repeat, Refresh: p.conf.Announce.Refresh, Verify: p.conf.Announce.Verify,
	})
	if err := errors.Join(p.hold(), p.openLink(), p.listen()); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	if err := p.openSpeaker(o.Loader.Lease()); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	p.watchTracks()
	p.run()
	p.review()
	p.decide(!o.Loader.Lease().Holds(loader.SinceBoot()))
	return p, nil
}

// openSpeaker begins to listen; with a lease that holds, this router is active at once.
func (p *Pair) openSpeaker(lease loader.Lease) error {
	c := vrrp.Config{
		VRID: uint8(p.conf.VRID), Version: uint8(p.conf.Version), Advert: p.conf.Advert,
		Priority: uint8(p.side.Own.Priority), Preempt: p.conf.Preempt, PreemptDelay: p.conf.PreemptDelay,
		Settle: p.conf.Settle, Fence: p.fenceRules(), V2Password: p.conf.V2Password, Advertise: p.conf.Advertise,
	}
	if p.conf.Multicast {
		c.Transport = vrrp.Multicast
	}
	if p.conf.Foreign {
		c.Peer = vrrp.Foreign
	}
	if p.conf.PseudoHeader {
		c.Checksum = vrrp.PseudoHeader
	}
	for _, l := range p.side.Links {
		c.Links = append(c.Links, vrrp.Link{Interface: l.Interface, Own: l.Own, Peer: l.Peer})
	}
	start := vrrp.Start{Settled: lease != loader.LeaseUnset, Heard: p.heard, Facts: p.vrrpFacts()}
	if start.Away = start.Settled; start.Settled {
		start.Lease = vrrp.Instant(lease)
	} else {
		p.Loader.SetLease(loader.LeaseEnded)
	}
	var err error
	p.speaker, err = vrrp.Run(c, start, func(until vrrp.Instant) {
		p.Loader.SetLease(max(loader.Lease(until), loader.LeaseEnded))
		select {
		case p.advert <- struct{}{}:
		default:
		}
	})
	return err
}

// hold says to the programs which addresses the lease is about.
func (p *Pair) hold() error {
	var all []netip.Addr
	for _, list := range p.Controller.Moving() {
		all = append(all, list...)
	}
	return p.Loader.SetHeld(all)
}

// listen opens the announcer on the legs.
func (p *Pair) listen() (err error) {
	for _, leg := range p.Config.DataLegs() {
		err = errors.Join(err, p.listenOn(leg.Name))
	}
	return err
}

func (p *Pair) listenOn(leg string) error {
	ifindex, _ := p.Controller.Interface(leg)
	if ifindex == 0 {
		return nil
	}
	if device, _ := p.Controller.Device(leg); device.MAC != (host.MAC{}) {
		p.macs[leg] = device.MAC
	}
	return p.announcer.Listen(announce.Leg{
		Name: leg, Ifindex: ifindex,
		Own4: p.side.Address(leg, netip.IPv4Unspecified()), Own6: p.side.Address(leg, netip.IPv6Unspecified()),
	})
}

// Restored is to be called when a leg's interface, or its MAC, has become another.
func (p *Pair) Restored(leg string) {
	p.Events.Fail("listen on "+leg, p.listenOn(leg))
	if p.active {
		p.announce()
	}
	p.review()
}

// run starts what waits in goroutines of its own.
func (p *Pair) run() {
	forward(p, p.speaker.Changed(), func(struct{}) { p.look() })
	forward(p, p.speaker.Events(), p.tellElection)
	forward(p, p.announcer.Events(), p.takeAnnounced)
	forward(p, p.tracks.Events(), p.takeTracks)
	p.running.Go(p.tick)
	if p.link == nil {
		return
	}
	p.running.Go(func() { p.link.Run(p.ctx) })
	p.running.Go(func() { p.replica.Run(p.ctx) })
	p.running.Go(p.carry)
	p.running.Go(p.tellFacts)
	p.running.Go(p.askReplica)
}

// forward has what comes from a channel taken in the controller's goroutine.
func forward[T any](p *Pair, from <-chan T, take func(T)) {
	p.running.Go(func() {
		for {
			select {
			case value, ok := <-from:
				if !ok {
					return
				}
				p.post(func() { take(value) })
			case <-p.ctx.Done():
				return
			}
		}
	})
}

// post is Post, but for a Pair that has ended meanwhile.
func (p *Pair) post(f func()) {
	p.Post(p.ctx, func() {
		if p.ctx.Err() == nil {
			f()
		}
	})
}

// tick looks at what has waited too long.
func (p *Pair) tick() {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for n := 1; ; n++ {
		select {
		case <-ticker.C:
		case <-p.ctx.Done():
			return
		}
		second := n%10 == 0
		p.post(func() {
			p.handover.Tick(time.Now())
			if second {
				p.agreement.Again()
				p.decide(true)
				p.watchStrays(time.Now())
				p.tellHealth()
				p.mendSplit(time.Now())
				p.review() // by now the peer may be heard on another leg: see carriers
			}
		})
	}
}

var errEnded = errors.New("the pair ends, or begins anew, on this router")

// Foreign: the other router is no Tarpon; nothing but the election is shared with it.
func (p *Pair) Foreign() bool { return p.conf.Foreign }

// Close ends the pair's work and leaves everything as it is: to the other router it is
// as if the process had been killed.
func (p *Pair) Close() error {
	p.end()
	p.handover.Abandon(errEnded)
	p.services.Close()
	p.announcer.Close()
	p.tracks.Close()
	var err error
	if p.speaker != nil {
		err = p.speaker.Close()
	}
	p.running.Wait()
	return err
}

// decide removes the addresses that an earlier life left, if this one is a standby. With
// a lease that holds it is not, as soon as the election has begun.
func (p *Pair) decide(now bool) {
	p.look()
	if now && !p.decided && !p.active {
		p.decided = true
		p.services.Rest(true, nil)
		p.Events.Fail("remove the addresses", p.Controller.SetActive(false))
	}
}

// look makes the router as the election says.
func (p *Pair) look() {
	s := p.speaker.Snapshot()
	switch {
	case s.Role == vrrp.Active && !p.active:
		p.becomeActive(s.Why)
	case s.Role == vrrp.Standby && p.active && (!p.handover.Busy() || p.handover.Stopping()):
		p.becomeStandby(s.Why)
	case s.Role == vrrp.Active && s.Announces > p.told:
		p.told = s.Announces
		p.announce()
	}
	if s.Probe && !p.probing {
		p.probe()
	}
	if s.Fence && !p.fencing {
		p.fence()
	}
	if s.Heard && !p.heard {
		p.keepHeard()
	}
	if s.HandOver && !p.handover.Busy() && time.Since(p.tried) > 5*time.Second {
		p.giveAway(s)
	}
	p.review()
}

// giveAway hands the service over because the other router is the better one.
func (p *Pair) giveAway(s *vrrp.Snapshot) {
	if p.facts.Fault == "" && time.Since(p.stuck) < stuckPause {
		return
	}
	p.tried = time.Now()
	why := fmt.Sprintf("%s has priority %d against %d", p.side.Peer.Name, p.peer.Priority, s.Priority)
	if p.facts.Fault != "" {
		why = "fault: " + p.facts.Fault
	}
	p.handOver(why, p.facts.Fault != "", func(err error) {
		if err == nil {
			p.tried = time.Time{}
		}
		p.Events.Fail("hand over to "+p.side.Peer.Name, err)
	})
}

// Changed is to be called when the configuration is another than before. A change of
// the pair itself needs a new Pair.
func (p *Pair) Changed() {
	p.Events.Fail("say which addresses the lease is about", p.hold())
	if p.active {
		p.announce()
	}
	p.health.news = true
	p.review()
}

// Review is to be called when a leg or a real's health is another than before.
func (p *Pair) Review() {
	p.health.news = true
	p.review()
}

// tellElection tells what the election has to say.
func (p *Pair) tellElection(e vrrp.Event) {
	kinds := map[vrrp.Kind]event.Kind{vrrp.BecameActive: event.PairActive, vrrp.BecameStandby: event.PairStandby, vrrp.SplitBrain: event.SplitBrain}
	kind, known := kinds[e.Kind]
	if !known {
		kind = event.Kind(e.Kind)
	}
	var fields []zap.Field
	if e.Link != "" {
		fields = append(fields, zap.String("link", e.Link))
	}
	switch e.Kind {
	case vrrp.BecameActive, vrrp.BecameStandby:
		p.Events.Info(kind, e.Message, fields...)
	case vrrp.SplitBrain:
		p.Events.Warn(kind, fmt.Sprintf("%s; this router has been active for %s", e.Message, e.Active.Round(time.Millisecond)), fields...)
		p.fire("split-brain", e.Message)
		p.noticeSplit(e.Won, e.Active, e.Message)
		p.review()
	default:
		p.Events.Warn(kind, e.Message, fields...)
	}
}

// fire runs the hooks of an event.
func (p *Pair) fire(what, why string) {
	for _, h := range p.conf.Hooks {
		if slices.Contains(h.On, what) {
			p.Hooks.Fire(program.Command{
				Argv: h.Run, Timeout: h.Timeout,
				Env: []string{"TARPON_EVENT=" + what, "TARPON_ROUTER=" + p.side.Own.Name, "TARPON_REASON=" + why},
			})
		}
	}
}

// NewHooks returns what runs hooks, and tells of each that has ended.
func NewHooks(events *event.Log) *program.Hooks {
	return program.NewHooks(func(c program.Command, output string, err error) {
		if err != nil {
			events.Warn(event.HookFailed, "a hook failed", zap.Error(err))
			return
		}
		events.Info(event.HookEnded, "a hook ran", zap.Strings("argv", c.Argv), zap.String("output", output))
	})
}
