package loader

import (
	"net/netip"
	"testing"
)

// What the other router tells of a flow ends what its replies could be taken for.
func TestMergeMakesWay(t *testing.T) {
	l, r := replicated(t)
	var steps []Step
	for i, v := range []struct{ vip, real string }{{"192.0.2.3:80", "10.0.0.1:80"}, {"192.0.2.3:81", "10.0.0.2:81"}, {"[2001:db8::3]:80", "[2001:db8:1::2]:80"}} {
		steps = append(steps, PutVip{VipID(5 + i), Vip{Endpoint: vipEndpoint(v.vip, TCP), Timeouts: testTimeouts}},
			PutBackend{ID: BackendID(6 + i), Backend: Backend{Vip: VipID(5 + i), Real: netip.MustParseAddrPort(v.real)}})
	}
	if err := l.Apply(steps); err != nil {
		t.Fatal(err)
	}
	client6 := netip.MustParseAddrPort("[2001:db8:2::5]:4711")
	stranger := netip.MustParseAddrPort("203.0.113.5:4712")
	for _, test := range []struct {
		name      string
		here, put Flow
		stays     bool
	}{
		{"over", Flow{Client: putClient, Vip: 5, Backend: 6, State: Closed}, Flow{Client: putClient, Vip: 1, Backend: 1, State: Established}, false},
		{"half open", Flow{Client: putClient, Vip: 5, Backend: 6, State: Answered}, Flow{Client: putClient, Vip: 1, Backend: 1, State: FinReal}, false},
		{"established", Flow{Client: putClient, Vip: 5, Backend: 6, State: Established}, Flow{Client: putClient, Vip: 1, Backend: 1, State: Established}, true},
		{"of another real", Flow{Client: putClient, Vip: 5, Backend: 6, State: Closed}, Flow{Client: putClient, Vip: 1, Backend: 5, State: Established}, true},
		{"of another client", Flow{Client: stranger, Vip: 5, Backend: 6, State: Closed}, Flow{Client: putClient, Vip: 1, Backend: 1, State: Established}, true},
		{"for one that is over too", Flow{Client: putClient, Vip: 5, Backend: 6, State: Closed}, Flow{Client: putClient, Vip: 1, Backend: 1, State: Closed}, true},
		{"IPv6", Flow{Client: client6, Vip: 7, Backend: 8, State: Closed}, Flow{Client: client6, Vip: 3, Backend: 3, State: Established}, false},
		{"for an any-port vip", Flow{Client: putClient, Vip: 6, Backend: 7, State: Closed}, Flow{Client: putClient, Vip: 4, VipPort: 81, Backend: 4, State: Established}, false},
		{"for its other port", Flow{Client: putClient, Vip: 6, Backend: 7, State: Closed}, Flow{Client: putClient, Vip: 4, VipPort: 82, Backend: 4, State: Established}, true},
		{"of an any-port vip", Flow{Client: putClient, Vip: 4, VipPort: 81, Backend: 4, State: Closed}, Flow{Client: putClient, Vip: 6, Backend: 7, State: Established}, false},
	} {
		for _, again := range []bool{false, true} { // the flow is new here, or there
			if again {
				put(t, l, FlowPut{Client: test.put.Client, Backend: test.put.Backend, VipPort: test.put.VipPort, State: Handshake})
			}
			put(t, l, FlowPut{Client: test.here.Client, Backend: test.here.Backend, VipPort: test.here.VipPort, State: test.here.State})
			r.Merge(test.put, func(Entry, bool) (Entry, Act) { return Entry{test.put, FlowSent}, Write })
			if full, err := r.Settle(); full > 0 || err != nil {
				t.Fatal(full, err)
			}
			is := map[VipID]bool{}
			for _, flow := range []Flow{test.here, test.put} {
				r.Merge(flow, func(have Entry, found bool) (Entry, Act) { is[flow.Vip] = found; return have, End })
			}
			if is[test.here.Vip] != test.stays || !is[test.put.Vip] {
				t.Errorf("%s, again: %v: stays: %v, want %v; is there: %v", test.name, again, is[test.here.Vip], test.stays, is[test.put.Vip])
			}
		}
	}
}
