package host

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// procAddress is an address as this machine's /proc/net has it.
func procAddress(at netip.AddrPort) string {
	var b strings.Builder
	for word := range slices.Chunk(at.Addr().AsSlice(), 4) {
		fmt.Fprintf(&b, "%08X", binary.NativeEndian.Uint32(word))
	}
	return fmt.Sprintf("%s:%04X", &b, at.Port())
}

func TestParseSockets(t *testing.T) {
	const heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	at := netip.MustParseAddrPort
	socket := func(address, state string) string {
		return fmt.Sprintf("   0: %s 00000000:0000 %s 00000000:00000000 00:00000000 00000000     0        0 17 1 ffff 100 0 0 10 0\n", address, state)
	}
	for _, test := range []struct {
		name, text, state string
		want              []Listener
		fault             string
	}{
		{"nothing", heading, tcpListen, nil, ""},
		{"one that listens", heading + socket(procAddress(at("192.0.2.1:22")), "0A"), tcpListen, []Listener{{"tcp", at("192.0.2.1:22")}}, ""},
		{"every address", heading + socket(procAddress(at("0.0.0.0:65535")), "0A"), tcpListen, []Listener{{"tcp", at("0.0.0.0:65535")}}, ""},
		{"IPv6", heading + socket(procAddress(at("[2001:db8::1]:443")), "0A"), tcpListen, []Listener{{"tcp", at("[2001:db8::1]:443")}}, ""},
		{"IPv4 in an IPv6 socket", heading + socket(procAddress(at("[::ffff:192.0.2.1]:80")), "0A"), tcpListen, []Listener{{"tcp", at("192.0.2.1:80")}}, ""},
		{"a connection", heading + socket(procAddress(at("192.0.2.1:22")), "01"), tcpListen, nil, ""},
		{"connected UDP", heading + socket(procAddress(at("192.0.2.1:53")), "01") + socket(procAddress(at("192.0.2.1:54")), "07"), udpUnconnected,
			[]Listener{{"tcp", at("192.0.2.1:54")}}, ""},
		{"no hexadecimal", heading + socket("0100007X:0016", "0A"), tcpListen, nil, `"0100007X:0016" is not an address`},
		{"too short", heading + socket("01000:0016", "0A"), tcpListen, nil, "is not an address"},
		{"no port", heading + socket("0100007F", "0A"), tcpListen, nil, "is not an address"},
		{"port too large", heading + socket("0100007F:10000", "0A"), tcpListen, nil, "is not an address"},
		{"half a line", heading + "   0: 0100", tcpListen, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseSockets(test.text, "tcp", test.state)
			if test.fault != "" {
				if err == nil || !strings.Contains(err.Error(), test.fault) {
					t.Errorf("the error is %v, want %s", err, test.fault)
				}
				return
			}
			if diff := cmp.Diff(test.want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); err != nil || diff != "" {
				t.Errorf("%v: %s", err, diff)
			}
		})
	}
}

func TestListeners(t *testing.T) {
	openTest(t, "ip link set lo up")
	var want []Listener
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", "[::]:0"} {
		tcp, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer tcp.Close()
		udp, err := net.ListenPacket("udp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer udp.Close()
		connected, err := net.Dial("udp", udp.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer connected.Close()
		want = append(want, Listener{"tcp", tcp.Addr().(*net.TCPAddr).AddrPort()}, Listener{"udp", udp.LocalAddr().(*net.UDPAddr).AddrPort()})
	}
	got, err := Listeners()
	if err != nil {
		t.Fatal(err)
	}
	byText := func(a, b Listener) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }
	slices.SortFunc(want, byText)
	slices.SortFunc(got, byText)
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}
