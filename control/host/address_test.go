package host

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func on(name, p string) Address { return Address{name, prefix(p)} }

func TestPlanAddresses(t *testing.T) {
	index := map[string]int{"wan": 1, "lan": 2}
	own := []haveAddress{{1, prefix("192.0.2.1/24"), unix.IFA_F_PERMANENT}, {1, prefix("2001:db8::1/64"), unix.IFA_F_PERMANENT}}
	const noRoute, noDAD = unix.IFA_F_NOPREFIXROUTE, unix.IFA_F_NODAD
	for _, test := range []struct {
		name string
		want []Address
		ours []haveAddress // and there
		plan addressPlan
	}{
		{"nothing", nil, nil, addressPlan{}},
		{"a vip", []Address{on("wan", "192.0.2.100/32")}, nil, addressPlan{add: []plannedAddress{{on("wan", "192.0.2.100/32"), 0, false}}}},
		{"of several vips", []Address{on("wan", "192.0.2.100/32"), on("wan", "192.0.2.100/32")}, nil,
			addressPlan{add: []plannedAddress{{on("wan", "192.0.2.100/32"), 0, false}}}},
		{"an IPv6 vip is no source", []Address{on("wan", "2001:db8::100/128")}, nil,
			addressPlan{add: []plannedAddress{{on("wan", "2001:db8::100/128"), noRoute | noDAD, true}}}},
		{"floating beside an own one", []Address{on("wan", "192.0.2.254/24")}, nil,
			addressPlan{add: []plannedAddress{{on("wan", "192.0.2.254/24"), noRoute, false}}}},
		{"floating in a wider network", []Address{on("wan", "192.0.2.254/16")}, nil,
			addressPlan{add: []plannedAddress{{on("wan", "192.0.2.254/16"), 0, false}}}},
		{"floating, the only one: its route is needed", []Address{on("lan", "10.0.0.254/24")}, nil,
			addressPlan{add: []plannedAddress{{on("lan", "10.0.0.254/24"), 0, false}}}},
		{"IPv6 floating, the only one", []Address{on("lan", "fe80::1/64")}, nil,
			addressPlan{add: []plannedAddress{{on("lan", "fe80::1/64"), noDAD, true}}}},
		{"there already", []Address{on("lan", "10.0.0.254/24")}, []haveAddress{{2, prefix("10.0.0.254/24"), 0}}, addressPlan{}},
		{"there before an own one", []Address{on("wan", "192.0.2.254/24")}, []haveAddress{{1, prefix("192.0.2.254/24"), 0}},
			addressPlan{remove: []Address{on("wan", "192.0.2.254/24")}, add: []plannedAddress{{on("wan", "192.0.2.254/24"), noRoute, false}}}},
		{"its own one went", []Address{on("lan", "10.0.0.254/24")}, []haveAddress{{2, prefix("10.0.0.254/24"), noRoute}},
			addressPlan{remove: []Address{on("lan", "10.0.0.254/24")}, add: []plannedAddress{{on("lan", "10.0.0.254/24"), 0, false}}}},
		{"no longer wanted", nil, []haveAddress{{2, prefix("10.0.0.254/24"), 0}}, addressPlan{remove: []Address{on("lan", "10.0.0.254/24")}}},
		{"with another prefix", []Address{on("lan", "10.0.0.254/25")}, []haveAddress{{2, prefix("10.0.0.254/24"), 0}},
			addressPlan{remove: []Address{on("lan", "10.0.0.254/24")}, add: []plannedAddress{{on("lan", "10.0.0.254/25"), 0, false}}}},
		{"from one leg to another", []Address{on("wan", "10.0.0.254/24")}, []haveAddress{{2, prefix("10.0.0.254/24"), 0}},
			addressPlan{remove: []Address{on("lan", "10.0.0.254/24")}, add: []plannedAddress{{on("wan", "10.0.0.254/24"), 0, false}}}},
		{"another's is used", []Address{on("wan", "192.0.2.1/32")}, nil, addressPlan{foreign: []Address{on("wan", "192.0.2.1/32")}}},
		{"another's is used as a floating one", []Address{on("wan", "192.0.2.1/24"), on("wan", "2001:db8::1/64")}, nil,
			addressPlan{foreign: []Address{on("wan", "192.0.2.1/24"), on("wan", "2001:db8::1/64")}}},
		{"an interface that is not there", []Address{on("dmz", "192.0.2.100/32")}, nil, addressPlan{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			ours := func(index int, p netip.Prefix) bool {
				for _, h := range test.ours {
					if h.index == index && h.prefix == p {
						return true
					}
				}
				return false
			}
			got := planAddresses(test.want, append(own[:len(own):len(own)], test.ours...), index, ours)
			if diff := cmp.Diff(test.plan, got, cmp.AllowUnexported(addressPlan{}, plannedAddress{}), comparePrefixes); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func setAddresses(t *testing.T, h *Host, want ...Address) Addresses {
	t.Helper()
	done, err := h.SetAddresses(want)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// lines of `ip` about an interface's addresses.
func addressLines(t *testing.T, name string) string {
	t.Helper()
	return run(t, "ip -o addr show dev "+name)
}

func TestAddressesComeAndGo(t *testing.T) {
	h, dir := openTest(t, pair+"ip addr add 192.0.2.1/24 dev wan\nip addr add 2001:db8::1/64 dev wan nodad")
	want := []Address{on("wan", "192.0.2.100/32"), on("wan", "192.0.2.254/24"), on("wan", "2001:db8::100/128"), on("lo", "198.51.100.1/32")}
	done := setAddresses(t, h, want...)
	if len(done.Added) != 4 || len(done.Removed)+len(done.Foreign) != 0 {
		t.Errorf("done: %+v", done)
	}
	for _, a := range want {
		if shown := addressLines(t, a.Interface); !strings.Contains(shown, " "+strings.TrimSuffix(a.Prefix.String(), "/32")) {
			t.Errorf("%s is not there:\n%s", a, shown)
		}
	}
	for to, source := range map[string]string{"192.0.2.9": "192.0.2.1", "2001:db8::9": "2001:db8::1"} {
		if route := run(t, "ip route get "+to); !strings.Contains(route, "src "+source+" ") {
			t.Errorf("what is sent to %s has another source than the router's own address: %s", to, route)
		}
	}
	if again := setAddresses(t, h, want...); len(again.Added)+len(again.Removed) != 0 {
		t.Errorf("a second call did %+v", again)
	}
	later, err := Open(dir) // a daemon that was killed leaves the record
	if err != nil {
		t.Fatal(err)
	}
	defer later.Close()
	undone, err := later.Undo()
	if err != nil || len(undone.Addresses) != 4 {
		t.Errorf("undone: %v (%v)", undone.Addresses, err)
	}
	shown := addressLines(t, "wan") + addressLines(t, "lo")
	for _, a := range want {
		if strings.Contains(shown, a.Prefix.Addr().String()+"/") {
			t.Errorf("%s is left:\n%s", a, shown)
		}
	}
	if !strings.Contains(shown, "192.0.2.1/24") || !strings.Contains(shown, "2001:db8::1/64") {
		t.Errorf("the router's own address is gone:\n%s", shown)
	}
}

// An address that is there before us is used, is not ours and stays.
func TestAddressOfSomebodyElse(t *testing.T) {
	h, _ := openTest(t, pair+"ip addr add 192.0.2.100/24 dev wan")
	vip := on("wan", "192.0.2.100/32")
	for range 2 {
		done := setAddresses(t, h, vip)
		if diff := cmp.Diff(Addresses{Foreign: []Address{vip}}, done, comparePrefixes); diff != "" {
			t.Error(diff)
		}
	}
	if made := h.Made().Addresses(); len(made) > 0 {
		t.Errorf("recorded as ours: %v", made)
	}
	setAddresses(t, h)
	if _, err := h.Undo(); err != nil {
		t.Fatal(err)
	}
	if shown := addressLines(t, "wan"); !strings.Contains(shown, "192.0.2.100/24") {
		t.Errorf("it is gone:\n%s", shown)
	}
}

// The kernel would delete an address of somebody else that came after ours, in
// ours' network, along with it.
func TestOthersInTheNetworkOfOurs(t *testing.T) {
	h, _ := openTest(t, pair)
	before, _ := h.sysctls.read("net/ipv4/conf/lan/promote_secondaries")
	setAddresses(t, h, on("lan", "10.0.0.254/24"))
	run(t, "ip addr add 10.0.0.7/24 dev lan")
	setAddresses(t, h)
	shown := addressLines(t, "lan")
	if !strings.Contains(shown, "10.0.0.7/24") || strings.Contains(shown, "10.0.0.254") {
		t.Errorf("left:\n%s", shown)
	}
	if after, _ := h.sysctls.read("net/ipv4/conf/lan/promote_secondaries"); after != before || len(h.Made().Sysctls()) > 0 {
		t.Errorf("promote_secondaries was %s, is %s, recorded %v", before, after, h.Made().Sysctls())
	}
}

func TestAddressesAreRecordedFirst(t *testing.T) {
	h, dir := openTest(t, pair)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := h.SetAddresses([]Address{on("wan", "192.0.2.100/32")}); err == nil {
		t.Error("added without a record")
	}
	if shown := addressLines(t, "wan"); strings.Contains(shown, "192.0.2.100") {
		t.Errorf("it is there:\n%s", shown)
	}
}

// A floating address that was there before the router's own one, as on an interface
// that has just come, makes room for it as the one that the router speaks from.
func TestFloatingBeforeOwn(t *testing.T) {
	h, _ := openTest(t, pair)
	floating := []Address{on("lan", "10.0.0.254/24"), on("lan", "2001:db8::fe/64")}
	setAddresses(t, h, floating...)
	run(t, "ip addr add 10.0.0.1/24 dev lan")
	run(t, "ip addr add 2001:db8::1/64 dev lan nodad")
	setAddresses(t, h, floating...)
	if again := setAddresses(t, h, floating...); len(again.Added)+len(again.Removed) != 0 {
		t.Errorf("a third call did %+v", again)
	}
	if shown := addressLines(t, "lan"); !strings.Contains(shown, "10.0.0.254/24 scope global secondary noprefixroute") {
		t.Error(shown)
	}
	for to, source := range map[string]string{"10.0.0.9": "10.0.0.1", "2001:db8::9": "2001:db8::1"} {
		if route := run(t, "ip route get "+to); !strings.Contains(route, "src "+source+" ") {
			t.Errorf("to %s: %s", to, route)
		}
	}
}

// What cannot be added is an error and on no record; the others are added. An
// interface that is not there is waited for.
func TestAddressesThatCannotBe(t *testing.T) {
	h, _ := openTest(t, pair+"sysctl -qw net.ipv6.conf.wan.disable_ipv6=1")
	done, err := h.SetAddresses([]Address{on("dmz", "192.0.2.99/32"), on("wan", "2001:db8::100/128"), on("wan", "192.0.2.100/32")})
	if err == nil || strings.Contains(err.Error(), "dmz") || !strings.Contains(err.Error(), "is IPv6 off there (net.ipv6.conf.wan.disable_ipv6)?") {
		t.Errorf("the error is %v", err)
	}
	if len(done.Added) != 1 || len(h.Made().Addresses()) != 1 {
		t.Errorf("added %v, recorded %v", done.Added, h.Made().Addresses())
	}
}

// The record forgets what went without us.
func TestAddressesThatWent(t *testing.T) {
	h, _ := openTest(t, pair)
	setAddresses(t, h, on("wan", "192.0.2.100/32"), on("lan", "10.0.0.254/24"))
	run(t, "ip addr del 192.0.2.100/32 dev wan")
	done := setAddresses(t, h, on("wan", "192.0.2.100/32"), on("lan", "10.0.0.254/24"))
	if len(done.Added) != 1 {
		t.Errorf("added again: %v", done.Added)
	}
	run(t, "ip link del wan")
	setAddresses(t, h, on("wan", "192.0.2.100/32"))
	if made := h.Made().Addresses(); len(made) > 0 {
		t.Errorf("the record has %v", made)
	}
}
