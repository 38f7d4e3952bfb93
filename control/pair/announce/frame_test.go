package announce

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/tarpon-lb/tarpon/control/host"
)

var (
	ours   = host.MAC{2, 0, 0, 0, 0, 1}
	theirs = host.MAC{2, 0, 0, 0, 0, 0xb}
	other  = host.MAC{2, 0, 0, 0, 0, 0xc}

	vip4, vip6   = netip.MustParseAddr("192.0.2.200"), netip.MustParseAddr("2001:db8::200")
	near4, near6 = netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")
	own4, own6   = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
)

// bytesOf reads hexadecimal digits with spaces.
func bytesOf(t *testing.T, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(digits), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The vectors are put together from the RFCs by hand, the checksums by another program.
func TestFrames(t *testing.T) {
	for _, test := range []struct {
		name  string
		frame frame
		want  string
	}{
		{"announcement, request form", announcements(ours, vip4)[0],
			"ffffffffffff 020000000001 0806 0001 0800 06 04 0001 020000000001 c00002c8 000000000000 c00002c8"},
		{"announcement, reply form", announcements(ours, vip4)[1],
			"ffffffffffff 020000000001 0806 0001 0800 06 04 0002 020000000001 c00002c8 020000000001 c00002c8"},
		{"unsolicited advertisement: R, O", announcements(ours, vip6)[0],
			"333300000001 020000000001 86dd 60000000 0020 3a ff" +
				"20010db8000000000000000000000200 ff020000000000000000000000000001" +
				"88 00 752c a0000000 20010db8000000000000000000000200 02 01 020000000001"},
		{"request of a neighbour", request(ours, vip4, near4, theirs),
			"02000000000b 020000000001 0806 0001 0800 06 04 0001 020000000001 c00002c8 000000000000 c000020a"},
		{"request of whoever it is", request(ours, vip4, near4, host.MAC{}),
			"ffffffffffff 020000000001 0806 0001 0800 06 04 0001 020000000001 c00002c8 000000000000 c000020a"},
		{"solicitation of a neighbour", request(ours, vip6, near6, theirs),
			"02000000000b 020000000001 86dd 60000000 0020 3a ff" +
				"20010db8000000000000000000000200 20010db8000000000000000000000010" +
				"87 00 ea57 00000000 20010db8000000000000000000000010 01 01 020000000001"},
		{"solicitation of whoever it is", request(ours, vip6, near6, host.MAC{}),
			"3333ff000010 020000000001 86dd 60000000 0020 3a ff" +
				"20010db8000000000000000000000200 ff0200000000000000000001ff000010" +
				"87 00 1a0c 00000000 20010db8000000000000000000000010 01 01 020000000001"},
		{"ping", ping(ours, vip4, near4, theirs, 0x1234),
			"02000000000b 020000000001 0800 45 00 001c 0000 4000 40 01 b60e c00002c8 c000020a 08 00 e5ca 1234 0001"},
	} {
		want := bytesOf(t, test.want)
		if len(test.frame.bytes) < len(want) {
			t.Errorf("%s: %x, want %x", test.name, test.frame.bytes, want)
			continue
		}
		if got := test.frame.bytes[:len(want)]; string(got) != string(want) {
			t.Errorf("%s:\n%x, want\n%x", test.name, got, want)
		}
		if padding := strings.Trim(string(test.frame.bytes[len(want):]), "\x00"); padding != "" {
			t.Errorf("%s: padded with %x", test.name, padding)
		}
		if protocol := test.frame.bytes[12:14]; uint16(test.frame.protocol) != uint16(protocol[0])<<8|uint16(protocol[1]) {
			t.Errorf("%s: sent as %s", test.name, test.frame.protocol)
		}
	}
}

func TestHear(t *testing.T) {
	const to, from = "020000000001 02000000000b ", "20010db8000000000000000000000010"
	const solicitation = to + "86dd 60000000 0020 3a ff" + from + "20010db8000000000000000000000200" +
		"87 00 0000 00000000 20010db8000000000000000000000200"
	for _, test := range []struct {
		name, frame string
		want        heard
		not         bool // looked for
	}{
		{name: "ARP request", frame: "ffffffffffff 02000000000b 0806 0001 0800 06 04 0001 02000000000c c000020a 000000000000 c00002c8",
			want: heard{to: everyone, mac: other, sender: near4, receiver: vip4}},
		{name: "ARP reply", frame: to + "0806 0001 0800 06 04 0002 02000000000b c000020a 020000000001 c00002c8",
			want: heard{to: ours, mac: theirs, sender: near4, receiver: vip4, says: replies}},
		{name: "ARP, padded", frame: to + "0806 0001 0800 06 04 0002 02000000000b c000020a 020000000001 c00002c8" + strings.Repeat("00", 18),
			want: heard{to: ours, mac: theirs, sender: near4, receiver: vip4, says: replies}},
		{name: "an IP header cut off", frame: to + "0800 45", not: true},
		{name: "ARP of another protocol", frame: to + "0806 0001 0801 06 04 0002 02000000000b c000020a 020000000001 c00002c8", not: true},
		{name: "ARP with long addresses", frame: to + "0806 0001 0800 08 04 0002 02000000000b0000 c000020a 0200000000010000 c00002c8", not: true},
		{name: "ARP cut off", frame: to + "0806 0001 0800 06 04 0002 02000000000b c00002", not: true},
		{name: "advertisement with an option", frame: to + "86dd 60000000 0020 3a ff" + from + "20010db8000000000000000000000200" +
			"88 00 0000 60000000" + from + "02 01 02000000000c",
			want: heard{to: ours, mac: other, sender: near6, receiver: vip6, says: advertises}},
		{name: "advertisement of another address than its sender's, without an option", frame: to + "86dd 60000000 0018 3a ff" + from + "ff020000000000000000000000000001" +
			"88 00 0000 60000000 20010db8000000000000000000000200",
			want: heard{to: ours, mac: theirs, sender: vip6, receiver: allNodes6, says: advertises}},
		{name: "solicitation", frame: solicitation + "01 01 02000000000c",
			want: heard{to: ours, mac: other, sender: near6, receiver: vip6}},
		{name: "echo reply", frame: to + "0800 45 00 001c 0000 0000 40 01 0000 c000020a c00002c8 00 00 0000 1234 0001",
			want: heard{to: ours, mac: theirs, sender: near4, receiver: vip4, says: echoes}},
		{name: "echo reply to others", frame: to + "0800 45 00 001c 0000 0000 40 01 0000 c000020a c00002c8 00 00 0000 1235 0001", not: true},
		{name: "echo request", frame: to + "0800 45 00 001c 0000 0000 40 01 0000 c000020a c00002c8 08 00 0000 1234 0001", not: true},
		{name: "UDP", frame: to + "0800 45 00 001c 0000 0000 40 11 0000 c000020a c00002c8 0035 0035 0008 0000", not: true},
		{name: "nothing", frame: "", not: true},
	} {
		got, ok := hear(bytesOf(t, test.frame), 0x1234)
		if ok == test.not {
			t.Errorf("%s: heard: %v", test.name, ok)
		}
		if ok && got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

func FuzzHear(f *testing.F) {
	for _, fr := range append(append(announcements(ours, vip4), announcements(ours, vip6)...), ping(ours, vip4, near4, theirs, 0)) {
		f.Add(fr.bytes)
	}
	f.Fuzz(func(_ *testing.T, bytes []byte) { hear(bytes, 0) })
}
