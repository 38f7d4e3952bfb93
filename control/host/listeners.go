package host

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// A Listener is a socket of this machine that takes what is sent to it by
// anybody: a listening TCP socket, or a UDP socket that is not connected.
type Listener struct {
	Protocol string // tcp | udp
	Addr     netip.AddrPort
}

// Listeners lists the sockets of the calling thread's network namespace.
func Listeners() ([]Listener, error) {
	var list []Listener
	for _, table := range []struct{ file, protocol, state string }{
		{"tcp", "tcp", tcpListen},
		{"tcp6", "tcp", tcpListen},
		{"udp", "udp", udpUnconnected},
		{"udp6", "udp", udpUnconnected},
	} {
		data, err := os.ReadFile("/proc/thread-self/net/" + table.file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // no IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("list listening sockets: %w", err)
		}
		found, err := parseSockets(string(data), table.protocol, table.state)
		if err != nil {
			return nil, fmt.Errorf("list listening sockets: /proc/net/%s: %w", table.file, err)
		}
		list = append(list, found...)
	}
	return list, nil
}

// States in /proc/net/tcp and udp: the kernel's TCP_LISTEN and TCP_CLOSE.
const (
	tcpListen      = "0A"
	udpUnconnected = "07"
)

// parseSockets reads the text of a /proc/net table of sockets.
func parseSockets(text, protocol, state string) ([]Listener, error) {
	var list []Listener
	lines := strings.Split(text, "\n")
	for _, line := range lines[1:] { // a heading
		// slot, local address, remote address, state, ...
		field := strings.Fields(line)
		if len(field) < 4 || field[3] != state {
			continue
		}
		addr, err := parseSocketAddress(field[1])
		if err != nil {
			return nil, err
		}
		list = append(list, Listener{protocol, addr})
	}
	return list, nil
}

// parseSocketAddress reads an address as /proc/net writes it: 32-bit words in
// the machine's byte order, then the port as a number.
func parseSocketAddress(text string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(text, ":")
	words, err := hex.DecodeString(host)
	if err != nil || len(words) != 4 && len(words) != 16 {
		return netip.AddrPort{}, fmt.Errorf("%q is not an address", text)
	}
	number, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is not an address", text)
	}
	bytes := make([]byte, 0, len(words))
	for i := 0; i < len(words); i += 4 {
		bytes = binary.NativeEndian.AppendUint32(bytes, binary.BigEndian.Uint32(words[i:]))
	}
	addr, _ := netip.AddrFromSlice(bytes)
	return netip.AddrPortFrom(addr.Unmap(), uint16(number)), nil
}
