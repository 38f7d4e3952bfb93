// Package config is the configuration file: its types, its strict parser, its
// checks, and edits of its bytes. Everything here is a function from values to
// values; what the machine is to a configuration is handed in as Facts.
package config

import (
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/tarpon-lb/tarpon/loader"
)

// A Config is one configuration with every default filled in: what a reader finds
// is what counts. The values of `defaults` and of `flows.timeouts` have gone into
// the vips, those of a vip into its reals.
type Config struct {
	Version  int // of the format
	Legs     []Leg
	Floating []Floating
	Flows    Flows
	Checks   map[string]Check // by name; tcp and none are always there
	Metrics  Metrics
	Vips     []Vip
	Routers  []Router // two, or none
	Pair     Pair

	// Self is the router that this machine is, where ValidateHost has found it.
	Self string

	places map[string]Place
	spots  []spot // of vips, see spotsOf
}

// A Place is where a file has something; the zero value is nowhere.
type Place struct{ Line, Column int }

// Place is where the file has the value of a path, such as vips[0].reals[1].
func (c *Config) Place(path string) Place { return c.places[path] }

// Equal says whether two configurations mean the same, wherever they have it.
func (c *Config) Equal(other *Config) bool {
	a, b := *c, *other
	a.places, b.places = nil, nil
	a.spots, b.spots = nil, nil
	return reflect.DeepEqual(a, b)
}

// DataLegs are the legs that programs run on: all but those for heartbeats alone.
func (c *Config) DataLegs() []Leg {
	return slices.DeleteFunc(slices.Clone(c.Legs), func(leg Leg) bool { return leg.Role == RolePair })
}

// A Leg is an interface of the router, by the name that both routers share. Where
// ValidateHost has found out which router this is, the interface is its.
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

// SameSizes says whether both ask for tables of the same sizes.
func (f Flows) SameSizes(g Flows) bool { return f.MaxIPv4 == g.MaxIPv4 && f.MaxIPv6 == g.MaxIPv6 }

// A CheckType says how a real is probed.
type CheckType string

// The types of checks.
const (
	CheckNone  CheckType = "none"
	CheckTCP   CheckType = "tcp"
	CheckHTTP  CheckType = "http"
	CheckHTTPS CheckType = "https"
	CheckPing  CheckType = "ping"
	CheckExec  CheckType = "exec"
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
	Jitter   float64 // of the interval, 0..0.5

	// http and https; zero for other types, as what follows
	Method string
	Path   string
	Host   string // "": the real's address
	Status []StatusRange
	Body   string // RE2; "": not read

	// https
	Verify bool
	CA     string // a file; "": the system's roots
	SNI    string // "": the host, else the real's address

	// exec
	Run []string
}

// A StatusRange is a range of HTTP status codes, both ends in it.
type StatusRange struct{ First, Last int }

// A Vip is a virtual server.
type Vip struct {
	Endpoint  loader.Endpoint
	Name      string
	Enabled   bool
	Leg       string // "": by its network, see ValidateHost; LegNone: on lo
	Prefix    int
	Scheduler string
	Check     Check
	InitialUp bool // initial: up
	Reset     bool // on_fail: reset
	DropEmpty bool // when_empty: drop
	Timeouts  loader.Timeouts

	SharesOwnAddress bool
	Reals            []Real
}

// LegNone is the leg of a vip that is routed to us.
const LegNone = "none"

// A Real is a real server behind a vip. Its address has a port unless the vip has
// every port.
type Real struct {
	Address netip.AddrPort
	Name    string
	Weight  int // 0: no new flows
	Enabled bool
	Check   Check
}

// String is how the file writes the real's address.
func (r Real) String() string {
	if r.Address.Port() == 0 {
		return r.Address.Addr().String()
	}
	return r.Address.String()
}

// Leg finds a leg by its name.
func (c *Config) Leg(name string) (Leg, bool) {
	i := slices.IndexFunc(c.Legs, func(leg Leg) bool { return leg.Name == name })
	if i < 0 {
		return Leg{}, false
	}
	return c.Legs[i], true
}

// FindVip finds a vip by its name or endpoint; -1: there is none.
func (c *Config) FindVip(reference string) int {
	endpoint, err := ParseVip(reference)
	return slices.IndexFunc(c.Vips, func(v Vip) bool {
		return (v.Name != "" && v.Name == reference) || (err == nil && v.Endpoint == endpoint)
	})
}

// FindReal finds a real of a vip by its name or address; without a port it has
// the vip's. -1: there is none.
func (v *Vip) FindReal(reference string) int {
	address, err := ParseReal(reference, v.Endpoint.Port())
	return slices.IndexFunc(v.Reals, func(r Real) bool {
		return (r.Name != "" && r.Name == reference) || (err == nil && r.Address == address)
	})
}
