/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets of which no ports are known: errors, fragments, other protocols, and what
 * cannot be read. What matches a vip's address and port never reaches the router's
 * own stack; what cannot be read is not given to it either.
 */
#pragma once

#include "icmp.h"

INLINE int portless_to_vip(frame *frame, struct packet *p, __u32 use, bool v6)
{
	switch (p->facts->kind) {
	case KIND_ICMP_ERROR:
		return icmp_to_vip(frame, p, use, v6);
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

/* A fragment with ports, that would answer a flow if it were whole. */
INLINE bool is_of_flow(const struct facts *f, __u32 use, bool v6)
{
	struct end real = end_of_real(&f->ends);
	struct flow_key key = {};
	struct flow flow = {};

	return f->kind == KIND_FRAGMENT && f->ends.source_port &&
	       flow_between(&flow, &key, &f->ends.destination, f->ends.destination_port, &real,
			    use, v6);
}

/* The packet is opened again: a GLOBAL function cannot be given pointers into it. */
INLINE int portless(frame *frame, bool v6)
{
	struct hook *hook = hook_of(HOOK);
	struct packet p = {
	    .end = frame_end(frame),
	    .eth = frame_data(frame),
	    .l3 = frame_data(frame) + ETH_HLEN,
	};
	__u32 use;

	if (!hook)
		return VERDICT_PASS;
	p.reasons = &hook->reasons;
	p.scratch = &hook->scratch;
	p.facts = &hook->scratch.facts;
	p.leg = leg_of(p.facts->leg);
	p.l4 = frame_data(frame) + (p.facts->l4_offset & OFFSET_MASK);
	if (!p.leg)
		return VERDICT_PASS;
	use = address_use(&p.facts->ends.destination, v6) & ADDRESS_VIPS;
	if (use)
		return portless_to_vip(frame, &p, use, v6);
	if (!(p.leg->role & LEG_INSIDE))
		return PASS(&p, not_ours);
	if (p.facts->kind == KIND_ICMP_ERROR)
		return icmp_from_inside(frame, &p, v6);
	use = address_use(&p.facts->ends.source, v6) & ADDRESS_REALS;
	if (!use)
		return PASS(&p, not_ours);
	return is_of_flow(p.facts, use, v6) ? DROP(&p, fragment) : PASS(&p, real_itself);
}

GLOBAL int portless4(frame *frame)
{
	return portless(frame, false);
}

GLOBAL int portless6(frame *frame)
{
	return portless(frame, true);
}
