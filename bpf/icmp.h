/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which flow an ICMP error is about, and where it goes. */
#pragma once

#include "forward.h"
#include "quoted.h"
#include "reply.h"

INLINE int icmp_send(frame *frame, struct packet *p, struct quoted *q,
		     const struct backend *backend, bool to_real, bool v6)
{
	const struct address *to = to_real ? &backend->real : &backend->vip;
	__be16 port = to_real ? backend->real_port : backend->vip_port;
	__u32 segment = frame_segment(frame, p);
	struct egress *egress = &p->scratch->egress;
	enum route route;

	if (!port)
		port = to_real ? q->ends->source_port : q->ends->destination_port;
	if (p->facts->hops <= 1) /* no error about an error */
		return DROP(p, no_route);
	route = to_real ? route_in(frame, p->facts, backend, segment, egress, v6) :
			  route_out(frame, p->facts, p->leg, backend, segment, egress, v6);
	HAND_OVER(p, route);
	if (route > ROUTE_KERNEL)
		return DROP(p, no_route);
	if (to_real)
		COUNT(p, forward_icmp_in);
	else
		COUNT(p, forward_icmp_out);
	icmp_nat(frame, p, q, egress, to, port, to_real, v6);
	return send(frame, egress, route);
}

/* An error to a vip, about a packet that we sent from it. */
INLINE int icmp_to_vip(frame *frame, struct packet *p, __u32 use, bool v6)
{
	struct quoted quoted = { .ends = &p->scratch->quoted };
	struct flow_key key = {};
	struct backend *backend;
	struct flow flow = {};
	bool any;
	__u32 vip;

	if (!quoted_open(&quoted, p, v6))
		return DROP(p, icmp_no_flow);
	vip = vip_at(&quoted.ends->source, quoted.ends->source_port, quoted.ends->protocol, use,
		     &any, v6);
	if (!vip)
		return PASS(p, echo); /* about a service of the router's own */
	flow_key(&key, &quoted.ends->destination, quoted.ends->destination_port,
		 quoted.ends->protocol, any ? quoted.ends->source_port : 0, vip, v6);
	if (!flow_find(&flow, &key, v6))
		return DROP(p, icmp_no_flow);
	backend = backend_of(flow.backend);
	if (!backend)
		return DROP(p, internal);
	return icmp_send(frame, p, &quoted, backend, true, v6);
}

/* An error from inside, about a packet that we sent to a real. */
INLINE int icmp_from_inside(frame *frame, struct packet *p, bool v6)
{
	struct quoted quoted = { .ends = &p->scratch->quoted };
	struct backend *backend;
	struct flow flow = {};
	__u32 use;

	if (!quoted_open(&quoted, p, v6))
		return PASS(p, not_ours);
	use = address_use(&quoted.ends->destination, v6);
	if (!(use & ADDRESS_REALS))
		return PASS(p, not_ours);
	backend = reply_between(&flow, &quoted.ends->source, quoted.ends->source_port,
				&quoted.ends->destination, quoted.ends->destination_port,
				quoted.ends->protocol, use, v6);
	if (!backend)
		return PASS(p, real_itself);
	return icmp_send(frame, p, &quoted, backend, false, v6);
}

/* use: that of the destination, if it is a vip's address, else 0. The packet is
 * opened again: a GLOBAL function cannot be given pointers into it. */
INLINE int icmp(frame *frame, __u32 use, bool v6)
{
	struct hook *hook = hook_of(HOOK);
	struct packet p = {
		.end = frame_end(frame),
		.eth = frame_data(frame),
		.l3 = frame_data(frame) + ETH_HLEN,
	};

	if (!hook)
		return VERDICT_PASS;
	p.reasons = &hook->reasons;
	p.scratch = &hook->scratch;
	p.facts = &hook->scratch.facts;
	p.leg = leg_of(p.facts->leg);
	p.l4 = frame_data(frame) + (p.facts->l4_offset & OFFSET_MASK);
	if (!p.leg)
		return VERDICT_PASS;
	return use ? icmp_to_vip(frame, &p, use, v6) : icmp_from_inside(frame, &p, v6);
}

GLOBAL int icmp4(frame *frame, __u32 use)
{
	return icmp(frame, use, false);
}

GLOBAL int icmp6(frame *frame, __u32 use)
{
	return icmp(frame, use, true);
}
