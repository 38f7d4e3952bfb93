package doctor

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"github.com/tarpon-lb/tarpon/loader"
)

// Mentions lists the rules and sets of `nft -j list ruleset` that name a vip's address,
// port or network, each once. Chains of iptables-nft are among them.
func Mentions(ruleset []byte, vips map[string]loader.Endpoint) ([]Mention, error) {
	var all struct {
		Nftables []map[string]struct {
			Family, Table, Chain, Name string
			Expr, Elem                 any
		}
	}
	if err := json.Unmarshal(ruleset, &all); err != nil {
		return nil, fmt.Errorf("read the ruleset: %w", err)
	}
	names := make([]string, 0, len(vips))
	for name := range vips {
		names = append(names, name)
	}
	slices.Sort(names)
	var list []Mention
	for _, object := range all.Nftables {
		for kind, o := range object {
			if kind != "rule" && kind != "set" && kind != "map" {
				continue
			}
			found := mentioned{ports: map[uint16]bool{}}
			found.walk(o.Expr, false)
			found.walk(o.Elem, false)
			where := fmt.Sprintf("nftables %s %s %s", o.Family, o.Table, o.Chain)
			if kind != "rule" {
				where = fmt.Sprintf("nftables %s %s, %s %s", o.Family, o.Table, kind, o.Name)
			}
			for _, name := range names {
				m := Mention{Rule: where, Vip: name, What: found.of(vips[name])}
				if m.What != "" && !slices.Contains(list, m) {
					list = append(list, m)
				}
			}
		}
	}
	return list, nil
}

// mentioned is what an expression names.
type mentioned struct {
	addresses []netip.Prefix
	ports     map[uint16]bool
}

// of is what it names of a vip, the closest first.
func (m *mentioned) of(vip loader.Endpoint) string {
	is := func(p netip.Prefix) bool { return p.Contains(vip.Addr()) }
	switch {
	case slices.Contains(m.addresses, netip.PrefixFrom(vip.Addr(), vip.Addr().BitLen())):
		return "address"
	case m.ports[vip.Port()]:
		return "port"
	case slices.ContainsFunc(m.addresses, is):
		return "network"
	}
	return ""
}

// walk gathers single addresses wherever they stand, networks where a packet's
// destination is compared with one, and ports where they are compared or set.
func (m *mentioned) walk(value any, destination bool) {
	switch v := value.(type) {
	case string:
		if a, err := netip.ParseAddr(v); err == nil {
			m.addresses = append(m.addresses, netip.PrefixFrom(a, a.BitLen()))
		}
	case []any:
		for _, item := range v {
			m.walk(item, destination)
		}
	case map[string]any:
		if p, ok := prefixOf(v["prefix"]); ok {
			if destination && p.Bits() > 0 { // the whole Internet is nobody's address
				m.addresses = append(m.addresses, p)
			}
			return
		}
		if match, ok := v["match"].(map[string]any); ok {
			field := fieldOf(match["left"])
			if field == "dport" {
				m.port(match["right"])
			}
			m.walk(match["right"], field == "daddr")
			return
		}
		if nat, ok := v["dnat"].(map[string]any); ok {
			m.port(nat["port"])
		}
		for _, item := range v {
			m.walk(item, destination)
		}
	}
}

func prefixOf(value any) (netip.Prefix, bool) {
	v, ok := value.(map[string]any)
	if !ok {
		return netip.Prefix{}, false
	}
	text, _ := v["addr"].(string)
	bits, _ := v["len"].(float64)
	a, err := netip.ParseAddr(text)
	return netip.PrefixFrom(a, int(bits)), err == nil
}

// fieldOf is the field of a packet's header that an expression is.
func fieldOf(left any) string {
	v, _ := left.(map[string]any)
	payload, _ := v["payload"].(map[string]any)
	field, _ := payload["field"].(string)
	return field
}

// port gathers numbers, also of sets and ranges.
func (m *mentioned) port(value any) {
	switch v := value.(type) {
	case float64:
		m.ports[uint16(v)] = true
	case []any:
		for _, item := range v {
			m.port(item)
		}
	case map[string]any:
		if ends, ok := v["range"].([]any); ok && len(ends) == 2 {
			first, _ := ends[0].(float64)
			last, _ := ends[1].(float64)
			for port := first; port <= last && port <= 65535; port++ {
				m.ports[uint16(port)] = true
			}
			return
		}
		m.port(v["set"])
	}
}
