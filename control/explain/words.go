package explain

import (
	"strings"

	"github.com/tarpon-lb/tarpon/control/api"
	"github.com/tarpon-lb/tarpon/loader"
)

// results says what every reason means for the packet in hand (bpf/abi.h, struct
// reasons).
var results = map[string]string{
	"pass_not_ip":      "it is no IP packet: the kernel takes it",
	"pass_neighbour":   "neighbour discovery is the kernel's",
	"pass_other_mac":   "the frame is not for this leg's MAC: the kernel takes it",
	"pass_no_leg":      "its interface or VLAN is no leg: the kernel takes it",
	"pass_not_ours":    "no vip and no real is concerned: the kernel takes it",
	"pass_other_port":  "the address is a vip's, but no vip has this port and protocol: the router's own stack answers",
	"pass_echo":        "ping and other ICMP to a vip's address: the router's own stack answers",
	"pass_real_itself": "the real's own traffic, no answer to a flow: the kernel forwards it untranslated",
	"pass_local":       "it is for the router itself",
	"to_tc":            "handed to the TC program",

	"forward_in":       "to the real",
	"forward_out":      "to the client, from the vip",
	"forward_icmp_in":  "an ICMP error about a flow, to its real",
	"forward_icmp_out": "an ICMP error about a flow, to its client",

	"answer_empty":       "the vip has no usable real",
	"answer_midstream":   "TCP in mid-stream without a flow, and this scheduler cannot find its real again",
	"answer_reset":       "the flow's real was removed, or failed with on_fail: reset",
	"answer_ttl":         "its TTL ends here",
	"answer_mtu":         "it is larger than the MTU of its way",
	"answer_unreachable": "the routing table says unreachable or prohibited",

	"drop_malformed":       "its headers contradict its length",
	"drop_fragment":        "fragments of balanced traffic are not supported",
	"drop_unsupported":     "it has more extension headers than are followed",
	"drop_empty":           "the vip has no usable real, and when_empty says drop",
	"drop_martian":         "the client's address is a vip's",
	"drop_self":            "the only real that could take it is the client itself",
	"drop_needs_full_nat":  "the client is on the real's own network: the real would answer it directly, past this router. Put such clients on another network, or the vip's reals",
	"drop_tuple_taken":     "the client has an established flow from this port to the same real by another vip, and no other real is left",
	"drop_reply_ambiguous": "a reply without a flow, of a real that serves several vips: whose it is cannot be told",
	"drop_icmp_no_flow":    "an ICMP error to a vip about no flow that is known",
	"drop_no_route":        "there is no route to where it should go (ip route)",
	"drop_blackhole":       "the route to where it should go is a blackhole",
	"drop_forwarding_off":  "forwarding is off where it came in (sysctl net.ipv4.conf.LEG.forwarding, net.ipv6...)",
	"drop_answer_limit":    "an answer was due, but too many were sent",
	"drop_answer_partial":  "an answer was due to a half-made checksum",
	"drop_closed":          "a reset, or anything, of a flow that is reset already",
	"drop_internal":        "this cannot happen: please report it",
}

// notes says what happens to the flow table besides.
var notes = map[string]string{
	"flow_again":         "the flow is scheduled anew",
	"flow_moved":         "another flow moves to its other bucket to make room",
	"flow_evicted":       "another flow ends to make room",
	"flow_full":          "the table has no room: it goes by the schedule alone, and is not remembered",
	"flow_reply_no_flow": "no flow is known: the real serves this vip only",
}

// outcome is the first word of a reason.
func outcome(reason string) string {
	kind, _, _ := strings.Cut(reason, "_")
	return map[string]string{
		"forward": api.Forwarded, "answer": api.Answered, "drop": api.Dropped, "pass": api.Passed,
	}[kind]
}

var refusals = map[loader.Refusal]string{
	loader.RefusedSelf:    "it is the client itself",
	loader.RefusedFullNAT: "the client is on its network, and would be answered past this router",
	loader.RefusedTaken:   "the client's port is in use with it, by another vip",
}

// ways says why a packet has no way on.
var ways = map[loader.Way]string{
	loader.WayNone:          "no route, or an address of this router",
	loader.WayBlackhole:     "a blackhole",
	loader.WayUnreachable:   "unreachable",
	loader.WayProhibited:    "prohibited",
	loader.WayForwardingOff: "forwarding is off",
	loader.WayTooBig:        "the packet is too big",
}
