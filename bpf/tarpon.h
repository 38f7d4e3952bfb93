/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Any packet: whose is it, and who takes it from here. */
#pragma once

#include "icmp.h"
#include "inbound.h"
#include "reply.h"

/* To a vip's address, but without ports. What matches a vip's address and port
 * never reaches the router's own stack; what cannot be read is not given to it
 * either. */
INLINE int to_vip_address(frame *frame, struct packet *p, __u32 use, bool v6)
{
	switch (p->facts->kind) {
	case KIND_ICMP_ERROR:
		return v6 ? icmp6(frame, use) : icmp4(frame, use);
	case KIND_FRAGMENT:
		return DROP(p, fragment);
	case KIND_MALFORMED:
		return DROP(p, malformed);
	case KIND_UNSUPPORTED:
		return DROP(p, unsupported);
	case KIND_PROTOCOL:
		return PASS(p, other_port);
	default:
		return PASS(p, echo);
	}
}

/* Neither to a vip nor to one's address: from a real (use is what its source is),
 * or not ours. */
INLINE int to_elsewhere(frame *frame, struct packet *p, __u32 use, bool v6)
{
	if (!(p->leg->role & LEG_INSIDE))
		return PASS(p, not_ours);
	if (p->facts->kind == KIND_ICMP_ERROR)
		return v6 ? icmp6(frame, 0) : icmp4(frame, 0);
	if (!(use & ADDRESS_REALS))
		return PASS(p, not_ours);
	if (p->facts->kind != KIND_PORTS)
		return PASS(p, real_itself);
	return from_real(frame, p, use, v6);
}

/*
 * The order of look-ups is that of what is likely. From inside most packets answer
 * a flow, which is found by its ends alone; from outside most are to a vip, whose
 * name is looked up at once, and the address only for the others.
 */
INLINE int classify(frame *frame, struct packet *p, bool v6)
{
	const struct ends *ends = &p->facts->ends;
	bool ports = p->facts->kind == KIND_PORTS, any = false;
	__u32 from = 0, to, vip = 0, *id;
	struct backend *backend;
	struct flow flow = {};

	if (p->leg->role & LEG_INSIDE) {
		from = address_use(&ends->source, v6);
		backend = reply_of(&flow, p->facts, from, v6);
		if (backend)
			return reply(frame, p, &flow, backend, v6);
	}
	if (ports && p->leg->role & LEG_OUTSIDE) {
		id = name_of(&ends->destination, ends->destination_port, ends->protocol, true, v6);
		vip = id ? *id : 0;
	}
	if (!vip) {
		to = address_use(&ends->destination, v6);
		if (!(to & ADDRESS_VIPS))
			return to_elsewhere(frame, p, from, v6);
		if (!ports)
			return to_vip_address(frame, p, to, v6);
		vip = vip_at(&ends->destination, ends->destination_port, ends->protocol, to, &any,
			     v6);
		if (!vip)
			return PASS(p, other_port);
	}
	return to_vip(frame, p, vip, any, v6);
}

INLINE int process4(frame *frame, struct packet *p)
{
	p->facts->kind = parse_ipv4(p);
	if (p->facts->kind == KIND_BROKEN)
		return PASS(p, not_ours);
	return classify(frame, p, false);
}

INLINE int process6(frame *frame, struct packet *p)
{
	p->facts->kind = parse_ipv6(p);
	if (p->facts->kind == KIND_BROKEN)
		return PASS(p, not_ours);
	if (p->facts->kind == KIND_NEIGHBOUR)
		return PASS(p, neighbour);
	return classify(frame, p, true);
}

INLINE int process(frame *frame)
{
	struct hook *hook = hook_of(HOOK);
	struct packet p = {};
	__be16 type;

	if (!hook) /* never: the index is in range */
		return VERDICT_PASS;
	p.reasons = &hook->reasons;
	p.scratch = &hook->scratch;
	p.facts = &hook->scratch.facts;
	*p.facts = (struct facts){};
	if (!frame_open(frame, &p))
		return PASS(&p, not_ip);
	type = p.eth->h_proto;
	if (type != bpf_htons(ETH_P_IP) && type != bpf_htons(ETH_P_IPV6))
		return PASS(&p, not_ip);
	p.leg = leg_at(p.facts->ifindex, frame_vlan(frame), &p.facts->leg);
	if (!p.leg)
		return PASS(&p, no_leg);
	if (!frame_is_for(&p, frame, p.leg->mac))
		return PASS(&p, other_mac);
	p.facts->now = flow_clock();
	return type == bpf_htons(ETH_P_IP) ? process4(frame, &p) : process6(frame, &p);
}
