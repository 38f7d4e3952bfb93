package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/tarpon-lb/tarpon/loader"
)

// ParseVip reads ADDR[:PORT][/PROTO]: no port is every port, no protocol TCP. An
// IPv6 address has brackets if a port follows.
func ParseVip(s string) (loader.Endpoint, error) {
	address, protocol, has := strings.Cut(s, "/")
	e := loader.Endpoint{Protocol: loader.TCP}
	switch {
	case !has || protocol == "tcp":
	case protocol == "udp":
		e.Protocol = loader.UDP
	default:
		return e, fmt.Errorf("protocol %q: write /tcp or /udp", protocol)
	}
	var err error
	e.AddrPort, err = parseAddrPort(address, 0)
	return e, err
}

// FormatVip is how the file and every table write a vip; TCP is left out by
// nobody.
func FormatVip(e loader.Endpoint) string {
	if e.Port() == 0 {
		return e.Addr().String() + "/" + e.Protocol.String()
	}
	return e.String()
}

// ParseReal reads ADDR[:PORT]; without a port it has the vip's.
func ParseReal(s string, vipPort uint16) (netip.AddrPort, error) {
	address, err := parseAddrPort(s, vipPort)
	if err == nil && vipPort == 0 && address.Port() != 0 {
		return address, errors.New("the vip has every port, so a real keeps the client's: leave the port out")
	}
	return address, err
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
	if err != nil || addr.Zone() != "" || addr.Is4In6() {
		return netip.AddrPort{}, fmt.Errorf("%q is not an IP address with a port, such as 192.0.2.1:80 or [2001:db8::1]:80", s)
	}
	if rest == "" {
		return netip.AddrPortFrom(addr, port), nil
	}
	number, err := decimal(strings.TrimPrefix(rest, ":"), 65535)
	if err != nil || rest[0] != ':' {
		return netip.AddrPort{}, fmt.Errorf("%q: the port is a number up to 65535", s)
	}
	return netip.AddrPortFrom(addr, uint16(number)), nil
}

// decimal reads a plain decimal number: no sign, no leading zeros, no underscores.
func decimal(s string, most int) (int, error) {
	if len(s) > 1 && s[0] == '0' {
		return 0, fmt.Errorf("%s: write decimal numbers without leading zeros", s)
	}
	for _, r := range s {
		if r < '0' || r > '9' {
			return 0, fmt.Errorf("%s: not a decimal number", s)
		}
	}
	n, err := strconv.Atoi(s)
	if err != nil || n > most {
		return 0, fmt.Errorf("%s: a number from 0 to %d is needed", s, most)
	}
	return n, nil
}
