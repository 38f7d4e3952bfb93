package vrrp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Protocol is VRRP's number in the IP header.
const Protocol = 112

// Both versions begin alike: version and type, VRID, priority, count of addresses, two
// bytes that differ, checksum. Version 2 ends with 8 bytes of authentication.
const (
	headerSize       = 8
	passwordSize     = 8
	advertisement    = 1 // the only type there is
	authNone         = 0
	authPassword     = 1
	maxIntervalV3    = 4095 * centisecond // 12 bits
	maxIntervalV2    = 255 * time.Second
	centisecond      = 10 * time.Millisecond
	maxAdvertSize    = headerSize + 255*16 + passwordSize
	offsetOfChecksum = 6
)

// An Advert is a VRRP advertisement, of version 2 (RFC 3768) or 3 (RFC 9568).
type Advert struct {
	Version  uint8
	VRID     uint8
	Priority uint8
	// Interval is how often the sender advertises: whole seconds in version 2,
	// hundredths of a second in version 3.
	Interval  time.Duration
	Addresses []netip.Addr // of one family; at least one
	// AuthType and Password are of version 2 only. RFC 3768 left the types but 0
	// out, which did not end their use.
	AuthType uint8
	Password [passwordSize]byte
}

// Checksum says how a packet's checksum was made. With version 3 over IPv4 there are
// two ways, and no bit in the packet that tells them apart.
type Checksum uint8

const (
	// RFC9568 leaves the pseudo-header out over IPv4 (section 5.2.8).
	RFC9568 Checksum = iota
	// PseudoHeader includes it, as RFC 5798 was read by keepalived and FRR.
	PseudoHeader
)

func (c Checksum) String() string {
	if c == PseudoHeader {
		return "pseudo-header"
	}
	return "rfc9568"
}

// ErrChecksum is of a packet that was damaged on its way, or made by somebody who
// counts in a way of his own.
var ErrChecksum = errors.New("wrong checksum")

// Append appends the packet as it goes behind the IP header. The checksum's way is
// heeded where there are two.
func (a *Advert) Append(b []byte, source, destination netip.Addr, way Checksum) ([]byte, error) {
	if err := a.valid(source.Is6()); err != nil {
		return b, err
	}
	start := len(b)
	b = append(b, a.Version<<4|advertisement, a.VRID, a.Priority, uint8(len(a.Addresses)))
	if a.Version == 2 {
		b = append(b, a.AuthType, uint8(a.Interval/time.Second))
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(a.Interval/centisecond))
	}
	b = append(b, 0, 0) // the checksum
	for _, address := range a.Addresses {
		b = append(b, address.AsSlice()...)
	}
	if a.Version == 2 {
		b = append(b, a.Password[:]...)
	}
	packet := b[start:]
	pseudo := a.Version == 3 && (source.Is6() || way == PseudoHeader)
	binary.BigEndian.PutUint16(packet[offsetOfChecksum:], ^checksum(packet, source, destination, pseudo))
	return b, nil
}

func (a *Advert) valid(is6 bool) error {
	longest, step := maxIntervalV3, centisecond
	if a.Version == 2 {
		longest, step = maxIntervalV2, time.Second
	}
	switch {
	case a.Version != 2 && a.Version != 3:
		return fmt.Errorf("version %d: it is 2 or 3", a.Version)
	case a.Version == 2 && is6:
		return errors.New("version 2 has no IPv6")
	case a.VRID == 0:
		return errors.New("VRID 0: it is 1 to 255")
	case a.Interval < step || a.Interval > longest || a.Interval%step != 0:
		return fmt.Errorf("interval %s: version %d has %s to %s in steps of %s", a.Interval, a.Version, step, longest, step)
	case len(a.Addresses) == 0 || len(a.Addresses) > 255:
		return fmt.Errorf("%d addresses: it is 1 to 255", len(a.Addresses))
	case slices.ContainsFunc(a.Addresses, func(address netip.Addr) bool { return address.Is6() != is6 }):
		return errors.New("an address of the other family")
	}
	return nil
}

// Parse reads what came behind an IP header. It is strict about everything that the
// packet alone can show to be wrong; whether the packet is for us is not asked.
func Parse(packet []byte, source, destination netip.Addr) (a Advert, way Checksum, err error) {
	if len(packet) < headerSize {
		return a, way, fmt.Errorf("%d bytes are no header", len(packet))
	}
	if kind := packet[0] & 0xf; kind != advertisement {
		return a, way, fmt.Errorf("type %d is no advertisement", kind)
	}
	a = Advert{Version: packet[0] >> 4, VRID: packet[1], Priority: packet[2]}
	count, size, end := int(packet[3]), 4, headerSize
	if source.Is6() {
		size = 16
	}
	switch a.Version {
	case 2:
		a.AuthType, a.Interval = packet[4], time.Duration(packet[5])*time.Second
		end += passwordSize
	case 3: // the four reserved bits are ignored
		a.Interval = time.Duration(binary.BigEndian.Uint16(packet[4:])&0xfff) * centisecond
	}
	if whole := end + count*size; len(packet) != whole {
		return a, way, fmt.Errorf("%d bytes; version %d with %d addresses has %d", len(packet), a.Version, count, whole)
	}
	if way, err = verify(packet, a.Version, source, destination); err != nil {
		return a, way, err
	}
	addresses := packet[headerSize:]
	for range count {
		address, _ := netip.AddrFromSlice(addresses[:size])
		a.Addresses = append(a.Addresses, address)
		addresses = addresses[size:]
	}
	if a.Version == 2 {
		a.Password = [passwordSize]byte(addresses)
	}
	return a, way, a.valid(source.Is6())
}

// verify says which way the checksum was made.
func verify(packet []byte, version uint8, source, destination netip.Addr) (Checksum, error) {
	const right = 0xffff // the sum over a packet with its checksum in it
	switch {
	case version == 3 && source.Is6():
		if checksum(packet, source, destination, true) == right {
			return RFC9568, nil
		}
	case checksum(packet, source, destination, false) == right:
		return RFC9568, nil
	case version == 3 && checksum(packet, source, destination, true) == right:
		return PseudoHeader, nil
	}
	return RFC9568, ErrChecksum
}

// checksum is the one's complement sum of RFC 1071, not complemented.
func checksum(packet []byte, source, destination netip.Addr, pseudo bool) uint16 {
	var sum uint32
	add := func(b []byte) {
		for ; len(b) > 1; b = b[2:] {
			sum += uint32(b[0])<<8 | uint32(b[1])
		}
		if len(b) == 1 {
			sum += uint32(b[0]) << 8
		}
	}
	add(packet)
	if pseudo {
		add(source.AsSlice())
		add(destination.AsSlice())
		sum += Protocol + uint32(len(packet))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
