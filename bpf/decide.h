/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What becomes of a packet with ports whose flow was not found at once, or that
 * needs judgement: a backend's id, or a refusal.
 */
#pragma once

#include "admit.h"

/* What a hit means for a packet of the client. */
enum hit {
	HIT_FORWARD,
	HIT_ANEW,  /* schedule again */
	HIT_RESET, /* is_cut() */
};

/* Most packets need no judgement; the vip's line is not touched for them. */
INLINE bool is_plain(const struct facts *f, const struct backend *backend)
{
	return !(backend->flags & (BACKEND_DOWN | BACKEND_REMOVED)) && !is_syn(f);
}

/* Decision table of a real that is down, reset or removed; and a SYN on a flow
 * that is over, or silent for longer than its timeout. */
INLINE enum hit judge(const struct facts *f, __u64 value, const struct backend *backend,
		      struct vip *vip)
{
	__u8 state = flow_state(value);

	if (is_syn(f) && (flow_may_begin_again(state) ||
			  flow_age(value, f->now) > vip->timeouts[flow_timeout(state) & 7]))
		return HIT_ANEW;
	if (!(backend->flags & (BACKEND_DOWN | BACKEND_REMOVED)))
		return HIT_FORWARD;
	if (flow_is_udp(state) || state == FLOW_HANDSHAKE || state == FLOW_ANSWERED)
		return HIT_ANEW;
	return is_cut(backend) ? HIT_RESET : HIT_FORWARD;
}

/* The flow of a packet to a vip (all: that has every port); backend is NULL if there
 * is none. */
INLINE int decide_flow(const struct facts *f, struct insert *insert,
		       const struct backend *backend, __u32 vip_id, bool all, bool v6)
{
	struct vip *vip = vip_of(vip_id);
	int id;

	if (!vip)
		return REFUSED_INTERNAL;
	TRACE(vip, vip_id);
	TRACE(flow, backend ? insert->found : 0);
	flow_key(&insert->key, &f->ends.source, f->ends.source_port, f->ends.protocol,
		 all ? f->ends.destination_port : 0, v6);
	flow_key_of_vip(&insert->key, vip_id, v6);
	switch (backend ? judge(f, insert->found, backend, vip) : HIT_ANEW) {
	case HIT_FORWARD:
		return flow_backend(insert->found);
	case HIT_RESET:
		/* A client that hears data while its question is under way does not
		 * believe this reset: it is only as if it had closed its side, and
		 * the real's next packet says it again. See decide_reply(). */
		flow_end(insert_slot(insert, v6), insert->found,
			 tcp_from_client(flow_state(insert->found), TCP_FIN), f->now, v6);
		flow_dirty(insert->key.page, v6);
		return REFUSED_RESET;
	default:
		id = admit(f, insert, vip, vip_id, v6);
	}
	return id == REFUSED_EMPTY && vip->flags & VIP_DROP_EMPTY ? REFUSED_SILENT : id;
}

/* A packet to an address of vips; use is what it is. */
INLINE int decide_vip(const struct facts *f, struct insert *insert, __u32 use, bool v6)
{
	const struct ends *ends = &f->ends;
	struct end vip = end_of_vip(ends);
	struct backend *backend;
	struct flow flow = {};
	__u32 vip_id, all;

	backend =
	    flow_between(&flow, &insert->key, &ends->source, ends->source_port, &vip, use, v6);
	insert->at = flow.at;
	insert->found = flow.value;
	if (backend)
		return decide_flow(f, insert, backend, backend->vip_id, !backend->vip_port, v6);
	vip_id =
	    vip_at(&ends->destination, ends->destination_port, ends->protocol, use, &all, v6);
	if (!vip_id)
		return REFUSED_PORT;
	return decide_flow(f, insert, NULL, vip_id, all, v6);
}

/* A packet of a real that answers a flow. */
INLINE int decide_reply(struct facts *f, struct insert *insert, const struct backend *backend)
{
	TRACE(flow, insert->found);
	if (f->ends.protocol == IPPROTO_TCP && is_cut(backend)) {
		/* Both ends must learn it, and the client first: one that only listens
		 * hears nobody but the real, and believes a reset only at its place in
		 * the sequence. So the real's first packet becomes the reset. */
		if (flow_state(insert->found) == FLOW_CLOSED)
			return REFUSED_RESET;
		f->tcp_flags |= TCP_RST;
	}
	return flow_backend(insert->found);
}

/* Flows gave way, or were not kept, within the last two ticks, or in the next: another
 * CPU may be there. */
INLINE bool table_is_full(const struct facts *f, bool v6)
{
	__u32 zero = 0, full;
	struct insert_limits *limit = bpf_map_lookup_elem(&limits, &zero);

	if (!limit)
		return false;
	full = v6 ? limit->full6 : limit->full4;
	return full && ((f->now + 1 - full) & FLOW_SEEN_MASK) <= 3;
}

/*
 * A packet of a real without a flow (use is what its address is): the only backend
 * whose reply it can be, if its flow could not be kept; else it is the real's own.
 */
INLINE int claim(const struct facts *f, __u32 use, bool v6)
{
	__u32 *id;

	if (is_syn(f) || (f->ends.protocol == IPPROTO_UDP && !table_is_full(f, v6)) ||
	    (use & ADDRESS_REAL_ANY_PORT))
		return REFUSED_OWN;
	id = name_of(&f->ends.source, f->ends.source_port, f->ends.protocol, false, v6);
	if (!id)
		return REFUSED_OWN;
	return *id ? *id : REFUSED_AMBIGUOUS;
}

/* A packet of a real to nobody of ours; use is what its address is. */
INLINE int decide_real(struct facts *f, struct insert *insert, __u32 use, bool v6)
{
	struct end real = end_of_real(&f->ends);
	struct backend *backend;
	struct flow flow = {};

	backend = flow_between(&flow, &insert->key, &f->ends.destination,
			       f->ends.destination_port, &real, use, v6);
	insert->at = flow.at;
	insert->found = flow.value;
	insert->key.page = flow.page;
	return backend ? decide_reply(f, insert, backend) : claim(f, use, v6);
}

/*
 * insert->at and insert->found are the flow that was found, or FLOW_NOWHERE; after,
 * the entry that the packet's flow has. f->out says which way it goes, after.
 */
INLINE int decide(struct facts *f, struct insert *insert, bool v6)
{
	struct leg *leg = leg_of(f->leg);
	struct backend *backend;
	__u32 use;

	insert->created = insert->moved = insert->evicted = 0;
	insert->now = f->now;
	if (insert->at != FLOW_NOWHERE) {
		backend = backend_of(flow_backend(insert->found));
		if (!backend)
			return REFUSED_INTERNAL;
		return f->out ? decide_reply(f, insert, backend)
			      : decide_flow(f, insert, backend, backend->vip_id, false, v6);
	}
	use = address_use(&f->ends.destination, v6);
	f->out = !(use & ADDRESS_VIPS);
	if (!f->out)
		return decide_vip(f, insert, use, v6);
	use = leg && leg->role & LEG_INSIDE ? address_use(&f->ends.source, v6) : 0;
	return use & ADDRESS_REALS ? decide_real(f, insert, use, v6) : REFUSED_STRANGER;
}

GLOBAL int decide4(struct facts *f, struct insert *insert)
{
	return f && insert ? decide(f, insert, false) : REFUSED_INTERNAL;
}

GLOBAL int decide6(struct facts *f, struct insert *insert)
{
	return f && insert ? decide(f, insert, true) : REFUSED_INTERNAL;
}
