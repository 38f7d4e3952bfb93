package loader

import (
	"fmt"
	"net/netip"
)

// A Step is one write to one table. Which steps lead from what the kernel has
// to what it should have, and in which order, is decided by the caller; each is
// atomic to the program.
type Step interface {
	fmt.Stringer
	apply(*Loader) error
}

type (
	// PutVip writes a vip's record; its schedule is kept.
	PutVip struct {
		ID  VipID
		Vip Vip
	}
	// DeleteVip clears a vip's record and schedule.
	DeleteVip struct{ ID VipID }

	// PutBackend writes a backend's record. A changed Real or Vip is refused
	// while the id is in use: the flows of that id would change with it. Anew: the
	// record is somebody else's work, and written whole; its next hop is lost.
	PutBackend struct {
		ID      BackendID
		Backend Backend
		Anew    bool
	}
	// DeleteBackend clears a backend's record, next hop and counters. Only for
	// an id of which a sweep has found no flow.
	DeleteBackend struct{ ID BackendID }

	// PutSchedule swaps a vip's schedule; packets see the old or the new.
	PutSchedule struct {
		ID       VipID
		Schedule Schedule
	}

	PutName struct {
		Endpoint Endpoint
		ID       VipID
	}
	DeleteName struct{ Endpoint Endpoint }

	PutAddress struct {
		Addr netip.Addr
		Use  AddressUse
	}
	DeleteAddress struct{ Addr netip.Addr }

	PutReal struct {
		Real Endpoint
		ID   BackendID
	}
	DeleteReal struct{ Real Endpoint }
)

func (s PutVip) String() string        { return fmt.Sprintf("vip %d: %s", s.ID, s.Vip.Endpoint) }
func (s DeleteVip) String() string     { return fmt.Sprintf("vip %d: gone", s.ID) }
func (s PutBackend) String() string    { return fmt.Sprintf("backend %d: %+v", s.ID, s.Backend) }
func (s DeleteBackend) String() string { return fmt.Sprintf("backend %d: gone", s.ID) }
func (s PutSchedule) String() string {
	return fmt.Sprintf("schedule of vip %d: %d slots", s.ID, len(s.Schedule.Slots))
}
func (s PutName) String() string       { return fmt.Sprintf("name %s: vip %d", s.Endpoint, s.ID) }
func (s DeleteName) String() string    { return fmt.Sprintf("name %s: gone", s.Endpoint) }
func (s PutAddress) String() string    { return fmt.Sprintf("address %s: use %#x", s.Addr, s.Use) }
func (s DeleteAddress) String() string { return fmt.Sprintf("address %s: gone", s.Addr) }
func (s PutReal) String() string       { return fmt.Sprintf("real %s: backend %d", s.Real, s.ID) }
func (s DeleteReal) String() string    { return fmt.Sprintf("real %s: gone", s.Real) }
