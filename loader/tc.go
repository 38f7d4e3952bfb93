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

// A tcHook is one of the two ways of packets through a leg that have a TC program.
type tcHook struct {
	kind   string          // of the pinned link
	attach ebpf.AttachType // from 6.6 on
	parent uint32          // of the filter, before
}

var (
	comesIn = tcHook{"tcx", ebpf.AttachTCXIngress, netlink.HANDLE_MIN_INGRESS}
	leaves  = tcHook{"lease", ebpf.AttachTCXEgress, netlink.HANDLE_MIN_EGRESS}
)

// attachTC attaches the TC programs: for what comes in by the leg, and the lease for
// what leaves by it.
func (l *Loader) attachTC(leg *leg) (err error) {
	if leg.tcx, err = l.attachHook(leg, comesIn, l.programs.tc); err != nil {
		return err
	}
	leg.lease, err = l.attachHook(leg, leaves, l.programs.lease)
	return err
}

// attachHook attaches a program in front of others: by a tcx link from 6.6 on, below by
// a filter of clsact, which outlives the daemon without a pin; the link is nil then.
func (l *Loader) attachHook(leg *leg, hook tcHook, program *ebpf.Program) (link.Link, error) {
	pin := l.pins.link(hook.kind, leg.Ifindex)
	if held, err := link.LoadPinnedLink(pin, nil); err == nil {
		if held.Update(program) == nil {
			return held, nil
		}
		_ = held.Unpin() // of a device that is gone
		_ = held.Close()
	}
	held, err := link.AttachTCX(link.TCXOptions{
		Interface: leg.Ifindex, Program: program, Attach: hook.attach, Anchor: link.Head(),
	})
	if errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.EINVAL) {
		return nil, l.replaceFilter(leg, hook, program)
	}
	if err != nil {
		return nil, err
	}
	if err := held.Pin(pin); err != nil {
		_ = held.Close()
		return nil, fmt.Errorf("pin: %w", err)
	}
	leg.made = append(leg.made, func() error { return removeLink(pin) })
	return held, nil
}

func filter(ifindex int, hook tcHook, program *ebpf.Program) *netlink.BpfFilter {
	f := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: ifindex,
			Parent:    hook.parent,
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

func (l *Loader) replaceFilter(leg *leg, hook tcHook, program *ebpf.Program) error {
	made, err := l.pins.makeClsact(leg.Ifindex)
	if err != nil {
		return fmt.Errorf("add clsact: %w", err)
	}
	if made || findFilter(leg.Ifindex, hook) == nil {
		leg.made = append(leg.made, func() error { return l.pins.removeFilters(leg.Ifindex, hook) })
	}
	if err := netlink.FilterReplace(filter(leg.Ifindex, hook, program)); err != nil {
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

// removeFilters removes ours at these hooks, if there are some; after the last, also the
// clsact if we made it and nobody else has a filter there.
func (p *pins) removeFilters(ifindex int, hooks ...tcHook) error {
	for _, hook := range hooks {
		if f := findFilter(ifindex, hook); f != nil {
			if err := netlink.FilterDel(f); err != nil {
				return fmt.Errorf("remove the filter: %w", err)
			}
		}
	}
	if _, err := os.Stat(p.clsact(ifindex)); err != nil || hasOurFilter(ifindex) {
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
	for _, hook := range []tcHook{comesIn, leaves} {
		if filters, err := netlink.FilterList(device, hook.parent); err != nil || len(filters) > 0 {
			return true
		}
	}
	return false
}

func hasOurFilter(ifindex int) bool {
	return findFilter(ifindex, comesIn) != nil || findFilter(ifindex, leaves) != nil
}

// findFilter finds ours; nil: there is none, or no device, or no clsact.
func findFilter(ifindex int, hook tcHook) netlink.Filter {
	device, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return nil
	}
	filters, err := netlink.FilterList(device, hook.parent)
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
