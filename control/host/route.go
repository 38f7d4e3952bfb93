package host

import (
	"fmt"
	"net/netip"
)

// RouteTo is the name of the interface by which packets to an address leave; lo: it
// is one of this machine.
func (h *Host) RouteTo(addr netip.Addr) (string, error) {
	routes, err := h.netlink.RouteGet(addr.AsSlice())
	if err != nil {
		return "", fmt.Errorf("ask for the route to %s: %w", addr, err)
	}
	for _, r := range routes {
		link, err := h.netlink.LinkByIndex(r.LinkIndex)
		if err != nil {
			return "", fmt.Errorf("find the interface of the route to %s: %w", addr, err)
		}
		return link.Attrs().Name, nil
	}
	return "", fmt.Errorf("there is no route to %s", addr)
}
