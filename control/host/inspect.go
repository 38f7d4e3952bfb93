package host

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// OffloadsOn lists those of an interface's offloads that are on.
func (h *Host) OffloadsOn(index int, offloads ...string) (on []string, err error) {
	f, err := featuresOf(index)
	if err != nil {
		return nil, fmt.Errorf("read the offloads of interface %d: %w", index, err)
	}
	for _, offload := range offloads {
		if f.active[offload] {
			on = append(on, offload)
		}
	}
	return on, nil
}

// SysctlFaults are the sysctls of SetSysctls that have another value now: what it
// would change.
func (h *Host) SysctlFaults(legs []string, oneArmed bool) (list []SysctlChange, err error) {
	for _, w := range wishes(legs, oneArmed) {
		if !h.sysctls.exists(filepath.Dir(w.path)) {
			continue
		}
		value, err := h.sysctls.read(w.path)
		if err != nil {
			return list, fmt.Errorf("read sysctl %s: %w", dotted(w.path), err)
		}
		if value != w.value {
			list = append(list, SysctlChange{dotted(w.path), value, w.value})
		}
	}
	return list, nil
}

// Sysctl reads one by its path below /proc/sys; "" if there is none.
func (h *Host) Sysctl(path string) (string, error) {
	value, err := h.sysctls.read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return value, err
}
