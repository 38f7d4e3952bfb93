package reference

import (
	_ "embed"
	"slices"
	"time"
)

// PairFile is a small file of a pair, as the page shows it.
//
//go:embed pair.yaml
var PairFile string

// quick is a time that may be none, or up to an hour.
var quick = Time{0, time.Hour, time.Millisecond}

func router() Mapping {
	return Mapping{Name: "router", Keys: []Key{
		{Name: "name", Type: Text{}, Required: true, Example: "lb1", Doc: "its hostname"},
		{Name: "addresses", Type: Names{Either{Text{}, Several{Text{}, 1}}}, Required: true,
			Example: "{wan: 192.168.26.201, lan: 10.0.0.252, hb: 172.31.0.1}", Doc: "its own, by leg; they never move; of two families a list"},
		{Name: "interfaces", Type: Names{Text{}}, Example: "{wan: ens1f0}", Doc: "where it has others than legs"},
		{Name: "priority", Type: Number{1, 254}, Default: "100", Example: "150", Doc: "the higher one is active first"},
		{Name: "key", Type: Either{pin(), Several{pin(), 1}},
			Example: `"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`,
			Doc:     "as lbctl keygen printed it there; a list while it is changed"},
	}}
}

func pin() Text { return Text{Pattern: "^(sha|SHA)256:[0-9A-Fa-f]{64}$"} }

func pair() Mapping {
	return Mapping{Name: "pair", Keys: []Key{
		{Name: "vrid", Type: Number{1, 255}, Required: true, Example: "77", Doc: "another than any VRRP router's on these networks"},
		{Name: "peer", Type: Words{"tarpon", "vrrp"}, Default: "tarpon", Doc: "vrrp: keepalived, FRR, ..."},
		{Name: "heartbeats", Type: Several{Text{}, 0}, Example: "[hb, lan]", Doc: "legs; by default every one on which both have an address; exactly one with peer vrrp"},
		{Name: "transport", Type: Words{"unicast", "multicast"}, Default: "unicast"},
		{Name: "version", Type: Number{2, 3}, Default: "3", Doc: "of VRRP"},
		{Name: "checksum", Type: Words{"rfc9568", "pseudo-header"}, Default: "rfc9568", Doc: "of version 3 over IPv4, sending; both are taken"},
		{Name: "v2_password", Type: Text{Pattern: "^[!-~]{0,8}$"}, Default: `""`, Doc: "of version 2; no secret"},
		{Name: "advertise", Type: Several{Text{}, 0}, Default: "[]", Doc: "what adverts name; by default the first floating address of each family, of IPv6 the first link-local one"},
		{Name: "advert", Type: Time{10 * time.Millisecond, 40950 * time.Millisecond, 10 * time.Millisecond}, Default: "200ms", Doc: "between adverts; of version 2 whole seconds"},
		{Name: "preempt", Type: Words{"true", "false"}, Default: "false", Doc: "the higher priority takes over from a router that is well"},
		{Name: "preempt_delay", Type: quick, Default: "0s", Doc: "with preempt"},
		{Name: "settle", Type: quick, Default: "5s", Doc: "carrier for so long, or the peer heard, on each leg before the first takeover after a boot"},
		{Name: "announce", Type: Mapping{Name: "announce", Keys: []Key{
			{Name: "repeat", Type: Number{1, 20}, Default: "5", Doc: "frames per address after a takeover"},
			{Name: "refresh", Type: Time{0, 24 * time.Hour, time.Second}, Default: "60s", Doc: "0s: never"},
			{Name: "verify", Type: Words{"true", "false"}, Default: "true", Doc: "that the neighbours follow"},
		}}, Doc: "floating addresses, to the neighbours"},
		{Name: "sync", Type: Mapping{Name: "sync", Keys: []Key{
			{Name: "port", Type: Number{1, 65535}, Default: "4711", Doc: "TCP"},
			{Name: "key_file", Type: Text{Pattern: `^/[^\x00-\x1f\x7f]*$`}, Default: "/etc/tarpon/pair.key", Doc: "lbctl keygen; mode 0600"},
			{Name: "interval", Type: Time{time.Millisecond, 10 * time.Second, time.Millisecond}, Default: "20ms", Doc: "between batches of flows"},
		}}, Doc: "the TLS link between the routers"},
		{Name: "track", Type: List{Of: tracks()}, Doc: "what a good active router has; legs of floating addresses and vips are tracked without being named"},
		{Name: "hooks", Type: List{Of: hook()}, Doc: "programs that are told; without a shell, one at a time"},
		{Name: "services", Type: List{Of: services()}, Doc: "run where the router is active; stopped in reverse"},
		{Name: "fence", Type: fence(), Doc: "before a takeover from a peer that is not heard"},
	}}
}

func tracks() Forms {
	weight := Key{Name: "weight", Type: Number{1, 253}, Example: "20", Doc: "off the priority while it fails; without: a fault"}
	short := weight
	short.Doc = ""
	probe := func(interval, fall, rise string) []Key {
		return []Key{
			{Name: "interval", Type: Time{100 * time.Millisecond, time.Hour, time.Millisecond}, Default: interval},
			{Name: "fall", Type: Number{1, 1000}, Default: fall},
			{Name: "rise", Type: Number{1, 1000}, Default: rise},
		}
	}
	return Forms{
		{Name: "track_leg", Keys: []Key{{Name: "leg", Type: Text{}, Example: "hb", Doc: "has carrier"}, weight}},
		{Name: "track_gateway", Keys: append([]Key{
			{Name: "gateway", Type: Text{}, Example: "192.168.26.1", Doc: "answers ping"},
			{Name: "leg", Type: Text{}, Required: true, Example: "wan", Doc: "by which it is asked"},
		}, append(probe("500ms", "3", "2"), short)...)},
		{Name: "track_quorum", Keys: []Key{
			{Name: "quorum", Type: Text{}, Example: "shop", Doc: "a vip, by name or address"},
			{Name: "at_least", Type: Number{1, 65535}, Default: "1", Doc: "reals that are up"}, short,
		}},
		{Name: "track_script", Keys: append([]Key{
			{Name: "script", Type: Text{Pattern: `^/[^\x00-\x1f\x7f]*$`}, Example: "/etc/tarpon/check-uplink", Doc: "exit 0 in time: good"},
			{Name: "timeout", Type: Time{time.Millisecond, time.Hour, time.Millisecond}, Default: "2s", Doc: "at most the interval"},
		}, append(probe("5s", "2", "2"), short)...)},
	}
}

func hook() Mapping {
	return Mapping{Name: "hook", Keys: []Key{
		{Name: "on", Type: Several{Words{"active", "standby", "fault", "split-brain"}, 1}, Required: true, Example: "[active, standby, fault, split-brain]"},
		{Name: "run", Type: Command{}, Required: true, Example: "[/etc/tarpon/notify, pair]", Doc: "TARPON_EVENT, TARPON_ROUTER and TARPON_REASON are in its environment"},
		{Name: "timeout", Type: Time{time.Millisecond, time.Hour, time.Millisecond}, Default: "10s", Doc: "then it is killed"},
	}}
}

func services() Forms {
	common := []Key{
		{Name: "critical", Type: Words{"true", "false"}, Default: "false", Doc: "its failure is a fault"},
		{Name: "restarts", Type: Number{0, 1000}, Default: "3", Doc: "within an hour, then it has failed"},
		{Name: "timeout", Type: Time{time.Millisecond, time.Hour, time.Millisecond}, Default: "30s", Doc: "of a start or a stop"},
		{Name: "interval", Type: Time{100 * time.Millisecond, time.Hour, time.Millisecond}, Default: "10s", Doc: "of asking for its status"},
	}
	short := slices.Clone(common)
	for i := range short {
		short[i].Doc = ""
	}
	return Forms{
		{Name: "unit", Keys: append([]Key{
			{Name: "unit", Type: Text{Pattern: `^[A-Za-z0-9:_.@\\][A-Za-z0-9:_.@\\-]*\.[a-z]+$`}, Example: "vsftpd.service", Doc: "of systemd"},
		}, common...)},
		{Name: "service", Keys: append([]Key{
			{Name: "name", Type: Text{}, Required: true, Example: "mux", Doc: "or else three programs"},
			{Name: "start", Type: Command{}, Required: true, Example: "[/usr/sbin/mux, start]"},
			{Name: "stop", Type: Command{}, Required: true, Example: "[/usr/sbin/mux, stop]"},
			{Name: "status", Type: Command{}, Required: true, Example: "[/usr/sbin/mux, status]", Doc: "exit 0: it runs"},
		}, short...)},
	}
}

func fence() Mapping {
	return Mapping{Name: "fence", Keys: []Key{
		{Name: "agent", Type: Text{Pattern: "^/?[A-Za-z0-9_][A-Za-z0-9_./-]*$"}, Required: true, Example: "fence_ipmilan"},
		{Name: "options", Type: Names{Text{Pattern: `^/[^\x00-\x1f\x7f]*$`}}, Required: true, Example: "{lb1: /etc/tarpon/fence.lb1, lb2: /etc/tarpon/fence.lb2}",
			Doc: "by router, the file of how to shoot it: key=value a line, mode 0600, on the other one"},
		{Name: "delay", Type: quick, Default: "2s", Doc: "that the lower priority waits; longer than a shot takes"},
		{Name: "timeout", Type: Time{time.Millisecond, time.Hour, time.Millisecond}, Default: "30s"},
		{Name: "on_fail", Type: Words{"wait", "proceed"}, Default: "wait", Doc: "when the agent fails"},
		{Name: "require", Type: Words{"true", "false"}, Default: "false", Doc: "true: no takeover of a peer that was never heard, for it is not fenced"},
	}}
}
