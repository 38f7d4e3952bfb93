package loader

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// An Other is somebody else's program on an interface.
type Other struct {
	Hook Hook
	ID   uint32
	Name string // empty: it may not be looked at
}

func (o Other) String() string {
	if o.Name == "" {
		return fmt.Sprintf("program %d", o.ID)
	}
	return fmt.Sprintf("program %d, %s", o.ID, o.Name)
}

// Others lists the programs on an interface, for frames that come in, that are not
// this daemon's.
func (l *Loader) Others(ifindex int) (list []Other, err error) {
	l.replacing.RLock()
	ours, err := l.programs.ids()
	l.replacing.RUnlock()
	if err != nil {
		return nil, err
	}
	add := func(hook Hook, id uint32) {
		if !ours[id] {
			list = append(list, Other{hook, id, programName(id)})
		}
	}
	device, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return nil, fmt.Errorf("find interface %d: %w", ifindex, err)
	}
	if xdp := device.Attrs().Xdp; xdp != nil && xdp.Attached {
		add(HookXDP, xdp.ProgId)
	}
	attached, err := link.QueryPrograms(link.QueryOptions{Target: ifindex, Attach: ebpf.AttachTCXIngress})
	switch {
	case err == nil:
		for _, program := range attached.Programs {
			add(HookTC, uint32(program.ID))
		}
	case !errors.Is(err, ebpf.ErrNotSupported) && !errors.Is(err, unix.EINVAL): // before 6.6
		return list, fmt.Errorf("list the TC programs of %s: %w", device.Attrs().Name, err)
	}
	filters, err := netlink.FilterList(device, netlink.HANDLE_MIN_INGRESS)
	if err != nil && !isGone(err) {
		return list, fmt.Errorf("list the filters of %s: %w", device.Attrs().Name, err)
	}
	for _, f := range filters {
		if bpf, ok := f.(*netlink.BpfFilter); ok {
			add(HookTC, uint32(bpf.Id))
		}
	}
	return list, nil
}

// ids are those that the kernel gave the programs.
func (p *programs) ids() (map[uint32]bool, error) {
	ids := map[uint32]bool{}
	for _, program := range []*ebpf.Program{p.xdp, p.frags, p.tc, p.lease} {
		if program == nil {
			continue
		}
		info, err := program.Info()
		if err != nil {
			return nil, fmt.Errorf("look at our programs: %w", err)
		}
		if id, ok := info.ID(); ok {
			ids[uint32(id)] = true
		}
	}
	return ids, nil
}

// programName needs more than this daemon asks for (CAP_SYS_ADMIN).
func programName(id uint32) string {
	program, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
	if err != nil {
		return ""
	}
	defer program.Close()
	info, err := program.Info()
	if err != nil {
		return ""
	}
	return info.Name
}
