package control

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/control/config"
	"github.com/tarpon-lb/tarpon/loader"
)

const shop = `
legs: {net: {role: both, interface: eth0}}
vips:
  - {vip: "192.0.2.1:80", name: shop, leg: net, reals: [10.0.0.11:8080]}
  - {vip: "192.0.2.1:80/udp", leg: net}
  - {vip: "192.0.2.2:0", leg: net, check: none, reals: [10.0.0.12]}
`

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func at(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func TestFlowFilter(t *testing.T) {
	c := &Controller{config: parse(t, shop)}
	web := loader.Endpoint{AddrPort: at("192.0.2.1:80"), Protocol: loader.TCP}
	any := loader.Endpoint{AddrPort: at("192.0.2.2:0"), Protocol: loader.TCP}
	toWeb := loader.Flow{Client: at("198.51.100.7:40000"), State: loader.Established}
	toAny := loader.Flow{Client: at("198.51.100.8:40000"), State: loader.Handshake, VipPort: 443}
	for _, test := range []struct {
		filter   api.FlowFilter
		web, any bool // whether it has the flows
	}{
		{api.FlowFilter{}, true, true},
		{api.FlowFilter{Vip: "shop"}, true, false},
		{api.FlowFilter{Vip: "192.0.2.1:80"}, true, false},
		{api.FlowFilter{Vip: "192.0.2.1:80/udp"}, false, false},
		{api.FlowFilter{Real: "10.0.0.11"}, true, false},
		{api.FlowFilter{Real: "10.0.0.11:8080"}, true, false},
		{api.FlowFilter{Real: "10.0.0.11:80"}, false, false},
		{api.FlowFilter{Real: "10.0.0.12:443"}, false, true},
		{api.FlowFilter{Real: "10.0.0.12:444"}, false, false},
		{api.FlowFilter{Client: "198.51.100.7"}, true, false},
		{api.FlowFilter{Client: "198.51.100.1/24"}, true, true},
		{api.FlowFilter{Client: "2001:db8::/32"}, false, false},
		{api.FlowFilter{State: "established"}, true, false},
		{api.FlowFilter{Vip: "shop", State: "handshake"}, false, false},
	} {
		m, err := c.matcher(test.filter)
		if err != nil {
			t.Errorf("%+v: %v", test.filter, err)
			continue
		}
		if got := m.matches(toWeb, web, realOf(toWeb, web, at("10.0.0.11:8080"))); got != test.web {
			t.Errorf("%+v has the flow to the web vip: %v", test.filter, got)
		}
		if got := m.matches(toAny, any, realOf(toAny, any, at("10.0.0.12:0"))); got != test.any {
			t.Errorf("%+v has the flow to the any-port vip: %v", test.filter, got)
		}
	}
}

func TestFlowFilterIsRefused(t *testing.T) {
	c := &Controller{config: parse(t, shop)}
	for _, test := range []struct {
		filter api.FlowFilter
		want   api.Error
	}{
		{api.FlowFilter{Vip: "cart"}, api.Error{Code: api.CodeMissing, Message: "there is no vip cart"}},
		{api.FlowFilter{Real: "web1"}, api.Error{Code: api.CodeInvalid, Message: `"web1" is no real`}},
		{api.FlowFilter{Client: "10.0.0.0/33"}, api.Error{Code: api.CodeInvalid, Message: `"10.0.0.0/33" is no address or prefix of clients`}},
		{api.FlowFilter{State: "open"}, api.Error{Code: api.CodeInvalid, Message: `"open" is no state of a flow`}},
		{api.FlowFilter{State: "gone"}, api.Error{Code: api.CodeInvalid, Message: `"gone" is no state of a flow`}},
	} {
		_, err := c.matcher(test.filter)
		var told *api.Error
		if !errors.As(err, &told) || !cmp.Equal(*told, test.want) {
			t.Errorf("%+v: %v, want %v", test.filter, err, test.want)
		}
	}
}

func TestFlowView(t *testing.T) {
	flow := loader.Flow{Client: at("[2001:db8::7]:5353"), VipPort: 443, State: loader.UDPReplied, Idle: 2900 * time.Millisecond}
	for _, test := range []struct{ vip, real, wantVip, wantReal string }{
		{"[2001:db8::1]:53", "[2001:db8::11]:5300", "[2001:db8::1]:53", "[2001:db8::11]:5300"},
		{"[2001:db8::1]:0", "[2001:db8::11]:0", "[2001:db8::1]:443", "[2001:db8::11]:443"},
	} {
		vip := loader.Endpoint{AddrPort: at(test.vip), Protocol: loader.UDP}
		want := api.Flow{Protocol: "udp", Client: "[2001:db8::7]:5353", Vip: test.wantVip, Real: test.wantReal, State: "replied", Idle: 2}
		if diff := cmp.Diff(want, flowView(flow, vip, realOf(flow, vip, at(test.real)))); diff != "" {
			t.Error(diff)
		}
	}
}
