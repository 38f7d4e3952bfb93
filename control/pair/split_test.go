package pair

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/control/event"
	"github.com/tarpon-lb/tarpon/control/pair/replica"
	"go.uber.org/zap"
)

// announcing counts how often the addresses that move are asked for, to be announced.
type announcing struct {
	Controller
	times int
}

func (a *announcing) Moving() map[string][]netip.Addr { a.times++; return nil }

// What a split brain came to is told once, when both have the same flows again; the
// neighbours are told once more when the loser says that it has given way.
func TestSplitIsMended(t *testing.T) {
	const (
		unsaid = "the other router does not say so"
		apart  = "the flows do not get the same"
	)
	var (
		active    = Facts{Role: roleActive}
		givingWay = Facts{Role: roleActive, Split: 3 * time.Second}
		gaveWay   = Facts{Role: roleStandby, Split: 3 * time.Second}
		standby   = Facts{Role: roleStandby}
	)
	for _, test := range []struct {
		name      string
		active    bool
		notice    bool    // by the wire
		hear      []Facts // of the other router
		late      string  // why it is not told before its time is over
		announces int
		want      string // "": nothing is told
	}{
		{"the winner", true, true, []Facts{active, givingWay, gaveWay, gaveWay, standby}, "", 1,
			"lb1 won: lb2 loses; 40 flows came from lb2, 2 in dispute; lasted 3s; merged 40; disputed 2; winner lb1"},
		{"a winner that heard no advert", true, false, []Facts{gaveWay, gaveWay, standby}, "", 1,
			"lb1 won: lb2 has given way; 40 flows came from lb2, 2 in dispute; lasted 3s; merged 40; disputed 2; winner lb1"},
		{"a winner whose peer does not say so", true, true, []Facts{active, standby}, unsaid, 0,
			"lb1 won: lb2 loses; 40 flows came from lb2, 2 in dispute; lasted 1m0s; merged 40; disputed 2; winner lb1"},
		{"a winner that is alone again", true, true, nil, apart, 0,
			"lb1 won: lb2 loses; 40 flows came from lb2, 2 in dispute, and they are not the same yet; lasted 1m0s; merged 40; disputed 2; winner lb1"},
		{"the loser", false, true, []Facts{active, {Role: roleActive, Split: time.Hour}}, "", 0,
			"lb2 won: lb2 wins; 40 flows came from lb2, 2 in dispute; lasted 1m0s; merged 40; disputed 2; winner lb2"},
		{"no split brain", true, false, []Facts{standby, standby}, "", 0, ""},
	} {
		log, controller := event.NewLog(zap.NewNop()), &announcing{}
		p := &Pair{
			Options: Options{Events: log, Controller: controller}, active: test.active,
			side: config.Side{Own: config.Router{Name: "lb1"}, Peer: config.Router{Name: "lb2"}},
		}
		before := replica.Status{Counts: replica.Counts{PutsTaken: 100, Disputes: 1}, ComparedAt: time.Now()}
		p.status.Store(&before)
		p.mendSplit(time.Now())
		if test.notice {
			p.noticeSplit(test.active, time.Minute, map[bool]string{true: "lb2 loses", false: "lb2 wins"}[test.active])
		}
		for _, f := range test.hear {
			p.hearOfSplit(p.peer, f, time.Minute)
			p.peer = f
			p.mendSplit(time.Now()) // they were the same before it: that proves nothing
		}
		after := replica.Status{Counts: replica.Counts{PutsTaken: 140, Disputes: 3}, ComparedAt: time.Now().Add(time.Second)}
		if test.late == apart {
			after.Missing = []replica.Fact{replica.Equal}
		}
		p.status.Store(&after)
		p.mendSplit(time.Now())
		if waits := p.split != nil; waits != (test.late != "") {
			t.Errorf("%s: it waits: %t; late: %q", test.name, waits, test.late)
		}
		p.mendSplit(time.Now().Add(mendTime))
		log.Close()
		var told []string
		for e := range log.After(context.Background(), 0, false) {
			_, message, _ := strings.Cut(e.Message, "; ")
			for _, key := range []string{"lasted", "merged", "disputed", "winner"} {
				message += "; " + key + " " + e.Fields[key]
			}
			told = append(told, message)
		}
		if got := strings.Join(told, "\n"); got != test.want || controller.times != test.announces {
			t.Errorf("%s: %d announcements, want %d; %s", test.name, controller.times, test.announces, cmp.Diff(test.want, got))
		}
	}
}
