package main

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// A subjectName is a way of forwarding.
type subjectName string

const (
	redirect  subjectName = "bare redirect"
	fib       subjectName = "fib forward"
	tarpon    subjectName = "Tarpon"
	tarponFIB subjectName = "Tarpon, asking the FIB"
	nftables  subjectName = "nftables DNAT"
)

// scenarioReals is how many real servers a vip has.
const scenarioReals = 10

// A path is one subject in one direction.
type path struct {
	Subject subjectName
	D       direction
}

func (p path) String() string {
	switch {
	case p.D == reply:
		return string(p.Subject) + ", reply"
	case p.Subject == redirect || p.Subject == fib:
		return string(p.Subject)
	}
	return string(p.Subject) + ", inbound"
}

// A scenario is what the packets are, how many flows they belong to, and which
// paths are compared. Costs are over the bare redirect of the same direction.
type scenario struct {
	Kind  kind
	Flows int
	Cores int
	Paths []path
	// New: every packet begins a flow, up to Flows.
	New bool
}

func (s scenario) String() string {
	text := fmt.Sprintf("%s, %d flows, %d core", s.Kind, s.Flows, s.Cores)
	if s.Cores > 1 {
		text += "s"
	}
	if s.New {
		text += ", every packet a new flow"
	}
	return text
}

// maxFlows sizes the subject's table: as many as there are, but not so few that a
// table's least size decides.
func (s scenario) maxFlows() int { return max(s.Flows, 65536) }

func (s scenario) subjects() []subjectName {
	var list []subjectName
	for _, p := range s.Paths {
		if !slices.Contains(list, p.Subject) {
			list = append(list, p.Subject)
		}
	}
	return list
}

var (
	ours  = []path{{redirect, inbound}, {redirect, reply}, {tarpon, inbound}, {tarpon, reply}}
	fresh = []path{{redirect, inbound}, {tarpon, inbound}}
	peers = append(slices.Clone(ours), path{nftables, inbound}, path{nftables, reply})
	every = append(slices.Clone(peers), path{fib, inbound}, path{tarponFIB, reply})
)

// scenarios with a goal; full: all.
func scenarios(full bool, cores int) []scenario {
	udp4, tcp4, udp6, tcp6 := kind{}, kind{TCP: true}, kind{IPv6: true}, kind{TCP: true, IPv6: true}
	list := []scenario{
		{Kind: udp4, Flows: 1, Cores: 1, Paths: peers},
		{Kind: udp4, Flows: 32768, Cores: 1, Paths: every},
		{Kind: udp4, Flows: 1000000, Cores: 1, Paths: peers},
		{Kind: tcp4, Flows: 32768, Cores: 1, Paths: ours},
		{Kind: udp6, Flows: 32768, Cores: 1, Paths: ours},
		{Kind: udp4, Flows: 1000000, Cores: 1, Paths: fresh, New: true},
	}
	if cores > 1 {
		list = append(list, scenario{Kind: udp4, Flows: 32768, Cores: 2, Paths: ours})
	}
	if full {
		list = append(list, scenario{Kind: udp4, Flows: 16000000, Cores: 1, Paths: ours})
		for _, k := range []kind{tcp4, udp6, tcp6} {
			for _, flows := range []int{1, 32768, 1000000} {
				list = append(list, scenario{Kind: k, Flows: flows, Cores: 1, Paths: every})
			}
		}
	}
	return list
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
