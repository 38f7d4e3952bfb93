package loader

import (
	"fmt"
	"net/netip"
	"time"
)

// Protocol is an IP protocol number; Tarpon balances TCP and UDP.
type Protocol uint8

const (
	TCP Protocol = 6
	UDP Protocol = 17
)

func (p Protocol) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	}
	return fmt.Sprintf("proto%d", uint8(p))
}

// An Endpoint is where packets of one protocol go: the identity of a vip, and
// the address of a real behind one. Port 0 is every port. Comparable; the zero
// value is invalid.
type Endpoint struct {
	netip.AddrPort
	Protocol Protocol
}

func (e Endpoint) String() string {
	return e.AddrPort.String() + "/" + e.Protocol.String()
}

// A VipID numbers a vip in every map and in flows, a BackendID a (vip, real)
// pair. 0 is nobody.
type (
	VipID     uint16
	BackendID uint16
)

// Timeouts are the times after which a silent flow ends, by the flow's state.
// Whole seconds; the program's clock ticks every 1.07 s.
type Timeouts struct {
	Handshake    time.Duration
	Established  time.Duration
	Closing      time.Duration
	Closed       time.Duration
	UDP          time.Duration
	UDPUnreplied time.Duration
}

// A Vip is what the program knows of a virtual server, its schedule aside.
type Vip struct {
	Endpoint Endpoint
	Timeouts Timeouts
	// DropEmpty drops a packet that finds no usable real; otherwise TCP is
	// answered with RST and UDP with port unreachable.
	DropEmpty bool
	// RejectMidStream answers RST to TCP in mid-stream without a flow, for
	// schedulers that could not find the same real again.
	RejectMidStream bool
}

// A Backend is one (vip, real) pair. A BackendID means the same Vip and Real
// for as long as any flow has it; the other fields change.
type Backend struct {
	Vip VipID
	// Real has the port that the packet gets; on an any-port vip it is 0.
	Real netip.AddrPort
	// Down: failed by its check. Half-open TCP flows and UDP flows are
	// scheduled anew; established TCP flows stay, or are reset with Reset.
	Down  bool
	Reset bool
	// Removed: no longer in the configuration, kept until its last flow ended.
	// Established TCP flows are answered with RST.
	Removed bool
}

// A ScheduleKind says how the program chooses a place in a schedule.
type ScheduleKind uint8

const (
	// ByHash: a hash of the client's address and port (and the vip's port on
	// an any-port vip): the same flow finds the same place, on any router.
	ByHash ScheduleKind = iota + 1
	// ByTurn: the next place for every new flow.
	ByTurn
)

// A Schedule is what a new flow of a vip is given a backend from. Without
// slots the vip has no usable real.
type Schedule struct {
	Kind  ScheduleKind
	Slots []BackendID
}

// AddressUse says what an address is to the program, before any port is looked at.
type AddressUse uint8

const (
	// AddressVip: some vip has this address.
	AddressVip AddressUse = 1 << iota
	// AddressVipAnyPort: an any-port vip has it.
	AddressVipAnyPort
	// AddressReal: a real of a vip with a port has it.
	AddressReal
	// AddressRealAnyPort: a real of an any-port vip has it.
	AddressRealAnyPort
)

// Ambiguous in Tables.Reals: the real serves several vips.
const Ambiguous BackendID = 0

// Tables is what the program balances by: the wish of a plan, or what the
// kernel has. Vips, Backends and Schedules are by id; the other maps resolve
// names to ids and follow from them (see plan.Index).
type Tables struct {
	Vips      map[VipID]Vip
	Backends  map[BackendID]Backend
	Schedules map[VipID]Schedule

	// Names finds a vip by what a packet is sent to. A vip that is not here is
	// known to its flows only.
	Names map[Endpoint]VipID
	// Addresses classifies an address.
	Addresses map[netip.Addr]AddressUse
	// Reals finds the only backend of a real, for replies without a flow.
	// Removed backends and those of any-port vips are not here.
	Reals map[Endpoint]BackendID
}

// NewTables returns empty tables.
func NewTables() Tables {
	return Tables{
		Vips:      map[VipID]Vip{},
		Backends:  map[BackendID]Backend{},
		Schedules: map[VipID]Schedule{},
		Names:     map[Endpoint]VipID{},
		Addresses: map[netip.Addr]AddressUse{},
		Reals:     map[Endpoint]BackendID{},
	}
}
