package loader

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"

	"github.com/cilium/ebpf"
)

// Tables reads what the program balances by from the kernel.
func (l *Loader) Tables() (Tables, error) { return readTables(&l.maps, l.memory) }

func readTables(maps *xdpMaps, memory *memory) (Tables, error) {
	t := NewTables()
	for id := range memory.vips {
		record := &memory.vips[id]
		if record.Protocol == 0 {
			continue
		}
		t.Vips[VipID(id)] = vipOf(record)
		if s, ok := memory.scheduleOf(record); ok {
			t.Schedules[VipID(id)] = s
		}
	}
	for id := range memory.backends {
		if record := &memory.backends[id]; record.VipId != 0 {
			t.Backends[BackendID(id)] = backendOf(record)
		}
	}
	var err error
	for endpoint, id := range names(maps.Names4, maps.Names6, &err) {
		t.Names[endpoint] = VipID(id)
	}
	for endpoint, id := range names(maps.Reals4, maps.Reals6, &err) {
		t.Reals[endpoint] = BackendID(id)
	}
	for addr, use := range addresses(maps.Addresses4, maps.Addresses6, &err) {
		t.Addresses[addr] = AddressUse(use)
	}
	return t, err
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

// names goes over two maps of names; err gets what went wrong.
func names(names4, names6 *ebpf.Map, err *error) iter.Seq2[Endpoint, uint32] {
	return func(yield func(Endpoint, uint32) bool) {
		for key, id := range entries[xdpName4](names4, err) {
			if !yield(endpoint(xdpAddress{Words: [4]uint32{key.Address}}, key.Port, key.Protocol, false), id) {
				return
			}
		}
		for key, id := range entries[xdpName6](names6, err) {
			if !yield(endpoint(key.Address, key.Port, key.Protocol, true), id) {
				return
			}
		}
	}
}

// addresses is names for maps of addresses.
func addresses(addresses4, addresses6 *ebpf.Map, err *error) iter.Seq2[netip.Addr, uint32] {
	return func(yield func(netip.Addr, uint32) bool) {
		for key, use := range entries[[4]byte](addresses4, err) {
			if !yield(netip.AddrFrom4(key), use) {
				return
			}
		}
		for key, use := range entries[[16]byte](addresses6, err) {
			if !yield(netip.AddrFrom16(key), use) {
				return
			}
		}
	}
}

// entries goes over a hash map, many entries at a system call.
func entries[K any](m *ebpf.Map, err *error) iter.Seq2[K, uint32] {
	return func(yield func(K, uint32) bool) {
		var cursor ebpf.MapBatchCursor
		keys, values := make([]K, 1024), make([]uint32, 1024)
		for {
			n, failure := m.BatchLookup(&cursor, keys, values, nil)
			isLast := errors.Is(failure, ebpf.ErrKeyNotExist)
			if failure != nil && !isLast {
				*err = errors.Join(*err, fmt.Errorf("read %s: %w", m, failure))
				return
			}
			for i := range n {
				if !yield(keys[i], values[i]) {
					return
				}
			}
			if isLast {
				return
			}
		}
	}
}
