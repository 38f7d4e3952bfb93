package config

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v4"
)

func exportRouter(r Router, c *Config) *yaml.Node {
	n := block()
	put(n, "name", scalar(r.Name))
	addresses, interfaces := flowMapping(), flowMapping()
	for _, leg := range c.Legs {
		switch list := texts(r.Addresses[leg.Name]); len(list) {
		case 0:
		case 1:
			put(addresses, leg.Name, scalar(list[0]))
		default:
			putList(addresses, leg.Name, list)
		}
		putUnless(interfaces, leg.Name, r.Interfaces[leg.Name], r.Interfaces[leg.Name] == "")
	}
	put(n, "addresses", addresses)
	putMapping(n, "interfaces", interfaces)
	putUnless(n, "priority", strconv.Itoa(r.Priority), r.Priority == defaultPriority)
	putList(n, "key", r.Keys)
	return n
}

func texts(addresses []netip.Addr) (list []string) {
	for _, addr := range addresses {
		list = append(list, addr.String())
	}
	return list
}

func exportPair(c *Config) *yaml.Node {
	p, n, base := c.Pair, block(), defaultPair()
	put(n, "vrid", scalar(strconv.Itoa(p.VRID)))
	putUnless(n, "peer", "vrrp", !p.Foreign)
	if !slices.Equal(p.Heartbeats, c.defaultHeartbeats()) {
		putList(n, "heartbeats", p.Heartbeats)
	}
	putUnless(n, "transport", "multicast", !p.Multicast)
	putNumber(n, "version", p.Version, base.Version)
	putUnless(n, "checksum", "pseudo-header", !p.PseudoHeader)
	putUnless(n, "v2_password", p.V2Password, p.V2Password == "")
	if !slices.Equal(p.Advertise, c.defaultAdvertise()) {
		putList(n, "advertise", texts(p.Advertise))
	}
	putTime(n, "advert", p.Advert, base.Advert)
	putUnless(n, "preempt", "true", !p.Preempt)
	putTime(n, "preempt_delay", p.PreemptDelay, base.PreemptDelay)
	putTime(n, "settle", p.Settle, base.Settle)
	announce, sync := flowMapping(), flowMapping()
	putNumber(announce, "repeat", p.Announce.Repeat, base.Announce.Repeat)
	putTime(announce, "refresh", p.Announce.Refresh, base.Announce.Refresh)
	putUnless(announce, "verify", "false", p.Announce.Verify)
	putMapping(n, "announce", announce)
	putNumber(sync, "port", p.Sync.Port, base.Sync.Port)
	putUnless(sync, "key_file", p.Sync.KeyFile, p.Sync.KeyFile == base.Sync.KeyFile)
	putTime(sync, "interval", p.Sync.Interval, base.Sync.Interval)
	putMapping(n, "sync", sync)
	putItems(n, "track", p.Tracks, exportTrack)
	putItems(n, "hooks", p.Hooks, exportHook)
	putItems(n, "services", p.Services, exportService)
	if p.Fence.Agent != "" {
		put(n, "fence", exportFence(p.Fence))
	}
	return n
}

func exportTrack(t Track) *yaml.Node {
	n, base := flowMapping(), defaultTrack(t.Kind)
	putUnless(n, "gateway", t.Gateway.String(), !t.Gateway.IsValid())
	putUnless(n, "leg", t.Leg, t.Leg == "")
	putUnless(n, "quorum", t.Quorum, t.Quorum == "")
	putNumber(n, "at_least", t.AtLeast, base.AtLeast)
	putUnless(n, "script", t.Script, t.Script == "")
	putTime(n, "interval", t.Interval, base.Interval)
	putTime(n, "timeout", t.Timeout, min(base.Timeout, t.Interval))
	putNumber(n, "fall", t.Fall, base.Fall)
	putNumber(n, "rise", t.Rise, base.Rise)
	putNumber(n, "weight", t.Weight, base.Weight)
	return n
}

func exportHook(h Hook) *yaml.Node {
	n := flowMapping()
	putList(n, "on", h.On)
	putList(n, "run", h.Run)
	putTime(n, "timeout", h.Timeout, defaultHook().Timeout)
	return n
}

func exportService(s Service) *yaml.Node {
	n, base := flowMapping(), defaultService()
	putUnless(n, "unit", s.Unit, s.Unit == "")
	putUnless(n, "name", s.Name, s.Unit != "")
	putList(n, "start", s.Start)
	putList(n, "stop", s.Stop)
	putList(n, "status", s.Status)
	putUnless(n, "critical", "true", !s.Critical)
	putNumber(n, "restarts", s.Restarts, base.Restarts)
	putTime(n, "timeout", s.Timeout, base.Timeout)
	putTime(n, "interval", s.Interval, base.Interval)
	return n
}

func exportFence(f Fence) *yaml.Node {
	n, options, base := block(), flowMapping(), defaultFence()
	put(n, "agent", scalar(f.Agent))
	for _, name := range slices.Sorted(maps.Keys(f.Options)) {
		put(options, name, scalar(f.Options[name]))
	}
	put(n, "options", options)
	putTime(n, "delay", f.Delay, base.Delay)
	putTime(n, "timeout", f.Timeout, base.Timeout)
	putUnless(n, "on_fail", "proceed", !f.Proceed)
	putUnless(n, "require", "true", !f.Require)
	return n
}

func putNumber(n *yaml.Node, key string, value, base int) {
	putUnless(n, key, strconv.Itoa(value), value == base)
}

func putTime(n *yaml.Node, key string, value, base time.Duration) {
	putUnless(n, key, formatDuration(value), value == base)
}

func putMapping(n *yaml.Node, key string, value *yaml.Node) {
	if len(value.Content) > 0 {
		put(n, key, value)
	}
}

func putItems[T any](n *yaml.Node, key string, items []T, node func(T) *yaml.Node) {
	list := sequenceOf(0)
	for _, item := range items {
		list.Content = append(list.Content, node(item))
	}
	putMapping(n, key, list)
}
