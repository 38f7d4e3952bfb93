package loader

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// Remains are what Loaders left on the machine: pins of whatever version, the
// programs they hold, and filters. While they are held no Loader can open them.
type Remains struct {
	path      string
	directory *os.File // nil: there are no pins
}

// Hold takes the pins below a bpffs from Loaders to come. It fails while one has
// them.
func Hold(bpffs string) (*Remains, error) {
	r := &Remains{path: pinDirectory(bpffs)}
	var err error
	if r.directory, err = lock(r.path, nil); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return r, nil
}

// Close gives the pins free.
func (r *Remains) Close() error {
	if r.directory == nil {
		return nil
	}
	return r.directory.Close()
}

// Remove detaches every program and removes every pin, and says what it removed.
// Flows end. A clsact that others made or use stays.
func (r *Remains) Remove() (removed []string, err error) {
	if r.directory == nil {
		return nil, nil // filters are never without pins
	}
	filters, err := r.removeFilters()
	if err != nil {
		return filters, err
	}
	detached, err := r.detach()
	removed = append(filters, detached...)
	if err != nil {
		return removed, err
	}
	if err := os.RemoveAll(r.path); err != nil {
		return removed, fmt.Errorf("remove the pins: %w", err)
	}
	return append(removed, r.path), nil
}

// detach ends the links now; without it they end some time after their pins.
func (r *Remains) detach() (detached []string, err error) {
	pins, err := filepath.Glob(filepath.Join(r.path, "v*", "links", "*"))
	if err != nil {
		return nil, err
	}
	for _, pin := range pins {
		held, err := link.LoadPinnedLink(pin, nil)
		if err != nil {
			continue // what it is is not known, its pin goes with the others
		}
		err = held.Detach()
		held.Close()
		if err != nil && !isGone(err) {
			return detached, fmt.Errorf("detach %s: %w", pin, err)
		}
		detached = append(detached, pin)
	}
	return detached, nil
}

// removeFilters removes those that kernels below 6.6 have instead of links.
func (r *Remains) removeFilters() (removed []string, err error) {
	devices, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	sets, err := filepath.Glob(filepath.Join(r.path, "v*"))
	if err != nil {
		return nil, err
	}
	for _, device := range devices {
		attrs := device.Attrs()
		had := hasOurFilter(attrs.Index)
		for _, set := range sets {
			if err := (&pins{set: set}).removeFilters(attrs.Index, comesIn, leaves); err != nil {
				return removed, fmt.Errorf("%s: %w", attrs.Name, err)
			}
		}
		if had {
			removed = append(removed, "filters of "+attrs.Name)
		}
	}
	return removed, nil
}
