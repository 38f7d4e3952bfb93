package packet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/tarpon-lb/tarpon/loader"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// Held are the addresses that the lease is about; own are the router's.
const (
	held4, held6 = "192.0.2.200", "2001:db8:1::200"
	own4, own6   = "192.0.2.1", "2001:db8:1::1"
)

func layersOf(list ...gopacket.SerializableLayer) []byte {
	buffer := gopacket.NewSerializeBuffer()
	must(gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, list...))
	return buffer.Bytes()
}

func arp(operation uint16, sender, target string) []byte {
	return layersOf(
		&layers.Ethernet{SrcMAC: wanMAC, DstMAC: layers.EthernetBroadcast, EthernetType: layers.EthernetTypeARP},
		&layers.ARP{AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
			Operation: operation, SourceHwAddress: wanMAC, DstHwAddress: make([]byte, 6),
			SourceProtAddress: netip.MustParseAddr(sender).AsSlice(), DstProtAddress: netip.MustParseAddr(target).AsSlice()})
}

// discovery is an ICMPv6 message of neighbour discovery.
func discovery(kind uint8, source string, body gopacket.SerializableLayer) []byte {
	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6,
		SrcIP: netip.MustParseAddr(source).AsSlice(), DstIP: net.ParseIP("ff02::1")}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)}
	must(icmp.SetNetworkLayerForChecksum(ip))
	return layersOf(&layers.Ethernet{SrcMAC: wanMAC, DstMAC: mac("33:33:00:00:00:01"), EthernetType: layers.EthernetTypeIPv6}, ip, icmp, body)
}

func linkLayer(kind layers.ICMPv6Opt) layers.ICMPv6Options {
	return layers.ICMPv6Options{{Type: kind, Data: wanMAC}}
}

func solicitation(source, target string) []byte {
	return discovery(135, source, &layers.ICMPv6NeighborSolicitation{TargetAddress: net.ParseIP(target), Options: linkLayer(layers.ICMPv6OptSourceAddress)})
}

func advertisement(source, target string, flags uint8) []byte {
	return discovery(136, source, &layers.ICMPv6NeighborAdvertisement{TargetAddress: net.ParseIP(target), Flags: flags, Options: linkLayer(layers.ICMPv6OptTargetAddress)})
}

func tail(frame []byte, n int) []byte { return frame[:len(frame)-n] }

var leaving = []struct {
	name   string
	frame  []byte
	reason string // of a drop while the lease has ended; empty: it leaves
}{
	{"ARP request from a held address", arp(1, held4, "192.0.2.10"), "drop_lease_arp"},
	{"ARP reply from a held address", arp(2, held4, "192.0.2.10"), "drop_lease_arp"},
	{"ARP announcement, request form", arp(1, held4, held4), "drop_lease_arp"},
	{"ARP announcement, reply form", arp(2, held4, held4), "drop_lease_arp"},
	{"another ARP operation", arp(8, held4, "192.0.2.10"), "drop_lease_arp"},
	{"ARP request about a held address", arp(1, own4, held4), ""},
	{"ARP probe of a held address", arp(1, "0.0.0.0", held4), ""},
	{"ARP reply to a held address", arp(2, own4, held4), ""},
	{"ARP cut before the end of the sender", arp(1, held4, held4)[:31], ""},
	{"ARP cut behind the sender", arp(1, held4, held4)[:32], "drop_lease_arp"},
	{"solicitation from a held address", solicitation(held6, "2001:db8:1::10"), "drop_lease_neighbour"},
	{"solicitation of a held address", solicitation(own6, held6), ""},
	{"DAD of a held address", solicitation("::", held6), ""},
	{"advertisement of a held address", advertisement(own6, held6, 0x60), "drop_lease_neighbour"},
	{"advertisement of a held address, unsolicited", advertisement("fe80::1", held6, 0xa0), "drop_lease_neighbour"},
	{"advertisement from a held address", advertisement(held6, own6, 0x60), "drop_lease_neighbour"},
	{"advertisement of an own address", advertisement(own6, own6, 0x60), ""},
	{"advertisement cut in its target", tail(advertisement(own6, held6, 0x60), 9), ""},
	{"router solicitation from a held address", discovery(133, held6, &layers.ICMPv6RouterSolicitation{Options: linkLayer(layers.ICMPv6OptSourceAddress)}), "drop_lease_neighbour"},
	{"redirect from a held address", discovery(137, held6, &layers.ICMPv6Redirect{TargetAddress: net.ParseIP(own6), DestinationAddress: net.ParseIP(client6[1:15])}), "drop_lease_neighbour"},
	{"ping from a held address", P{From: held6, To: "2001:db8:1::10", Proto: "icmp", ICMP: [2]uint8{128, 0}}.Frame(), ""},
	{"a UDP datagram whose first byte looks like an advertisement", P{From: "[" + held6 + "]:34816", To: "[2001:db8:1::10]:53", Proto: "udp"}.Frame(), ""},
	{"IPv4 from a held address", P{From: held4 + ":80", To: client}.Frame(), ""},
	{"IPv6 from a held address", P{From: "[" + held6 + "]:80", To: client6}.Frame(), ""},
}

func addresses(list ...string) (parsed []netip.Addr) {
	for _, a := range list {
		parsed = append(parsed, netip.MustParseAddr(a))
	}
	return parsed
}

// ago is a lease that ended.
func ago(d time.Duration) loader.Lease { return loader.Lease(loader.SinceBoot() - d) }

func TestLeaseTable(t *testing.T) {
	r := newRig(t, 100, nil)
	must(r.SetHeld(addresses(held4, held6)))
	for _, lease := range []struct {
		name  string
		is    loader.Lease
		ended bool
	}{
		{"unset", loader.LeaseUnset, false},
		{"open", loader.LeaseOpen, false},
		{"holds", ago(-time.Hour), false},
		{"ended a second ago", ago(time.Second), true},
		{"ended", loader.LeaseEnded, true},
		{"before the boot", -5, true},
	} {
		r.SetLease(lease.is)
		if r.Lease().Holds(loader.SinceBoot()) == lease.ended {
			t.Errorf("lease %s (%d) holds: %v", lease.name, r.Lease(), lease.ended)
		}
		for _, f := range leaving {
			want, reason := pass, ""
			if lease.ended && f.reason != "" {
				want, reason = drop, f.reason
			}
			before := r.counted(t, loader.HookTC)
			v, after, err := r.RunLeaving(r.wan, f.frame)
			if err != nil {
				t.Fatalf("%s: %v", f.name, err)
			}
			if got := verdict(loader.HookTC, v); got != want {
				t.Errorf("lease %s: %s: %s, want %s", lease.name, f.name, got, want)
			}
			if got := strings.Join(moved(before, r.counted(t, loader.HookTC)), " "); got != reason {
				t.Errorf("lease %s: %s: counted %q, want %q", lease.name, f.name, got, reason)
			}
			if d := Differ(after, f.frame); d != "" {
				t.Errorf("lease %s: %s: %s", lease.name, f.name, d)
			}
		}
	}
}

// A lease ends by itself, and what is held is what was said last.
func TestLeaseEnds(t *testing.T) {
	r := newRig(t, 100, nil)
	must(r.SetHeld(addresses("192.0.2.199", held4, held6)))
	must(r.SetHeld(addresses(held4)))
	if held, err := r.Held(); err != nil || len(held) != 1 || held[0] != netip.MustParseAddr(held4) {
		t.Errorf("held: %v, %v", held, err)
	}
	leaves := func(frame []byte) bool {
		v, _, err := r.RunLeaving(r.wan, frame)
		must(err)
		return verdict(loader.HookTC, v) == pass
	}
	r.SetLease(ago(-200 * time.Millisecond))
	for leaves(arp(2, held4, held4)) {
		if !r.Lease().Holds(loader.SinceBoot() - 5*time.Second) {
			t.Fatal("5 s after the lease ended, its address is still spoken for")
		}
	}
	if r.Lease().Holds(loader.SinceBoot()) {
		t.Error("dropped before the lease ended")
	}
	if !leaves(arp(2, "192.0.2.199", own4)) || !leaves(advertisement(own6, held6, 0)) {
		t.Error("an address that was let go is still held")
	}
}

// neighbour is the other end of the rig's outside wire, in a namespace of its own.
type neighbour struct {
	ns netns.NsHandle
	*netlink.Handle
	link netlink.Link
}

func newNeighbour(t *testing.T, r *rig) *neighbour {
	t.Helper()
	n := &neighbour{}
	var err error
	n.ns, err = netns.New() // and enters it
	must(err)
	must(netns.Set(r.ns))
	peer, err := netlink.LinkByName("wan-peer")
	must(err)
	must(netlink.LinkSetNsFd(peer, int(n.ns)))
	n.Handle, err = netlink.NewHandleAt(n.ns)
	must(err)
	t.Cleanup(func() { n.Close(); n.ns.Close() })
	n.link, err = n.LinkByName("wan-peer")
	must(err)
	n.do(r, func() {
		run(t, "sysctl -qw net.ipv6.conf.wan-peer.disable_ipv6=0")
		run(t, "ip link set wan-peer up")
		run(t, "ip addr add 192.0.2.10/24 dev wan-peer")
		run(t, "ip addr add 2001:db8:1::10/64 dev wan-peer nodad")
	})
	return n
}

// do does something in the neighbour's namespace.
func (n *neighbour) do(r *rig, what func()) {
	must(netns.Set(n.ns))
	defer func() { must(netns.Set(r.ns)) }()
	what()
}

// knows says whether the neighbour has the MAC of an address.
func (n *neighbour) knows(address string) bool {
	list, err := n.NeighList(n.link.Attrs().Index, 0)
	must(err)
	for _, entry := range list {
		if entry.IP.Equal(net.ParseIP(address)) && len(entry.HardwareAddr) == 6 {
			return true
		}
	}
	return false
}

// forget empties the neighbour's cache.
func (n *neighbour) forget() {
	list, err := n.NeighList(n.link.Attrs().Index, 0)
	must(err)
	for _, entry := range list {
		_ = n.NeighDel(&entry) // it may be gone
	}
}

// say sends a datagram, for which the kernel has to find its neighbour first.
func say(from, to string) {
	c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, &net.UDPAddr{IP: net.ParseIP(to), Port: 9})
	must(err)
	defer c.Close()
	_, _ = c.Write([]byte("?")) // an error of the one before it
}

// eventually waits for a condition; false: it did not come.
func eventually(condition func() bool) bool {
	for range 500 {
		if condition() {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// The kernel has held addresses and is asked for them, and speaks of its own: while the
// lease has ended its neighbour learns nothing, then all.
func TestKernelIsSilentWithoutLease(t *testing.T) {
	r := newRig(t, 100, nil)
	n := newNeighbour(t, r)
	run(t, "ip addr add "+held4+"/24 dev wan")
	run(t, "ip addr add "+held6+"/64 dev wan nodad")
	must(r.SetHeld(addresses(held4, held6)))
	counted := func(reason string) func() uint64 {
		return func() uint64 { return r.counted(t, loader.HookTC)[reason] }
	}
	for _, test := range []struct {
		name    string
		speak   func()
		held    string
		dropped func() uint64
	}{
		{"ARP reply", func() { n.do(r, func() { say("192.0.2.10", held4) }) }, held4, counted("drop_lease_arp")},
		{"ARP request", func() { forget(); say(held4, "192.0.2.10") }, held4, counted("drop_lease_arp")},
		{"neighbour advertisement", func() { n.do(r, func() { say("2001:db8:1::10", held6) }) }, held6, counted("drop_lease_neighbour")},
		{"neighbour solicitation", func() { forget(); say(held6, "2001:db8:1::10") }, held6, counted("drop_lease_neighbour")},
	} {
		n.forget()
		r.SetLease(loader.LeaseEnded)
		before := test.dropped()
		test.speak()
		if !eventually(func() bool { return test.dropped() > before }) {
			t.Errorf("%s: the lease dropped nothing", test.name)
		}
		if n.knows(test.held) {
			t.Errorf("%s: the neighbour knows %s without a lease", test.name, test.held)
		}
		n.forget()
		r.OpenLease()
		before = test.dropped()
		test.speak()
		if !eventually(func() bool { return n.knows(test.held) }) {
			t.Errorf("%s: the neighbour does not know %s, and the lease is open", test.name, test.held)
		}
		if after := test.dropped(); after != before {
			t.Errorf("%s: %d dropped under an open lease", test.name, after-before)
		}
	}
}

// forget empties the router's own cache of the outside.
func forget() {
	device, err := netlink.LinkByName("wan")
	must(err)
	list, err := netlink.NeighList(device.Attrs().Index, 0)
	must(err)
	for _, entry := range list {
		_ = netlink.NeighDel(&entry)
	}
}

// The lease outlives the process that set it, and goes with a leg.
func TestLeaseStays(t *testing.T) {
	r := newRig(t, 100, nil)
	must(r.SetHeld(addresses(held4)))
	r.SetLease(loader.LeaseEnded)
	must(r.Close())
	pin := filepath.Join(r.bpffs, "tarpon", "v1", "links", fmt.Sprintf("lease-%d", r.wan))
	_, tcx := os.Stat(pin)
	again, err := loader.Open(loader.Options{BPFFS: r.bpffs, MaxFlows4: 100, MaxFlows6: 100})
	must(err)
	t.Cleanup(func() { _ = again.Close() })
	if held, err := again.Held(); again.Lease() != loader.LeaseEnded || err != nil || len(held) != 1 {
		t.Errorf("after a restart: lease %d, held %v, %v", again.Lease(), held, err)
	}
	must(again.DetachLeg(r.wan))
	if _, err := os.Stat(pin); tcx == nil && !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the link is pinned after its leg went: %v", err)
	}
}
