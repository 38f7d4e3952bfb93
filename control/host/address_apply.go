package host

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Addresses is what SetAddresses did and found.
type Addresses struct {
	Added, Removed []Address
	// Foreign: wanted and there, but not made by us. They are used, and never
	// removed. Returned by every call that finds them.
	Foreign []Address
}

// SetAddresses makes the wanted addresses be there and removes those that we
// made and that are wanted no longer. An address that was there before stays
// as it is, whatever its prefix; one on an interface that does not exist is left
// out. Each is recorded before it is made. It goes on after an error and returns
// them joined. What was added is ready for packets when it returns.
func (h *Host) SetAddresses(want []Address) (Addresses, error) {
	h.apply.Lock()
	defer h.apply.Unlock()
	h.mu.Lock()
	h.wanted = map[Address]bool{} // first: the Watcher must not report what is removed here as lost
	for _, a := range want {
		h.wanted[a] = true
	}
	h.mu.Unlock()

	interfaces, err := h.Interfaces()
	if err != nil {
		return Addresses{}, err
	}
	have, err := h.listAddresses()
	if err != nil {
		return Addresses{}, err
	}
	index := map[string]int{}
	for _, i := range interfaces {
		index[i.Name] = i.Index
	}
	plan := planAddresses(want, have, index, h.made.hasAddress)

	result := Addresses{Foreign: plan.foreign}
	var errs []error
	var gone []MadeAddress // their records go last
	for _, a := range plan.remove {
		if err := h.removeAddress(a, index[a.Interface], have); err != nil {
			errs = append(errs, err)
			continue
		}
		gone = append(gone, made(a, index))
		result.Removed = append(result.Removed, a)
	}
	errs = append(errs, h.made.dropAddresses(gone...))
	added, err := h.addAddresses(plan.add, index)
	result.Added = added
	h.awaitReady(added)
	errs = append(errs, err, h.forgetAddresses(want, index))
	return result, errors.Join(errs...)
}

func made(a Address, index map[string]int) MadeAddress {
	return MadeAddress{a.Interface, index[a.Interface], a.Prefix}
}

// addAddresses records all of them, then adds one by one.
func (h *Host) addAddresses(list []plannedAddress, index map[string]int) (added []Address, err error) {
	records := make([]MadeAddress, len(list))
	for i, a := range list {
		records[i] = made(a.Address, index)
	}
	if err := h.made.putAddresses(records...); err != nil {
		return nil, err
	}
	var errs []error
	var failed []MadeAddress
	for i, a := range list {
		if err := h.addAddress(a, records[i].Index); err != nil {
			errs, failed = append(errs, err), append(failed, records[i])
			continue
		}
		added = append(added, a.Address)
	}
	return added, errors.Join(append(errs, h.made.dropAddresses(failed...))...)
}

func (h *Host) addAddress(a plannedAddress, index int) error {
	add := &netlink.Addr{IPNet: toIPNet(a.Prefix), LinkIndex: index, Flags: int(a.flags)}
	if a.Prefix.Addr().Is4() {
		add.Broadcast = net.IPv4zero // none, as `ip addr add` has none
	}
	if a.deprecated {
		add.ValidLft, add.PreferedLft = math.MaxUint32, 0 // for ever, but not preferred
	}
	if err := h.netlink.AddrAdd(nil, add); err != nil {
		remedy := ""
		if a.Prefix.Addr().Is6() && errors.Is(err, fs.ErrPermission) {
			remedy = fmt.Sprintf("; is IPv6 off there (net.ipv6.conf.%s.disable_ipv6)?", a.Interface)
		}
		return fmt.Errorf("add address %s: %w%s", a, err, remedy)
	}
	return nil
}

// readyTime is more than an address takes to be ready, if it ever is.
const readyTime = 300 * time.Millisecond

// awaitReady waits until the kernel hears what is sent to the addresses. One of IPv6 it has
// at once, and asks neighbours as it; but its route and its multicast group come by a
// work queue, also without duplicate address detection. What a neighbour answers
// before is lost, and it is asked again after a second.
func (h *Host) awaitReady(list []Address) {
	deadline := time.Now().Add(readyTime)
	for _, a := range list {
		for a.Prefix.Addr().Is6() && !h.isReady(a) && time.Now().Before(deadline) {
			time.Sleep(200 * time.Microsecond)
		}
	}
}

func (h *Host) isReady(a Address) bool {
	routes, err := h.netlink.RouteGetWithOptions(a.Prefix.Addr().AsSlice(), &netlink.RouteGetOptions{Oif: a.Interface})
	return err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL
}

// removeAddress removes an address of ours.
func (h *Host) removeAddress(a Address, index int, have []haveAddress) error {
	remove := func() error {
		err := h.netlink.AddrDel(nil, &netlink.Addr{IPNet: toIPNet(a.Prefix), LinkIndex: index})
		if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("remove address %s: %w", a, err)
		}
		return nil
	}
	if hasSecondaries(have, index, a.Prefix) {
		return h.withPromotion(a.Interface, index, remove)
	}
	return remove()
}

// withPromotion runs remove while the kernel promotes a secondary address when
// its primary goes, instead of deleting it too: others may have been added
// after ours in the same network, and they are not ours to lose.
func (h *Host) withPromotion(name string, index int, remove func() error) error {
	w := wish{path: "net/ipv4/conf/" + name + "/promote_secondaries", value: "1", leg: name}
	if err := h.setSysctl(w, index, &Sysctls{}); err != nil {
		return fmt.Errorf("keep the other addresses of %s: %w", name, err)
	}
	err := remove()
	return errors.Join(err, h.restoreSysctls(map[string]int{name: index}, &Sysctls{}, func(s MadeSysctl) bool { return s.Name == w.path }))
}

// forgetAddresses drops records of what neither is there nor is wanted: of an
// interface that is gone, or removed by somebody else.
func (h *Host) forgetAddresses(want []Address, index map[string]int) error {
	have, err := h.listAddresses()
	if err != nil {
		return err
	}
	keep := make(map[madeAddressKey]bool, len(have)+len(want))
	for _, a := range have {
		keep[madeAddressKey{a.index, a.prefix}] = true
	}
	for _, a := range want {
		keep[madeAddressKey{index[a.Interface], a.Prefix}] = true
	}
	var gone []MadeAddress
	for _, m := range h.made.Addresses() {
		if !keep[madeAddressKey{m.Index, m.Prefix}] {
			gone = append(gone, m)
		}
	}
	return h.made.dropAddresses(gone...)
}

func (h *Host) listAddresses() ([]haveAddress, error) {
	list, err := dump(func() ([]netlink.Addr, error) { return h.netlink.AddrList(nil, unix.AF_UNSPEC) })
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	have := make([]haveAddress, 0, len(list))
	for _, a := range list {
		if prefix, ok := fromIPNet(a.IPNet); ok {
			have = append(have, haveAddress{a.LinkIndex, prefix, uint32(a.Flags)})
		}
	}
	return have, nil
}

// fromIPNet returns false for what is no prefix.
func fromIPNet(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	bits, size := n.Mask.Size()
	if !ok || size == 0 {
		return netip.Prefix{}, false
	}
	if size == 32 {
		addr = addr.Unmap()
	}
	return netip.PrefixFrom(addr, bits), true
}

func toIPNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
