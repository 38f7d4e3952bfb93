// Package doctor finds what is wrong with a router, or will be: findings are a
// function of facts, which are gathered elsewhere.
package doctor

import (
	"net/netip"
	"time"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/loader"
)

// Facts are what findings follow from.
type Facts struct {
	Kernel Kernel
	Legs   []Leg
	// Sysctls that are not as the legs need them, though they are set every 10 s.
	Sysctls []Sysctl
	// IPv6 is balanced, and net.ipv6.conf.all.forwarding.
	IPv6, IPv6Forwarding bool
	Mentions             []Mention
	Duplicates           []Duplicate
	Tables               []Table
	Backends             []Backend
	Shared               []Shared
	// Pair as this router sees it, and for how long it has not been in sync.
	Pair      api.Pair
	NotInSync time.Duration
	// Reasons are the counters of both hooks.
	Reasons map[string]uint64
	// Unknown says what could not be found out, and why.
	Unknown []string
}

// Miss notes what could not be found out; a nil error is none.
func (f *Facts) Miss(what string, err error) {
	if err != nil {
		f.Unknown = append(f.Unknown, what+": "+err.Error())
	}
}

// A Kernel is what the machine runs.
type Kernel struct {
	Release      string
	Major, Minor int
	JIT          bool // net.core.bpf_jit_enable
	Stats        bool // kernel.bpf_stats_enabled
}

// A Leg as it is.
type Leg struct {
	Name, Interface string
	Role            loader.Role
	Up              bool
	MTU             int
	Attached        bool
	Wanted, Mode    loader.Mode
	Reason          string // why the mode is not native, or not for all packets
	Offloads        []string
	Others          []Owner
}

// An Owner is somebody else's program on a leg.
type Owner struct {
	Hook string // xdp, tc
	Name string
}

// A Sysctl is one with its value and the one that is needed.
type Sysctl struct{ Name, Value, Want string }

// A Mention is a rule of the firewall that names something of a vip.
type Mention struct {
	Rule string // table and chain, or set
	Vip  string
	What string // address, network or port
}

// A Duplicate is another machine that has an address of ours.
type Duplicate struct {
	Address        netip.Addr
	Leg, Interface string
	MAC            string
}

// Shared is a network of a leg that has reals of these vips: of its other machines
// none can be balanced to them.
type Shared struct {
	Leg, Interface string
	Network        netip.Prefix
	Vips           []string
}

// A Table is a family's flow table.
type Table struct {
	Family     string
	Flows, Max int
}

// A Backend is a vip with one of its reals.
type Backend struct {
	Vip, Real string
	// CheckedUp: the router's own checks reach the real and are answered.
	CheckedUp bool
	// Waiting flows have not been answered; Answered have. Oldest is for how long
	// the longest waiting has been silent.
	Waiting, Answered int
	Oldest            time.Duration
	PacketsOut        uint64 // ever
	// Gateway is the address of this router that the real should send its answers
	// to; invalid: there is none in its network.
	Gateway netip.Addr
}
