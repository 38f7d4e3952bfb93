package main

import (
	"encoding/binary"
	"net/netip"
)

// The lab's addresses: the networks that RFC 2544 and RFC 5180 set aside for
// benchmarks. Clients are elsewhere (see clientOf), behind the gateway.
const (
	vipPort  = 80
	realPort = 8080
	realBase = 10 // last byte of the first real's address
	maxReals = 100
)

// network is one family's addresses on one side of the router.
type network struct {
	router  netip.Prefix
	gateway netip.Addr
	vip     netip.Addr
	real0   netip.Addr // last byte 0
}

func networkOf(ipv6 bool) network {
	if ipv6 {
		return network{
			router:  netip.MustParsePrefix("2001:2::1/64"),
			gateway: netip.MustParseAddr("2001:2::fe"),
			vip:     netip.MustParseAddr("2001:2::64"),
			real0:   netip.MustParseAddr("2001:2:0:1::"),
		}
	}
	return network{
		router:  netip.MustParsePrefix("198.18.0.1/24"),
		gateway: netip.MustParseAddr("198.18.0.254"),
		vip:     netip.MustParseAddr("198.18.0.100"),
		real0:   netip.MustParseAddr("198.18.1.0"),
	}
}

// inside is the router's own address on the reals' side.
func (n network) inside() netip.Prefix {
	return netip.PrefixFrom(withLastByte(n.real0, 1), n.router.Bits())
}

// real is the address of real i, from 0.
func (n network) real(i int) netip.Addr {
	return withLastByte(n.real0, byte(realBase+i))
}

// realIndex is the number of the real that has address a, or -1.
func (n network) realIndex(a netip.Addr) int {
	for i := range maxReals {
		if n.real(i) == a {
			return i
		}
	}
	return -1
}

func withLastByte(a netip.Addr, b byte) netip.Addr {
	raw := a.AsSlice()
	raw[len(raw)-1] = b
	out, _ := netip.AddrFromSlice(raw)
	return out
}

// clientOf is the client of a flow: the same function as bpf/client.h.
func clientOf(flow uint32, ipv6 bool) netip.AddrPort {
	client, port := flow>>4, flow&15
	net := (flow >> 7 * 0x9e3779b1) & 0x3fffff
	p := uint16(32768 + (client*40503+port*7919)&0x7fff)
	if ipv6 {
		var a [16]byte
		binary.BigEndian.PutUint64(a[:], 0x2a10<<48|uint64(net)<<8)
		binary.BigEndian.PutUint64(a[8:], (uint64(client)+1)*0x9e3779b97f4a7c15)
		return netip.AddrPortFrom(netip.AddrFrom16(a), p)
	}
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 0x20000000|net<<8|(1+(client&7)*31))
	return netip.AddrPortFrom(netip.AddrFrom4(a), p)
}
