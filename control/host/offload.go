package host

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// What a device may do to packets before a program sees them, by the kernel's names
// of its features.
var (
	// Large packets made of several: their sizes and checksums are nobody's.
	LRO   = []string{"rx-lro"}
	HWGRO = []string{"rx-gro-hw"}
	// VLAN tags taken out of frames, which then look as if they had none.
	RxVLAN = []string{"rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"}
)

// TurnOff turns off what is on, and can be changed, of an interface's offloads. It is
// recorded before. It says what it turned off, also beside an error: a driver may
// keep one.
func (h *Host) TurnOff(name string, offloads ...string) (off []string, err error) {
	h.apply.Lock()
	defer h.apply.Unlock()
	index := h.interfaceIndexes()[name]
	before, err := featuresOf(index)
	if err != nil {
		return nil, fmt.Errorf("read the offloads of %s: %w", name, err)
	}
	var records []MadeOffload
	for _, offload := range offloads {
		if before.active[offload] && before.changeable[offload] {
			records = append(records, MadeOffload{name, index, offload})
		}
	}
	if len(records) == 0 {
		return nil, nil
	}
	if err := h.made.putOffloads(records); err != nil {
		return nil, err
	}
	return h.turnOff(name, index, records)
}

func (h *Host) turnOff(name string, index int, records []MadeOffload) (off []string, err error) {
	refused := setFeatures(index, offloadNames(records), false)
	after, err := featuresOf(index)
	if err != nil {
		return nil, fmt.Errorf("read the offloads of %s: %w", name, err)
	}
	kept := slices.DeleteFunc(slices.Clone(records), func(r MadeOffload) bool { return !after.active[r.Offload] })
	off = offloadNames(slices.DeleteFunc(records, func(r MadeOffload) bool { return after.active[r.Offload] }))
	if len(kept) == 0 {
		return off, nil
	}
	if refused == nil {
		refused = errors.New("the driver keeps it on")
	}
	err = fmt.Errorf("turn off %s of %s: %w", strings.Join(offloadNames(kept), ", "), name, refused)
	return off, errors.Join(err, h.made.dropOffloads(kept))
}

// RestoreOffloads turns on again what TurnOff turned off, but for what is to be kept
// off. One that somebody else has turned on since is no longer ours.
func (h *Host) RestoreOffloads(keep func(MadeOffload) bool) ([]MadeOffload, error) {
	h.apply.Lock()
	defer h.apply.Unlock()
	index := h.interfaceIndexes()
	var (
		restored, done []MadeOffload
		errs           []error
	)
	for _, o := range h.made.Offloads() {
		if keep(o) {
			continue
		}
		if index[o.Interface] == o.Index { // else the device is gone, and its features with it
			turned, err := turnOn(o)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			if turned {
				restored = append(restored, o)
			}
		}
		done = append(done, o)
	}
	return restored, errors.Join(append(errs, h.made.dropOffloads(done))...)
}

// turnOn says false if it was on.
func turnOn(o MadeOffload) (bool, error) {
	f, err := featuresOf(o.Index)
	if err == nil && f.active[o.Offload] {
		return false, nil
	}
	if err == nil {
		err = setFeatures(o.Index, []string{o.Offload}, true)
	}
	if err != nil {
		return false, fmt.Errorf("turn %s of %s on again: %w", o.Offload, o.Interface, err)
	}
	return true, nil
}

func offloadNames(list []MadeOffload) []string {
	var names []string
	for _, o := range list {
		names = append(names, o.Offload)
	}
	return names
}
