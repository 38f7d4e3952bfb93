package config

import (
	"errors"
	"net/netip"

	"go.yaml.in/yaml/v4"
)

// Metrics says where Prometheus finds the router's metrics.
type Metrics struct {
	Listen netip.AddrPort // zero: nowhere
}

func defaultMetrics() Metrics {
	return Metrics{Listen: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 9712)}
}

func (d *decoder) metrics(c *Config) reader {
	return func(n *yaml.Node, path string) {
		d.mapping(n, path, fields{
			"listen": func(n *yaml.Node, path string) {
				d.address(n, path, "address", func(s string) (err error) {
					c.Metrics.Listen, err = parseListen(s)
					return err
				})
			},
		})
	}
}

// parseListen reads ADDR:PORT, or nothing.
func parseListen(s string) (netip.AddrPort, error) {
	if s == "" {
		return netip.AddrPort{}, nil
	}
	listen, err := parseAddrPort(s, 0)
	if err == nil && listen.Port() == 0 {
		err = errors.New(s + ": a port from 1 to 65535 is needed, such as :9712")
	}
	if err != nil {
		return netip.AddrPort{}, err
	}
	return listen, nil
}

// String is how the file writes it.
func (m Metrics) String() string {
	if !m.Listen.IsValid() {
		return ""
	}
	return m.Listen.String()
}
