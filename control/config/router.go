package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

const defaultPriority = 100

// A Router is one of the two machines of a pair.
type Router struct {
	Name       string
	Addresses  map[string][]netip.Addr // its own, that never move, by leg
	Interfaces map[string]string       // by leg, where it has another than `legs` says
	Priority   int
	Keys       []string // pins of its public keys
}

// An addressKind is of what a router has one on a leg.
type addressKind int

const (
	noAddress addressKind = iota
	ipv4
	global // of IPv6
	linkLocal
)

func kindOf(addr netip.Addr) addressKind {
	switch {
	case !addr.IsValid():
		return noAddress
	case addr.Is4():
		return ipv4
	case addr.IsLinkLocalUnicast():
		return linkLocal
	}
	return global
}

// address is the router's own address of a kind on a leg; invalid: it has none.
func (r Router) address(leg string, kind addressKind) netip.Addr {
	for _, addr := range r.Addresses[leg] {
		if kindOf(addr) == kind {
			return addr
		}
	}
	return netip.Addr{}
}

// unread says whether an address on a leg could not be read.
func (r Router) unread(leg string) bool { return slices.Contains(r.Addresses[leg], netip.Addr{}) }

// legsOf are the legs with a router's interfaces.
func (c *Config) legsOf(r Router) []Leg {
	legs := slices.Clone(c.Legs)
	for i := range legs {
		if name, ok := r.Interfaces[legs[i].Name]; ok {
			legs[i].Interface = name
		}
	}
	return legs
}

// ownerOf names the router whose own address this is; empty: none's.
func (c *Config) ownerOf(addr netip.Addr) string {
	for _, router := range c.Routers {
		for _, list := range router.Addresses {
			if slices.Contains(list, addr) {
				return router.Name
			}
		}
	}
	return ""
}

func (d *decoder) router(n *yaml.Node, path string, c *Config) Router {
	r := Router{}
	ok := d.mapping(n, path, fields{
		"name":       d.name(&r.Name),
		"addresses":  byLeg(d, c.Legs, &r.Addresses, func(to *[]netip.Addr) reader { return some(d, to, d.addr) }),
		"interfaces": byLeg(d, c.Legs, &r.Interfaces, d.interfaceName),
		"priority":   d.integer(&r.Priority, 1, 254),
		"key":        some(d, &r.Keys, d.pin),
	})
	if ok {
		d.required(n, path, "name", "the machine's hostname, such as lb1")
	}
	if valueOf(n, "priority") == nil {
		r.Priority = defaultPriority
	}
	return r
}

// byLeg reads a mapping from the names of legs.
func byLeg[T any](d *decoder, legs []Leg, to *map[string]T, item func(*T) reader) reader {
	names := make([]string, len(legs))
	for i, leg := range legs {
		names[i] = leg.Name
	}
	return byName(d, names, to, item)
}

// addr reads an address alone.
func (d *decoder) addr(to *netip.Addr) reader {
	return func(n *yaml.Node, path string) {
		d.address(n, path, "address", func(s string) error {
			addr, err := netip.ParseAddr(s)
			if err != nil || addr.Zone() != "" || addr.Is4In6() {
				return fmt.Errorf("%q is not an IP address, such as 192.0.2.1 or 2001:db8::1", s)
			}
			*to = addr
			return nil
		})
	}
}

// pin reads the hash of a public key, in small letters.
func (d *decoder) pin(to *string) reader {
	return func(n *yaml.Node, path string) {
		s, ok := d.text(n, path)
		if !ok {
			return
		}
		if !pinText.MatchString(s) {
			d.failNode(n, path, "", "%.80q is no pin: write sha256: and 64 hexadecimal digits, as lbctl keygen prints", s)
			return
		}
		*to = strings.ToLower(s)
	}
}
