package loader

import (
	"fmt"
	"net/netip"
)

// A Stray is who sends packets of flows to this router although another one is active.
type Stray struct {
	Ifindex int // of the leg
	MAC     [6]byte
	// Vip that the packets are for; invalid: they are a real's, to its clients, for
	// which it has this router as its gateway.
	Vip netip.Addr
}

// WatchStrays has strays counted from now on, at 0, or not any more. For a router that
// is a standby: one that is active gets all packets rightly. A packet costs it a look at
// the leg's record, which is at hand. The packets go on as ever.
func (l *Loader) WatchStrays(on bool) error {
	l.watched = on
	if on {
		counts, err := l.strays()
		if err != nil {
			return err
		}
		for key := range counts {
			_ = l.maps.Strays.Delete(key) // it may have gone
		}
	}
	for _, leg := range l.legs {
		leg.record.Watched = flags(on, 1)
		l.memory.legs[leg.id].Watched = leg.record.Watched
	}
	return nil
}

// Strays counts their packets since WatchStrays. Of very many the least recent are
// forgotten.
func (l *Loader) Strays() (map[Stray]uint64, error) {
	ifindex := map[uint8]int{}
	for _, leg := range l.legs {
		ifindex[uint8(leg.id)] = leg.Ifindex
	}
	counts, err := l.strays()
	found := map[Stray]uint64{}
	for key, packets := range counts {
		stray := Stray{Ifindex: ifindex[key.Leg], MAC: key.Mac}
		if key.Address != (xdpAddress{}) {
			stray.Vip = fromAddress(key.Address, key.V6 != 0)
		}
		found[stray] += packets // a real's, of both families
	}
	return found, err
}

func (l *Loader) strays() (map[xdpStray]uint64, error) {
	var (
		key     xdpStray
		packets uint64
	)
	counts := map[xdpStray]uint64{}
	entries := l.maps.Strays.Iterate()
	for entries.Next(&key, &packets) {
		counts[key] = packets
	}
	if err := entries.Err(); err != nil {
		return counts, fmt.Errorf("read the strays: %w", err)
	}
	return counts, nil
}
