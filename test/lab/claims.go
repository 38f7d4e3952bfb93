package lab

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// A Claim is what a frame teaches who receives it: that an address is at a MAC. An ARP
// frame does so for its sender (RFC 826), a neighbour solicitation for its source, an
// advertisement for its target (RFC 4861 sections 7.2.3, 7.2.5), and VRRP for what it
// lists (RFC 9568 section 5.2).
type Claim struct {
	At      time.Time
	MAC     string // that sent the frame
	Address netip.Addr
}

// A Listener hears the claims on a wire.
type Listener struct {
	conn *packet.Conn
	own  net.HardwareAddr

	mu     sync.Mutex
	claims []Claim
}

// Listen hears what comes to a device, or leaves it, until the lab is closed.
func (l *Lab) Listen(who, device string) (*Listener, error) {
	var heard Listener
	err := l.In(who, func() error {
		link, err := net.InterfaceByName(device)
		if err != nil {
			return err
		}
		heard.own = link.HardwareAddr
		heard.conn, err = packet.Listen(link, packet.Raw, unix.ETH_P_ALL, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	l.closeLater(heard.conn)
	go heard.run()
	return &heard, nil
}

// ListenTo hears all that a router sends on a leg.
func (l *Lab) ListenTo(r *Router, leg string) (*Listener, error) {
	return l.Listen("switch", r.port(leg))
}

func (h *Listener) run() {
	frame := make([]byte, 2048)
	for {
		n, _, err := h.conn.ReadFrom(frame)
		if err != nil {
			return
		}
		mac, addresses := claimed(frame[:n])
		h.mu.Lock()
		for _, a := range addresses {
			h.claims = append(h.claims, Claim{time.Now(), mac, a})
		}
		h.mu.Unlock()
	}
}

// claimed are the addresses that a frame claims.
func claimed(frame []byte) (mac string, addresses []netip.Addr) {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	ethernet, ok := p.LinkLayer().(*layers.Ethernet)
	if !ok {
		return "", nil
	}
	add := func(raw []byte) {
		if a, ok := netip.AddrFromSlice(raw); ok && !a.IsUnspecified() {
			addresses = append(addresses, a)
		}
	}
	if arp, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP); ok {
		add(arp.SourceProtAddress)
	}
	if ip, ok := p.NetworkLayer().(*layers.IPv6); ok {
		if p.Layer(layers.LayerTypeICMPv6NeighborSolicitation) != nil {
			add(ip.SrcIP)
		}
		if a, ok := p.Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement); ok {
			add(a.TargetAddress)
		}
	}
	if ip, ok := p.NetworkLayer().(*layers.IPv4); ok && ip.Protocol == layers.IPProtocolVRRP && len(ip.Payload) > 8 {
		const priority, count, list = 2, 3, 8
		for i := range int(ip.Payload[count]) {
			if end := list + 4*(i+1); ip.Payload[priority] > 0 && end <= len(ip.Payload) {
				add(ip.Payload[end-4 : end])
			}
		}
	}
	return ethernet.SrcMAC.String(), addresses
}

// Of are the claims to an address since a time, in order.
func (h *Listener) Of(address netip.Addr, since time.Time) (list []Claim) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.claims {
		if c.Address == address && !c.At.Before(since) {
			list = append(list, c)
		}
	}
	return list
}

// Ask asks everybody on the wire who has an address, as before one takes it (RFC 5227
// section 2.1.1, RFC 4862 section 5.4.2): nobody's cache is changed by it.
func (h *Listener) Ask(address netip.Addr) error {
	question := arpProbe
	if address.Is6() {
		question = solicitation
	}
	frame := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(frame, options, question(h.own, address)...); err != nil {
		return err
	}
	_, err := h.conn.WriteTo(frame.Bytes(), &packet.Addr{HardwareAddr: h.own})
	return err
}

func arpProbe(own net.HardwareAddr, address netip.Addr) []gopacket.SerializableLayer {
	return []gopacket.SerializableLayer{
		&layers.Ethernet{SrcMAC: own, DstMAC: layers.EthernetBroadcast, EthernetType: layers.EthernetTypeARP},
		&layers.ARP{
			AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
			Operation: layers.ARPRequest, SourceHwAddress: own, SourceProtAddress: make([]byte, 4),
			DstHwAddress: make([]byte, 6), DstProtAddress: address.AsSlice(),
		},
	}
}

func solicitation(own net.HardwareAddr, address netip.Addr) []gopacket.SerializableLayer {
	end := address.AsSlice()[13:]
	group := append(net.ParseIP("ff02::1:ff00:0")[:13:13], end...)
	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: net.IPv6unspecified, DstIP: group}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeNeighborSolicitation, 0)}
	_ = icmp.SetNetworkLayerForChecksum(ip) // it takes IPv6
	return []gopacket.SerializableLayer{
		&layers.Ethernet{SrcMAC: own, DstMAC: append(net.HardwareAddr{0x33, 0x33, 0xff}, end...), EthernetType: layers.EthernetTypeIPv6},
		ip, icmp, &layers.ICMPv6NeighborSolicitation{TargetAddress: address.AsSlice()},
	}
}

// MAC is that of a device.
func (l *Lab) MAC(who, device string) (mac string, err error) {
	return mac, l.In(who, func() error {
		link, err := net.InterfaceByName(device)
		if err == nil {
			mac = link.HardwareAddr.String()
		}
		return err
	})
}
