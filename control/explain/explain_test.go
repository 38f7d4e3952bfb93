package explain

import (
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/loader"
)

func TestEveryReasonHasWords(t *testing.T) {
	data, err := os.ReadFile("../../bpf/abi.h")
	if err != nil {
		t.Fatal(err)
	}
	reasons := regexp.MustCompile(`__u64 ((?:pass|drop|answer|forward|to)_\w+);`).FindAllStringSubmatch(string(data), -1)
	if len(reasons) < 30 {
		t.Fatalf("only %d reasons were found", len(reasons))
	}
	for _, reason := range reasons {
		if results[reason[1]] == "" {
			t.Errorf("%s has no words", reason[1])
		}
		if outcome(reason[1]) == "" && reason[1] != "to_tc" {
			t.Errorf("%s has no outcome", reason[1])
		}
	}
}

func end(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

var web = Packet{From: end("203.0.113.5:40000"), To: end("192.0.2.100:80"), Protocol: loader.TCP, Flags: "S", TTL: 64}

// What is built is what gopacket reads, and what is described.
func TestFrames(t *testing.T) {
	for _, test := range []struct {
		packet Packet
		length int // of the IP packet
		text   string
	}{
		{web, 40, "tcp 203.0.113.5:40000 > 192.0.2.100:80, flags S, ttl 64"},
		{Packet{From: web.From, To: web.To, Protocol: loader.TCP, Flags: "AFP", TTL: 9, Size: 1500}, 1500, "tcp 203.0.113.5:40000 > 192.0.2.100:80, flags FPA, ttl 9"},
		{Packet{From: web.From, To: web.To, Protocol: loader.UDP, TTL: 64}, 28, "udp 203.0.113.5:40000 > 192.0.2.100:80, ttl 64"},
		{Packet{From: web.From, To: web.To, Protocol: loader.UDP, TTL: 64, Size: 100, Fragment: true}, 100, "udp 203.0.113.5:40000 > 192.0.2.100:80, ttl 64"},
		{Packet{From: end("[2001:db8::5]:40000"), To: end("[2001:db8::100]:53"), Protocol: loader.UDP, TTL: 64, Size: 200}, 200, "udp [2001:db8::5]:40000 > [2001:db8::100]:53, ttl 64"},
		{Packet{From: end("[2001:db8::5]:40000"), To: end("[2001:db8::100]:80"), Protocol: loader.TCP, Flags: "SA", TTL: 64}, 60, "tcp [2001:db8::5]:40000 > [2001:db8::100]:80, flags SA, ttl 64"},
		{Packet{From: end("[2001:db8::5]:40000"), To: end("[2001:db8::100]:80"), Protocol: loader.TCP, Flags: "S", TTL: 64, Size: 300, Fragment: true}, 300, "tcp [2001:db8::5]:40000 > [2001:db8::100]:80, flags S, ttl 64"},
	} {
		frame := test.packet.Frame([6]byte{2, 0, 0, 0, 0, 1}, [6]byte{2, 0, 0, 0, 0, 2})
		if got := len(frame) - 14; got != test.length {
			t.Errorf("%s: %d bytes, want %d", test.text, got, test.length)
		}
		if got := Describe(frame); got != test.text {
			t.Errorf("described as %s, want %s", got, test.text)
		}
		read := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
		if failed := read.ErrorLayer(); failed != nil {
			t.Errorf("%s: gopacket: %v", test.text, failed.Error())
			continue
		}
		if fragment := isFragment(read); fragment != test.packet.Fragment {
			t.Errorf("%s: a fragment: %v, want %v", test.text, fragment, test.packet.Fragment)
		}
		if !test.packet.Fragment {
			if got := ends(read); got != fmt.Sprint(test.packet.From, test.packet.To) {
				t.Errorf("%s: gopacket reads %s", test.text, got)
			}
		}
	}
}

func isFragment(p gopacket.Packet) bool {
	if ip, ok := p.NetworkLayer().(*layers.IPv4); ok {
		return ip.Flags&layers.IPv4MoreFragments != 0
	}
	return p.Layer(layers.LayerTypeIPv6Fragment) != nil
}

// ends are a packet's as netip prints them.
func ends(p gopacket.Packet) string {
	from, to := p.NetworkLayer().NetworkFlow().Endpoints()
	ports := [2]uint16{}
	switch l := p.TransportLayer().(type) {
	case *layers.TCP:
		ports = [2]uint16{uint16(l.SrcPort), uint16(l.DstPort)}
	case *layers.UDP:
		ports = [2]uint16{uint16(l.SrcPort), uint16(l.DstPort)}
	}
	a, _ := netip.AddrFromSlice(from.Raw())
	b, _ := netip.AddrFromSlice(to.Raw())
	return fmt.Sprint(netip.AddrPortFrom(a, ports[0]), netip.AddrPortFrom(b, ports[1]))
}

func TestDescribeAnswers(t *testing.T) {
	quoted := web.Frame([6]byte{}, [6]byte{})[14:]
	for _, test := range []struct {
		ip, transport gopacket.SerializableLayer
		want          string
	}{
		{&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: []byte{192, 0, 2, 1}, DstIP: []byte{203, 0, 113, 5}},
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4), Seq: 1400}, "icmp 192.0.2.1 > 203.0.113.5, fragmentation needed, ttl 64, mtu 1400"},
		{&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: []byte{192, 0, 2, 1}, DstIP: []byte{203, 0, 113, 5}},
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(11, 0)}, "icmp 192.0.2.1 > 203.0.113.5, time exceeded, ttl 64"},
	} {
		buffer := gopacket.NewSerializeBuffer()
		err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true},
			&layers.Ethernet{SrcMAC: make([]byte, 6), DstMAC: make([]byte, 6), EthernetType: layers.EthernetTypeIPv4},
			test.ip, test.transport, gopacket.Payload(quoted))
		if err != nil {
			t.Fatal(err)
		}
		if got := Describe(buffer.Bytes()); got != test.want {
			t.Errorf("%s, want %s", got, test.want)
		}
	}
}

// router has a vip with four reals, two of them usable.
func router() Router {
	vip := loader.Endpoint{AddrPort: web.To, Protocol: loader.TCP}
	tables := loader.NewTables()
	tables.Vips[1] = loader.Vip{Endpoint: vip}
	tables.Names[vip] = 1
	tables.Addresses[vip.Addr()] = loader.AddressVip
	for i := loader.BackendID(1); i <= 4; i++ {
		tables.Backends[i] = loader.Backend{Vip: 1, Real: end(fmt.Sprintf("10.0.0.1%d:8080", i)), Down: i == 3}
	}
	tables.Schedules[1] = loader.Schedule{Kind: loader.ByHash, Slots: []loader.BackendID{1, 2, 1}}
	return Router{
		Leg: "wan", Interface: "eth0", Why: "the route to 203.0.113.5 leaves there", Mode: loader.Native, Tables: tables,
		Vips: []api.Vip{{Vip: "192.0.2.100:80/tcp", Name: "shop", Scheduler: "mh", Reals: []api.Real{
			{Real: "10.0.0.11:8080", Weight: 1, State: "up"}, {Real: "10.0.0.12:8080", Weight: 1, State: "up"},
			{Real: "10.0.0.13:8080", Weight: 1, State: "down", Error: "connection refused"}, {Real: "10.0.0.14:8080", State: "up"},
		}}},
		Interfaces: map[int]string{7: "eth1"},
	}
}

func TestExplain(t *testing.T) {
	toReal := web
	toReal.To, toReal.TTL = end("10.0.0.11:8080"), 63
	hop := loader.NextHop{Ifindex: 7, Destination: [6]byte{2, 0, 0, 0, 0, 0xb}, MTU: 1500}
	for _, test := range []struct {
		name   string
		packet Packet
		traces []loader.Trace
		steps  string
	}{
		{"a new flow", web, []loader.Trace{{
			Reason: "forward_in", Notes: []string{"flow_new", "flow_evicted"}, Vip: 1, After: toReal.Frame([6]byte{}, [6]byte{}),
			Pick:  &loader.Pick{Kind: loader.ByHash, Place: 1, Slots: 3, Attempts: []loader.Attempt{{Backend: 2, Refused: loader.RefusedTaken}, {Backend: 1}}},
			Route: &loader.Route{Backend: 1, Hop: hop},
		}}, `
packet: tcp 203.0.113.5:40000 > 192.0.2.100:80, flags S, ttl 64
leg: wan (eth0), mode native: the route to 203.0.113.5 leaves there
vip: 192.0.2.100:80/tcp, shop
flow: none yet: it would be made
schedule: mh: place 1 of 3, by the hash of the client's address and port; 2 of 4 reals are usable
unusable: 10.0.0.13:8080 is down: connection refused
unusable: 10.0.0.14:8080 has weight 0
skipped: 10.0.0.12:8080: the client's port is in use with it, by another vip
route: a next hop that is kept: 02:00:00:00:00:0b by eth1
after: tcp 203.0.113.5:40000 > 10.0.0.11:8080, flags S, ttl 63
table: another flow ends to make room
reply: 10.0.0.11:8080 > 203.0.113.5:40000 comes in, and leaves as 192.0.2.100:80 > 203.0.113.5:40000
result: forwarded (forward_in): to the real`},
		{"a flow of a real that went down, whose neighbour is not known", web, []loader.Trace{
			{Reason: "to_tc"},
			{
				Hook: loader.HookTC, Reason: "forward_in", Notes: []string{"flow_hit"}, After: toReal.Frame([6]byte{}, [6]byte{}),
				Flow:  &loader.Flow{Backend: 3, State: loader.Established, Idle: 5e9},
				Route: &loader.Route{Backend: 3, Way: loader.WayKernel, FIB: "no neighbour", Hop: loader.NextHop{Ifindex: 7}, Neighbour: netip.MustParseAddr("10.0.0.13")},
			},
		}, `
packet: tcp 203.0.113.5:40000 > 192.0.2.100:80, flags S, ttl 64
leg: wan (eth0), mode native: the route to 203.0.113.5 leaves there
hook: XDP leaves it to the TC program, which lets the kernel find the neighbour
vip: 192.0.2.100:80/tcp, shop
flow: with 10.0.0.13:8080, established, silent for 5s
flow: 10.0.0.13:8080 is down
route: the FIB says no neighbour: the kernel will ask for 10.0.0.13 on eth1
after: tcp 203.0.113.5:40000 > 10.0.0.11:8080, flags S, ttl 63
reply: 10.0.0.13:8080 > 203.0.113.5:40000 comes in, and leaves as 192.0.2.100:80 > 203.0.113.5:40000
result: forwarded (forward_in): to the real`},
		{"no port of a vip", Packet{From: web.From, To: end("192.0.2.100:81"), Protocol: loader.TCP, Flags: "S", TTL: 64},
			[]loader.Trace{{Reason: "pass_other_port"}}, `
packet: tcp 203.0.113.5:40000 > 192.0.2.100:81, flags S, ttl 64
leg: wan (eth0), mode native: the route to 203.0.113.5 leaves there
vip: 192.0.2.100 is an address of vips, but no vip has port 81/tcp: there are 192.0.2.100:80/tcp
result: passed (pass_other_port): the address is a vip's, but no vip has this port and protocol: the router's own stack answers`},
		{"no usable real", web, []loader.Trace{{Reason: "drop_empty", Vip: 1}}, `
packet: tcp 203.0.113.5:40000 > 192.0.2.100:80, flags S, ttl 64
leg: wan (eth0), mode native: the route to 203.0.113.5 leaves there
vip: 192.0.2.100:80/tcp, shop
flow: none
schedule: mh: 0 of 4 reals are usable
unusable: 10.0.0.13:8080 is down: connection refused
unusable: 10.0.0.14:8080 has weight 0
result: dropped (drop_empty): the vip has no usable real, and when_empty says drop`},
	} {
		e := Explain(test.packet, router(), test.traces...)
		var b strings.Builder
		for _, step := range e.Steps {
			fmt.Fprintf(&b, "\n%s: %s", step.Name, step.Text)
		}
		if d := cmp.Diff(test.steps, b.String()); d != "" {
			t.Errorf("%s:\n%s", test.name, d)
		}
	}
}
