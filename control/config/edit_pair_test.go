package config

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

const alone = `# mine
legs:
  wan: {role: outside, interface: eth0} # to the world
  lan: {role: inside, interface: eth1}
floating:
  - {address: 10.0.0.254/24, leg: lan}
vips: # two
  - vip: 192.0.2.100:80
    leg: wan
    reals: [10.0.0.11]
  - vip: 192.0.2.100:443
    leg: wan
defaults: {check: none}
`

func newPair() NewPair {
	router := func(name, wan, lan, pin string, priority int) Router {
		return Router{
			Name: name, Priority: priority, Keys: []string{"sha256:" + strings.Repeat(pin, 64)},
			Addresses: map[string][]netip.Addr{
				"wan": {netip.MustParseAddr(wan), netip.MustParseAddr("2001:db8::" + pin)}, "lan": {netip.MustParseAddr(lan)},
				"hb": {netip.MustParseAddr("172.31.0." + pin)},
			},
		}
	}
	lb2 := router("lb2", "192.0.2.2", "10.0.0.2", "2", 100)
	lb2.Interfaces = map[string]string{"wan": "ens1"}
	return NewPair{
		VRID: 77, Routers: [2]Router{router("lb1", "192.0.2.1", "10.0.0.1", "1", 150), lb2},
		Legs: []Leg{{Name: "hb", Role: RolePair, Interface: "eth2"}},
	}
}

func TestAddPair(t *testing.T) {
	data, err := AddPair([]byte(alone), newPair())
	after := edited(t, data, err)
	for _, line := range []string{
		"  hb: {role: pair, interface: eth2}\n", `    addresses: {wan: [192.0.2.1, "2001:db8::1"], lan: 10.0.0.1, hb: 172.31.0.1}` + "\n", "    priority: 150\n",
		"    interfaces: {wan: ens1}\n", "pair: {vrid: 77}\n", "# mine\n", "# to the world\n", "vips: # two\n",
	} {
		if !strings.Contains(after, line) {
			t.Errorf("it lacks %q:\n%s", line, after)
		}
	}
	if _, err := AddPair(data, newPair()); !errors.Is(err, ErrExists) {
		t.Errorf("a second pair: %v", err)
	}
	for say, spoil := range map[string]func(*NewPair){
		"leg wan: exists":                               func(p *NewPair) { p.Legs[0].Name = "wan" },
		"is the priority of both routers":               func(p *NewPair) { p.Routers[1].Priority = 150 },
		"the pin of the router's key":                   func(p *NewPair) { p.Routers[0].Keys = nil },
		"lb2 has no IPv4 address of its own on leg lan": func(p *NewPair) { delete(p.Routers[1].Addresses, "lan") },
	} {
		p := newPair()
		spoil(&p)
		if _, err := AddPair([]byte(alone), p); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("it says %v, want %q", err, say)
		}
	}

	// And back again.
	data, err = RemovePair(data, true)
	if got := edited(t, data, err); got != alone {
		t.Errorf("taken out again:\n%s", diff(alone, got))
	}
}

func TestRemovePair(t *testing.T) {
	paired, err := AddPair([]byte(alone), newPair())
	if err != nil {
		t.Fatal(err)
	}
	data, err := RemovePair(paired, false)
	const want = `# mine
legs:
  wan: {role: outside, interface: eth0} # to the world
  lan: {role: inside, interface: eth1}
defaults: {check: none}
`
	if got := edited(t, data, err); got != want {
		t.Errorf("without the service:\n%s", got)
	}
	if _, err := RemovePair(data, true); err == nil {
		t.Error("one that is alone leaves")
	}
}
