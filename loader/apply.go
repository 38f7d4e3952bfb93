package loader

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
)

// beatSteps take some milliseconds.
const beatSteps = 4096

// Apply takes the steps in their order. It stops at the first that fails; those
// before it stay. Steps that were taken are not lost: Tables shows them.
func (l *Loader) Apply(steps []Step) error {
	l.meaning.change()
	defer l.meaning.Unlock()
	defer l.setLongest()
	for n, step := range steps {
		if n%beatSteps == beatSteps-1 {
			l.beat()
		}
		if err := step.apply(l); err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
	}
	return nil
}

func (s PutVip) apply(l *Loader) error {
	if s.ID == 0 || !s.Vip.Endpoint.IsValid() {
		return errors.New("not a vip")
	}
	record := &l.memory.vips[s.ID]
	fresh := s.Vip.record()
	fresh.Schedule = record.Schedule
	for t, ticks := range fresh.Timeouts { // before the first flow; Apply makes it exact
		longest := &l.memory.limits[0].Longest[t]
		*longest = max(*longest, ticks)
	}
	*record = fresh
	return nil
}

// record is what the program reads of a vip, but for its schedule.
func (v Vip) record() (r xdpVip) {
	e := v.Endpoint
	r.Address, r.Port, r.Protocol = toAddress(e.Addr()), networkPort(e.Port()), uint8(e.Protocol)
	r.Timeouts, r.Seconds = timeoutFields(v.Timeouts)
	r.Flags = flags(v.DropEmpty, vipDropEmpty) | flags(v.RejectMidStream, vipRejectMidStream) |
		flags(e.Port() == 0, vipAnyPort) | flags(e.Addr().Is6(), vipIPv6)
	return r
}

func (s DeleteVip) apply(l *Loader) error {
	l.schedules.release(s.ID, time.Now())
	l.memory.vips[s.ID] = xdpVip{}
	return nil
}

// setLongest tells inserts which flows are dead whatever vip they have.
func (l *Loader) setLongest() {
	var longest [8]uint16
	for i := range l.memory.vips {
		if v := &l.memory.vips[i]; v.Protocol != 0 {
			for t, ticks := range v.Timeouts {
				longest[t] = max(longest[t], ticks)
			}
		}
	}
	l.memory.limits[0].Longest = longest
}

func (s PutBackend) apply(l *Loader) error {
	record := &l.memory.backends[s.ID]
	vip := &l.memory.vips[s.Backend.Vip]
	if s.ID == 0 || vip.Protocol == 0 {
		return fmt.Errorf("there is no vip %d", s.Backend.Vip)
	}
	fresh := s.Backend.record(vip)
	if record.VipId == 0 || s.Anew {
		*record = fresh
		return nil
	}
	if record.VipId != fresh.VipId || record.Real != fresh.Real || record.RealPort != fresh.RealPort {
		return errors.New("its flows still mean another vip or real")
	}
	record.Flags = fresh.Flags
	return nil
}

// record is what the program reads of a backend, but for its next hop.
func (b Backend) record(vip *xdpVip) xdpBackend {
	return xdpBackend{
		Real: toAddress(b.Real.Addr()), RealPort: networkPort(b.Real.Port()),
		Vip: vip.Address, VipPort: vip.Port, VipId: uint16(b.Vip), Protocol: vip.Protocol,
		Flags: flags(b.Down, backendDown) | flags(b.Reset, backendReset) |
			flags(b.Removed, backendRemoved) | flags(b.Real.Addr().Is6(), backendIPv6),
	}
}

func (s DeleteBackend) apply(l *Loader) error {
	l.memory.backends[s.ID] = xdpBackend{}
	zero := make([]xdpTraffic, ebpf.MustPossibleCPU())
	return l.maps.TrafficOf.Put(uint32(s.ID), zero)
}

func (s PutName) apply(l *Loader) error {
	m, key := nameKey(s.Endpoint, l.maps.Names4, l.maps.Names6)
	return m.Put(key, uint32(s.ID))
}

func (s DeleteName) apply(l *Loader) error {
	m, key := nameKey(s.Endpoint, l.maps.Names4, l.maps.Names6)
	return m.Delete(key)
}

func (s PutReal) apply(l *Loader) error {
	m, key := nameKey(s.Real, l.maps.Reals4, l.maps.Reals6)
	return m.Put(key, uint32(s.ID))
}

func (s DeleteReal) apply(l *Loader) error {
	m, key := nameKey(s.Real, l.maps.Reals4, l.maps.Reals6)
	return m.Delete(key)
}

func (s PutAddress) apply(l *Loader) error {
	m, key := l.addressKey(s.Addr)
	return m.Put(key, uint32(s.Use))
}

func (s DeleteAddress) apply(l *Loader) error {
	m, key := l.addressKey(s.Addr)
	return m.Delete(key)
}

func nameKey(e Endpoint, names4, names6 *ebpf.Map) (*ebpf.Map, any) {
	if e.Addr().Is4() {
		return names4, xdpName4{
			Address: word4(e.Addr()), Port: networkPort(e.Port()), Protocol: uint8(e.Protocol),
		}
	}
	return names6, xdpName6{
		Address: toAddress(e.Addr()), Port: networkPort(e.Port()), Protocol: uint8(e.Protocol),
	}
}

func (l *Loader) addressKey(addr netip.Addr) (*ebpf.Map, any) {
	if addr.Is4() {
		return l.maps.Addresses4, word4(addr)
	}
	return l.maps.Addresses6, xdpAddress6{Address: toAddress(addr)}
}

func flags(set bool, bit uint8) uint8 {
	if set {
		return bit
	}
	return 0
}

// timeoutFields are in the order of bpf/abi.h, enum timeout.
func timeoutFields(t Timeouts) (inTicks [6]uint16, seconds [6]uint32) {
	for i, d := range []time.Duration{
		t.Handshake, t.Established, t.Closing, t.Closed, t.UDP, t.UDPUnreplied,
	} {
		inTicks[i], seconds[i] = ticks(d), uint32(d/time.Second)
	}
	return inTicks, seconds
}

func timeoutsOf(record *xdpVip) Timeouts {
	in := func(i int) time.Duration { return time.Duration(record.Seconds[i]) * time.Second }
	return Timeouts{
		Handshake: in(0), Established: in(1), Closing: in(2), Closed: in(3), UDP: in(4), UDPUnreplied: in(5),
	}
}
