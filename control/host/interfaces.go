package host

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrNoInterface is returned when an interface does not exist.
var ErrNoInterface = errors.New("no such interface")

// A MAC is an Ethernet address; the zero value is none.
type MAC [6]byte

func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// An Interface is what this machine has by a name.
type Interface struct {
	Name  string
	Index int
	MAC   MAC // zero on a device that is not Ethernet
	MTU   int
	Kind  string // device, veth, bond, vlan, bridge, ...
	// Master is the bond, bridge or VRF it is a port of; Parent what a VLAN or
	// macvlan stands on. "" is none; a parent in another namespace has no name.
	Master, Parent string
	Up, Carrier    bool
	Addresses      []InterfaceAddress
}

// An InterfaceAddress is an address that an interface has now.
type InterfaceAddress struct {
	Prefix netip.Prefix
	// Ours: added by us, by the record.
	Ours bool
}

// Interfaces lists what there is, by index.
func (h *Host) Interfaces() ([]Interface, error) {
	links, err := dump(h.netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	addresses, err := h.listAddresses()
	if err != nil {
		return nil, err
	}
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	list := make([]Interface, 0, len(links))
	for _, l := range links {
		attrs := l.Attrs()
		i := Interface{
			Name:    attrs.Name,
			Index:   attrs.Index,
			MTU:     attrs.MTU,
			Kind:    l.Type(),
			Master:  names[attrs.MasterIndex],
			Up:      attrs.RawFlags&unix.IFF_UP != 0,
			Carrier: attrs.RawFlags&unix.IFF_LOWER_UP != 0,
		}
		// A veth's "parent" is its peer.
		if l.Type() != "veth" && attrs.NetNsID < 0 {
			i.Parent = names[attrs.ParentIndex]
		}
		i.MAC, _ = ethernetMAC(attrs)
		for _, a := range addresses {
			if a.index == attrs.Index {
				i.Addresses = append(i.Addresses, InterfaceAddress{a.prefix, h.made.hasAddress(a.index, a.prefix)})
			}
		}
		list = append(list, i)
	}
	slices.SortFunc(list, func(a, b Interface) int { return a.Index - b.Index })
	return list, nil
}

// Interface looks one up by name. An error that is ErrNoInterface lists what
// there is instead.
func (h *Host) Interface(name string) (Interface, error) {
	list, err := h.Interfaces()
	if err != nil {
		return Interface{}, err
	}
	for _, i := range list {
		if i.Name == name {
			return i, nil
		}
	}
	return Interface{}, noInterface(name, list)
}

func noInterface(name string, list []Interface) error {
	var names []string
	for _, i := range list {
		names = append(names, i.Name)
	}
	return fmt.Errorf("%w: %s; this machine has %s", ErrNoInterface, name, strings.Join(names, ", "))
}

// interfaceIndexes maps names to indexes; what cannot be listed is not there.
func (h *Host) interfaceIndexes() map[string]int {
	indexes := map[string]int{}
	links, err := dump(h.netlink.LinkList)
	if err != nil {
		return indexes
	}
	for _, l := range links {
		indexes[l.Attrs().Name] = l.Attrs().Index
	}
	return indexes
}

// ethernetMAC returns a link's address if its frames are Ethernet's. The
// loopback has an Ethernet header too, but nobody is behind it.
func ethernetMAC(attrs *netlink.LinkAttrs) (MAC, bool) {
	if attrs.EncapType != "ether" || len(attrs.HardwareAddr) != len(MAC{}) {
		return MAC{}, false
	}
	return MAC(attrs.HardwareAddr), true
}

func isInterrupted(err error) bool { return errors.Is(err, netlink.ErrDumpInterrupted) }
