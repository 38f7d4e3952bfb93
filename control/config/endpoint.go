package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/tarpon-lb/tarpon/loader"
)

// ParseVip reads ADDR[:PORT][/PROTO]: no port, or port 0, is every port; no
// protocol is TCP. An IPv6 address has brackets if a port follows.
func ParseVip(s string) (loader.Endpoint, error) {
	address, protocol, has := strings.Cut(s, "/")
	e := loader.Endpoint{Protocol: loader.TCP}
	switch {
	case !has || protocol == "tcp":
	case protocol == "udp":
		e.Protocol = loader.UDP
	default:
		return loader.Endpoint{}, fmt.Errorf("protocol %q: write /tcp or /udp", protocol)
	}
	var err error
	if e.AddrPort, err = parseAddrPort(address, 0); err != nil {
		return loader.Endpoint{}, err
	}
	return e, nil
}

// FormatVip is how the file and every table write a vip; ParseVip reads it.
func FormatVip(e loader.Endpoint) string {
	if e.Port() == 0 {
		return e.Addr().String() + "/" + e.Protocol.String()
	}
	return e.String()
}

// ParseReal reads ADDR[:PORT]; without a port it has the vip's. On an any-port vip
// (vipPort 0) there is no port to have.
func ParseReal(s string, vipPort uint16) (netip.AddrPort, error) {
	address, err := parseAddrPort(s, vipPort)
	switch {
	case err != nil:
		return netip.AddrPort{}, err
	case vipPort == 0 && address.Port() != 0:
		return netip.AddrPort{}, fmt.Errorf("%s: the vip has every port and a real keeps the client's: leave the port out", s)
	case vipPort != 0 && address.Port() == 0:
		return netip.AddrPort{}, fmt.Errorf("%s: a real has one port, the vip has port %d: leave the port out to have the vip's", s, vipPort)
	}
	return address, nil
}

func parseAddrPort(s string, port uint16) (netip.AddrPort, error) {
	host, rest := s, ""
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return netip.AddrPort{}, fmt.Errorf("%q: the bracket is not closed", s)
		}
		host, rest = s[1:end], s[end+1:]
	} else if strings.Count(s, ":") == 1 {
		host, rest, _ = strings.Cut(s, ":")
		rest = ":" + rest
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() != "" || addr.Is4In6() || (s[0] == '[' && addr.Is4()) {
		return netip.AddrPort{}, fmt.Errorf("%q is not an IP address with a port, such as 192.0.2.1:80 or [2001:db8::1]:80", s)
	}
	if rest == "" {
		return netip.AddrPortFrom(addr, port), nil
	}
	digits, ok := strings.CutPrefix(rest, ":")
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("%q: after the bracket a port follows, such as ]:80", s)
	}
	number, err := decimal(digits, 0, 65535)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q: port %w", s, err)
	}
	return netip.AddrPortFrom(addr, uint16(number)), nil
}

// decimal reads a plain decimal number: no sign, no leading zeros, no underscores.
// YAML would read 010 as 8 and 1_000 as 1000.
func decimal(s string, least, most int) (int, error) {
	if s == "" {
		return 0, errors.New("is missing")
	}
	if strings.Trim(s, "0123456789") != "" {
		return 0, fmt.Errorf("%s: write a decimal number", s)
	}
	if len(s) > 1 && s[0] == '0' {
		return 0, fmt.Errorf("%s: write decimal numbers without leading zeros", s)
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%s: write a number from %d to %d", s, least, most)
	}
	return n, nil
}
