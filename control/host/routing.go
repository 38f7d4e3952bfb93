package host

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// routing dumps routes and policy rules. The messages are read here and not by
// the netlink package, because what that package does not know it leaves out
// silently: a route or rule with an attribute that is not understood must make
// a next hop invalid, not wrong.
type routing struct{ socket *nl.SocketHandle }

func openRouting() (*routing, error) {
	socket, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	return &routing{&nl.SocketHandle{Socket: socket}}, nil
}

func (r *routing) close() { r.socket.Close() }

func (r *routing) dump(request, answer uint16, family int, each func(message []byte)) error {
	req := nl.NewNetlinkRequest(int(request), unix.NLM_F_DUMP)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: r.socket}
	req.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: uint8(family)}})
	return req.ExecuteIter(unix.NETLINK_ROUTE, answer, func(message []byte) bool {
		each(message)
		return true
	})
}

// routes dumps a family's main table, keeping what keep chooses.
func (r *routing) routes(family int, keep func(route) bool) ([]route, error) {
	routes, err := dump(func() ([]route, error) {
		var list []route
		err := r.dump(unix.RTM_GETROUTE, unix.RTM_NEWROUTE, family, func(message []byte) {
			if route, ok := parseRoute(message); ok && keep(route) {
				list = append(list, route)
			}
		})
		return list, err
	})
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	return routes, nil
}

// policy dumps a family's rules and returns why they are not the kernel's
// default ones; "" if they are.
func (r *routing) policy(family int) (string, error) {
	rules, err := dump(func() ([]rule, error) {
		var list []rule
		err := r.dump(unix.RTM_GETRULE, unix.RTM_NEWRULE, family, func(message []byte) {
			list = append(list, parseRule(message))
		})
		return list, err
	})
	if err != nil {
		return "", fmt.Errorf("list policy rules: %w", err)
	}
	return policyReason(rules), nil
}

// A route of the main table.
type route struct {
	dst    netip.Prefix
	link   int        // 0: none, or several
	via    netip.Addr // gateway; invalid: connected
	metric uint32
	mtu    int // 0: the interface's
	// choosy: holds only for some packets (by TOS or source), so that its
	// whole prefix cannot be answered for.
	choosy bool
	// unusable says why no next hop follows from it; "": one does.
	unusable string
}

// connected: a route to the interface itself.
func (r route) connected() bool { return !r.via.IsValid() && r.unusable == "" }

// Types of routes that lead nowhere, by RTN_*.
var routeTypes = map[uint8]string{
	unix.RTN_BLACKHOLE:   "a blackhole route",
	unix.RTN_UNREACHABLE: "an unreachable route",
	unix.RTN_PROHIBIT:    "a prohibit route",
	unix.RTN_THROW:       "a throw route",
	unix.RTN_LOCAL:       "a local route",
}

// parseRoute reads a message about a route; false if it is none of the main
// table, or only a cached exception.
func parseRoute(message []byte) (route, bool) {
	msg := nl.DeserializeRtMsg(message)
	attrs, err := nl.ParseRouteAttr(message[msg.Len():])
	if err != nil || msg.Flags&unix.RTM_F_CLONED != 0 {
		return route{}, false
	}
	r := route{choosy: msg.Tos != 0 || msg.Src_len != 0}
	table := uint32(msg.Table)
	addr := netip.IPv4Unspecified()
	if msg.Family == unix.AF_INET6 {
		addr = netip.IPv6Unspecified()
	} else if msg.Family != unix.AF_INET {
		return route{}, false
	}
	for _, attr := range attrs {
		switch attr.Attr.Type &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER) {
		case unix.RTA_TABLE:
			table = binary.NativeEndian.Uint32(attr.Value)
		case unix.RTA_DST:
			addr, _ = netip.AddrFromSlice(attr.Value)
		case unix.RTA_OIF:
			r.link = int(binary.NativeEndian.Uint32(attr.Value))
		case unix.RTA_GATEWAY:
			r.via, _ = netip.AddrFromSlice(attr.Value)
		case unix.RTA_VIA: // an IPv4 route by an IPv6 gateway: family, address
			r.via, _ = netip.AddrFromSlice(attr.Value[2:])
		case unix.RTA_PRIORITY:
			r.metric = binary.NativeEndian.Uint32(attr.Value)
		case unix.RTA_METRICS:
			r.mtu = routeMTU(attr.Value)
		case unix.RTA_MULTIPATH:
			r.unusable = "a multipath route"
		case unix.RTA_ENCAP, unix.RTA_ENCAP_TYPE, unix.RTA_NEWDST:
			r.unusable = "a route with an encapsulation"
		}
	}
	if table != unix.RT_TABLE_MAIN || !addr.IsValid() {
		return route{}, false
	}
	switch kind, odd := routeTypes[msg.Type]; {
	case odd:
		r.unusable = kind
	case msg.Type != unix.RTN_UNICAST:
		return route{}, false // multicast, broadcast, anycast: nobody's next hop
	case msg.Flags&(unix.RTNH_F_DEAD|unix.RTNH_F_LINKDOWN) != 0:
		r.unusable = "a route whose link is down"
	case r.link == 0 && r.unusable == "":
		r.unusable = "a route by a nexthop object of several"
	}
	r.dst = netip.PrefixFrom(addr, int(msg.Dst_len)).Masked()
	return r, true
}

func routeMTU(metrics []byte) int {
	attrs, err := nl.ParseRouteAttr(metrics)
	if err != nil {
		return 0
	}
	for _, attr := range attrs {
		if attr.Attr.Type == unix.RTAX_MTU {
			return int(binary.NativeEndian.Uint32(attr.Value))
		}
	}
	return 0
}

// A rule of the routing policy.
type rule struct {
	priority, table uint32
	// special: it selects packets, or does something other than to look into a
	// table, or says something that is not understood here.
	special bool
}

// defaultRules are the kernel's: priority -> table.
var defaultRules = map[uint32]uint32{
	0:     unix.RT_TABLE_LOCAL,
	32766: unix.RT_TABLE_MAIN,
	32767: unix.RT_TABLE_DEFAULT, // IPv4 only
}

func parseRule(message []byte) rule {
	msg := nl.DeserializeRtMsg(message) // struct fib_rule_hdr has the same shape; the type is its action
	attrs, err := nl.ParseRouteAttr(message[msg.Len():])
	r := rule{
		table:   uint32(msg.Table),
		special: err != nil || msg.Dst_len != 0 || msg.Src_len != 0 || msg.Tos != 0 || msg.Type != unix.FR_ACT_TO_TBL || msg.Flags&netlink.FibRuleInvert != 0,
	}
	for _, attr := range attrs {
		switch attr.Attr.Type {
		case unix.FRA_PRIORITY:
			r.priority = binary.NativeEndian.Uint32(attr.Value)
		case unix.FRA_TABLE:
			r.table = binary.NativeEndian.Uint32(attr.Value)
		case unix.FRA_PROTOCOL: // who made it
		case unix.FRA_SUPPRESS_PREFIXLEN: // always there; -1 is none
			r.special = r.special || int32(binary.NativeEndian.Uint32(attr.Value)) != -1
		default:
			r.special = true
		}
	}
	return r
}

// policyReason says why the main table does not decide alone; "" if it does.
func policyReason(rules []rule) string {
	main := false
	for _, r := range rules {
		table, known := defaultRules[r.priority]
		if r.special || !known || r.table != table {
			return fmt.Sprintf("there are policy rules (ip rule: priority %d)", r.priority)
		}
		main = main || r.table == unix.RT_TABLE_MAIN
	}
	if !main {
		return "no policy rule looks into the main table"
	}
	return ""
}
