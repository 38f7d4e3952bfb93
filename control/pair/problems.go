package pair

import (
	"fmt"
	"slices"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/pair/agree"
	"github.com/tarpon-lb/tarpon/control/pair/replica"
)

// problems are what an operator should look at, the worst first.
func problems(a api.Pair, kept, refused string) []string {
	list := []string{}
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if a.Own.Role == roleActive && a.Peer.Role == roleActive && linked(a) {
		say("both routers are active")
	}
	switch {
	case a.Own.Fault != "" && kept != "":
		say("active with a fault: %s; %s", a.Own.Fault, kept)
	case a.Own.Fault != "":
		say("fault: %s", a.Own.Fault)
	}
	switch {
	case a.Foreign:
	case linked(a):
		withPeer(a, say)
	case refused != "":
		say("not connected: %s", refused)
	default:
		say("no connection to %s: it has neither the flows nor the configuration of this router", a.Peer.Name)
	}
	if a.Transition != nil {
		list = append(list, a.Transition.Silent...)
	}
	return list
}

// withPeer are those between two routers that are connected.
func withPeer(a api.Pair, say func(string, ...any)) {
	peer := a.Peer.Name
	if a.Peer.Fault != "" {
		say("%s has a fault: %s", peer, a.Peer.Fault)
	}
	for _, h := range a.Heartbeats {
		if !h.Up {
			say("no connection to %s on leg %s (%s)", peer, h.Leg, h.Peer)
		}
	}
	switch agreed := a.Agreement; {
	case agreed.State == string(agree.Conflict):
		say("conflict: %s runs configuration %s, %s another one, %s: %s", a.Own.Name, agreed.Own, peer, agreed.Peer, agreed.Remedy)
	case agreed.Error != "":
		say("%s cannot take configuration %s: %s", peer, agreed.Own, agreed.Error)
	}
	if !a.InSync.Yes {
		say("not in sync with %s since %s: %s", peer, a.InSync.Since.Format(time.TimeOnly), missing(a.InSync))
	}
}

// linked says whether the other router is connected.
func linked(a api.Pair) bool {
	return slices.ContainsFunc(a.Heartbeats, func(h api.Heartbeat) bool { return h.Up })
}

func missing(s api.InSync) string {
	i := slices.IndexFunc(s.Facts, func(f api.Fact) bool { return !f.Yes })
	if i < 0 {
		return ""
	}
	return replica.Fact(i).String()
}
