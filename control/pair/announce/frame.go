package announce

import (
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/tarpon-lb/tarpon/control/host"
)

// A frame is bytes to send, and the protocol of its Ethernet header.
type frame struct {
	protocol layers.EthernetType
	bytes    []byte
}

var (
	everyone  = host.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	allNodes6 = netip.MustParseAddr("ff02::1")
)

// announcements teach everyone on the wire an address. ARP has two forms, for there are
// receivers that believe only one (RFC 5227 section 3); the reply's target MAC is its
// sender's, else Linux does not take it for gratuitous. The advertisement is a router's:
// without R, hosts would take us off their default routers (RFC 4861 section 7.2.5).
func announcements(mac host.MAC, address netip.Addr) []frame {
	if address.Is4() {
		return []frame{
			arp(layers.ARPRequest, everyone, arpEnd{mac, address}, arpEnd{host.MAC{}, address}),
			arp(layers.ARPReply, everyone, arpEnd{mac, address}, arpEnd{mac, address}),
		}
	}
	const router, override = 0x80, 0x20
	return []frame{discovery(mac, groupMAC(allNodes6), address, allNodes6, layers.ICMPv6TypeNeighborAdvertisement,
		&layers.ICMPv6NeighborAdvertisement{
			Flags: router | override, TargetAddress: address.AsSlice(),
			Options: layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: mac[:]}},
		})}
}

// request asks a neighbour who it is, by ARP or neighbour discovery, as one who has the
// address: it learns that before it answers. To its MAC; zero: to whom it may concern.
func request(mac host.MAC, address, neighbour netip.Addr, to host.MAC) frame {
	if address.Is4() {
		if to == (host.MAC{}) {
			to = everyone
		}
		return arp(layers.ARPRequest, to, arpEnd{mac, address}, arpEnd{host.MAC{}, neighbour})
	}
	destination := neighbour
	if to == (host.MAC{}) {
		destination = solicitedNode(neighbour)
		to = groupMAC(destination)
	}
	return discovery(mac, to, address, destination, layers.ICMPv6TypeNeighborSolicitation,
		&layers.ICMPv6NeighborSolicitation{
			TargetAddress: neighbour.AsSlice(),
			Options:       layers.ICMPv6Options{{Type: layers.ICMPv6OptSourceAddress, Data: mac[:]}},
		})
}

// ping asks a neighbour by IPv4: its answer goes where its cache says.
func ping(mac host.MAC, address, neighbour netip.Addr, to host.MAC, id uint16) frame {
	return encode(
		&layers.Ethernet{SrcMAC: mac[:], DstMAC: to[:], EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, Flags: layers.IPv4DontFragment,
			SrcIP: address.AsSlice(), DstIP: neighbour.AsSlice()},
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: id, Seq: 1},
	)
}

// An arpEnd is the sender's or the target's half.
type arpEnd struct {
	mac     host.MAC
	address netip.Addr
}

func arp(operation uint16, to host.MAC, sender, target arpEnd) frame {
	return encode(
		&layers.Ethernet{SrcMAC: sender.mac[:], DstMAC: to[:], EthernetType: layers.EthernetTypeARP},
		&layers.ARP{
			AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
			Operation:       operation,
			SourceHwAddress: sender.mac[:], SourceProtAddress: sender.address.AsSlice(),
			DstHwAddress: target.mac[:], DstProtAddress: target.address.AsSlice(),
		},
	)
}

// discovery is a message of RFC 4861; receivers want hop limit 255.
func discovery(mac, to host.MAC, source, destination netip.Addr, kind uint8, body gopacket.SerializableLayer) frame {
	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6,
		SrcIP: source.AsSlice(), DstIP: destination.AsSlice()}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)}
	_ = icmp.SetNetworkLayerForChecksum(ip) // fails for other kinds of layers
	return encode(&layers.Ethernet{SrcMAC: mac[:], DstMAC: to[:], EthernetType: layers.EthernetTypeIPv6}, ip, icmp, body)
}

func encode(ethernet *layers.Ethernet, list ...gopacket.SerializableLayer) frame {
	buffer := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	err := gopacket.SerializeLayers(buffer, options, append([]gopacket.SerializableLayer{ethernet}, list...)...)
	if err != nil {
		panic(err) // an address of the wrong family
	}
	return frame{ethernet.EthernetType, buffer.Bytes()}
}

// solicitedNode is RFC 4291's, section 2.7.1.
func solicitedNode(address netip.Addr) netip.Addr {
	group, a := netip.MustParseAddr("ff02::1:ff00:0").As16(), address.As16()
	copy(group[13:], a[13:])
	return netip.AddrFrom16(group)
}

// groupMAC is RFC 2464's, section 7.
func groupMAC(group netip.Addr) host.MAC {
	a := group.As16()
	return host.MAC{0x33, 0x33, a[12], a[13], a[14], a[15]}
}

// heard is what a frame of another machine says.
type heard struct {
	to     host.MAC // of the Ethernet header
	mac    host.MAC // that the sender says is its
	sender netip.Addr
	// receiver is whom it is said to: ARP's target, else the IP destination.
	receiver netip.Addr
	says     says
}

type says uint8

const (
	asks       says = iota // an ARP request, a solicitation
	replies                // by ARP
	advertises             // by neighbour discovery
	echoes                 // our ping
)

// claims tells whether the frame says where the sender is. Probes have no sender.
func (h heard) claims() bool { return h.says != echoes && !h.sender.IsUnspecified() }

// proves tells whether the frame came to where the sender's cache has the receiver.
func (h heard) proves() bool { return h.says == advertises || h.says == echoes }

// hear reads a frame; false: it is none of those that are looked for. id is of pings.
func hear(bytes []byte, id uint16) (h heard, ok bool) {
	packet := gopacket.NewPacket(bytes, layers.LayerTypeEthernet, gopacket.DecodeOptions{NoCopy: true})
	ethernet, ok := packet.LinkLayer().(*layers.Ethernet)
	if !ok || packet.ErrorLayer() != nil {
		return h, false
	}
	h.to, h.mac = macOf(ethernet.DstMAC), macOf(ethernet.SrcMAC)
	direct := false // no router has forwarded it: RFC 4861 section 7.1
	for _, layer := range packet.Layers()[1:] {
		switch l := layer.(type) {
		case *layers.ARP:
			return h.arp(l)
		case *layers.IPv4:
			h.sender, h.receiver = addr(l.SrcIP), addr(l.DstIP)
		case *layers.IPv6:
			h.sender, h.receiver, direct = addr(l.SrcIP), addr(l.DstIP), l.HopLimit == 255
		case *layers.ICMPv4:
			h.says = echoes
			return h, l.TypeCode.Type() == layers.ICMPv4TypeEchoReply && l.Id == id
		case *layers.ICMPv6NeighborSolicitation:
			h.option(l.Options, layers.ICMPv6OptSourceAddress)
			return h, direct
		case *layers.ICMPv6NeighborAdvertisement:
			h.says, h.sender = advertises, addr(l.TargetAddress)
			h.option(l.Options, layers.ICMPv6OptTargetAddress)
			return h, direct
		}
	}
	return h, false
}

func (h heard) arp(l *layers.ARP) (heard, bool) {
	if l.Protocol != layers.EthernetTypeIPv4 || l.HwAddressSize != 6 || l.ProtAddressSize != 4 {
		return h, false
	}
	h.mac = macOf(l.SourceHwAddress)
	h.sender = addr(l.SourceProtAddress)
	h.receiver = addr(l.DstProtAddress)
	if l.Operation == layers.ARPReply {
		h.says = replies
	}
	return h, true
}

// option takes the MAC from a link-layer address option, if there is one.
func (h *heard) option(options layers.ICMPv6Options, kind layers.ICMPv6Opt) {
	for _, o := range options {
		if o.Type == kind && len(o.Data) >= 6 {
			h.mac = macOf(o.Data[:6])
		}
	}
}

// addr and macOf do not trust the decoder: what was cut off may be empty.
func addr(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

func macOf(b []byte) (m host.MAC) {
	copy(m[:], b)
	return m
}
