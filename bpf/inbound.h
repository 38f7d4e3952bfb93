/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a client to a vip. */
#pragma once

#include "admit.h"
#include "forward.h"

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

INLINE int judged(const struct facts *f, struct insert *insert, struct vip *vip,
		  struct reasons *reasons, bool v6)
{
	int id = flow_backend(insert->found);
	struct backend *backend = backend_of(id);

	if (!backend)
		return REFUSED_INTERNAL;
	switch (judge(f, insert->found, backend, vip)) {
	case HIT_FORWARD:
		reasons->flow_hit++;
		return id;
	case HIT_RESET:
		/* A client that hears data while its question is under way does not
		 * believe this reset: it is only as if it had closed its side, and
		 * the real's next packet says it again. See from_real(). */
		flow_end(insert_slot(insert, v6), insert->found,
			 tcp_from_client(flow_state(insert->found), TCP_FIN), f->now, v6);
		flow_dirty(insert->key.page, v6);
		return REFUSED_RESET;
	default:
		return 0;
	}
}

/*
 * The backend of a packet that begins a flow, or whose flow (insert->at,
 * insert->found) needs judgement; or a refusal. insert->at is its entry after, or
 * FLOW_NOWHERE.
 */
INLINE int decide(const struct facts *f, struct insert *insert, __u32 vip_id, bool v6)
{
	struct vip *vip = vip_of(vip_id);
	struct hook *hook = hook_of(HOOK);
	int id = 0;

	if (!vip || !hook)
		return REFUSED_INTERNAL;
	insert->created = insert->moved = insert->evicted = 0;
	insert->now = f->now;
	if (insert->at != FLOW_NOWHERE)
		id = judged(f, insert, vip, &hook->reasons, v6);
	return id ? id : admit(f, insert, vip, vip_id, &hook->reasons, v6);
}

GLOBAL int decide4(const struct facts *f, struct insert *insert, __u32 vip)
{
	return f && insert ? decide(f, insert, vip, false) : REFUSED_INTERNAL;
}

GLOBAL int decide6(const struct facts *f, struct insert *insert, __u32 vip)
{
	return f && insert ? decide(f, insert, vip, true) : REFUSED_INTERNAL;
}

INLINE int refuse(frame *frame, struct packet *p, __u32 vip_id, int why, bool v6)
{
	struct vip *vip = vip_of(vip_id);

	switch (why) {
	case REFUSED_EMPTY:
		if (vip && vip->flags & VIP_DROP_EMPTY)
			return DROP(p, empty);
		return answer(frame, p->facts, ANSWER_EMPTY, 0, v6);
	case REFUSED_MIDSTREAM:
		return answer(frame, p->facts, ANSWER_MIDSTREAM, 0, v6);
	case REFUSED_RESET:
		return answer(frame, p->facts, ANSWER_RESET, 0, v6);
	case REFUSED_MARTIAN:
		return DROP(p, martian);
	case REFUSED_SELF:
		return DROP(p, self);
	case REFUSED_FULL_NAT:
		return DROP(p, needs_full_nat);
	case REFUSED_TAKEN:
		return DROP(p, tuple_taken);
	default:
		return DROP(p, internal);
	}
}

INLINE int forward_in(frame *frame, struct packet *p, const struct flow *flow,
		      const struct backend *backend, bool new, bool v6)
{
	struct egress *egress = &p->scratch->egress;
	enum route route;
	__be16 port;

	if (p->facts->hops <= 1)
		return answer(frame, p->facts, ANSWER_TTL, 0, v6);
	route = route_in(frame, p->facts, backend, frame_segment(frame, p), egress, v6);
	HAND_OVER(p, route);
	if (route > ROUTE_KERNEL)
		return no_way(frame, p, route, egress->mtu, v6);
	if (flow->slot)
		flow_update(flow, p, true, v6);
	count_traffic(p, flow->backend, true, new);
	COUNT(p, forward_in);
	port = backend->real_port ? backend->real_port : p->facts->ends.destination_port;
	nat(frame, p, egress, &backend->real, port, false, v6);
	return send(frame, egress, route);
}

/* A packet to a vip; any: that has every port. */
INLINE int to_vip(frame *frame, struct packet *p, __u32 vip, bool any, bool v6)
{
	const struct ends *ends = &p->facts->ends;
	struct insert *insert = &p->scratch->insert;
	struct backend *backend = NULL;
	struct flow_key key = {};
	struct flow flow = {};
	int id;

	flow_key(&key, &ends->source, ends->source_port, ends->protocol,
		 any ? ends->destination_port : 0, vip, v6);
	if (flow_find(&flow, &key, v6))
		backend = backend_of(flow.backend);
	insert->created = 0;
	if (backend && is_plain(p->facts, backend)) {
		COUNT(p, flow_hit);
	} else {
		insert->key = key;
		insert->at = flow.at;
		insert->found = flow.value;
		id = v6 ? decide6(p->facts, insert, vip) : decide4(p->facts, insert, vip);
		if (id <= 0)
			return refuse(frame, p, vip, id, v6);
		flow.slot = insert_slot(insert, v6);
		flow.value = insert->found;
		flow.backend = id;
		backend = backend_of(flow.backend);
	}
	if (!backend)
		return DROP(p, internal);
	return forward_in(frame, p, &flow, backend, insert->created, v6);
}
