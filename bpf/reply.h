/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a real to a client. */
#pragma once

#include "flow.h"
#include "forward.h"
#include "tcp.h"
#include "vip.h"

/* The flow that a packet from a real to a client answers, by ends as the real
 * sees them; use is what the real's address is. The exact port first: a real may
 * serve an any-port vip too. */
INLINE struct backend *reply_between(struct flow *flow, const struct address *client,
				     __be16 client_port, const struct address *real,
				     __be16 real_port, __u8 protocol, __u32 use, bool v6)
{
	struct backend *backend = NULL;
	struct flow_key key = {};

	if (use & ADDRESS_REAL) {
		flow_key(&key, client, client_port, protocol, 0, 0, v6);
		backend = flow_find_reply(flow, &key, real, real_port, v6);
	}
	if (!backend && (use & ADDRESS_REAL_ANY_PORT)) {
		flow_key(&key, client, client_port, protocol, real_port, 0, v6);
		backend = flow_find_reply(flow, &key, real, 0, v6);
	}
	return backend;
}

/* The same for a packet in hand; NULL too for one without ports. */
INLINE struct backend *reply_of(struct flow *flow, const struct facts *f, __u32 use, bool v6)
{
	const struct ends *ends = &f->ends;

	if (f->kind != KIND_PORTS && (f->kind != KIND_FRAGMENT || !ends->source_port))
		return NULL;
	return reply_between(flow, &ends->destination, ends->destination_port, &ends->source,
			     ends->source_port, ends->protocol, use, v6);
}

/* Inserts failed within the last two ticks. */
INLINE bool table_is_full(const struct facts *f, bool v6)
{
	__u32 zero = 0, full;
	struct insert_limits *limit = bpf_map_lookup_elem(&limits, &zero);

	if (!limit)
		return false;
	full = v6 ? limit->full6 : limit->full4;
	return full && ((f->now - full) & FLOW_SEEN_MASK) <= 2;
}

/* Whose a packet without a flow is: a backend's id, or */
enum unclaimed {
	UNCLAIMED_OWN = 0,        /* the real's own traffic */
	UNCLAIMED_AMBIGUOUS = -1, /* a reply to one of several vips */
};

/* A reply whose flow could not be kept, or the real's own traffic? */
INLINE int claim(const struct facts *f, __u32 use, bool v6)
{
	__u32 *id;

	if (is_syn(f) || (f->ends.protocol == IPPROTO_UDP && !table_is_full(f, v6)) ||
	    (use & ADDRESS_REAL_ANY_PORT))
		return UNCLAIMED_OWN;
	id = name_of(&f->ends.source, f->ends.source_port, f->ends.protocol, false, v6);
	if (!id)
		return UNCLAIMED_OWN;
	return *id ? *id : UNCLAIMED_AMBIGUOUS;
}

GLOBAL int claim4(const struct facts *f, __u32 use)
{
	return f ? claim(f, use, false) : UNCLAIMED_OWN;
}

GLOBAL int claim6(const struct facts *f, __u32 use)
{
	return f ? claim(f, use, true) : UNCLAIMED_OWN;
}

INLINE int forward_out(frame *frame, struct packet *p, const struct flow *flow,
		       const struct backend *backend, bool v6)
{
	struct egress *egress = &p->scratch->egress;
	enum route route;
	__be16 port;

	/* Without a flow the router itself may be meant: only the FIB knows. */
	if (flow->slot)
		route = route_out(frame, p->facts, p->leg, backend, frame_segment(frame, p),
				  egress, v6);
	else
		route = route_ask(frame, p->facts, &backend->vip,
				  &p->facts->ends.destination, egress, v6);
	HAND_OVER(p, route);
	if (route == ROUTE_NONE && !flow->slot)
		return PASS(p, local);
	if (p->facts->hops <= 1)
		return answer(frame, p->facts, ANSWER_TTL, 0, v6);
	if (route > ROUTE_KERNEL)
		return no_way(frame, p, route, egress->mtu, v6);
	if (flow->slot) {
		COUNT(p, flow_hit);
		flow_update(flow, p, false, v6);
	} else {
		COUNT(p, flow_reply_no_flow);
	}
	count_traffic(p, flow->backend, false, false);
	COUNT(p, forward_out);
	port = backend->vip_port ? backend->vip_port : p->facts->ends.source_port;
	nat(frame, p, egress, &backend->vip, port, true, v6);
	return send(frame, egress, route);
}

/* To the router itself it is no reply; what cannot be told apart is dropped. */
INLINE int ambiguous(frame *frame, struct packet *p, bool v6)
{
	struct egress *egress = &p->scratch->egress;
	enum route route = route_ask(frame, p->facts, &p->facts->ends.source,
				     &p->facts->ends.destination, egress, v6);

	return route == ROUTE_NONE ? PASS(p, local) : DROP(p, reply_ambiguous);
}

/* A packet of a real that answers a flow. */
INLINE int reply(frame *frame, struct packet *p, const struct flow *flow,
		 const struct backend *backend, bool v6)
{
	if (p->facts->kind == KIND_FRAGMENT)
		return DROP(p, fragment);
	if (p->facts->ends.protocol == IPPROTO_TCP && is_cut(backend)) {
		/* Both ends must learn it, and the client first: one that only listens
		 * hears nobody but the real, and believes a reset only at its place in
		 * the sequence. So the real's first packet becomes the reset. */
		if (flow_state(flow->value) == FLOW_CLOSED)
			return answer(frame, p->facts, ANSWER_RESET, 0, v6);
		p->facts->tcp_flags |= TCP_RST;
	}
	return forward_out(frame, p, flow, backend, v6);
}

/* A packet of a real without a flow, to nobody of ours. */
INLINE int from_real(frame *frame, struct packet *p, __u32 use, bool v6)
{
	int id = v6 ? claim6(p->facts, use) : claim4(p->facts, use);
	struct flow flow = { .backend = id };
	struct backend *backend;

	if (id == UNCLAIMED_OWN)
		return PASS(p, real_itself);
	if (id == UNCLAIMED_AMBIGUOUS)
		return ambiguous(frame, p, v6);
	backend = backend_of(id);
	return backend ? forward_out(frame, p, &flow, backend, v6) : DROP(p, internal);
}
