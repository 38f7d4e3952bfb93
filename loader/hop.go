package loader

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"unsafe"
)

// A NextHop is where frames to one neighbour go. The zero value is none: the
// program asks the kernel's FIB instead.
type NextHop struct {
	Ifindex             int // of a leg
	Source, Destination [6]byte
	MTU                 int
}

// LegRoutes is what the program must know of a leg's surroundings.
type LegRoutes struct {
	// Default4 and Default6 are where replies go to clients outside of every
	// connected prefix, if all of them go one way. Zero: ask the FIB.
	Default4, Default6 NextHop
	// Connected are the prefixes in which Default4 and Default6 do not hold.
	Connected []netip.Prefix
	// Own4 and Own6 are the leg's own addresses, which ICMP errors come from;
	// invalid: none.
	Own4, Own6 netip.Addr
}

// SetNextHop tells the program where frames to a backend's real go. A hop that
// leaves by an interface to which XDP cannot redirect is as good as none.
func (l *Loader) SetNextHop(id BackendID, hop NextHop) error {
	record := &l.memory.backends[id]
	if record.VipId == 0 {
		return fmt.Errorf("there is no backend %d", id)
	}
	l.writeHop(&record.Hop, l.usable(hop))
	return nil
}

// SetOnLink tells the program that a backend's real shares a network of this many
// bits with a link of this router: a client there would be answered past it. 0: it
// does not.
func (l *Loader) SetOnLink(id BackendID, bits int) error {
	record := &l.memory.backends[id]
	if record.VipId == 0 {
		return fmt.Errorf("there is no backend %d", id)
	}
	record.Hop.OnLink = uint8(bits)
	return nil
}

// SetLegRoutes tells the program about a leg's surroundings.
func (l *Loader) SetLegRoutes(ifindex int, routes LegRoutes) error {
	leg, ok := l.legs[ifindex]
	if !ok {
		return fmt.Errorf("interface %d is no leg", ifindex)
	}
	record := &l.memory.legs[leg.id]
	l.writeHop(&record.Default4, NextHop{})
	l.writeHop(&record.Default6, NextHop{})
	count4, count6, fit := 0, 0, true
	for _, prefix := range routes.Connected {
		prefix = prefix.Masked()
		switch {
		case prefix.Addr().Is4() && count4 < maxPrefixes:
			record.Connected4[count4] = xdpPrefix4{Address: word4(prefix.Addr()), Mask: mask4(prefix.Bits())}
			count4++
		case prefix.Addr().Is6() && count6 < maxPrefixes:
			record.Connected6[count6] = xdpPrefix6{Address: toAddress(prefix.Addr()), Mask: mask6(prefix.Bits())}
			count6++
		default:
			fit = false
		}
	}
	record.Connected4Count, record.Connected6Count = uint32(count4), uint32(count6)
	record.Own4, record.Own6 = 0, xdpAddress{}
	if routes.Own4.IsValid() {
		record.Own4 = word4(routes.Own4)
	}
	if routes.Own6.IsValid() {
		record.Own6 = toAddress(routes.Own6)
	}
	if fit { // else a connected client could be taken for a distant one
		l.writeHop(&record.Default4, l.usable(routes.Default4))
		l.writeHop(&record.Default6, l.usable(routes.Default6))
	}
	leg.record = *record
	return nil
}

func (l *Loader) usable(hop NextHop) NextHop {
	if leg, ok := l.legs[hop.Ifindex]; ok && leg.redirects {
		return hop
	}
	return NextHop{}
}

// writeHop changes a hop that packets read meanwhile: see bpf/abi.h, struct hop.
func (l *Loader) writeHop(to *xdpHop, hop NextHop) {
	if hop == hopOf(to) {
		return
	}
	fresh := xdpHop{
		Ifindex: uint32(hop.Ifindex), Source: hop.Source, Destination: hop.Destination,
		Mtu: uint16(min(hop.MTU, 1<<16-1)), OnLink: to.OnLink,
	}
	words := (*[6]uint32)(unsafe.Pointer(to))
	from := (*[6]uint32)(unsafe.Pointer(&fresh))
	atomic.StoreUint32(&words[0], 0)
	if hop == (NextHop{}) {
		return
	}
	for i := 1; i < len(words); i++ {
		atomic.StoreUint32(&words[i], from[i])
	}
	if l.sequence += 2; l.sequence == 0 {
		l.sequence = 2
	}
	atomic.StoreUint32(&words[0], l.sequence)
}

func hopOf(record *xdpHop) NextHop {
	if record.Sequence == 0 {
		return NextHop{}
	}
	return NextHop{
		Ifindex: int(record.Ifindex), Source: record.Source, Destination: record.Destination,
		MTU: int(record.Mtu),
	}
}

// forgetHops invalidates every hop that leaves by an interface.
func (l *Loader) forgetHops(ifindex int) {
	for i := range l.memory.backends {
		if hop := &l.memory.backends[i].Hop; hop.Sequence != 0 && int(hop.Ifindex) == ifindex {
			l.writeHop(hop, NextHop{})
		}
	}
	for i := range l.memory.legs {
		for _, hop := range []*xdpHop{&l.memory.legs[i].Default4, &l.memory.legs[i].Default6} {
			if hop.Sequence != 0 && int(hop.Ifindex) == ifindex {
				l.writeHop(hop, NextHop{})
			}
		}
	}
	for _, leg := range l.legs {
		leg.record = l.memory.legs[leg.id]
	}
}
