package config

import (
	"time"

	"github.com/tarpon-lb/tarpon/loader"
)

// The defaults of the file; package reference tells them and tests that they are true.
const (
	defaultMaxIPv4   = 1 << 20
	defaultMaxIPv6   = 1 << 18
	defaultScheduler = "mh"
	defaultWeight    = 1
)

func defaultTimeouts() loader.Timeouts {
	return loader.Timeouts{
		Handshake: 60 * time.Second, Established: 15 * time.Minute, Closing: 2 * time.Minute,
		Closed: 10 * time.Second, UDP: 5 * time.Minute, UDPUnreplied: 30 * time.Second,
	}
}

func defaultCheck(kind CheckType) Check {
	c := Check{Type: kind, Interval: 2 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3, Jitter: 0.1}
	if kind == CheckHTTP || kind == CheckHTTPS {
		c.Method, c.Path, c.Status = "GET", "/", []StatusRange{{200, 299}}
	}
	c.Verify = kind == CheckHTTPS
	return c
}

// builtinChecks are those that exist without being written.
func builtinChecks() map[string]Check {
	checks := map[string]Check{}
	for _, kind := range []CheckType{CheckTCP, CheckNone} {
		check := defaultCheck(kind)
		check.Name = string(kind)
		checks[check.Name] = check
	}
	return checks
}

func newConfig() *Config {
	return &Config{
		Version: 1,
		Flows:   Flows{MaxIPv4: defaultMaxIPv4, MaxIPv6: defaultMaxIPv6, Timeouts: defaultTimeouts()},
		Checks:  builtinChecks(),
		Metrics: defaultMetrics(),
		places:  map[string]Place{},
	}
}

// newDefaults is the vip that all begin with, before `defaults` was read.
func newDefaults(c *Config) Vip {
	return Vip{Enabled: true, Scheduler: defaultScheduler, Check: c.Checks["tcp"], Timeouts: c.Flows.Timeouts}
}

// newVip is a vip that says nothing but its endpoint.
func newVip(e loader.Endpoint, defaults Vip, c *Config) Vip {
	v := defaults
	v.Endpoint, v.Prefix = e, e.Addr().BitLen()
	if e.Protocol == loader.UDP {
		v.Check = c.Checks["none"] // a datagram that is not answered says nothing
	}
	// Two entries of one address must agree on leg and prefix; a floating address
	// has both written.
	for _, f := range c.Floating {
		if f.Address.IsValid() && f.Address.Addr() == e.Addr() {
			v.Leg, v.Prefix = f.Leg, f.Address.Bits()
		}
	}
	return v
}
