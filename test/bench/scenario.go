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

// A way is one subject with packets of one kind.
type way struct {
	Subject subjectName
	Kind    kind
}

// A path is a way in one direction.
type path struct {
	way
	D direction
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

// beside is another subject's path of the same packets.
func (p path) beside(name subjectName) path { return path{way{name, p.Kind}, p.D} }

// A scenario is what the packets are, how many flows they belong to, and which
// paths are compared. Costs are over the bare redirect of the same packets.
type scenario struct {
	Kind kind
	// Others are kinds whose paths are measured in the same rounds, to be compared
	// with Kind's.
	Others   []kind
	Flows    int
	Cores    int
	Compared []compared
	// New: every packet begins a flow, up to Flows.
	New bool
}

func (s scenario) String() string {
	text := s.Kind.String()
	for _, k := range s.Others {
		text += " beside " + k.String()
	}
	text += fmt.Sprintf(", %d flows, %d core", s.Flows, s.Cores)
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

// of is the scenario with packets of one kind.
func (s scenario) of(k kind) scenario {
	s.Kind, s.Others = k, nil
	return s
}

func (s scenario) paths() (list []path) {
	for _, k := range append([]kind{s.Kind}, s.Others...) {
		for _, c := range s.Compared {
			list = append(list, path{way{c.name, k}, c.d})
		}
	}
	return list
}

// compared is a subject in one direction, with whatever packets.
type compared struct {
	name subjectName
	d    direction
}

var (
	ours  = []compared{{redirect, inbound}, {redirect, reply}, {tarpon, inbound}, {tarpon, reply}}
	fresh = []compared{{redirect, inbound}, {tarpon, inbound}}
	peers = append(slices.Clone(ours), compared{nftables, inbound}, compared{nftables, reply})
	every = append(slices.Clone(peers), compared{fib, inbound}, compared{tarponFIB, reply})
)

// scenarios with a goal; full: all.
func scenarios(full bool, cores int) []scenario {
	udp4, tcp4, udp6, tcp6 := kind{}, kind{TCP: true}, kind{IPv6: true}, kind{TCP: true, IPv6: true}
	list := []scenario{
		{Kind: udp4, Flows: 1, Cores: 1, Compared: peers},
		{Kind: udp4, Flows: 32768, Cores: 1, Compared: every},
		{Kind: udp4, Flows: 1000000, Cores: 1, Compared: peers},
		{Kind: udp4, Others: []kind{tcp4, udp6}, Flows: 32768, Cores: 1, Compared: ours},
		{Kind: udp4, Flows: 1000000, Cores: 1, Compared: fresh, New: true},
	}
	if cores > 1 {
		list = append(list, scenario{Kind: udp4, Flows: 32768, Cores: 2, Compared: ours})
	}
	if full {
		list = append(list, scenario{Kind: udp4, Flows: 16000000, Cores: 1, Compared: ours})
		for _, k := range []kind{tcp4, udp6, tcp6} {
			for _, flows := range []int{1, 32768, 1000000} {
				list = append(list, scenario{Kind: k, Flows: flows, Cores: 1, Compared: every})
			}
		}
	}
	return list
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
