package packet

import (
	"fmt"
	"sort"
	"strings"
	"testing"

	"github.com/tarpon-lb/tarpon/loader"
)

// What the program does with a frame, whichever hook it runs at.
const (
	pass = "pass"
	drop = "drop"
	send = "send" // redirected, or back to where it came from
)

func verdict(hook loader.Hook, v uint32) string {
	names := map[uint32]string{1: drop, 2: pass, 3: send, 4: send}
	if hook == loader.HookTC {
		names = map[uint32]string{0xffffffff: pass, 2: drop, 7: send}
	}
	if name, ok := names[v]; ok {
		return name
	}
	return fmt.Sprintf("verdict %d", v)
}

// A step is a frame on a leg and what is expected of it.
type step struct {
	on      string // wan (default) or lan
	in      P
	want    string // verdict
	out     *P     // nil: unchanged (pass), or not looked at (drop)
	reasons string // the counters that move, by one each; no other may
	do      func(t *testing.T, r *rig)
}

const client, client6 = "203.0.113.5:40000", "[2001:db8:5::5]:40000"

// in and out are the same packet before and after Tarpon, both ways.
func in(p P) P       { p.SrcMAC, p.DstMAC = clientMAC, wanMAC; return p }
func toReal(p P) *P  { p.SrcMAC, p.DstMAC, p.TTL = lanMAC, realMAC, 63; return &p }
func fromReal(p P) P { p.SrcMAC, p.DstMAC = realMAC, lanMAC; return p }
func out(p P) *P     { p.SrcMAC, p.DstMAC, p.TTL = wanMAC, clientMAC, 63; return &p }
func back(p P) *P    { p.SrcMAC, p.DstMAC = wanMAC, clientMAC; return &p }

func syn(vip string) P { return in(P{From: client, To: vip, Flags: "S", Seq: 7}) }

func reset(p P) P { p.Flags, p.DF = "RA", true; return p }

var web = []step{
	{in: syn("192.0.2.100:80"), want: send, out: toReal(P{From: client, To: "10.0.0.11:8080", Flags: "S", Seq: 7}), reasons: "flow_new forward_in"},
	{on: "lan", in: fromReal(P{From: "10.0.0.11:8080", To: client, Flags: "SA", Seq: 9, Ack: 8}), want: send,
		out: out(P{From: "192.0.2.100:80", To: client, Flags: "SA", Seq: 9, Ack: 8}), reasons: "flow_hit forward_out"},
	{in: in(P{From: client, To: "192.0.2.100:80", Seq: 8, Ack: 10, Payload: "GET /"}), want: send,
		out: toReal(P{From: client, To: "10.0.0.11:8080", Seq: 8, Ack: 10, Payload: "GET /"}), reasons: "flow_hit forward_in"},
}

var fin = []step{
	{in: in(P{From: client, To: "192.0.2.100:80", Flags: "FA"}), want: send, out: toReal(P{From: client, To: "10.0.0.11:8080", Flags: "FA"}), reasons: "flow_hit forward_in"},
	{on: "lan", in: fromReal(P{From: "10.0.0.11:8080", To: client, Flags: "FA"}), want: send, out: out(P{From: "192.0.2.100:80", To: client, Flags: "FA"}), reasons: "flow_hit forward_out"},
}

func then(lists ...[]step) []step {
	var all []step
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// quoted is the client's packet as the real's side saw it, and as the client sent
// it (ICMP errors quote what was received).
var (
	atReal   = P{From: client, To: "10.0.0.11:8080", Seq: 8, Ack: 10, Payload: "GET /", TTL: 63, SrcMAC: lanMAC, DstMAC: realMAC}
	atClient = P{From: client, To: "192.0.2.100:80", Seq: 8, Ack: 10, Payload: "GET /", TTL: 63, SrcMAC: lanMAC, DstMAC: realMAC}
)

var table = []struct {
	name  string
	steps []step
}{
	{"TCP, both ways", web},
	{"TCP over IPv6", []step{
		{in: in(P{From: client6, To: "[2001:db8:1::100]:80", Flags: "S"}), want: send, out: toReal(P{From: client6, To: "[2001:db8:2::11]:8080", Flags: "S"}), reasons: "flow_new forward_in"},
		{on: "lan", in: fromReal(P{From: "[2001:db8:2::11]:8080", To: client6, Flags: "SA"}), want: send, out: out(P{From: "[2001:db8:1::100]:80", To: client6, Flags: "SA"}), reasons: "flow_hit forward_out"},
	}},
	{"UDP, with and without a checksum", []step{
		{in: in(P{From: client, To: "192.0.2.100:53", Proto: "udp", Payload: "?"}), want: send, out: toReal(P{From: client, To: "10.0.0.11:53", Proto: "udp", Payload: "?"}), reasons: "flow_new forward_in"},
		{on: "lan", in: fromReal(P{From: "10.0.0.11:53", To: client, Proto: "udp", Payload: "!"}), want: send, out: out(P{From: "192.0.2.100:53", To: client, Proto: "udp", Payload: "!"}), reasons: "flow_hit forward_out"},
		{in: in(P{From: client, To: "192.0.2.100:53", Proto: "udp", NoUDPSum: true}), want: send, out: toReal(P{From: client, To: "10.0.0.11:53", Proto: "udp", NoUDPSum: true}), reasons: "flow_hit forward_in"},
	}},
	{"UDP over IPv6", []step{
		{in: in(P{From: client6, To: "[2001:db8:1::100]:53", Proto: "udp", Payload: "?"}), want: send, out: toReal(P{From: client6, To: "[2001:db8:2::11]:53", Proto: "udp", Payload: "?"}), reasons: "flow_new forward_in"},
	}},
	{"IPv4 options", []step{
		{in: in(P{From: client, To: "192.0.2.100:80", Flags: "S", Options: []byte{0x94, 4, 0, 0}}), want: send, out: toReal(P{From: client, To: "10.0.0.11:8080", Flags: "S", Options: []byte{0x94, 4, 0, 0}}), reasons: "flow_new forward_in"},
	}},
	{"any-port vip: ports stay", []step{
		{in: syn("192.0.2.102:1234"), want: send, out: toReal(P{From: client, To: "10.0.0.12:1234", Flags: "S", Seq: 7}), reasons: "flow_new forward_in"},
		{on: "lan", in: fromReal(P{From: "10.0.0.12:1234", To: client, Flags: "SA"}), want: send, out: out(P{From: "192.0.2.102:1234", To: client, Flags: "SA"}), reasons: "flow_hit forward_out"},
		{in: syn("192.0.2.102:1235"), want: send, out: toReal(P{From: client, To: "10.0.0.12:1235", Flags: "S", Seq: 7}), reasons: "flow_new forward_in"},
	}},
	{"one client port to two vips that share a real: a half-open flow gives way", []step{
		web[0],
		{in: syn("192.0.2.101:80"), want: send, out: toReal(P{From: client, To: "10.0.0.11:8080", Flags: "S", Seq: 7}), reasons: "flow_new forward_in"},
		{on: "lan", in: fromReal(P{From: "10.0.0.11:8080", To: client, Flags: "SA"}), want: send, out: out(P{From: "192.0.2.101:80", To: client, Flags: "SA"}), reasons: "flow_hit forward_out"},
	}},
	{"one client port to two vips that share a real: an established flow stays", then(web, []step{
		{in: syn("192.0.2.101:80"), want: drop, reasons: "drop_tuple_taken"},
		web[2],
	})},
	{"SYN on a closing flow", then(web, fin, []step{
		{in: syn("192.0.2.100:80"), want: send, out: web[0].out, reasons: "flow_again forward_in"},
	})},
	{"mid-stream without a flow: Maglev finds the real", []step{
		{in: in(P{From: client, To: "192.0.2.106:80"}), want: send, out: toReal(P{From: client, To: "10.0.0.14:80"}), reasons: "flow_new forward_in"},
	}},
	{"mid-stream without a flow: round robin cannot", []step{
		{in: in(P{From: client, To: "192.0.2.105:80", Ack: 77}), want: send,
			out: back(P{From: "192.0.2.105:80", To: client, Flags: "R", Seq: 77, DF: true}), reasons: "answer_midstream"},
	}},
	{"round robin", []step{
		{in: syn("192.0.2.105:80"), want: send, out: toReal(P{From: client, To: "10.0.0.13:80", Flags: "S", Seq: 7}), reasons: "flow_new forward_in"},
	}},
	{"reply without a flow", []step{
		{on: "lan", in: fromReal(P{From: "10.0.0.14:80", To: "192.0.2.10:40000"}), want: "pass or send", reasons: ""},
		{on: "lan", in: fromReal(P{From: "10.0.0.14:80", To: client, Flags: "S"}), want: pass, reasons: "pass_real_itself"},
		{on: "lan", in: fromReal(P{From: "10.0.0.14:9999", To: client}), want: pass, reasons: "pass_real_itself"},
		{on: "lan", in: fromReal(P{From: "10.0.0.11:53", To: client, Proto: "udp"}), want: pass, reasons: "pass_real_itself"},
	}},
	{"a real that is a client of another vip", []step{
		{on: "lan", in: fromReal(P{From: "10.0.0.13:5555", To: "192.0.2.100:80", Flags: "S"}), want: drop, reasons: "drop_needs_full_nat"},
	}},
	{"a client on the real's network, or just beside it", []step{
		{in: in(P{From: "10.0.0.77:5555", To: "192.0.2.100:80", Flags: "S"}), want: drop, reasons: "drop_needs_full_nat"},
		{in: in(P{From: "10.0.1.77:5555", To: "192.0.2.100:80", Flags: "S"}), want: send,
			out: toReal(P{From: "10.0.1.77:5555", To: "10.0.0.11:8080", Flags: "S"}), reasons: "flow_new forward_in"},
		{in: in(P{From: "[2001:db8:2::77]:5555", To: "[2001:db8:1::100]:80", Flags: "S"}), want: drop, reasons: "drop_needs_full_nat"},
		{in: in(P{From: "[2001:db8:2::177]:5555", To: "[2001:db8:1::100]:80", Flags: "S"}), want: send,
			out: toReal(P{From: "[2001:db8:2::177]:5555", To: "[2001:db8:2::11]:8080", Flags: "S"}), reasons: "flow_new forward_in"},
		{in: in(P{From: "[2001:db8:3::77]:5555", To: "[2001:db8:1::100]:80", Flags: "S"}), want: send,
			out: toReal(P{From: "[2001:db8:3::77]:5555", To: "[2001:db8:2::11]:8080", Flags: "S"}), reasons: "flow_new forward_in"},
	}},
	{"a client that is the real", []step{
		{on: "lan", in: fromReal(P{From: "10.0.0.11:5555", To: "192.0.2.100:80", Flags: "S"}), want: drop, reasons: "drop_self"},
	}},
	{"no usable real", []step{
		{in: in(P{From: client, To: "192.0.2.103:80", Flags: "S", Seq: 41}), want: send,
			out: back(reset(P{From: "192.0.2.103:80", To: client, Ack: 42})), reasons: "answer_empty"},
		{in: in(P{From: client, To: "192.0.2.103:53", Proto: "udp", Payload: "hello!"}), want: send,
			out: back(P{From: "192.0.2.103", To: "203.0.113.5", Proto: "icmp", DF: true, ICMP: [2]uint8{3, 3},
				Quote: in(P{From: client, To: "192.0.2.103:53", Proto: "udp", Payload: "hello!"}).IP(0)}), reasons: "answer_empty"},
		{in: in(P{From: client6, To: "[2001:db8:1::103]:53", Proto: "udp", Payload: "hello!"}), want: send,
			out: back(P{From: "2001:db8:1::103", To: "2001:db8:5::5", Proto: "icmp", ICMP: [2]uint8{1, 4},
				Quote: in(P{From: client6, To: "[2001:db8:1::103]:53", Proto: "udp", Payload: "hello!"}).IP(0)}), reasons: "answer_empty"},
		{in: syn("192.0.2.104:80"), want: drop, reasons: "drop_empty"},
		{in: in(P{From: client, To: "192.0.2.103:80", Flags: "R"}), want: drop, reasons: "drop_closed"},
	}},
	{"TTL", []step{
		{in: in(P{From: client, To: "192.0.2.106:80", Flags: "S", TTL: 1}), want: send,
			out: back(P{From: "192.0.2.1", To: "203.0.113.5", Proto: "icmp", DF: true, ICMP: [2]uint8{11, 0},
				Quote: in(P{From: client, To: "192.0.2.106:80", Flags: "S", TTL: 1}).IP(0)}), reasons: "flow_new answer_ttl"},
	}},
	{"MTU", []step{
		{in: in(P{From: client, To: "192.0.2.100:53", Proto: "udp", DF: true, Payload: strings.Repeat("x", 1490)}), want: send,
			out: back(P{From: "192.0.2.1", To: "203.0.113.5", Proto: "icmp", DF: true, ICMP: [2]uint8{3, 4}, ICMPRest: 1500,
				Quote: in(P{From: client, To: "192.0.2.100:53", Proto: "udp", DF: true, Payload: strings.Repeat("x", 1490)}).IP(128)}), reasons: "flow_new answer_mtu"},
	}},
	{"ICMP errors about a flow", then(web, []step{
		{on: "lan", in: fromReal(P{From: "10.0.0.9", To: "203.0.113.5", Proto: "icmp", ICMP: [2]uint8{3, 4}, ICMPRest: 1400, Quote: atReal.IP(0)}), want: send,
			out: out(P{From: "192.0.2.100", To: "203.0.113.5", Proto: "icmp", ICMP: [2]uint8{3, 4}, ICMPRest: 1400, Quote: atClient.IP(0)}), reasons: "forward_icmp_out"},
		{in: in(P{From: "198.51.100.1", To: "192.0.2.100", Proto: "icmp", ICMP: [2]uint8{3, 4}, ICMPRest: 1400,
			Quote: P{From: "192.0.2.100:80", To: client, Payload: "data"}.IP(0)}), want: send,
			out: toReal(P{From: "198.51.100.1", To: "10.0.0.11", Proto: "icmp", ICMP: [2]uint8{3, 4}, ICMPRest: 1400,
				Quote: P{From: "10.0.0.11:8080", To: client, Payload: "data"}.IP(0)}), reasons: "forward_icmp_in"},
		{in: in(P{From: "198.51.100.1", To: "192.0.2.100", Proto: "icmp", ICMP: [2]uint8{3, 4},
			Quote: P{From: "192.0.2.100:80", To: "203.0.113.99:1"}.IP(0)}), want: drop, reasons: "drop_icmp_no_flow"},
	})},
	{"fragments", []step{
		{in: in(P{From: client, To: "192.0.2.100:53", Proto: "udp", More: true}), want: drop, reasons: "drop_fragment"},
		{in: in(P{From: client, To: "192.0.2.100:53", Proto: "udp", Fragment: 100}), want: drop, reasons: "drop_fragment"},
		{in: in(P{From: client, To: "192.0.2.9:53", Proto: "udp", More: true}), want: pass, reasons: "pass_not_ours"},
	}},
	{"malformed", []step{
		{in: in(P{From: client, To: "192.0.2.100:80", Truncate: 10}), want: drop, reasons: "drop_malformed"},
	}},
	{"not ours", []step{
		{in: in(P{From: client, To: "192.0.2.9:80"}), want: pass, reasons: "pass_not_ours"},
		{in: in(P{From: client, To: "192.0.2.100:81"}), want: pass, reasons: "pass_other_port"},
		{in: in(P{From: "203.0.113.5", To: "192.0.2.100", Proto: "icmp", ICMP: [2]uint8{8, 0}, Payload: "ping"}), want: pass, reasons: "pass_echo"},
		{in: in(P{From: client, To: "192.0.2.100:80", EtherType: 0x0806}), want: pass, reasons: "pass_not_ip"},
		{on: "lan", in: fromReal(P{From: "10.0.0.77:8080", To: client}), want: pass, reasons: "pass_not_ours"},
		{in: in(P{From: "10.0.0.11:8080", To: client}), want: pass, reasons: "pass_not_ours"}, // a spoofed real outside
	}},
	{"a real that failed", then(web[:1], []step{
		{do: func(t *testing.T, r *rig) { r.backend(t, 1, loader.Backend{Down: true}) }},
		{in: syn("192.0.2.100:80"), want: send, out: back(reset(P{From: "192.0.2.100:80", To: client, Ack: 8})), reasons: "answer_empty"},
	})},
	{"a real that failed keeps its established flows", then(web, []step{
		{do: func(t *testing.T, r *rig) { r.backend(t, 1, loader.Backend{Down: true}) }},
		web[2],
	})},
	{"a real that failed, with reset", then(web, []step{
		{do: func(t *testing.T, r *rig) { r.backend(t, 1, loader.Backend{Down: true, Reset: true}) }},
		{in: web[2].in, want: send, out: back(P{From: "192.0.2.100:80", To: client, Flags: "R", Seq: 10, DF: true}), reasons: "answer_reset"},
	})},
	{"a real that failed, with reset, speaks first: both are told", then(web, []step{
		{do: func(t *testing.T, r *rig) { r.backend(t, 1, loader.Backend{Down: true, Reset: true}) }},
		{on: "lan", in: fromReal(P{From: "10.0.0.11:8080", To: client, Flags: "PA", Seq: 10, Ack: 13, Payload: "200"}), want: send,
			out: out(P{From: "192.0.2.100:80", To: client, Flags: "RPA", Seq: 10, Ack: 13, Payload: "200"}), reasons: "flow_hit forward_out"},
		{on: "lan", in: fromReal(P{From: "10.0.0.11:8080", To: client, Flags: "PA", Seq: 13, Ack: 13, Payload: "OK"}), want: send,
			out: &P{SrcMAC: lanMAC, DstMAC: realMAC, From: client, To: "10.0.0.11:8080", Flags: "R", Seq: 13, DF: true}, reasons: "answer_reset"},
		{in: web[2].in, want: send, out: back(P{From: "192.0.2.100:80", To: client, Flags: "R", Seq: 10, DF: true}), reasons: "answer_reset"},
	})},
	{"a removed real", then(web, []step{
		{do: func(t *testing.T, r *rig) { r.backend(t, 1, loader.Backend{Removed: true}) }},
		{in: web[2].in, want: send, out: back(P{From: "192.0.2.100:80", To: client, Flags: "R", Seq: 10, DF: true}), reasons: "answer_reset"},
		{on: "lan", in: fromReal(P{From: "10.0.0.11:8080", To: client, Flags: "A", Seq: 10, Ack: 8}), want: send, // data that crossed the client's
			out: out(P{From: "192.0.2.100:80", To: client, Flags: "RA", Seq: 10, Ack: 8}), reasons: "flow_hit forward_out"},
		{on: "lan", in: fromReal(P{From: "10.0.0.11:8080", To: client, Flags: "A", Seq: 10, Ack: 8}), want: send,
			out: &P{SrcMAC: lanMAC, DstMAC: realMAC, From: client, To: "10.0.0.11:8080", Flags: "R", Seq: 8, DF: true}, reasons: "answer_reset"},
	})},
}

// backend changes the flags of backend 1, and its vip's schedule with them.
func (r *rig) backend(t *testing.T, id loader.BackendID, b loader.Backend) {
	t.Helper()
	have, err := r.Tables()
	if err != nil {
		t.Fatal(err)
	}
	b.Vip, b.Real = have.Backends[id].Vip, have.Backends[id].Real
	s := loader.Schedule{Kind: loader.ByHash}
	if !b.Down && !b.Removed {
		s.Slots = []loader.BackendID{id}
	}
	if err := r.Apply([]loader.Step{loader.PutBackend{ID: id, Backend: b}, loader.PutSchedule{ID: b.Vip, Schedule: s}}); err != nil {
		t.Fatal(err)
	}
}

func TestTable(t *testing.T) {
	r := newRig(t, 1000, services)
	r.runTable(t, r.step)
}

// runTable gives every step of the table to run, for both hooks, each case without
// flows and with the first backend well.
func (r *rig) runTable(t *testing.T, run func(*testing.T, loader.Hook, string, step)) {
	for _, hook := range []loader.Hook{loader.HookXDP, loader.HookTC} {
		name := map[loader.Hook]string{loader.HookXDP: "XDP", loader.HookTC: "TC"}[hook]
		for _, test := range table {
			t.Run(name+"/"+test.name, func(t *testing.T) {
				r.enter(t)
				r.EndFlows(func(loader.Flow) bool { return true })
				r.backend(t, 1, loader.Backend{})
				for i, s := range test.steps {
					run(t, hook, fmt.Sprintf("step %d", i+1), s)
				}
			})
		}
	}
}

func (r *rig) step(t *testing.T, hook loader.Hook, name string, s step) {
	t.Helper()
	if s.do != nil {
		s.do(t, r)
		return
	}
	ifindex := r.wan
	if s.on == "lan" {
		ifindex = r.lan
	}
	frame := s.in.Frame()
	before := r.counted(t, hook)
	v, after, err := r.Run(hook, ifindex, frame)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if s.want == "pass or send" { // the FIB of the test decides
		return
	}
	if got := verdict(hook, v); got != s.want {
		t.Errorf("%s: %s, want %s", name, got, s.want)
	}
	want := strings.Fields(s.reasons)
	sort.Strings(want)
	if got := strings.Join(moved(before, r.counted(t, hook)), " "); got != strings.Join(want, " ") {
		t.Errorf("%s: counted %s, want %s", name, got, strings.Join(want, " "))
	}
	wanted := frame
	if s.out != nil {
		wanted = s.out.Frame()
	}
	if s.want == drop {
		return
	}
	if d := Differ(after, wanted); d != "" {
		t.Errorf("%s: %s", name, d)
	}
}

// moved are the counters that did, in order; each as often as it counted.
func moved(before, after map[string]uint64) (list []string) {
	for reason, n := range after {
		for range n - before[reason] {
			list = append(list, reason)
		}
	}
	sort.Strings(list)
	return list
}
