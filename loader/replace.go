package loader

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// replacePrograms puts the present programs in the place of those that the legs run.
func (l *Loader) replacePrograms() error {
	legs := make([]*leg, 0, len(l.legs))
	for _, leg := range l.legs {
		legs = append(legs, leg)
	}
	slices.SortFunc(legs, func(a, b *leg) int { return InsideFirst(a.Role, b.Role) })
	for _, leg := range legs {
		if err := l.replaceProgram(leg); err != nil {
			return fmt.Errorf("leg %s: replace the program: %w", leg.Name, err)
		}
		dieAt("replacing")
	}
	return nil
}

func (l *Loader) replaceProgram(leg *leg) error {
	device, err := netlink.LinkByIndex(leg.Ifindex)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil // its programs went with it
	}
	if err != nil {
		return err
	}
	for _, at := range []struct {
		hook    tcHook
		held    link.Link
		program *ebpf.Program
	}{{comesIn, leg.tcx, l.programs.tc}, {leaves, leg.lease, l.programs.lease}} {
		if at.held == nil {
			err = l.replaceFilter(leg, at.hook, at.program)
		} else {
			err = at.held.Update(at.program)
		}
		if err != nil {
			return err
		}
	}
	if leg.xdp == nil {
		return nil
	}
	program, err := l.xdpFor(device)
	if err != nil {
		return err
	}
	return leg.xdp.Update(program)
}

// checkReplaced finds an interface that still runs a program of the set before.
func (l *Loader) checkReplaced() error {
	ours, err := l.programs.ids()
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(l.pins.links())
	if err != nil {
		return err
	}
	for _, entry := range entries {
		program, ifindex, err := linked(filepath.Join(l.pins.links(), entry.Name()))
		if err != nil {
			return err
		}
		if ifindex != 0 && !ours[program] {
			return fmt.Errorf("%s has the program of the tables before; its flows are brought over when it is a leg again, or its program is detached", entry.Name())
		}
	}
	for ifindex := range l.legs {
		if f, ok := findFilter(ifindex, comesIn).(*netlink.BpfFilter); ok && !ours[uint32(f.Id)] {
			return fmt.Errorf("the filter of interface %d has the program of the tables before", ifindex)
		}
	}
	return nil
}

// linked is the program of a pinned link and its interface, 0 if that is gone.
func linked(pin string) (program uint32, ifindex int, err error) {
	held, err := link.LoadPinnedLink(pin, nil)
	if err != nil {
		return 0, 0, fmt.Errorf("open %s: %w", pin, err)
	}
	defer held.Close()
	info, err := held.Info()
	if err != nil {
		return 0, 0, fmt.Errorf("look at %s: %w", pin, err)
	}
	_, index, _ := strings.Cut(filepath.Base(pin), "-")
	ifindex, err = strconv.Atoi(index)
	if err != nil {
		return 0, 0, fmt.Errorf("%s is no link of ours", pin)
	}
	if xdp := info.XDP(); xdp != nil {
		ifindex = int(xdp.Ifindex)
	} else if tcx := info.TCX(); tcx != nil {
		ifindex = int(tcx.Ifindex)
	}
	return uint32(info.Program), ifindex, nil
}
