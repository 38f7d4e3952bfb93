package loader

import (
	"testing"

	"github.com/cilium/ebpf"
)

// Whatever somebody else writes into the tables is seen, and taken back by the steps
// that wrote them.
func TestHolds(t *testing.T) {
	l := openTest(t, testBPFFS(t), 1000)
	want, steps := tablesSteps()
	if err := l.Apply(steps); err != nil {
		t.Fatal(err)
	}
	holds := func(what string, wanted bool) {
		t.Helper()
		if have, err := l.Holds(want); err != nil || have != wanted {
			t.Errorf("%s: holds %v (%v)", what, have, err)
		}
	}
	holds("as written", true)
	name4 := xdpName4{Address: word4(vipEndpoint("192.0.2.1:80", TCP).Addr()), Port: networkPort(80), Protocol: uint8(TCP)}
	for what, drift := range map[string]func() error{
		"a name deleted":           func() error { return l.maps.Names4.Delete(name4) },
		"a name of another vip":    func() error { return l.maps.Names4.Put(name4, uint32(2)) },
		"an IPv6 name deleted":     func() error { return deleteAll[xdpName6](l.maps.Names6) },
		"a real deleted":           func() error { return deleteAll[xdpName4](l.maps.Reals4) },
		"addresses deleted":        func() error { return deleteAll[[16]byte](l.maps.Addresses6) },
		"an address of other use":  func() error { return l.maps.Addresses4.Put(name4.Address, uint32(AddressReal)) },
		"a vip's record zeroed":    func() error { l.memory.vips[1] = xdpVip{}; return nil },
		"a vip's timeout in ticks": func() error { l.memory.vips[1].Timeouts[0]++; return nil },
		"a vip's schedule": func() error {
			l.memory.vips[1].Schedule = scheduleWord(linesTotal-1, 33, ByHash)
			return nil
		},
		"a slot": func() error {
			l.memory.schedules[wordFirst(l.memory.vips[2].Schedule)].Backends[1] = 1
			return nil
		},
		"a backend's record zeroed": func() error { l.memory.backends[7] = xdpBackend{}; return nil },
		"a backend's flag":          func() error { l.memory.backends[7].Flags ^= backendDown; return nil },
		"a backend's real":          func() error { l.memory.backends[7].Real.Words[0]++; return nil },
		"a backend's vip's port":    func() error { l.memory.backends[7].VipPort++; return nil },
	} {
		if err := drift(); err != nil {
			t.Fatal(err)
		}
		holds(what, false)
		if _, err := l.Tables(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		for i, step := range steps {
			if put, ok := step.(PutBackend); ok {
				put.Anew = true
				steps[i] = put
			}
		}
		if err := l.Apply(steps); err != nil {
			t.Fatal(err)
		}
		holds("after "+what, true)
	}
	more := vipEndpoint("192.0.2.1:81", TCP)
	for what, step := range map[string][2]Step{
		"another name":    {PutName{more, 1}, DeleteName{more}},
		"another real":    {PutReal{more, 1}, DeleteReal{more}},
		"another address": {PutAddress{vipEndpoint("192.0.2.2:1", TCP).Addr(), AddressVip}, DeleteAddress{vipEndpoint("192.0.2.2:1", TCP).Addr()}},
		"another vip":     {PutVip{9, Vip{Endpoint: more}}, DeleteVip{9}},
		"another backend": {PutBackend{ID: 9, Backend: want.Backends[7]}, DeleteBackend{9}},
	} {
		if err := l.Apply(step[:1]); err != nil {
			t.Fatal(err)
		}
		holds(what, false)
		if err := l.Apply(step[1:]); err != nil {
			t.Fatal(err)
		}
		holds("without "+what, true)
	}
}

func deleteAll[K any](m *ebpf.Map) (err error) {
	for key := range entries[K](m, &err) {
		if err := m.Delete(key); err != nil {
			return err
		}
	}
	return err
}
