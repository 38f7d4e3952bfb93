package vrrp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// A vector is a packet that another VRRP sent, with what it is to mean.
type vector struct {
	name     string
	from, to netip.Addr
	payload  []byte
	meaning  string
}

// vectors reads testdata/adverts.txt.
func vectors(t testing.TB) (list []vector) {
	text, err := os.ReadFile("testdata/adverts.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		fields := strings.Split(line, " | ")
		packet, err := hex.DecodeString(fields[2])
		if err != nil {
			t.Fatal(err)
		}
		v := vector{name: fields[0], meaning: fields[1]}
		if packet[0]>>4 == 4 {
			v.from, v.to, v.payload = netip.AddrFrom4([4]byte(packet[12:])), netip.AddrFrom4([4]byte(packet[16:])), packet[20:]
		} else {
			v.from, v.to, v.payload = netip.AddrFrom16([16]byte(packet[8:])), netip.AddrFrom16([16]byte(packet[24:])), packet[40:]
		}
		list = append(list, v)
	}
	return list
}

func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		a, way, err := Parse(v.payload, v.from, v.to)
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		meaning := fmt.Sprintf("v%d vrid %d priority %d every %s %v %s", a.Version, a.VRID, a.Priority, a.Interval, a.Addresses, way)
		if a.Version == 2 {
			meaning += fmt.Sprintf(" auth %d %q", a.AuthType, strings.TrimRight(string(a.Password[:]), "\x00"))
		}
		if meaning != v.meaning {
			t.Errorf("%s:\n%s, want\n%s", v.name, meaning, v.meaning)
		}
		// And we would say it in the same bytes.
		if packet, err := a.Append([]byte("before"), v.from, v.to, way); err != nil || !bytes.Equal(packet[6:], v.payload) {
			t.Errorf("%s: appended %x, %v, want %x", v.name, packet[6:], err, v.payload)
		}
		for bit := range 8 * len(v.payload) {
			damaged := bytes.Clone(v.payload)
			damaged[bit/8] ^= 1 << (bit % 8)
			if _, _, err := Parse(damaged, v.from, v.to); err == nil {
				t.Errorf("%s: bit %d is wrong, and nobody noticed", v.name, bit)
			}
		}
	}
}

// Both ways of version 3 over IPv4, with numbers made by hand (RFC 1071).
func TestChecksumWays(t *testing.T) {
	from, to := netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("224.0.0.18")
	a := Advert{Version: 3, VRID: 77, Priority: 100, Interval: 200 * ms, Addresses: []netip.Addr{netip.MustParseAddr("10.9.0.254")}}
	// 314d + 6401 + 0014 + 0a09 + 00fe = a069; with 0a09 0001 e000 0012 0070 000c: 18b01 -> 8b02
	for way, want := range map[Checksum]uint16{RFC9568: 0x5f96, PseudoHeader: 0x74fd} {
		packet, err := a.Append(nil, from, to, way)
		if err != nil {
			t.Fatal(err)
		}
		if got := binary.BigEndian.Uint16(packet[6:]); got != want {
			t.Errorf("%s: %04x, want %04x", way, got, want)
		}
		if _, got, err := Parse(packet, from, to); got != way || err != nil {
			t.Errorf("%s is seen as %s, %v", way, got, err)
		}
		if _, got, err := Parse(packet, from, netip.MustParseAddr("10.9.0.2")); (err == nil) != (way == RFC9568) {
			t.Errorf("%s with another destination: %s, %v", way, got, err)
		}
	}
}

func TestParseIsStrict(t *testing.T) {
	from4, from6 := netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("fe80::1")
	four, six := netip.MustParseAddr("10.9.0.254"), netip.MustParseAddr("fe80::254")
	v3 := Advert{Version: 3, VRID: 1, Priority: 1, Interval: time.Second, Addresses: []netip.Addr{four}}
	v2 := v3
	v2.Version = 2
	v6 := v3
	v6.Addresses = []netip.Addr{six}
	for _, c := range []struct {
		name   string
		advert Advert
		from   netip.Addr
		change func([]byte) []byte
		want   string
	}{
		{"as it should be", v3, from4, nil, ""},
		{"version 2", v2, from4, nil, ""},
		{"IPv6", v6, from6, nil, ""},
		{"nothing", v3, from4, func(b []byte) []byte { return nil }, "no header"},
		{"7 bytes", v3, from4, func(b []byte) []byte { return b[:7] }, "no header"},
		{"cut off", v3, from4, func(b []byte) []byte { return b[:len(b)-1] }, "11 bytes; version 3 with 1 addresses has 12"},
		{"more", v3, from4, func(b []byte) []byte { return append(b, 0) }, "13 bytes"},
		{"version 2 without its end", v2, from4, func(b []byte) []byte { return b[:12] }, "has 20"},
		{"type 2", v3, from4, func(b []byte) []byte { b[0] = 0x32; return b }, "type 2"},
		{"version 1", v3, from4, func(b []byte) []byte { b[0] = 0x11; return b }, "version 1"},
		{"version 4", v3, from4, func(b []byte) []byte { b[0] = 0x41; return b }, "version 4"},
		{"VRID 0", v3, from4, func(b []byte) []byte { b[1] = 0; return b }, "VRID 0"},
		{"no address", v3, from4, func(b []byte) []byte { b[3] = 0; return b[:8] }, "0 addresses"},
		{"no interval", v3, from4, func(b []byte) []byte { b[4], b[5] = 0, 0; return b }, "interval 0s"},
		{"version 2, no interval", v2, from4, func(b []byte) []byte { b[5] = 0; return b }, "interval 0s"},
		{"reserved bits", v3, from4, func(b []byte) []byte { b[4] |= 0xf0; return b }, ""},
		{"version 2 over IPv6", v2, from6, func(b []byte) []byte { return append(b, make([]byte, 12)...) }, "no IPv6"},
	} {
		to := c.from
		source := c.from
		if c.advert.Version == 2 {
			source = from4
		}
		packet, err := c.advert.Append(nil, source, to, RFC9568)
		if err != nil {
			t.Fatal(c.name, err)
		}
		if c.change != nil {
			if packet = c.change(packet); len(packet) >= 8 {
				packet[6], packet[7] = 0, 0
				binary.BigEndian.PutUint16(packet[6:], ^checksum(packet, c.from, to, c.from.Is6() && packet[0]>>4 == 3))
			}
		}
		_, _, err = Parse(packet, c.from, to)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if _, _, err := Parse(append([]byte{0x31, 1, 1, 1, 0, 100, 1, 2}, 10, 9, 0, 254), from4, from4); !errors.Is(err, ErrChecksum) {
		t.Error(err)
	}
}

func TestAppendRefuses(t *testing.T) {
	from := netip.MustParseAddr("10.9.0.1")
	for _, change := range []func(*Advert){
		func(a *Advert) { a.Version = 1 },
		func(a *Advert) { a.VRID = 0 },
		func(a *Advert) { a.Interval = 0 },
		func(a *Advert) { a.Interval = 5 * ms },
		func(a *Advert) { a.Interval = 41 * time.Second },
		func(a *Advert) { a.Version, a.Interval = 2, 200*ms },
		func(a *Advert) { a.Version, a.Interval = 2, 256*time.Second },
		func(a *Advert) { a.Addresses = nil },
		func(a *Advert) { a.Addresses = make([]netip.Addr, 256) },
		func(a *Advert) { a.Addresses = []netip.Addr{netip.MustParseAddr("fe80::1")} },
	} {
		a := Advert{Version: 3, VRID: 1, Priority: 1, Interval: 40950 * ms, Addresses: []netip.Addr{from}}
		if _, err := a.Append(nil, from, from, RFC9568); err != nil {
			t.Fatal(err)
		}
		change(&a)
		if packet, err := a.Append(nil, from, from, RFC9568); err == nil || packet != nil {
			t.Errorf("%+v: %x", a, packet)
		}
	}
}

// Whatever comes is refused, or is what we would have sent for it.
func FuzzParse(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.payload, v.from.Is6())
	}
	f.Fuzz(func(t *testing.T, packet []byte, is6 bool) {
		from, to := netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("224.0.0.18")
		if is6 {
			from, to = netip.MustParseAddr("fe80::1"), netip.MustParseAddr("ff02::12")
		}
		// A right checksum leads further in.
		if len(packet) >= 8 {
			packet[6], packet[7] = 0, 0
			binary.BigEndian.PutUint16(packet[6:], ^checksum(packet, from, to, is6 && packet[0]>>4 == 3))
		}
		a, way, err := Parse(packet, from, to)
		if err != nil {
			return
		}
		if a.Version == 3 && packet[4]&0xf0 != 0 {
			return // the reserved bits are not ours to send
		}
		again, err := a.Append(nil, from, to, way)
		if err != nil || !bytes.Equal(again[:6], packet[:6]) || !bytes.Equal(again[8:], packet[8:]) {
			t.Fatalf("%x became %+v became %x, %v", packet, a, again, err)
		}
	})
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		config Config
		change func(*Config)
		want   string
	}{
		{tarpon(), func(c *Config) { c.VRID = 0 }, "VRID 0"},
		{tarpon(), func(c *Config) { c.Priority = 0 }, "priority 0"},
		{tarpon(), func(c *Config) { c.Priority = 255 }, "priority 255"},
		{tarpon(), func(c *Config) { c.Links = nil }, "no heartbeat link"},
		{tarpon(), func(c *Config) { c.Peer = Foreign }, "exactly one"},
		{tarpon(), func(c *Config) { c.PreemptDelay = 1 }, "without preempt"},
		{tarpon(), func(c *Config) { c.Settle = -1 }, "settle"},
		{tarpon(), func(c *Config) { c.Version = 2 }, "version 2"},
		{tarpon(), func(c *Config) { c.V2Password = "x" }, "in version 3"},
		{foreign(version2), func(c *Config) { c.V2Password = "123456789" }, "9 bytes"},
		{tarpon(), func(c *Config) { c.Links[0].Own = netip.Addr{} }, "no address of this router"},
		{tarpon(), func(c *Config) { c.Links[0].Peer = netip.Addr{} }, "no address of the peer"},
		{tarpon(), func(c *Config) { c.Links[0].Peer = c.Links[0].Own }, "both routers have"},
		{tarpon(), func(c *Config) { c.Links[0].Peer = c.Links[1].Peer }, "two families"},
		{tarpon(), func(c *Config) { c.Links[1].Own = netip.MustParseAddr("fe80::1%eth0") }, "zone"},
		{foreign(), func(c *Config) { c.Transport = Unicast }, "no address of the peer"},
		{foreign(), func(c *Config) { c.Links[0].Own = netip.MustParseAddr("fd00::1") }, "link-local address, not fd00::1"},
		{tarpon(), func(c *Config) { c.Advertise = c.Advertise[:1] }, "0 addresses"},
		{tarpon(), func(c *Config) { c.Advert = 15 * ms }, "interval 15ms"},
		{foreign(), func(c *Config) {
			c.Links[0].Own = netip.MustParseAddr("fe80::1")
			c.Advertise = []netip.Addr{netip.MustParseAddr("fd00::254")}
		}, "first address advertised"},
	} {
		config := c.config
		config.Links = append([]Link(nil), config.Links...)
		c.change(&config)
		if err := config.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}
