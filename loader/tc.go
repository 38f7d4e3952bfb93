package loader

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The filter below kernel 6.6 is found again by these.
const (
	filterPriority = 0x5441
	filterHandle   = 1
	filterName     = "tarpon"
)

// attachTC attaches the TC program in front of others: a tcx link from 6.6 on,
// below a filter of clsact, which outlives the daemon without a pin.
func (l *Loader) attachTC(leg *leg) error {
	pin := l.pins.link("tcx", leg.Ifindex)
	if held, err := link.LoadPinnedLink(pin, nil); err == nil {
		if held.Update(l.programs.tc) == nil {
			leg.tcx = held
			return nil
		}
		_ = held.Unpin() // of a device that is gone
		_ = held.Close()
	}
	held, err := link.AttachTCX(link.TCXOptions{
		Interface: leg.Ifindex, Program: l.programs.tc, Attach: ebpf.AttachTCXIngress, Anchor: link.Head(),
	})
	if errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.EINVAL) {
		return replaceFilter(leg, l.programs.tc)
	}
	if err != nil {
		return err
	}
	if err := held.Pin(pin); err != nil {
		_ = held.Close()
		return fmt.Errorf("pin: %w", err)
	}
	leg.tcx = held
	leg.made = append(leg.made, func() error { return removeLink(pin) })
	return nil
}

func filter(ifindex int, program *ebpf.Program) *netlink.BpfFilter {
	f := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: ifindex,
			Parent:    netlink.HANDLE_MIN_INGRESS,
			Handle:    netlink.MakeHandle(0, filterHandle),
			Protocol:  unix.ETH_P_ALL,
			Priority:  filterPriority,
		},
		Name:         filterName,
		DirectAction: true,
	}
	if program != nil {
		f.Fd = program.FD()
	}
	return f
}

func replaceFilter(leg *leg, program *ebpf.Program) error {
	clsact := &netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: leg.Ifindex, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
		},
		QdiscType: "clsact",
	}
	switch err := netlink.QdiscAdd(clsact); {
	case err == nil:
		leg.made = append(leg.made, func() error { return netlink.QdiscDel(clsact) })
	case !errors.Is(err, unix.EEXIST):
		return fmt.Errorf("add clsact: %w", err)
	}
	if findFilter(leg.Ifindex) == nil {
		leg.made = append(leg.made, func() error { return removeFilter(leg.Ifindex) })
	}
	if err := netlink.FilterReplace(filter(leg.Ifindex, program)); err != nil {
		return fmt.Errorf("add the filter: %w", err)
	}
	return nil
}

// removeFilter removes ours, if there is one. A clsact stays: others may use it.
func removeFilter(ifindex int) error {
	if f := findFilter(ifindex); f != nil {
		return netlink.FilterDel(f)
	}
	return nil
}

// findFilter finds ours; nil: there is none, or no device, or no clsact.
func findFilter(ifindex int) netlink.Filter {
	device, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return nil
	}
	filters, err := netlink.FilterList(device, netlink.HANDLE_MIN_INGRESS)
	if err != nil {
		return nil
	}
	for _, f := range filters {
		if bpf, ok := f.(*netlink.BpfFilter); ok && bpf.Priority == filterPriority {
			return bpf
		}
	}
	return nil
}
