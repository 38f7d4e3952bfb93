package loader

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// A Lease is until when this router may speak for its held addresses, in time since
// boot: CLOCK_BOOTTIME, which goes on while a machine sleeps. Once it has ended, no ARP
// and no neighbour discovery that would teach a neighbour a held address leaves a leg.
// It is pinned, and works on when the process does not.
type Lease time.Duration

const (
	// LeaseUnset: nobody said, since the pins were made. Held addresses are spoken for.
	LeaseUnset Lease = 0
	// LeaseOpen never ends.
	LeaseOpen Lease = math.MaxInt64
	// LeaseEnded has ended.
	LeaseEnded Lease = 1
)

// Holds says whether the lease lets the router speak at a time since boot.
func (l Lease) Holds(now time.Duration) bool {
	return l == LeaseUnset || l == LeaseOpen || time.Duration(l) > now
}

// SinceBoot is the clock of leases.
func SinceBoot() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		panic(err) // every kernel that runs the programs has this clock
	}
	return time.Duration(now.Nano())
}

// SetLease replaces the lease for the frames that leave from now on. It is one write of
// a whole word to memory that the program reads: no call of the kernel, nothing to wait
// for, and a frame meets the old lease or the new. May be called concurrently and from
// any thread, but not after Close; of two calls at once the later write stays.
func (l *Loader) SetLease(until Lease) {
	if until < 0 {
		until = LeaseEnded
	}
	atomic.StoreUint64(&l.memory.lease[0], uint64(until))
}

// OpenLease is SetLease(LeaseOpen), for a router that is alone.
func (l *Loader) OpenLease() { l.SetLease(LeaseOpen) }

// Lease is the present one, which an earlier process may have set. May be called
// concurrently.
func (l *Loader) Lease() Lease {
	return Lease(atomic.LoadUint64(&l.memory.lease[0]))
}

// SetHeld replaces the addresses that the lease is about. Addresses come before others
// go: one in both sets is held at every moment. Set them before the machine gets the
// addresses, and let them go after.
func (l *Loader) SetHeld(addresses []netip.Addr) error {
	want4, want6 := map[uint32]bool{}, map[xdpAddress6]bool{}
	for _, a := range addresses {
		if a.Is4() {
			want4[word4(a)] = true
		} else {
			want6[xdpAddress6{Address: toAddress(a)}] = true
		}
	}
	if err := errors.Join(setKeys(l.maps.Held4, want4), setKeys(l.maps.Held6, want6)); err != nil {
		return fmt.Errorf("write the held addresses: %w", err)
	}
	return nil
}

// setKeys makes a hash have these keys alone.
func setKeys[K comparable](m *ebpf.Map, want map[K]bool) error {
	for key := range want {
		if err := m.Put(key, uint8(1)); err != nil {
			return err
		}
	}
	have, err := keysOf[K](m)
	if err != nil {
		return err
	}
	for _, key := range have {
		if want[key] {
			continue
		}
		if err := m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return err
		}
	}
	return nil
}

func keysOf[K any](m *ebpf.Map) (keys []K, err error) {
	var (
		key   K
		value uint8
	)
	entries := m.Iterate()
	for entries.Next(&key, &value) {
		keys = append(keys, key)
	}
	return keys, entries.Err()
}

// Held lists the addresses that the lease is about, in no order.
func (l *Loader) Held() ([]netip.Addr, error) {
	keys4, err4 := keysOf[uint32](l.maps.Held4)
	keys6, err6 := keysOf[xdpAddress6](l.maps.Held6)
	if err := errors.Join(err4, err6); err != nil {
		return nil, fmt.Errorf("read the held addresses: %w", err)
	}
	var held []netip.Addr
	for _, key := range keys4 {
		held = append(held, fromAddress(xdpAddress{Words: [4]uint32{key}}, false))
	}
	for _, key := range keys6 {
		held = append(held, fromAddress(key.Address, true))
	}
	return held, nil
}
