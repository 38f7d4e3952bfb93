package loader

import (
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
)

// Tables reads what the program balances by from the kernel.
func (l *Loader) Tables() (Tables, error) {
	t := NewTables()
	for id := range l.memory.vips {
		record := &l.memory.vips[id]
		if record.Protocol == 0 {
			continue
		}
		t.Vips[VipID(id)] = vipOf(record)
		if s, ok := l.scheduleOf(record); ok {
			t.Schedules[VipID(id)] = s
		}
	}
	for id := range l.memory.backends {
		if record := &l.memory.backends[id]; record.VipId != 0 {
			t.Backends[BackendID(id)] = backendOf(record)
		}
	}
	names, err := readNames(l.maps.Names4, l.maps.Names6)
	if err != nil {
		return t, err
	}
	for endpoint, id := range names {
		t.Names[endpoint] = VipID(id)
	}
	reals, err := readNames(l.maps.Reals4, l.maps.Reals6)
	if err != nil {
		return t, err
	}
	for endpoint, id := range reals {
		t.Reals[endpoint] = BackendID(id)
	}
	return t, l.readAddresses(t.Addresses)
}

func vipOf(record *xdpVip) Vip {
	return Vip{
		Endpoint:        endpoint(record.Address, record.Port, record.Protocol, record.Flags&vipIPv6 != 0),
		Timeouts:        timeoutsOf(record),
		DropEmpty:       record.Flags&vipDropEmpty != 0,
		RejectMidStream: record.Flags&vipRejectMidStream != 0,
	}
}

func backendOf(record *xdpBackend) Backend {
	v6 := record.Flags&backendIPv6 != 0
	return Backend{
		Vip:     VipID(record.VipId),
		Real:    netip.AddrPortFrom(fromAddress(record.Real, v6), hostPort(record.RealPort)),
		Down:    record.Flags&backendDown != 0,
		Reset:   record.Flags&backendReset != 0,
		Removed: record.Flags&backendRemoved != 0,
	}
}

func endpoint(address xdpAddress, port uint16, protocol uint8, v6 bool) Endpoint {
	return Endpoint{netip.AddrPortFrom(fromAddress(address, v6), hostPort(port)), Protocol(protocol)}
}

func readNames(names4, names6 *ebpf.Map) (map[Endpoint]uint32, error) {
	names := map[Endpoint]uint32{}
	var (
		key4 xdpName4
		key6 xdpName6
		id   uint32
	)
	i := names4.Iterate()
	for i.Next(&key4, &id) {
		address := xdpAddress{Words: [4]uint32{key4.Address}}
		names[endpoint(address, key4.Port, key4.Protocol, false)] = id
	}
	if i.Err() != nil {
		return nil, fmt.Errorf("read %s: %w", names4, i.Err())
	}
	i = names6.Iterate()
	for i.Next(&key6, &id) {
		names[endpoint(key6.Address, key6.Port, key6.Protocol, true)] = id
	}
	if i.Err() != nil {
		return nil, fmt.Errorf("read %s: %w", names6, i.Err())
	}
	return names, nil
}

func (l *Loader) readAddresses(addresses map[netip.Addr]AddressUse) error {
	var (
		key4 [4]byte
		key6 [16]byte
		use  uint32
	)
	i := l.maps.Addresses4.Iterate()
	for i.Next(&key4, &use) {
		addresses[netip.AddrFrom4(key4)] = AddressUse(use)
	}
	if i.Err() != nil {
		return fmt.Errorf("read addresses4: %w", i.Err())
	}
	i = l.maps.Addresses6.Iterate()
	for i.Next(&key6, &use) {
		addresses[netip.AddrFrom16(key6)] = AddressUse(use)
	}
	if i.Err() != nil {
		return fmt.Errorf("read addresses6: %w", i.Err())
	}
	return nil
}
