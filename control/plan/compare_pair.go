package plan

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/tarpon-lb/tarpon/control/config"
)

// comparePair compares what the routers of a pair agree on.
func comparePair(old, next *config.Config) []Change {
	switch {
	case !old.Paired() && !next.Paired():
		return nil
	case !old.Paired():
		return []Change{{Action: Added, Subject: "pair"}}
	case !next.Paired():
		return []Change{{Action: Removed, Subject: "pair"}}
	}
	if details := differing(pairSettings(old.Pair, next.Pair)); len(details) > 0 {
		return []Change{{Action: Changed, Subject: "pair", Details: details}}
	}
	return nil
}

func pairSettings(a, b config.Pair) []setting {
	of := func(key string, value func(config.Pair) any) setting {
		return setting{key, fmt.Sprint(value(a)), fmt.Sprint(value(b))}
	}
	changed := func(key string, value func(config.Pair) any) setting {
		return setting{key, "", choice(reflect.DeepEqual(value(a), value(b)), "", "changed")}
	}
	return []setting{
		of("vrid", func(p config.Pair) any { return p.VRID }),
		of("peer", func(p config.Pair) any { return choice(p.Foreign, "vrrp", "tarpon") }),
		of("heartbeats", func(p config.Pair) any { return strings.Join(p.Heartbeats, ",") }),
		of("transport", func(p config.Pair) any { return choice(p.Multicast, "multicast", "unicast") }),
		of("version", func(p config.Pair) any { return p.Version }),
		of("checksum", func(p config.Pair) any { return choice(p.PseudoHeader, "pseudo-header", "rfc9568") }),
		changed("v2_password", func(p config.Pair) any { return p.V2Password }),
		changed("advertise", func(p config.Pair) any { return p.Advertise }),
		of("advert", func(p config.Pair) any { return p.Advert }),
		of("preempt", func(p config.Pair) any { return p.Preempt }),
		of("preempt_delay", func(p config.Pair) any { return p.PreemptDelay }),
		of("settle", func(p config.Pair) any { return p.Settle }),
		changed("announce", func(p config.Pair) any { return p.Announce }),
		changed("sync", func(p config.Pair) any { return p.Sync }),
		changed("track", func(p config.Pair) any { return p.Tracks }),
		changed("hooks", func(p config.Pair) any { return p.Hooks }),
		changed("services", func(p config.Pair) any { return p.Services }),
		changed("fence", func(p config.Pair) any { return p.Fence }),
	}
}
