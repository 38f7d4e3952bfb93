package pair

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/tarpon-lb/tarpon/control/event"
	"github.com/tarpon-lb/tarpon/loader"
)

// strays are who sends to a standby what is for the active router: a neighbour that was
// not reached by an announcement. The active one cannot see them; it is told.
type strays struct {
	since    time.Time // this router is a standby
	watching bool
	looked   time.Time
	counts   map[loader.Stray]uint64
	text     string // who they are, as told last
}

const (
	// lateFrames is how long after a move they may come without anybody being at fault.
	lateFrames   = 30 * time.Second
	lookInterval = 10 * time.Second
)

// watchStrays is called every second.
func (p *Pair) watchStrays(now time.Time) {
	s := &p.strays
	switch {
	case p.active:
		s.since, s.text = time.Time{}, ""
		if s.watching {
			s.watching = false
			p.Events.Fail("watch for strays no more", p.Loader.WatchStrays(false))
		}
	case s.since.IsZero():
		s.since = now
	case !s.watching && now.Sub(s.since) > lateFrames:
		s.watching, s.looked, s.counts = true, now, nil
		p.Events.Fail("watch for strays", p.Loader.WatchStrays(true))
	case s.watching && now.Sub(s.looked) > lookInterval:
		counts, err := p.Loader.Strays()
		p.Events.Fail("count strays", err)
		s.text = grown(s.counts, counts)
		s.looked, s.counts = now, counts
	}
}

// mostStrays are named at once; how many more there are is told.
const mostStrays = 20

// grown names those that have sent since.
func grown(before, after map[loader.Stray]uint64) string {
	var list []string
	for stray := range maps.Keys(after) {
		if after[stray] == before[stray] {
			continue
		}
		what := "what reals answer"
		if stray.Vip.IsValid() {
			what = stray.Vip.String()
		}
		list = append(list, net.HardwareAddr(stray.MAC[:]).String()+" sends "+what)
	}
	slices.Sort(list)
	if more := len(list) - mostStrays; more > 0 {
		list = append(list[:mostStrays], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(list, ", ")
}

// tellStrays tells what the other router, a standby, gets.
func (p *Pair) tellStrays(before, now Facts) {
	if now.Strays != "" && now.Strays != before.Strays {
		p.Events.Warn(event.NeighbourSilent, "still sent to "+p.side.Peer.Name+": "+now.Strays)
	}
}
