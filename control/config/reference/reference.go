// Package reference is the configuration file's format as data: every key with its
// type, its default and what it is for. docs/config.md and the JSON Schema are
// written from it, and its tests hold the parser to it.
package reference

import "time"

//go:generate go test -run ^TestWritten$ -update

// A Key is one of a mapping's.
type Key struct {
	Name string
	Type Type
	Doc  string

	Required bool
	// Default is what counts if the key is not written, as a file would write it.
	// Empty: that follows from other keys, or there is none.
	Default string
	// Example is shown where the default would teach less.
	Example string
	// Only these types of a check have the key; nil: all.
	Only []string
}

// shown is the value that the page has for a key.
func (k Key) shown() string {
	if k.Example != "" {
		return k.Example
	}
	return k.Default
}

// File is the whole file.
func File() Mapping {
	return Mapping{Keys: []Key{
		{Name: "version", Type: Number{1, 1}, Default: "1", Doc: "of this format"},
		{Name: "legs", Type: Named{Of: leg(), Name: "wan", More: []string{"lan: {role: inside, interface: eth1}", "hb: {role: pair, interface: eth2}"}}, Required: true,
			Doc: "1 to 16 interfaces; the names are yours"},
		{Name: "floating", Type: List{Of: floating()}, Doc: "addresses that the router adds"},
		{Name: "flows", Type: flows(), Doc: "the flow tables"},
		{Name: "checks", Type: Named{Of: check(), Name: "web"}, Doc: "shared by name; tcp and none are there already"},
		{Name: "metrics", Type: metrics(), Doc: "for Prometheus, docs/metrics.md"},
		{Name: "defaults", Type: Mapping{Name: "defaults", Keys: vipDefaults()}, Doc: "of every vip"},
		{Name: "vips", Type: List{Of: vip(), More: []string{`- {vip: "[2001:db8::10]:53/udp", leg: none, reals: ["[2001:db8:1::11]:53"]}`}},
			Doc: "the virtual servers"},
		{Name: "routers", Type: List{Of: router(), More: []string{
			"- name: lb2",
			"  addresses: {wan: 192.168.26.202, lan: 10.0.0.253, hb: 172.31.0.2}",
			`  key: "sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"`,
		}}, Doc: "exactly two; a router alone has neither these nor a pair"},
		{Name: "pair", Type: pair(), Doc: "what the routers agree on"},
	}}
}

func metrics() Mapping {
	return Mapping{Name: "metrics", Keys: []Key{
		{Name: "listen", Type: Text{}, Default: `"127.0.0.1:9712"`, Doc: `ADDRESS:PORT; "": nowhere`},
	}}
}

func leg() Mapping {
	return Mapping{Name: "leg", Keys: []Key{
		{Name: "role", Type: Words{"outside", "inside", "both", "pair"}, Required: true, Example: "outside", Doc: "both: one-armed; pair: heartbeats and sync only"},
		{Name: "interface", Type: Text{}, Required: true, Example: "eth0", Doc: "as ip link has it"},
		{Name: "mode", Type: Words{"auto", "native", "tc", "generic"}, Default: "auto", Doc: "auto: native or tc"},
	}}
}

func floating() Mapping {
	return Mapping{Name: "floating", Keys: []Key{
		{Name: "address", Type: Text{}, Required: true, Example: "10.0.0.254/24", Doc: "with prefix; the reals' gateway"},
		{Name: "leg", Type: Text{}, Required: true, Example: "lan", Doc: "a name of legs"},
	}}
}

func flows() Mapping {
	const most = 1 << 26
	return Mapping{Name: "flows", Keys: []Key{
		{Name: "max_ipv4", Type: Number{1, most}, Default: "1048576", Doc: "2^21 slots, 32 MiB; may change as it runs"},
		{Name: "max_ipv6", Type: Number{1, most}, Default: "262144", Doc: "2^19 slots, 16 MiB; likewise"},
		{Name: "timeouts", Type: timeouts(true), Doc: "after which a silent flow ends"},
	}}
}

// timeouts of the flows; those of vips have these as their defaults.
func timeouts(withDefaults bool) Mapping {
	keys := []Key{
		{Name: "handshake", Default: "60s", Doc: "TCP that is not established yet"},
		{Name: "established", Default: "15m", Doc: "TCP"},
		{Name: "closing", Default: "2m", Doc: "after the first FIN"},
		{Name: "closed", Default: "10s", Doc: "after both, or a reset"},
		{Name: "udp", Default: "5m", Doc: "UDP that was answered"},
		{Name: "udp_unreplied", Default: "30s", Doc: "UDP that was not"},
	}
	for i := range keys {
		keys[i].Type = Time{time.Second, 19 * time.Hour, time.Second}
		if !withDefaults {
			keys[i].Default = ""
		}
	}
	name := "timeouts"
	if withDefaults {
		name = "flow_timeouts"
	}
	return Mapping{Name: name, Keys: keys}
}

func check() Mapping {
	web, secure := []string{"http", "https"}, []string{"https"}
	return Mapping{Name: "check", Keys: []Key{
		{Name: "type", Type: Words{"tcp", "http", "https", "ping", "exec", "none"}, Required: true, Example: "https", Doc: "how a real is asked"},
		{Name: "port", Type: Number{0, 65535}, Default: "0", Only: []string{"tcp", "http", "https", "exec"}, Doc: "0: the real's"},
		{Name: "interval", Type: Time{100 * time.Millisecond, time.Hour, time.Millisecond}, Default: "2s"},
		{Name: "timeout", Type: Time{time.Millisecond, time.Hour, time.Millisecond}, Default: "1s", Doc: "at most the interval"},
		{Name: "rise", Type: Number{1, 1000}, Default: "2", Doc: "successes in a row that make a real up"},
		{Name: "fall", Type: Number{1, 1000}, Default: "3", Doc: "failures in a row that make it down"},
		{Name: "jitter", Type: Percent{50}, Default: "10%", Doc: "of the interval, at random"},
		{Name: "method", Type: Text{Pattern: "^[A-Z]{1,20}$"}, Default: "GET", Only: web},
		{Name: "path", Type: Text{Pattern: "^/[!-~]*$"}, Default: "/", Only: web},
		{Name: "host", Type: Text{Pattern: `^[A-Za-z0-9._:\[\]-]{0,255}$`}, Default: `""`, Only: web, Doc: "empty: the real's address"},
		{Name: "status", Type: Status{}, Default: "200-299", Only: web, Doc: "or a list of such"},
		{Name: "body", Type: Text{}, Default: `""`, Only: web, Doc: "RE2, in the first 64 KiB"},
		{Name: "verify", Type: Words{"true", "false"}, Default: "true", Only: secure, Doc: "the certificate"},
		{Name: "ca", Type: Text{Pattern: `^(/[^\x00-\x1f\x7f]*)?$`}, Default: `""`, Only: secure, Doc: "a file to trust instead of the system's roots"},
		{Name: "sni", Type: Text{Pattern: `^[A-Za-z0-9._-]{0,255}$`}, Default: `""`, Only: secure, Doc: "empty: the host, else the real's address"},
		{Name: "run", Type: Command{}, Required: true, Example: "[/etc/tarpon/check-db, -q]", Only: []string{"exec"},
			Doc: "no shell; TARPON_REAL and TARPON_PORT are in its environment; exit 0 in time: up"},
	}}
}

// checkOf is what a vip or a real says of its check.
func checkOf() Type { return Either{Text{}, check()} }

// vipDefaults are the keys that `defaults` and a vip have in common.
func vipDefaults() []Key {
	return []Key{
		{Name: "scheduler", Type: Words{"mh", "wrr", "rr"}, Default: "mh", Doc: "mh: Maglev's hash"},
		{Name: "check", Type: checkOf(), Default: "tcp", Doc: "a name or {type: ...}; of udp vips none"},
		{Name: "initial", Type: Words{"down", "up"}, Default: "down", Doc: "until the first result"},
		{Name: "on_fail", Type: Words{"keep", "reset"}, Default: "keep", Doc: "the flows of a failed real"},
		{Name: "when_empty", Type: Words{"reject", "drop"}, Default: "reject", Doc: "when no real is usable"},
		{Name: "timeouts", Type: timeouts(false), Default: "{}", Doc: "instead of flows.timeouts"},
	}
}

func vip() Mapping {
	keys := []Key{
		{Name: "vip", Type: Text{}, Required: true, Example: "192.168.26.200:80/tcp", Doc: "port 0: every port; IPv6 in quotes"},
		{Name: "name", Type: Text{}, Example: "shop", Doc: "usable wherever lbctl asks for a vip"},
		{Name: "enabled", Type: Words{"true", "false"}, Default: "true", Doc: "false: kept, not programmed"},
		{Name: "leg", Type: Text{}, Example: "wan", Doc: "by default that of the address's network; none: on lo, routed to us"},
		{Name: "prefix", Type: Number{1, 128}, Example: "32", Doc: "IPv6: 128"},
	}
	for _, key := range vipDefaults() {
		if key.Name != "timeouts" {
			key.Doc = "" // told at `defaults`
		}
		if key.Name == "check" {
			key.Example = "web"
		}
		keys = append(keys, key)
	}
	return Mapping{Name: "vip", Keys: append(keys,
		Key{Name: "shares_own_address", Type: Words{"true", "false"}, Default: "false", Doc: "of an address where this router listens"},
		Key{Name: "reals", Type: List{Of: Either{Text{}, real()}, More: []string{"- 10.0.0.11:8080 # the short form"}}, Doc: "in a long or a short form"},
	)}
}

func real() Mapping {
	return Mapping{Name: "real", Keys: []Key{
		{Name: "real", Type: Text{}, Required: true, Example: "10.0.0.12:8080", Doc: "without a port: the vip's"},
		{Name: "name", Type: Text{}, Example: "web2"},
		{Name: "weight", Type: Number{0, 65535}, Default: "1", Doc: "0: no new flows"},
		{Name: "enabled", Type: Words{"true", "false"}, Default: "true"},
		{Name: "check", Type: checkOf(), Example: "web", Doc: "instead of the vip's"},
	}}
}
