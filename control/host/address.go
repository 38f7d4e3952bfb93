package host

import (
	"cmp"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// An Address is one that the router should have: a vip's (/32 or /128) on its
// leg's interface, or on lo where the network routes it to us; or a floating
// address with its network's prefix. Comparable.
type Address struct {
	Interface string
	Prefix    netip.Prefix
}

func (a Address) String() string { return a.Prefix.String() + " on " + a.Interface }

// haveAddress is an address that the kernel has.
type haveAddress struct {
	index  int
	prefix netip.Prefix
	flags  uint32 // IFA_F_*
}

// An addressPlan is what SetAddresses does, in this order: remove, then add.
type addressPlan struct {
	remove  []Address
	add     []plannedAddress
	foreign []Address // wanted, there, and not ours
}

type plannedAddress struct {
	Address
	flags uint32
	// deprecated: preferred lifetime 0. The kernel then picks the address as a
	// source only if there is no other.
	deprecated bool
}

// planAddresses compares what is wanted with what there is. index maps names of
// interfaces; a wanted address on an interface that is not there is left out.
// ours says what we made. It has no effects.
func planAddresses(want []Address, have []haveAddress, index map[string]int, ours func(index int, prefix netip.Prefix) bool) addressPlan {
	var plan addressPlan
	want = slices.Clone(want) // several vips may share an address
	slices.SortFunc(want, compareWanted)
	want = slices.Compact(want)
	wanted := map[madeAddressKey]bool{}
	for _, a := range want {
		if index[a.Interface] != 0 {
			wanted[madeAddressKey{index[a.Interface], a.Prefix}] = true
		}
	}
	names := map[int]string{}
	for name, i := range index {
		names[i] = name
	}
	removed := map[madeAddressKey]bool{}
	for _, h := range have {
		key, a := madeAddressKey{h.index, h.prefix}, Address{names[h.index], h.prefix}
		if !ours(h.index, h.prefix) {
			continue
		}
		// Its flags are another's once an own address has come, or gone: it is made anew.
		isAsPlanned := (planAddress(a, h.index, have, ours).flags^h.flags)&unix.IFA_F_NOPREFIXROUTE == 0
		if !wanted[key] || !isAsPlanned {
			removed[key] = true
			plan.remove = append(plan.remove, a)
		}
	}
	holders := holders(have, removed)
	for _, a := range want {
		i := index[a.Interface]
		if i == 0 {
			continue
		}
		switch holder, held := holders[holderKey{i, a.Prefix.Addr()}]; {
		case !held:
			plan.add = append(plan.add, planAddress(a, i, have, ours))
		case !ours(i, holder):
			plan.foreign = append(plan.foreign, a)
		}
	}
	return plan
}

func compareWanted(a, b Address) int {
	return cmp.Or(cmp.Compare(a.Interface, b.Interface), a.Prefix.Compare(b.Prefix))
}

type holderKey struct {
	index int
	addr  netip.Addr
}

// holders are the addresses that stay, with whatever prefix they are there.
func holders(have []haveAddress, removed map[madeAddressKey]bool) map[holderKey]netip.Prefix {
	holders := make(map[holderKey]netip.Prefix, len(have))
	for _, h := range have {
		key := holderKey{h.index, h.prefix.Addr()}
		if _, held := holders[key]; !held && !removed[madeAddressKey{h.index, h.prefix}] {
			holders[key] = h.prefix
		}
	}
	return holders
}

// planAddress decides the flags: a floating or vip address is never picked as a
// source while the router has an address of its own, for a frame with it as the
// sender moves it in the neighbours' caches.
//
// An IPv4 address in the network of an own one brings no route (the own one's
// stays the only one, with the own address as its source) and is a secondary:
// the kernel makes it one by itself, as it comes later and has the same mask. A
// router without another address in that network needs the route of this one,
// or its reals would have none. IPv6 has no secondaries; there a preferred
// lifetime of 0 does it.
func planAddress(a Address, index int, have []haveAddress, ours func(int, netip.Prefix) bool) plannedAddress {
	planned := plannedAddress{Address: a}
	needsRoute := !a.Prefix.IsSingleIP() && !slices.ContainsFunc(have, func(h haveAddress) bool {
		return h.index == index && !ours(h.index, h.prefix) && h.flags&unix.IFA_F_NOPREFIXROUTE == 0 &&
			h.prefix.Bits() <= a.Prefix.Bits() && h.prefix.Contains(a.Prefix.Addr())
	})
	if a.Prefix.Addr().Is6() {
		// Duplicate address detection would ask the network for an address that
		// the other router of a pair may still have, and delay its use.
		planned.flags |= unix.IFA_F_NODAD
		planned.deprecated = true
	}
	if !needsRoute && !(a.Prefix.Addr().Is4() && a.Prefix.IsSingleIP()) {
		planned.flags |= unix.IFA_F_NOPREFIXROUTE
	}
	return planned
}

// hasSecondaries reports whether the kernel would delete other addresses along
// with this one: IPv4 secondaries go with the primary of their network.
func hasSecondaries(have []haveAddress, index int, prefix netip.Prefix) bool {
	primary := false
	others := false
	for _, h := range have {
		if h.index != index || !h.prefix.Addr().Is4() || h.prefix.Masked() != prefix.Masked() {
			continue
		}
		secondary := h.flags&unix.IFA_F_SECONDARY != 0
		primary = primary || h.prefix == prefix && !secondary
		others = others || h.prefix != prefix && secondary
	}
	return primary && others
}
