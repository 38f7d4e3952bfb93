package pair

import (
	"fmt"
	"time"

	"github.com/tarpon-lb/tarpon/control/count"
	"github.com/tarpon-lb/tarpon/control/event"
	"github.com/tarpon-lb/tarpon/control/pair/replica"
	"go.uber.org/zap"
)

// A split is a split brain, from when it is noticed, which is when it ends, until it is
// mended: the loser has given the addresses away, and both have the same flows again.
type split struct {
	noticed     time.Time
	lasted      time.Duration // as long as the one that took over was active
	winner, why string
	heard       bool           // the other router says so too: lasted is what both say
	withdrawn   bool           // the other router, and the neighbours were told once more
	alike       replica.Counts // before it
}

// mendTime is how long the flows may take to be the same again; then what it came to is
// told without.
const mendTime = time.Minute

// noticeSplit: the other router is active too, or was until now.
func (p *Pair) noticeSplit(won bool, active time.Duration, why string) {
	if p.conf.Foreign || p.split != nil {
		return
	}
	p.split = &split{noticed: time.Now(), lasted: max(active, 1), winner: p.side.Peer.Name, why: why, alike: p.alike}
	if won {
		p.split.winner = p.side.Own.Name
	}
}

// hearOfSplit heeds what the other router says of it; active is for how long this one has
// been active, by the election itself; 0: it is not. A winner may learn of it by this
// alone: the loser has heard it first, and has given way. When the loser has withdrawn the
// neighbours are told again, for it may have told them something else until then.
func (p *Pair) hearOfSplit(before, now Facts, active time.Duration) {
	if now.Split == 0 {
		return
	}
	lost := func(f Facts) bool { return f.Split > 0 && f.Role == roleStandby }
	if lost(now) && !lost(before) && p.active && active > 0 {
		p.noticeSplit(true, active, p.side.Peer.Name+" has given way")
	}
	s := p.split
	if s == nil {
		return
	}
	s.heard, s.lasted = true, min(s.lasted, now.Split)
	if p.active && now.Role == roleStandby && !s.withdrawn {
		s.withdrawn = true
		p.announce()
	}
}

// mendSplit is called every second.
func (p *Pair) mendSplit(now time.Time) {
	s, status := p.split, p.status.Load()
	if s == nil {
		if status.InSync() {
			p.alike = status.Counts
		}
		return
	}
	alike := status.InSync() && status.ComparedAt.After(s.noticed)
	if !(alike && s.heard) && now.Sub(s.noticed) < mendTime {
		return
	}
	p.sayFacts(nil, nil) // the last that speak of it; the other router waits for them
	p.split = nil
	since := s.noticed.Add(-s.lasted).Round(time.Millisecond)
	merged, disputed := status.Counts.PutsTaken-s.alike.PutsTaken, status.Counts.Disputes-s.alike.Disputes
	flows := fmt.Sprintf("%s came from %s, %d in dispute", count.Of(merged, "flow"), p.side.Peer.Name, disputed)
	if !alike {
		flows += ", and they are not the same yet"
	}
	p.Events.Warn(event.SplitMended, fmt.Sprintf("both routers were active for %s since %s; %s won: %s; %s",
		s.lasted.Round(time.Millisecond), since.Format(time.DateTime), s.winner, s.why, flows),
		zap.Time("since", since), zap.Duration("lasted", s.lasted), zap.String("winner", s.winner),
		zap.Uint64("merged", merged), zap.Uint64("disputed", disputed))
}
