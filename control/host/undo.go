package host

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
)

// Undone is what Undo removed and put back, and what it left alone and why.
type Undone struct {
	Addresses  []Address
	Sysctls    []SysctlChange
	Neighbours []MadeNeighbour
	Offloads   []MadeOffload
	Notes      []string
}

// Undo removes everything on record: addresses, managed neighbours, sysctls,
// offloads; and in the end the record itself. What was there before us stays, and what
// somebody has changed since. What could not be removed stays on record, and
// the errors are returned joined. No Watcher of the Host may be running: it
// would make the neighbours anew.
func (h *Host) Undo() (Undone, error) {
	if h.made.Elsewhere {
		return Undone{}, fmt.Errorf("%s is of another network namespace: do this there (nsenter --net=...), or remove the file if that namespace is gone", h.made.path)
	}
	var undone Undone
	addresses, err := h.SetAddresses(nil)
	undone.Addresses = addresses.Removed
	errs := []error{err}

	undone.Neighbours, err = h.undoNeighbours()
	errs = append(errs, err)

	sysctls, err := h.undoSysctls()
	undone.Sysctls, undone.Notes = sysctls.Changes, sysctls.Notes
	errs = append(errs, err)

	undone.Offloads, err = h.RestoreOffloads(func(MadeOffload) bool { return false })
	errs = append(errs, err, h.made.remove())
	return undone, errors.Join(errs...)
}

func (h *Host) undoSysctls() (sysctls Sysctls, err error) {
	h.apply.Lock()
	defer h.apply.Unlock()
	err = h.restoreSysctls(h.interfaceIndexes(), &sysctls, func(MadeSysctl) bool { return true })
	return sysctls, err
}

func (h *Host) undoNeighbours() ([]MadeNeighbour, error) {
	list, err := h.listNeighbours()
	if err != nil {
		return nil, err
	}
	managed := map[neighbourKey]bool{}
	for _, n := range list {
		if key, ok := keyOf(n); ok && n.FlagsExt&netlink.NTF_EXT_MANAGED != 0 {
			managed[key] = true
		}
	}
	var (
		undone []MadeNeighbour
		gone   []neighbourKey
		errs   []error
	)
	for _, n := range h.made.Neighbours() {
		key := neighbourKey{n.Index, n.Addr}
		if managed[key] {
			if err := h.releaseNeighbour(n); err != nil {
				errs = append(errs, err)
				continue
			}
			undone = append(undone, n)
		}
		gone = append(gone, key)
	}
	return undone, errors.Join(append(errs, h.made.dropNeighbours(gone))...)
}
