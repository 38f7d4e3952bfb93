package config

import (
	"net/netip"
	"time"

	"go.yaml.in/yaml/v4"
)

// A TrackKind says what is watched.
type TrackKind string

// The kinds of tracks, each by the key that makes it one.
const (
	TrackLeg     TrackKind = "leg"
	TrackGateway TrackKind = "gateway"
	TrackQuorum  TrackKind = "quorum"
	TrackScript  TrackKind = "script"
)

// A Track is something without which a router is not a good active one.
type Track struct {
	Kind    TrackKind
	Leg     string     // that must have carrier, or by which the gateway is
	Gateway netip.Addr // is pinged
	Quorum  string     // a vip, by name or address
	AtLeast int        // of its reals are up
	Script  string     // a program's whole path: exit 0 in time is good

	Interval   time.Duration // of a gateway and a script
	Timeout    time.Duration // of a script
	Fall, Rise int

	Weight int // is taken off the priority while it fails; 0: that is a fault
}

func defaultTrack(kind TrackKind) Track {
	t := Track{Kind: kind}
	switch kind {
	case TrackQuorum:
		t.AtLeast = 1
	case TrackGateway:
		t.Interval, t.Fall, t.Rise = 500*time.Millisecond, 3, 2
	case TrackScript:
		t.Interval, t.Timeout, t.Fall, t.Rise = 5*time.Second, 2*time.Second, 2, 2
	}
	return t
}

func (d *decoder) track(to *Track) reader {
	return func(n *yaml.Node, path string) {
		kind := TrackLeg
		for _, other := range []TrackKind{TrackGateway, TrackQuorum, TrackScript} {
			if valueOf(n, string(other)) != nil {
				kind = other
			}
		}
		if n.Kind == yaml.MappingNode && kind == TrackLeg && valueOf(n, "leg") == nil {
			d.failNode(n, path, "", "a leg, a gateway, a quorum or a script is needed here")
			return
		}
		*to = defaultTrack(kind)
		keys := fields{"weight": d.integer(&to.Weight, 1, 253)}
		switch kind {
		case TrackLeg:
			keys["leg"] = d.word(&to.Leg)
		case TrackQuorum:
			keys["quorum"] = d.word(&to.Quorum)
			keys["at_least"] = d.integer(&to.AtLeast, 1, maxBackends)
		case TrackGateway:
			keys["gateway"] = d.addr(&to.Gateway)
			keys["leg"] = d.word(&to.Leg)
		case TrackScript:
			keys["script"] = d.wholePath(&to.Script)
			keys["timeout"] = d.duration(&to.Timeout, time.Millisecond, time.Hour, time.Millisecond)
		}
		if kind == TrackGateway || kind == TrackScript {
			keys["interval"] = d.duration(&to.Interval, 100*time.Millisecond, time.Hour, time.Millisecond)
			keys["fall"] = d.integer(&to.Fall, 1, 1000)
			keys["rise"] = d.integer(&to.Rise, 1, 1000)
		}
		if !d.mapping(n, path, keys) {
			return
		}
		if kind == TrackGateway {
			d.required(n, path, "leg", "the leg that the gateway is on")
		}
		if kind == TrackScript {
			d.atMostInterval(n, path, &to.Timeout, to.Interval)
		}
	}
}
