package vrrp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Transport is how adverts travel.
type Transport uint8

const (
	Unicast Transport = iota
	// Multicast is to 224.0.0.18 and ff02::12.
	Multicast
)

// PeerKind is what the other router runs.
type PeerKind uint8

const (
	// Tarpon has several heartbeat links, and a TLS link over which it says more
	// than VRRP can.
	Tarpon PeerKind = iota
	// Foreign is keepalived, FRR or another router of the RFC: one link, one family.
	Foreign
)

// A Config is one election. The same on both routers, but for what is each one's own:
// the addresses, the interfaces and the priority.
type Config struct {
	VRID    uint8
	Version uint8 // 2 or 3
	// Links carry the election, in an order that is the same on both routers: the
	// first one's addresses decide between equal priorities.
	Links        []Link
	Transport    Transport
	Advert       time.Duration // between adverts
	Priority     uint8         // as configured, 1 to 254
	Preempt      bool
	PreemptDelay time.Duration
	// Settle is how long the legs must have had carrier before the first takeover.
	Settle     time.Duration
	Peer       PeerKind
	Fence      *Fence   // nil: a peer that is silent is believed dead
	Checksum   Checksum // of version 3 over IPv4, sending
	V2Password string   // of version 2, up to 8 bytes; empty: none
	// Advertise are the addresses in adverts; those of a link's family go there.
	Advertise []netip.Addr
}

// A Fence is the means to make sure that a silent peer does nothing any more.
type Fence struct {
	// Delay comes first. On one of the two routers it is longer than a shot takes, or
	// both could be shot at once.
	Delay time.Duration
	// Proceed takes over from a peer that could not be fenced.
	Proceed bool
	// Require takes over from no peer that was not: nor from one that was never heard.
	Require bool
}

// A Link is one way to the peer, of one family.
type Link struct {
	Interface string
	Own       netip.Addr // a fixed address of this router, without a zone
	// Peer is the other router's. It may be absent only with a Foreign peer and
	// Multicast: then any sender is believed.
	Peer netip.Addr
}

// Validate says everything that is wrong.
func (c *Config) Validate() error {
	var errs []error
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(c.Priority == 0 || c.Priority == 255, "priority %d: it is 1 to 254; 255 is for who owns the address himself", c.Priority)
	wrong(len(c.Links) == 0, "no heartbeat link")
	wrong(c.Peer == Foreign && len(c.Links) > 1, "%d heartbeat links: a foreign peer has exactly one, of one family", len(c.Links))
	wrong(c.PreemptDelay < 0 || c.PreemptDelay > 0 && !c.Preempt, "a preempt delay of %s without preempt", c.PreemptDelay)
	wrong(c.Fence != nil && c.Fence.Delay < 0, "a fence's delay below 0")
	wrong(c.Settle < 0, "settle: %s", c.Settle)
	wrong(len(c.V2Password) > passwordSize, "the password of version 2 has %d bytes: it has up to %d", len(c.V2Password), passwordSize)
	wrong(c.V2Password != "" && c.Version != 2, "a password of version 2 in version %d", c.Version)
	for _, link := range c.Links {
		if !link.Own.IsValid() {
			wrong(true, "link %s: no address of this router", link.Interface)
			continue
		}
		wrong(link.Own.Zone() != "" || link.Peer.Zone() != "", "link %s: an address with a zone", link.Interface)
		wrong(!link.Peer.IsValid() && (c.Peer == Tarpon || c.Transport == Unicast), "link %s: no address of the peer", link.Interface)
		wrong(link.Peer.IsValid() && link.Peer.Is6() != link.Own.Is6(), "link %s: %s and %s are of two families", link.Interface, link.Own, link.Peer)
		wrong(link.Peer == link.Own, "link %s: both routers have %s", link.Interface, link.Own)
		// RFC 9568 section 5.1.2.1: the source of IPv6 adverts is link-local.
		wrong(c.Peer == Foreign && link.Own.Is6() && !link.Own.IsLinkLocalUnicast(), "link %s: a foreign peer wants adverts from a link-local address, not %s", link.Interface, link.Own)
		advert := c.advert(link, c.Priority)
		if err := advert.valid(link.Own.Is6()); err != nil {
			errs = append(errs, fmt.Errorf("link %s: %w", link.Interface, err))
			continue
		}
		// RFC 9568 section 5.2.9.
		wrong(c.Peer == Foreign && link.Own.Is6() && !advert.Addresses[0].IsLinkLocalUnicast(), "link %s: the first address advertised is to be link-local, not %s", link.Interface, advert.Addresses[0])
	}
	return errors.Join(errs...)
}

// advert is what this router says on a link.
func (c *Config) advert(link Link, priority uint8) Advert {
	a := Advert{Version: c.Version, VRID: c.VRID, Priority: priority, Interval: c.Advert}
	for _, address := range c.Advertise {
		if address.Is6() == link.Own.Is6() {
			a.Addresses = append(a.Addresses, address)
		}
	}
	if c.V2Password != "" {
		a.AuthType = authPassword
		copy(a.Password[:], c.V2Password)
	}
	return a
}

// sameAddresses compares lists as sets: their order means nothing to an election.
func sameAddresses(a, b []netip.Addr) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.SortFunc(a, netip.Addr.Compare)
	slices.SortFunc(b, netip.Addr.Compare)
	return slices.Equal(a, b)
}
