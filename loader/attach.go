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
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// A Role says what a leg is looked at for (bpf/abi.h, enum leg_role).
type Role uint8

const (
	Outside Role = 1 << iota // clients are there
	Inside                   // reals are there
	Both    = Outside | Inside
)

// InsideFirst orders roles as programs are to be replaced: legs with reals first
// (upgrade.go says why).
func InsideFirst(a, b Role) int { return int(b&Inside) - int(a&Inside) }

// A Mode is where on the way of a packet the program runs.
type Mode uint8

const (
	Auto    Mode = iota // Native, else TC
	Native              // XDP in the driver
	TC                  // on skbs
	Generic             // XDP on skbs
)

func (m Mode) String() string {
	return [...]string{"auto", "native", "tc", "generic"}[m&3]
}

// A Leg is an interface that the program is to run on.
type Leg struct {
	Name      string
	Interface string
	Ifindex   int
	Role      Role
	Mode      Mode
}

// An Attachment is a leg and the mode that was chosen. Reason says why it is not
// Native, or not for all packets; else it is empty.
type Attachment struct {
	Leg
	Mode   Mode
	Reason string
}

// leg is an attached leg.
type leg struct {
	Attachment
	id        uint32
	redirects bool
	// Nil: none.
	xdp, tcx, lease link.Link
	record          xdpLeg // as it was written last
	// made takes back, one by one, what this attempt to attach made.
	made []func() error
}

func (l *leg) close() {
	for _, held := range []link.Link{l.xdp, l.tcx, l.lease} {
		if held != nil {
			_ = held.Close() // the pin keeps it
		}
	}
}

// undo leaves the interface as it was before the attempt.
func (l *leg) undo() error {
	l.close()
	var errs []error
	for _, takeBack := range slices.Backward(l.made) {
		errs = append(errs, takeBack())
	}
	return errors.Join(errs...)
}

// AttachLeg runs the programs on an interface: XDP if its mode and driver allow
// it, and TC always, for what comes in and, as the lease says (OpenLease), for what
// leaves. What an earlier daemon attached is kept and gets this
// version's programs in place. An interface with another owner's XDP program is
// left as it is; after any error, nothing new stays behind.
func (l *Loader) AttachLeg(want Leg) (Attachment, error) {
	attached := &leg{Attachment: Attachment{Leg: want}}
	if err := l.attach(attached); err != nil {
		return Attachment{}, errors.Join(fmt.Errorf("leg %s: %w", want.Name, err), attached.undo())
	}
	return attached.Attachment, nil
}

func (l *Loader) attach(leg *leg) error {
	device, err := netlink.LinkByIndex(leg.Ifindex)
	if err != nil {
		return fmt.Errorf("find interface %s: %w", leg.Interface, err)
	}
	if leg.id, err = l.legID(leg); err != nil {
		return err
	}
	leg.redirects = l.memory.legs[leg.id].Redirects != 0 // an earlier daemon's, until known
	if old, ok := l.legs[leg.Ifindex]; ok {
		old.close()
		delete(l.legs, leg.Ifindex)
	}
	l.writeLeg(leg, device)
	if err := l.attachTC(leg); err != nil {
		return fmt.Errorf("attach the TC programs to %s: %w", leg.Interface, err)
	}
	if err := l.attachXDP(leg, device); err != nil {
		return err
	}
	leg.redirects = leg.Attachment.Mode == Native && canTransmit(leg.Ifindex)
	l.legs[leg.Ifindex] = leg
	l.writeLeg(leg, device)
	if !leg.redirects {
		l.forgetHops(leg.Ifindex)
	}
	if l.before != nil {
		dieAt("replacing")
	}
	return nil
}

// writeLeg fills the leg's record but for its routes.
func (l *Loader) writeLeg(leg *leg, device netlink.Link) {
	record := &l.memory.legs[leg.id]
	copy(record.Mac[:], device.Attrs().HardwareAddr)
	record.Role = uint8(leg.Role)
	record.Redirects = flags(leg.redirects, 1)
	record.Watched = flags(l.watched, 1)
	leg.record = *record
}

// legID is the id that the interface has, or a free one.
func (l *Loader) legID(leg *leg) (uint32, error) {
	if attached, ok := l.legs[leg.Ifindex]; ok {
		return attached.id, l.setLegID(leg.Ifindex, attached.id)
	}
	key := xdpLegKey{Ifindex: uint32(leg.Ifindex)}
	var id uint32
	err := l.maps.LegIds.Lookup(key, &id)
	if err == nil {
		return id, l.setLegID(leg.Ifindex, id)
	}
	if !errors.Is(err, ebpf.ErrKeyNotExist) {
		return 0, fmt.Errorf("read the legs: %w", err)
	}
	used := map[uint32]bool{0: true}
	var other xdpLegKey
	entries := l.maps.LegIds.Iterate()
	for entries.Next(&other, &id) {
		used[id] = true
	}
	for id = 1; id < maxLegs; id++ {
		if !used[id] {
			l.memory.legs[id] = xdpLeg{}
			leg.made = append(leg.made, func() error { return l.setLegID(leg.Ifindex, 0) })
			return id, l.setLegID(leg.Ifindex, id)
		}
	}
	return 0, fmt.Errorf("more than %d legs", maxLegs-1)
}

// setLegID makes the program find a leg by its interface; 0: no more.
func (l *Loader) setLegID(ifindex int, id uint32) error {
	key := xdpLegKey{Ifindex: uint32(ifindex)}
	if ifindex < legIndices {
		if err := l.maps.LegOfIndex.Put(uint32(ifindex), id); err != nil {
			return err
		}
	}
	if id != 0 {
		return l.maps.LegIds.Put(key, id)
	}
	if err := l.maps.LegIds.Delete(key); !errors.Is(err, ebpf.ErrKeyNotExist) {
		return err
	}
	return nil
}

func (l *Loader) attachXDP(leg *leg, device netlink.Link) error {
	pin := l.pins.link("xdp", leg.Ifindex)
	if leg.Leg.Mode == TC || (leg.Leg.Mode == Auto && device.Type() == "vlan") {
		leg.Attachment.Mode, leg.Reason = TC, "the configuration says so"
		if leg.Leg.Mode == Auto {
			leg.Reason = "a VLAN: the driver's frames are its parent's"
		}
		return removeLink(pin)
	}
	mode, flag := Native, link.XDPDriverMode
	if leg.Leg.Mode == Generic {
		mode, flag = Generic, link.XDPGenericMode
		leg.Reason = "the configuration says so"
	}
	leg.Attachment.Mode = mode
	program, err := l.xdpFor(device)
	if err != nil {
		return err
	}
	if mode == Native && device.Type() == "bond" {
		leg.Reason = "a bond: what comes in by its ports goes by TC"
	}
	if adoptXDP(leg, pin, device, program) {
		return nil
	}
	err = l.newXDP(leg, pin, flag, program)
	if err != nil && leg.Leg.Mode == Auto && isUnsupported(err) {
		leg.Attachment.Mode, leg.Reason = TC, fmt.Sprintf("the driver refuses XDP (%v)", errors.Unwrap(err))
		return nil
	}
	return err
}

// xdpFor chooses the program for packets in several buffers where one page does
// not hold a frame: drivers refuse the plain one there.
func (l *Loader) xdpFor(device netlink.Link) (*ebpf.Program, error) {
	const plain = 3000
	if device.Attrs().MTU > plain {
		return l.programs.forFrags()
	}
	return l.programs.xdp, nil
}

// adoptXDP puts this version's program in the place of a pinned link's. False:
// there is none, or none that can be used.
func adoptXDP(leg *leg, pin string, device netlink.Link, program *ebpf.Program) bool {
	held, err := link.LoadPinnedLink(pin, nil)
	if err != nil {
		return false
	}
	if sameMode(device, leg.Attachment.Mode) && held.Update(program) == nil {
		leg.xdp = held
		return true
	}
	// The device is another one, or the mode changed.
	_ = held.Unpin()
	_ = held.Close()
	return false
}

// sameMode says whether the XDP program that an interface has runs in this mode.
func sameMode(device netlink.Link, mode Mode) bool {
	xdp := device.Attrs().Xdp
	if xdp == nil || !xdp.Attached {
		return false
	}
	wanted := uint32(1) // XDP_ATTACHED_DRV
	if mode == Generic {
		wanted = 2 // XDP_ATTACHED_SKB
	}
	return xdp.AttachMode == wanted
}

func (l *Loader) newXDP(leg *leg, pin string, flag link.XDPAttachFlags, program *ebpf.Program) error {
	held, err := link.AttachXDP(link.XDPOptions{Program: program, Interface: leg.Ifindex, Flags: flag})
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("%s has an XDP program of another owner (see: ip link show %s): detach it, or write `mode: tc` for this leg",
			leg.Interface, leg.Interface)
	}
	if err != nil {
		return fmt.Errorf("attach XDP to %s: %w", leg.Interface, err)
	}
	if err := held.Pin(pin); err != nil {
		_ = held.Close()
		return fmt.Errorf("pin the XDP link of %s: %w", leg.Interface, err)
	}
	leg.xdp = held
	l.log.Info("XDP program attached", zap.String("leg", leg.Name),
		zap.String("interface", leg.Interface), zap.Stringer("mode", leg.Attachment.Mode))
	return nil
}

func isUnsupported(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ERANGE) ||
		errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.ENOMEM)
}

// Attachments lists the attached legs.
func (l *Loader) Attachments() []Attachment {
	var list []Attachment
	for _, leg := range l.legs {
		list = append(list, leg.Attachment)
	}
	return list
}

// DetachLeg ends the programs on an interface; frames go to the kernel from then.
func (l *Loader) DetachLeg(ifindex int) error {
	if leg, ok := l.legs[ifindex]; ok {
		leg.close()
		delete(l.legs, ifindex)
	}
	l.forgetHops(ifindex)
	return errors.Join(l.setLegID(ifindex, 0), removeLink(l.pins.link("xdp", ifindex)),
		removeLink(l.pins.link(comesIn.kind, ifindex)), removeLink(l.pins.link(leaves.kind, ifindex)),
		l.pins.removeFilters(ifindex, comesIn, leaves))
}

// DetachOthers ends what earlier daemons attached to interfaces that are no legs
// any more.
func (l *Loader) DetachOthers() error {
	entries, err := os.ReadDir(l.pins.links())
	if err != nil {
		return err
	}
	for _, entry := range entries {
		_, index, _ := strings.Cut(entry.Name(), "-")
		ifindex, err := strconv.Atoi(index)
		if _, ok := l.legs[ifindex]; ok || err != nil {
			continue
		}
		if err := l.DetachLeg(ifindex); err != nil {
			return err
		}
		l.log.Info("programs detached from an interface that is no leg", zap.Int("ifindex", ifindex))
	}
	return nil
}

func (p *pins) link(kind string, ifindex int) string {
	return filepath.Join(p.links(), fmt.Sprintf("%s-%d", kind, ifindex))
}

// removeLink detaches by removing the pin.
func removeLink(pin string) error {
	if err := os.Remove(pin); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("unpin: %w", err)
	}
	return nil
}
