package loader

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

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
		return l.replaceFilter(leg)
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

func clsact(ifindex int) *netlink.GenericQdisc {
	return &netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: ifindex, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
		},
		QdiscType: "clsact",
	}
}

func (l *Loader) replaceFilter(leg *leg) error {
	made, err := l.pins.makeClsact(leg.Ifindex)
	if err != nil {
		return fmt.Errorf("add clsact: %w", err)
	}
	if made || findFilter(leg.Ifindex) == nil {
		leg.made = append(leg.made, func() error { return l.pins.removeFilter(leg.Ifindex) })
	}
	if err := netlink.FilterReplace(filter(leg.Ifindex, l.programs.tc)); err != nil {
		return fmt.Errorf("add the filter: %w", err)
	}
	return nil
}

// makeClsact adds the qdisc unless there is one. That it is ours is marked before.
func (p *pins) makeClsact(ifindex int) (made bool, err error) {
	marked := os.Mkdir(p.clsact(ifindex), 0o700)
	if marked != nil && !errors.Is(marked, os.ErrExist) {
		return false, marked
	}
	err = netlink.QdiscAdd(clsact(ifindex))
	if err == nil {
		return true, nil
	}
	if marked == nil {
		_ = os.Remove(p.clsact(ifindex))
	}
	if errors.Is(err, unix.EEXIST) {
		err = nil
	}
	return false, err
}

// removeFilter removes ours, if there is one, and the clsact if we made it and
// nobody else has a filter there.
func (p *pins) removeFilter(ifindex int) error {
	if f := findFilter(ifindex); f != nil {
		if err := netlink.FilterDel(f); err != nil {
			return fmt.Errorf("remove the filter: %w", err)
		}
	}
	if _, err := os.Stat(p.clsact(ifindex)); err != nil {
		return nil
	}
	if !hasFilters(ifindex) {
		if err := netlink.QdiscDel(clsact(ifindex)); err != nil && !isGone(err) {
			return fmt.Errorf("remove clsact: %w", err)
		}
	}
	return os.Remove(p.clsact(ifindex))
}

func (p *pins) clsact(ifindex int) string { return filepath.Join(p.clsacts(), strconv.Itoa(ifindex)) }

// isGone says whether there is no such device, or no such qdisc on it.
func isGone(err error) bool {
	return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL)
}

// hasFilters says whether anybody has one in an interface's clsact.
func hasFilters(ifindex int) bool {
	device, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return false
	}
	for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
		if filters, err := netlink.FilterList(device, parent); err != nil || len(filters) > 0 {
			return true
		}
	}
	return false
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
