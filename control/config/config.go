// Package config is the configuration file: its types, its strict parser, and
// edits of its bytes. Everything here is a function from values to values.
package config

import (
	"net/netip"
	"time"

	"github.com/tarpon-lb/tarpon/loader"
)

// A Config is one valid configuration with every default filled in.
type Config struct {
	Legs     []Leg
	Floating []Floating
	Flows    Flows
	Checks   map[string]Check // named ones; tcp and none are always there
	Vips     []Vip
}

// A Leg is an interface of the router, by the name that both routers share.
type Leg struct {
	Name      string
	Role      loader.Role
	Interface string
	Mode      loader.Mode
}

// A Floating is an address that the active router holds on a leg.
type Floating struct {
	Address netip.Prefix
	Leg     string
}

// Flows sizes the flow tables and ends silent flows.
type Flows struct {
	MaxIPv4, MaxIPv6 int
	Timeouts         loader.Timeouts
}

// A CheckType says how a real is probed.
type CheckType string

const (
	CheckNone CheckType = "none"
	CheckTCP  CheckType = "tcp"
	CheckHTTP CheckType = "http"
)

// A Check says how a real is probed and how results are judged.
type Check struct {
	Name     string // as the file calls it; empty for one written in place
	Type     CheckType
	Port     uint16 // 0: the real's
	Interval time.Duration
	Timeout  time.Duration
	Rise     int
	Fall     int
	Jitter   float64 // of the interval, 0..1

	// http
	Method string
	Path   string
	Host   string
	Status []StatusRange
	Body   string // RE2
}

// A StatusRange is a range of HTTP status codes, both ends in it.
type StatusRange struct{ First, Last int }

// A Vip is a virtual server.
type Vip struct {
	Endpoint  loader.Endpoint
	Name      string
	Enabled   bool
	Leg       string // "": by its network; LegNone: on lo
	Prefix    int
	Scheduler string
	Check     Check
	InitialUp bool
	Reset     bool // on_fail: reset
	DropEmpty bool // when_empty: drop
	Timeouts  loader.Timeouts

	SharesOwnAddress bool
	Reals            []Real

	Line int // where the file has it
}

// LegNone is the leg of a vip that is routed to us.
const LegNone = "none"

// A Real is a real server behind a vip. Its address has a port unless the vip has
// every port.
type Real struct {
	Address netip.AddrPort
	Name    string
	Weight  int
	Enabled bool
	Check   Check

	Line int
}

// String is how the file writes the real's address.
func (r Real) String() string {
	if r.Address.Port() == 0 {
		return r.Address.Addr().String()
	}
	return r.Address.String()
}

// Defaults, as docs/config.md lists them.
const (
	defaultMaxIPv4 = 1 << 20
	defaultMaxIPv6 = 1 << 18
)

// DefaultTimeouts are those of flows.timeouts.
var defaultTimeouts = loader.Timeouts{
	Handshake: 60 * time.Second, Established: 15 * time.Minute, Closing: 2 * time.Minute,
	Closed: 10 * time.Second, UDP: 5 * time.Minute, UDPUnreplied: 30 * time.Second,
}

func defaultCheck(kind CheckType) Check {
	return Check{
		Type: kind, Interval: 2 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3, Jitter: 0.1,
		Method: "GET", Path: "/", Status: []StatusRange{{200, 299}},
	}
}

// Leg finds a leg by its name.
func (c *Config) Leg(name string) (Leg, bool) {
	for _, leg := range c.Legs {
		if leg.Name == name {
			return leg, true
		}
	}
	return Leg{}, false
}

// FindVip finds a vip by its name or endpoint; -1: there is none.
func (c *Config) FindVip(reference string) int {
	endpoint, err := ParseVip(reference)
	for i, vip := range c.Vips {
		if (vip.Name != "" && vip.Name == reference) || (err == nil && vip.Endpoint == endpoint) {
			return i
		}
	}
	return -1
}

// FindReal finds a real of a vip by its name or address; without a port it has
// the vip's. -1: there is none.
func (v *Vip) FindReal(reference string) int {
	address, err := ParseReal(reference, v.Endpoint.Port())
	for i, real := range v.Reals {
		if (real.Name != "" && real.Name == reference) || (err == nil && real.Address == address) {
			return i
		}
	}
	return -1
}
