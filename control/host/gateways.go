package host

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Gateways lists the gateways of the default routes of all tables. A link-local
// one, which may be on several links, has its interface's name as its zone.
func (h *Host) Gateways() ([]netip.Addr, error) {
	var list []gateway
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		found, err := dump(func() ([]gateway, error) { return h.routing.gateways(family) })
		if err != nil {
			return nil, fmt.Errorf("list default routes: %w", err)
		}
		list = append(list, found...)
	}
	names := map[int]string{}
	for name, index := range h.interfaceIndexes() {
		names[index] = name
	}
	var addrs []netip.Addr
	for _, g := range list {
		if g.addr.Is6() && g.addr.IsLinkLocalUnicast() {
			g.addr = g.addr.WithZone(names[g.link])
		}
		if !slices.Contains(addrs, g.addr) {
			addrs = append(addrs, g.addr)
		}
	}
	return addrs, nil
}

// A gateway is an address on a link.
type gateway struct {
	addr netip.Addr
	link int
}

func (r *routing) gateways(family int) ([]gateway, error) {
	var list []gateway
	err := r.dump(unix.RTM_GETROUTE, unix.RTM_NEWROUTE, family, func(message []byte) {
		msg := nl.DeserializeRtMsg(message)
		if msg.Dst_len != 0 || msg.Flags&unix.RTM_F_CLONED != 0 {
			return
		}
		if attrs, err := nl.ParseRouteAttr(message[msg.Len():]); err == nil {
			list = append(list, gatewaysIn(0, attrs)...)
		}
	})
	return list, err
}

// gatewaysIn are those of a route's attributes, or of one of its ways by a link.
func gatewaysIn(link int, attrs []syscall.NetlinkRouteAttr) []gateway {
	var (
		addr netip.Addr
		list []gateway
	)
	for _, attr := range attrs {
		switch attr.Attr.Type &^ unix.NLA_F_NESTED {
		case unix.RTA_OIF:
			link = int(binary.NativeEndian.Uint32(attr.Value))
		case unix.RTA_GATEWAY:
			addr, _ = netip.AddrFromSlice(attr.Value)
		case unix.RTA_VIA: // an IPv4 route by an IPv6 gateway: family, address
			addr, _ = netip.AddrFromSlice(attr.Value[2:])
		case unix.RTA_MULTIPATH:
			list = append(list, gatewaysOfWays(attr.Value)...)
		}
	}
	if addr.IsValid() {
		list = append(list, gateway{addr, link})
	}
	return list
}

// gatewaysOfWays reads the ways of a multipath route: each is a struct rtnexthop
// with attributes.
func gatewaysOfWays(ways []byte) []gateway {
	var list []gateway
	for len(ways) >= unix.SizeofRtNexthop {
		way := nl.DeserializeRtNexthop(ways).RtNexthop
		if int(way.Len) < unix.SizeofRtNexthop || int(way.Len) > len(ways) {
			break
		}
		if attrs, err := nl.ParseRouteAttr(ways[unix.SizeofRtNexthop:way.Len]); err == nil {
			list = append(list, gatewaysIn(int(way.Ifindex), attrs)...)
		}
		ways = ways[way.Len:]
	}
	return list
}
