package loader

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// LegFault says what of an attached leg is not as AttachLeg and SetLegRoutes left it:
// somebody else has changed it. Empty: nothing. To attach the leg again, and to set
// its routes, mends it.
func (l *Loader) LegFault(ifindex int) (string, error) {
	leg, ok := l.legs[ifindex]
	if !ok {
		return "", fmt.Errorf("interface %d is no leg", ifindex)
	}
	if found, err := l.findsLeg(leg); err != nil || !found {
		return "entry in leg_ids", err
	}
	switch {
	case l.memory.legs[leg.id] != leg.record:
		return "record in legs", nil
	case leg.xdp != nil && !isAttached(leg.xdp, l.pins.link("xdp", ifindex)):
		return "XDP program", nil
	case !l.hasHook(leg, comesIn, leg.tcx):
		return "TC program", nil
	case !l.hasHook(leg, leaves, leg.lease):
		return "lease program", nil
	case leg.Attachment.Mode == Native && canTransmit(ifindex) != leg.redirects:
		return "readiness for XDP_REDIRECT", nil
	}
	return "", nil
}

// findsLeg says whether the program finds a leg by its interface.
func (l *Loader) findsLeg(leg *leg) (bool, error) {
	var id, small uint32
	err := l.maps.LegIds.Lookup(xdpLegKey{Ifindex: uint32(leg.Ifindex)}, &id)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return false, nil
	}
	small = id
	if err == nil && leg.Ifindex < legIndices {
		err = l.maps.LegOfIndex.Lookup(uint32(leg.Ifindex), &small)
	}
	return id == leg.id && small == leg.id, err
}

// hasHook says whether a TC program is there still, by a link or below 6.6 a filter.
func (l *Loader) hasHook(leg *leg, hook tcHook, held link.Link) bool {
	if held == nil {
		return findFilter(leg.Ifindex, hook) != nil
	}
	return isAttached(held, l.pins.link(hook.kind, leg.Ifindex))
}

// isAttached says whether a link is on its interface still, and pinned. One that
// cannot be looked at is left alone.
func isAttached(held link.Link, pin string) bool {
	if _, err := os.Stat(pin); errors.Is(err, os.ErrNotExist) {
		return false
	}
	info, err := held.Info()
	if err != nil {
		return true
	}
	if xdp := info.XDP(); xdp != nil {
		return xdp.Ifindex != 0
	}
	tcx := info.TCX()
	return tcx == nil || tcx.Ifindex != 0
}
