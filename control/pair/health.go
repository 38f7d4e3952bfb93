package pair

import (
	"iter"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/pair/link"
)

// A Result is of the check of a real behind a vip, as people write them.
type Result struct {
	Vip   string `json:"vip"`
	Real  string `json:"real"`
	Up    bool   `json:"-"`
	Error string `json:"error,omitempty"` // of one that is down
}

// health are a router's results, as the other one is told them: those reals that are
// down. They are for show, each router acts on its own.
type health struct {
	Down []Result `json:"down"`
	More int      `json:"more,omitempty"` // that are not told
}

// mostTold bounds what is told of a network that is gone.
const mostTold = 1000

func healthOf(results iter.Seq[Result]) (h health) {
	for r := range results {
		switch {
		case r.Up:
		case len(h.Down) == mostTold:
			h.More++
		default:
			h.Down = append(h.Down, r)
		}
	}
	return h
}

// tellHealth tells the other router, if there is something new: once a second at most.
func (p *Pair) tellHealth() {
	if !p.linked || !p.health.news {
		return
	}
	p.health.news = false
	p.send(link.Health, healthOf(p.Controller.Results()))
}

func (p *Pair) takeHealth(h health) { p.health.peer = &h }

// healthDifferences are the reals that one router finds up and the other one down. With
// two configurations, or without a connection, nothing can be said.
func (p *Pair) healthDifferences() []api.HealthDifference {
	if !p.linked || !p.same || p.health.peer == nil {
		return []api.HealthDifference{}
	}
	return differences(p.Controller.Results(), *p.health.peer, p.side.Own.Name, p.side.Peer.Name)
}

// differences are those of one router's results from the other's.
func differences(ours iter.Seq[Result], theirs health, own, peer string) []api.HealthDifference {
	type key struct{ vip, real string }
	down := map[key]string{}
	for _, r := range theirs.Down {
		down[key{r.Vip, r.Real}] = r.Error
	}
	list := []api.HealthDifference{}
	for r := range ours {
		why, downThere := down[key{r.Vip, r.Real}]
		switch {
		case r.Up && downThere:
			list = append(list, api.HealthDifference{Vip: r.Vip, Real: r.Real, Up: own, Down: peer, Error: why})
		case !r.Up && !downThere && theirs.More == 0:
			list = append(list, api.HealthDifference{Vip: r.Vip, Real: r.Real, Up: peer, Down: own, Error: r.Error})
		}
	}
	return list
}
