package packet

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/tarpon-lb/tarpon/loader"
)

// expect runs one step at XDP.
func (r *rig) expect(t *testing.T, name string, s step) {
	t.Helper()
	r.step(t, loader.HookXDP, name, s)
}

// 64 vips over one real: every flow's replies come from its own vip, and the same
// client port cannot be taken twice.
func Test64VipsOverOneReal(t *testing.T) {
	r := newRig(t, 1000, services)
	const real = "10.0.0.50:80"
	address := netip.MustParseAddrPort(real)
	vip := func(i int) string { return fmt.Sprintf("192.0.2.%d:80", 150+i) }
	for i := range 64 {
		id, backend := loader.VipID(100+i), loader.BackendID(100+i)
		e := loader.Endpoint{AddrPort: netip.MustParseAddrPort(vip(i)), Protocol: loader.TCP}
		err := r.Apply([]loader.Step{
			loader.PutVip{ID: id, Vip: loader.Vip{Endpoint: e, Timeouts: timeouts}},
			loader.PutBackend{ID: backend, Backend: loader.Backend{Vip: id, Real: address}},
			loader.PutSchedule{ID: id, Schedule: loader.Schedule{Kind: loader.ByHash, Slots: []loader.BackendID{backend}}},
			loader.PutName{Endpoint: e, ID: id},
			loader.PutAddress{Addr: e.Addr(), Use: loader.AddressVip},
			loader.PutAddress{Addr: address.Addr(), Use: loader.AddressReal},
			loader.PutReal{Real: loader.Endpoint{AddrPort: address, Protocol: loader.TCP}, ID: loader.Ambiguous},
		})
		if err != nil {
			t.Fatal(err)
		}
		hop := loader.NextHop{Ifindex: r.lan, Source: [6]byte(lanMAC), Destination: [6]byte(realMAC), MTU: 1500}
		if err := r.SetNextHop(backend, hop); err != nil {
			t.Fatal(err)
		}
	}
	client := func(i int) string { return fmt.Sprintf("203.0.113.5:%d", 40000+i) }
	for i := range 64 {
		r.expect(t, vip(i), step{in: in(P{From: client(i), To: vip(i), Flags: "S"}), want: send,
			out: toReal(P{From: client(i), To: real, Flags: "S"}), reasons: "flow_new forward_in"})
	}
	for i := range 64 {
		r.expect(t, vip(i), step{on: "lan", in: fromReal(P{From: real, To: client(i), Flags: "SA"}), want: send,
			out: out(P{From: vip(i), To: client(i), Flags: "SA"}), reasons: "flow_hit forward_out"})
		r.expect(t, vip(i), step{in: in(P{From: client(i), To: vip(i)}), want: send,
			out: toReal(P{From: client(i), To: real}), reasons: "flow_hit forward_in"})
	}
	for i := range 64 {
		r.expect(t, vip(i), step{in: in(P{From: client(i), To: vip((i + 1) % 64), Flags: "S"}), want: drop, reasons: "drop_tuple_taken"})
	}
	r.expect(t, "a reply of nobody", step{on: "lan", in: fromReal(P{From: real, To: "192.0.2.10:5"}), want: "pass or send"})
}

// A client port that another vip has at a real goes to the next real, however many places
// of the schedule the first one has in a row.
func TestTakenAtManyPlaces(t *testing.T) {
	const other, vip, taken, free = "192.0.2.100:80", "192.0.2.101:80", "10.0.0.11:8080", "10.0.0.12:8080"
	r := newRig(t, 1000, []service{
		{vip: other, protocol: loader.TCP, reals: []string{taken}},
		{vip: vip, protocol: loader.TCP, reals: []string{taken, free}},
	})
	slots := append(slices.Repeat([]loader.BackendID{2}, 40), 3)
	if err := r.Apply([]loader.Step{loader.PutSchedule{ID: 2, Schedule: loader.Schedule{Kind: loader.ByHash, Slots: slots}}}); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		client := fmt.Sprintf("203.0.113.5:%d", 40000+i)
		r.expect(t, client, step{in: in(P{From: client, To: other, Flags: "S"}), want: send,
			out: toReal(P{From: client, To: taken, Flags: "S"}), reasons: "flow_new forward_in"})
		r.expect(t, client, step{on: "lan", in: fromReal(P{From: taken, To: client, Flags: "SA"}), want: send,
			out: out(P{From: other, To: client, Flags: "SA"}), reasons: "flow_hit forward_out"})
		r.expect(t, client, step{in: in(P{From: client, To: other}), want: send,
			out: toReal(P{From: client, To: taken}), reasons: "flow_hit forward_in"})
		r.expect(t, client, step{in: in(P{From: client, To: vip, Flags: "S"}), want: send,
			out: toReal(P{From: client, To: free, Flags: "S"}), reasons: "flow_new forward_in"})
	}
}

// One client port to 1,000 ports of an any-port vip.
func TestThousandPortsOfAnAnyPortVip(t *testing.T) {
	r := newRig(t, 5000, services)
	for port := 1; port <= 1000; port++ {
		vip, real := fmt.Sprintf("192.0.2.102:%d", port), fmt.Sprintf("10.0.0.12:%d", port)
		r.expect(t, vip, step{in: in(P{From: client, To: vip, Flags: "S"}), want: send,
			out: toReal(P{From: client, To: real, Flags: "S"}), reasons: "flow_new forward_in"})
	}
	for port := 1; port <= 1000; port++ {
		vip, real := fmt.Sprintf("192.0.2.102:%d", port), fmt.Sprintf("10.0.0.12:%d", port)
		r.expect(t, vip, step{on: "lan", in: fromReal(P{From: real, To: client, Flags: "SA"}), want: send,
			out: out(P{From: vip, To: client, Flags: "SA"}), reasons: "flow_hit forward_out"})
	}
}

// TCP and UDP of one client port to one real's port: in a table of one page many of
// these pairs meet in a bucket, and each reply still finds its own vip.
func TestProtocolsMeetInABucket(t *testing.T) {
	const tcpVip, udpVip, real = "192.0.2.107:53", "192.0.2.100:53", "10.0.0.11:53"
	r := newRig(t, 100, append(slices.Clone(services), service{vip: tcpVip, protocol: loader.TCP, reals: []string{real}}))
	for round := range 60 {
		client := func(i int) string { return fmt.Sprintf("203.0.113.%d:%d", i+1, 40000+round) }
		for i := range 12 {
			r.expect(t, client(i), step{in: in(P{From: client(i), To: tcpVip, Flags: "S"}), want: send,
				out: toReal(P{From: client(i), To: real, Flags: "S"}), reasons: "flow_new forward_in"})
			r.expect(t, client(i), step{in: in(P{From: client(i), To: udpVip, Proto: "udp"}), want: send,
				out: toReal(P{From: client(i), To: real, Proto: "udp"}), reasons: "flow_new forward_in"})
		}
		for i := range 12 {
			r.expect(t, client(i), step{on: "lan", in: fromReal(P{From: real, To: client(i), Proto: "udp"}), want: send,
				out: out(P{From: udpVip, To: client(i), Proto: "udp"}), reasons: "flow_hit forward_out"})
			r.expect(t, client(i), step{on: "lan", in: fromReal(P{From: real, To: client(i), Flags: "SA"}), want: send,
				out: out(P{From: tcpVip, To: client(i), Flags: "SA"}), reasons: "flow_hit forward_out"})
		}
		r.EndFlows(func(loader.Flow) bool { return true })
	}
}

// The smallest table full of established flows: none is evicted, a new one goes by
// the schedule alone, and its replies find their vip without a flow.
func TestRepliesWhileTheTableIsFull(t *testing.T) {
	r := newRig(t, 100, services)
	established := func(client string) bool {
		before := r.counted(t, loader.HookXDP)["flow_full"]
		for _, s := range []struct {
			ifindex int
			p       P
		}{
			{r.wan, in(P{From: client, To: "192.0.2.106:80", Flags: "S"})},
			{r.lan, fromReal(P{From: "10.0.0.14:80", To: client, Flags: "SA"})},
			{r.wan, in(P{From: client, To: "192.0.2.106:80"})},
		} {
			if _, _, err := r.Run(loader.HookXDP, s.ifindex, s.p.Frame()); err != nil {
				t.Fatal(err)
			}
		}
		return r.counted(t, loader.HookXDP)["flow_full"] == before
	}
	kept, late := 0, ""
	for i := range 5000 {
		c := fmt.Sprintf("198.51.%d.%d:40000", i/250, i%250+1)
		if established(c) {
			kept++
		} else {
			late = c
		}
	}
	live := 0
	for flow := range r.Flows() {
		if flow.State == loader.Established {
			live++
		}
	}
	if live != kept || live < 240 {
		t.Errorf("%d established flows are there, %d were made; the table has 256 slots", live, kept)
	}
	r.expect(t, "late", step{in: in(P{From: late, To: "192.0.2.106:80"}), want: send,
		out: toReal(P{From: late, To: "10.0.0.14:80"}), reasons: "flow_full forward_in"})
	before := r.counted(t, loader.HookXDP)
	v, _, err := r.Run(loader.HookXDP, r.lan, fromReal(P{From: "10.0.0.14:80", To: "192.0.2.10:40000", Flags: "SA"}).Frame())
	if err != nil {
		t.Fatal(err)
	}
	after := r.counted(t, loader.HookXDP)
	// The neighbour of a client on the link is not known here: TC finishes it.
	if after["to_tc"]+after["flow_reply_no_flow"] == before["to_tc"]+before["flow_reply_no_flow"] {
		t.Errorf("a reply without a flow: %s, counted %v", verdict(loader.HookXDP, v), after)
	}
}

// UDP flows give way to newer ones when the table is full. A reply that comes after finds
// its vip without the flow; while nothing gives way it is the real's own.
func TestRepliesOfFlowsThatGaveWay(t *testing.T) {
	const vip, real, stranger = "192.0.2.100:53", "10.0.0.11:53", "192.0.2.10:9999"
	r := newRig(t, 100, services) // one page: 256 slots
	reply := step{on: "lan", in: fromReal(P{From: real, To: stranger, Proto: "udp"}), want: pass, reasons: "pass_real_itself"}
	r.expect(t, "no flow gave way", reply)
	gaveWay := r.counted(t, loader.HookXDP)["flow_evicted"]
	for i := range 1000 {
		client := fmt.Sprintf("203.0.113.%d:%d", i%50+1, 40000+i)
		if _, _, err := r.Run(loader.HookXDP, r.wan, in(P{From: client, To: vip, Proto: "udp"}).Frame()); err != nil {
			t.Fatal(err)
		}
	}
	if counts := r.counted(t, loader.HookXDP); counts["flow_evicted"] == gaveWay || counts["flow_full"] > 0 {
		t.Fatalf("no flow gave way, or one found no slot: %v", counts)
	}
	reply.reasons = "to_tc" // which knows the neighbour, and translates
	r.expect(t, "flows gave way", reply)
}

// A flow that was put is the flow of its packets, both ways, with the backend that
// the put named and not the one that the schedule would choose.
func TestPutsArePacketsFlows(t *testing.T) {
	reals := []string{"10.0.0.11:8080", "10.0.0.12:8080"}
	reals6 := []string{"[2001:db8:2::11]:8080", "[2001:db8:2::12]:8080"}
	r := newRig(t, 20000, []service{
		{vip: "192.0.2.100:80", protocol: loader.TCP, reals: reals},
		{vip: "192.0.2.100:53", protocol: loader.UDP, reals: reals},
		{vip: "[2001:db8:1::100]:80", protocol: loader.TCP, reals: reals6},
		{vip: "192.0.2.102:0", protocol: loader.TCP, reals: []string{"10.0.0.13:0", "10.0.0.14:0"}},
	})
	for i := range 400 {
		for _, c := range []struct {
			client, vip, proto string
			first              loader.BackendID
			vipPort            uint16
			reals              []string
		}{
			{"203.0.113.%d:%d", "192.0.2.100:80", "tcp", 1, 0, reals},
			{"203.0.113.%d:%d", "192.0.2.100:53", "udp", 3, 0, reals},
			{"[2001:db8:9::%x]:%d", "[2001:db8:1::100]:80", "tcp", 5, 0, reals6},
			{"203.0.113.%d:%d", "192.0.2.102:4711", "tcp", 7, 4711, []string{"10.0.0.13:4711", "10.0.0.14:4711"}},
		} {
			client, one := fmt.Sprintf(c.client, i%200+1, 40000+i), i%2
			state := map[string]loader.State{"tcp": loader.Established, "udp": loader.UDPReplied}[c.proto]
			results, err := r.PutFlows([]loader.FlowPut{{
				Client: netip.MustParseAddrPort(client), Backend: c.first + loader.BackendID(one), VipPort: c.vipPort, State: state,
			}})
			if err != nil || results[0].Outcome != loader.PutInserted {
				t.Fatal(results, err)
			}
			r.expect(t, c.vip, step{in: in(P{From: client, To: c.vip, Proto: c.proto}), want: send,
				out: toReal(P{From: client, To: c.reals[one], Proto: c.proto}), reasons: "flow_hit forward_in"})
			r.expect(t, c.vip, step{on: "lan", in: fromReal(P{From: c.reals[one], To: client, Proto: c.proto}), want: send,
				out: out(P{From: c.vip, To: client, Proto: c.proto}), reasons: "flow_hit forward_out"})
		}
	}
}
