package host

import (
	"maps"
	"net/netip"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// Questions are what gopacket reads, and its checksum is theirs.
func TestProbeFrames(t *testing.T) {
	mac := MAC{2, 0, 0, 0, 0, 1}
	arp := gopacket.NewPacket(arpProbe(mac, netip.MustParseAddr("192.0.2.9")), layers.LayerTypeEthernet, gopacket.Default)
	a, ok := arp.Layer(layers.LayerTypeARP).(*layers.ARP)
	if !ok || arp.ErrorLayer() != nil {
		t.Fatalf("no ARP: %v", arp)
	}
	if a.Operation != layers.ARPRequest || netip.AddrFrom4([4]byte(a.SourceProtAddress)).String() != "0.0.0.0" ||
		netip.AddrFrom4([4]byte(a.DstProtAddress)).String() != "192.0.2.9" || MAC(a.SourceHwAddress) != mac {
		t.Errorf("%+v", a)
	}
	nd := gopacket.NewPacket(solicitation(mac, netip.MustParseAddr("2001:db8::1:203")), layers.LayerTypeEthernet, gopacket.Default)
	s, ok := nd.Layer(layers.LayerTypeICMPv6NeighborSolicitation).(*layers.ICMPv6NeighborSolicitation)
	if !ok || nd.ErrorLayer() != nil {
		t.Fatalf("no solicitation: %v", nd)
	}
	ip := nd.NetworkLayer().(*layers.IPv6)
	if s.TargetAddress.String() != "2001:db8::1:203" || ip.DstIP.String() != "ff02::1:ff01:203" || ip.SrcIP.String() != "::" || ip.HopLimit != 255 {
		t.Errorf("%+v %+v", ip, s)
	}
	if mac := nd.LinkLayer().(*layers.Ethernet).DstMAC.String(); mac != "33:33:ff:01:02:03" {
		t.Errorf("to %s", mac)
	}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeNeighborSolicitation, 0)}
	if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	buffer := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{ComputeChecksums: true}, icmp, s); err != nil {
		t.Fatal(err)
	}
	if mine := nd.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6).Checksum; icmp.Checksum != mine {
		t.Errorf("checksum %04x, want %04x", mine, icmp.Checksum)
	}
}

// Another machine answers for what it has, and for nothing else; this one is not heard.
func TestProbe(t *testing.T) {
	const other = "tarpon-probe-test"
	h, _ := openTest(t, `
		ip link add probe type veth peer name other
		ip link set probe up
		ip addr add 192.0.2.1/24 dev probe
		ip addr add 2001:db8::1/64 dev probe nodad
		ip netns add `+other+`
		ip link set other netns `+other+`
		ip -n `+other+` link set other address 02:00:00:00:00:0b up
		ip -n `+other+` addr add 192.0.2.2/24 dev other
		ip -n `+other+` addr add 2001:db8::2/64 dev other nodad
	`)
	t.Cleanup(func() { run(t, "ip netns del "+other) })
	device, err := h.Interface("probe")
	if err != nil {
		t.Fatal(err)
	}
	var asked []netip.Addr
	for _, a := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2", "2001:db8::3"} {
		asked = append(asked, netip.MustParseAddr(a))
	}
	mac := MAC{2, 0, 0, 0, 0, 0xb}
	want := map[netip.Addr]MAC{asked[1]: mac, asked[4]: mac}
	var found map[netip.Addr]MAC
	for range 50 { // a new link may not carry the first
		if found, err = Probe(device, asked, 200*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if maps.Equal(want, found) {
			return
		}
	}
	t.Errorf("%v, want %v", found, want)
}
