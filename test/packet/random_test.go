package packet

import (
	"flag"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tarpon-lb/tarpon/loader"
	"pgregory.net/rapid"
)

// crowded has vips that share reals, by port and by any port, in few names: what
// can collide does.
var crowded = []service{
	{vip: "192.0.2.100:80", protocol: loader.TCP, reals: []string{"10.0.0.11:80", "10.0.0.12:8080", "10.0.0.13:80"}},
	{vip: "192.0.2.101:80", protocol: loader.TCP, reals: []string{"10.0.0.11:80"}},
	{vip: "192.0.2.102:0", protocol: loader.TCP, reals: []string{"10.0.0.11:0", "10.0.0.14:0"}},
	{vip: "192.0.2.100:80", protocol: loader.UDP, reals: []string{"10.0.0.11:80", "10.0.0.12:53"}},
	{vip: "192.0.2.103:53", protocol: loader.UDP, reals: []string{"10.0.0.11:80"}},
	{vip: "192.0.2.104:80", protocol: loader.TCP, dropEmpty: true, reals: []string{"10.0.0.12:8080"}},
	{vip: "[2001:db8:1::100]:80", protocol: loader.TCP, reals: []string{"[2001:db8:2::11]:80", "[2001:db8:2::12]:8080"}},
	{vip: "[2001:db8:1::101]:0", protocol: loader.TCP, reals: []string{"[2001:db8:2::11]:0"}},
	{vip: "[2001:db8:1::101]:80", protocol: loader.UDP, reals: []string{"[2001:db8:2::11]:80"}},
}

var clients = map[bool][]string{
	false: {"203.0.113.5:40000", "203.0.113.5:40001", "203.0.113.6:40000"},
	true:  {"[2001:db8:5::5]:40000", "[2001:db8:5::5]:40001", "[2001:db8:6::5]:40000"},
}

// history is a random one, through both hooks by turns.
type history struct {
	*rig
	model *model
}

const hour = time.Hour // no flow of a history ends by itself

func newHistory(rt *rapid.T, r *rig) *history {
	if err := r.FinishUpgrade(loader.Here); err != nil { // of one that failed
		rt.Fatal(err)
	}
	r.EndFlows(func(loader.Flow) bool { return true })
	r.Sweep()
	r.Sweep() // or the slots of the last history are not free yet
	h := &history{rig: r, model: &model{services: crowded, down: map[string]bool{}}}
	for i := range crowded {
		h.publish(rt, i)
	}
	return h
}

// Every packet of a random history does what the model says, byte for byte, and
// after it the table holds the model's flows.
func TestRandomHistories(t *testing.T) {
	r := newRig(t, 1000, crowded)
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(rt, r)
		rt.Repeat(map[string]func(*rapid.T){
			"client": h.client, "client again": h.client, "real": h.real, "fail": h.fail, "": h.compare,
		})
	})
}

// The same while the flows of a history come over to tables of another size: wherever
// a packet's flow lies, the packet does what the model says. After, the table holds the
// model's flows.
func TestRandomHistoriesBetweenTables(t *testing.T) {
	checks := flag.Lookup("rapid.checks").Value
	many := checks.String()
	if err := checks.Set("6"); err != nil { // each loads programs, for seconds
		t.Fatal(err)
	}
	usual := timeouts
	timeouts = loader.Timeouts{Handshake: hour, Established: hour, Closing: hour, Closed: hour, UDP: hour, UDPUnreplied: hour}
	defer func() { _, timeouts = checks.Set(many), usual }()
	r := newRig(t, 1000, crowded)
	size := 1000
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(rt, r)
		actions := map[string]func(*rapid.T){
			"client": h.client, "client again": h.client, "real": h.real, "fail": h.fail,
			"": func(*rapid.T) { h.Sweep() }, // or slots of ended flows fill their buckets
		}
		for range 3 {
			rt.Repeat(actions)
		}
		size = 21_000 - size
		if err := r.Resize(size, size, loader.Here); err != nil {
			rt.Fatal(err)
		}
		for range 3 {
			rt.Repeat(actions)
		}
		if err := r.FinishUpgrade(loader.Here); err != nil {
			rt.Fatal(err)
		}
		h.compare(rt)
		rt.Repeat(actions)
		h.compare(rt)
	})
}

func drawPacket(rt *rapid.T, p P) P {
	p.TTL = rapid.SampledFrom([]uint8{64, 64, 64, 255, 2, 1}).Draw(rt, "ttl")
	p.Payload = strings.Repeat("x", rapid.SampledFrom([]int{0, 0, 1, 5, 1400}).Draw(rt, "bytes"))
	if p.udp() {
		p.NoUDPSum = ends(p.From).Addr().Is4() && rapid.Bool().Draw(rt, "no checksum")
		return p
	}
	p.Flags = rapid.SampledFrom([]string{"S", "SA", "A", "A", "PA", "FA", "R", "RA", "SF", "P"}).Draw(rt, "flags")
	p.Seq, p.Ack = rapid.Uint32().Draw(rt, "seq"), rapid.Uint32().Draw(rt, "ack")
	return p
}

func (h *history) client(rt *rapid.T) {
	s := rapid.SampledFrom(crowded).Draw(rt, "service")
	vip := netip.MustParseAddrPort(s.vip)
	if vip.Port() == 0 {
		vip = netip.AddrPortFrom(vip.Addr(), rapid.SampledFrom([]uint16{80, 8080}).Draw(rt, "port"))
	}
	p := P{From: rapid.SampledFrom(clients[vip.Addr().Is6()]).Draw(rt, "client"), To: vip.String()}
	if s.protocol == loader.UDP {
		p.Proto = "udp"
	}
	p = in(drawPacket(rt, p))
	h.one(rt, h.wan, p, h.model.fromClient(p))
}

func (h *history) real(rt *rapid.T) {
	if len(h.model.flows) == 0 {
		rt.Skip("no flow yet")
	}
	f := rapid.SampledFrom(h.model.flows).Draw(rt, "flow")
	p := P{From: f.at.String(), To: f.client.String()}
	if f.udp {
		p.Proto = "udp"
	}
	if rapid.IntRange(0, 9).Draw(rt, "stray") == 0 { // of no flow
		p.To = netip.AddrPortFrom(f.client.Addr(), 40009).String()
	}
	p = fromReal(drawPacket(rt, p))
	h.one(rt, h.lan, p, h.model.fromReal(p))
}

// fail makes a real fail or recover; now and then what a failure means changes.
func (h *history) fail(rt *rapid.T) {
	i := rapid.IntRange(0, len(crowded)-1).Draw(rt, "service")
	key := crowded[i].vip + " " + rapid.SampledFrom(crowded[i].reals).Draw(rt, "real")
	h.model.down[key] = !h.model.down[key]
	h.model.reset = rapid.Bool().Draw(rt, "reset")
	for i := range crowded {
		h.publish(rt, i)
	}
}

// publish brings a service's backends and schedule to what the model says.
func (h *history) publish(rt *rapid.T, i int) {
	s := crowded[i]
	id, backend := loader.VipID(i+1), loader.BackendID(0)
	for _, earlier := range crowded[:i] {
		backend += loader.BackendID(len(earlier.reals))
	}
	schedule := loader.Schedule{Kind: loader.ByHash}
	var steps []loader.Step
	for _, real := range s.reals {
		backend++
		down := h.model.down[s.vip+" "+real]
		steps = append(steps, loader.PutBackend{ID: backend, Backend: loader.Backend{
			Vip: id, Real: netip.MustParseAddrPort(real), Down: down, Reset: h.model.reset,
		}})
		if !down {
			schedule.Slots = append(schedule.Slots, backend)
		}
	}
	if err := h.Apply(append(steps, loader.PutSchedule{ID: id, Schedule: schedule})); err != nil {
		rt.Fatal(err)
	}
}

// one runs a packet; it must come out as one of the outcomes.
func (h *history) one(rt *rapid.T, ifindex int, p P, outcomes []outcome) {
	hook := rapid.SampledFrom([]loader.Hook{loader.HookXDP, loader.HookTC}).Draw(rt, "hook")
	v, after, err := h.Run(hook, ifindex, p.Frame())
	if err != nil {
		rt.Fatal(err)
	}
	differ := ""
	for _, o := range outcomes {
		d := ""
		if got := verdict(hook, v); got != o.verdict {
			d = fmt.Sprintf("%s, want %s", got, o.verdict)
		} else if got != drop {
			d = Differ(after, o.out.Frame())
		}
		// An answer of Tarpon's own does not show which real was chosen.
		if d == "" && o.flow != nil && !slices.Contains(h.table(), h.line(o.flow)) && p.TTL == 1 {
			continue
		}
		if d == "" {
			if o.then != nil {
				o.then()
			}
			return
		}
		differ += "\n" + d
	}
	rt.Fatalf("%s -> %s %s, ttl %d: none of %d outcomes:%s", p.From, p.To, p.Flags, p.TTL, len(outcomes), differ)
}

// compare holds the table against the model's flows, after a sweep that must not
// end one: none is old.
func (h *history) compare(rt *rapid.T) {
	if ended := h.Sweep().Ended; ended > 0 {
		rt.Fatalf("the sweep ended %d flows", ended)
	}
	got, want := h.table(), []string{}
	for _, f := range h.model.flows {
		want = append(want, h.line(f))
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		rt.Fatalf("the table:\n%s\nthe model:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// line is a flow of the model, as table lists it.
func (h *history) line(f *modelFlow) string {
	port := uint16(0)
	if netip.MustParseAddrPort(f.service.vip).Port() == 0 {
		port = f.vip.Port()
	}
	return fmt.Sprint(f.client, " ", f.service.vip, " ", port, " ", f.real, " ", f.state)
}

// table is every flow that the maps hold, in order.
func (h *history) table() []string {
	list := []string{}
	for f := range h.Flows() {
		list = append(list, fmt.Sprint(f.Client, " ", crowded[f.Vip-1].vip, " ", f.VipPort, " ", h.realOf(f), " ", f.State))
	}
	slices.Sort(list)
	return list
}

func (h *history) realOf(f loader.Flow) string {
	var reals []string
	for _, s := range crowded {
		reals = append(reals, s.reals...)
	}
	return reals[f.Backend-1]
}
