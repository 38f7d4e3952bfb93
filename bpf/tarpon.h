/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The order of work: decide, route, commit. Before routing has succeeded only an
 * insert into the flow table may happen; counters, TCP state and writes are the
 * program's that finishes the packet. XDP passes unmodified what it cannot
 * finish, and the TC program takes the same decision again.
 */
#pragma once

#include "admit.h"
#include "answer.h"
#include "icmp.h"
#include "nat.h"
#include "route.h"

#define DROP(p, reason)                \
	({                             \
		COUNT(p, drop_##reason); \
		VERDICT_DROP;          \
	})

#define PASS(p, reason)                \
	({                             \
		COUNT(p, pass_##reason); \
		VERDICT_PASS;          \
	})

INLINE void count_traffic(const struct packet *p, __u16 id, bool in, bool new)
{
	__u32 key = id;
	struct traffic *traffic = bpf_map_lookup_elem(&traffic_of, &key);

	if (!traffic)
		return;
	if (in) {
		traffic->packets_in += p->facts.segments;
		traffic->bytes_in += p->facts.ip_length;
		traffic->connections += new;
	} else {
		traffic->packets_out += p->facts.segments;
		traffic->bytes_out += p->facts.ip_length;
	}
}

/* A route that does not lead on: its answer or drop. For packets with ports. */
INLINE int no_way(frame *frame, struct packet *p, enum route route, __u32 mtu, bool v6)
{
	switch (route) {
	case ROUTE_BLACKHOLE:
		return DROP(p, blackhole);
	case ROUTE_FORWARDING_OFF:
		return DROP(p, forwarding_off);
	case ROUTE_UNREACHABLE:
		return answer_any(frame, p, ANSWER_UNREACHABLE, 0, v6);
	case ROUTE_PROHIBITED:
		return answer_any(frame, p, ANSWER_PROHIBITED, 0, v6);
	case ROUTE_TOO_BIG:
		return answer_any(frame, p, ANSWER_MTU, mtu, v6);
	default:
		return DROP(p, no_route);
	}
}

/* The last step of a translated packet. */
INLINE int send(frame *frame, const struct egress *egress, enum route route)
{
#if HOOK_IS_TC_PROGRAM
	if (route == ROUTE_KERNEL) {
		struct bpf_redir_neigh neighbour = egress->neighbour;

		if (!neighbour.nh_family)
			return bpf_redirect_neigh(egress->ifindex, NULL, 0, 0);
		return bpf_redirect_neigh(egress->ifindex, &neighbour, sizeof(neighbour), 0);
	}
#endif
	return frame_redirect(frame, egress->ifindex);
}

/* XDP leaves to TC what the kernel must help with. */
#define HAND_OVER(p, route)                                              \
	do {                                                             \
		if ((route) == ROUTE_KERNEL && !HOOK_IS_TC) {            \
			COUNT(p, to_tc);                                 \
			return VERDICT_PASS;                             \
		}                                                        \
	} while (0)

/* ---- from a client to a vip ---- */

INLINE int refuse(frame *frame, struct packet *p, struct vip *vip, int why, bool v6)
{
	switch (why) {
	case REFUSED_EMPTY:
		if (vip->flags & VIP_DROP_EMPTY)
			return DROP(p, empty);
		return answer_any(frame, p, ANSWER_EMPTY, 0, v6);
	case REFUSED_MIDSTREAM:
		return answer_any(frame, p, ANSWER_MIDSTREAM, 0, v6);
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

/* What a hit means for a packet of the client. */
enum hit {
	HIT_FORWARD,
	HIT_ANEW,  /* schedule again */
	HIT_RESET, /* its real is gone for good */
};

/* Decision table of a real that is down, reset or removed; and a SYN on a flow
 * that is over, or silent for longer than its timeout. */
INLINE enum hit judge(const struct packet *p, const struct flow *flow,
		      const struct backend *backend, struct vip *vip)
{
	__u8 state = flow_state(flow->value);
	bool syn = p->facts.ends.protocol == IPPROTO_TCP &&
		   (p->facts.tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;

	if (syn && (flow_may_begin_again(state) ||
		    flow_age(flow->value, p->facts.now) > vip->timeouts[flow_timeout(state) % TIMEOUTS]))
		return HIT_ANEW;
	if (!(backend->flags & (BACKEND_DOWN | BACKEND_REMOVED)))
		return HIT_FORWARD;
	if (flow_is_udp(state) || state == FLOW_HANDSHAKE || state == FLOW_ANSWERED)
		return HIT_ANEW;
	if (backend->flags & (BACKEND_REMOVED | BACKEND_RESET))
		return HIT_RESET;
	return HIT_FORWARD;
}

/* Most packets need no judgement; the vip's line is not touched for them. */
INLINE bool is_plain(const struct packet *p, const struct backend *backend)
{
	if (backend->flags & (BACKEND_DOWN | BACKEND_REMOVED))
		return false;
	return p->facts.ends.protocol != IPPROTO_TCP ||
	       (p->facts.tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN;
}

INLINE void flow_end(struct flow *flow, const struct packet *p, __u8 state, bool v6)
{
	__u64 value = flow_value(flow_backend(flow->value), flow_vip_port(flow->value),
				 (flow_bits(flow->value) & 0xf0) | state | FLOW_CHANGED, p->facts.now);

	flow_swap(flow->slot, flow->value, value, v6);
	flow_dirty(flow->page, v6);
}

/* Both ends are told at their next packet, so a flow that is reset because its
 * real failed stays until it times out; that of a removed real is gone. */
INLINE int reset_client(frame *frame, struct packet *p, struct flow *flow,
			const struct backend *backend, bool v6)
{
	flow_end(flow, p, backend->flags & BACKEND_REMOVED ? FLOW_GONE : FLOW_CLOSED, v6);
	return answer_any(frame, p, ANSWER_RESET, 0, v6);
}

INLINE int forward_in(frame *frame, struct packet *p, struct flow *flow,
		      const struct backend *backend, __u16 id, bool new, bool v6)
{
	struct egress egress = {};
	enum route route;
	__be16 port;

	if (p->facts.hops <= 1)
		return answer_any(frame, p, ANSWER_TTL, 0, v6);
	route = route_in(frame, p, backend, &egress, v6);
	HAND_OVER(p, route);
	if (route > ROUTE_KERNEL)
		return no_way(frame, p, route, egress.mtu, v6);
	if (flow->slot)
		flow_update(flow, p, true, v6);
	count_traffic(p, id, true, new);
	COUNT(p, forward_in);
	port = backend->real_port ? backend->real_port : p->facts.ends.destination_port;
	nat(frame, p, &egress, &backend->real, port, false, v6);
	return send(frame, &egress, route);
}

/* New flows, and hits that need judgement. */
INLINE int to_vip_slowly(frame *frame, struct packet *p, struct insert *insert,
			 struct flow *flow, __u32 vip_id, bool v6)
{
	struct vip *vip = vip_of(vip_id);
	struct backend *backend;
	bool hit = flow->slot;
	int id;

	if (!vip)
		return DROP(p, internal);
	if (hit) {
		id = flow_backend(flow->value);
		backend = backend_of(id);
		if (!backend)
			return DROP(p, internal);
		switch (judge(p, flow, backend, vip)) {
		case HIT_FORWARD:
			COUNT(p, flow_hit);
			return forward_in(frame, p, flow, backend, id, false, v6);
		case HIT_RESET:
			return reset_client(frame, p, flow, backend, v6);
		case HIT_ANEW:
			break;
		}
	}
	id = v6 ? admit6(p, vip, insert, flow) : admit4(p, vip, insert, flow);
	if (id <= 0)
		return refuse(frame, p, vip, id, v6);
	backend = backend_of(id);
	if (!backend)
		return DROP(p, internal);
	return forward_in(frame, p, flow, backend, id, true, v6);
}

SLOW int to_vip_slowly4(frame *frame, struct packet *p, struct insert *insert,
			struct flow *flow, __u32 vip)
{
	return to_vip_slowly(frame, p, insert, flow, vip, false);
}

SLOW int to_vip_slowly6(frame *frame, struct packet *p, struct insert *insert,
			struct flow *flow, __u32 vip)
{
	return to_vip_slowly(frame, p, insert, flow, vip, true);
}

INLINE int to_vip(frame *frame, struct packet *p, __u32 use, bool v6)
{
	struct insert insert = {};
	struct flow flow = {};
	bool any;
	__u32 vip;

	vip = vip_at(&p->facts.ends.destination, p->facts.ends.destination_port, p->facts.ends.protocol, use,
		     &any, v6);
	if (!vip)
		return PASS(p, other_port);
	flow_key(&insert.key, &p->facts.ends.source, p->facts.ends.source_port, p->facts.ends.protocol,
		 any ? p->facts.ends.destination_port : 0, vip, v6);
	if (flow_find(&flow, &insert.key, v6)) {
		__u16 id = flow_backend(flow.value);
		struct backend *backend = backend_of(id);

		if (backend && is_plain(p, backend)) {
			COUNT(p, flow_hit);
			return forward_in(frame, p, &flow, backend, id, false, v6);
		}
	}
	return v6 ? to_vip_slowly6(frame, p, &insert, &flow, vip) :
		    to_vip_slowly4(frame, p, &insert, &flow, vip);
}

/* ---- from a real to a client ---- */

INLINE int forward_out(frame *frame, struct packet *p, struct flow *flow,
		       const struct backend *backend, __u16 id, bool v6)
{
	struct egress egress = {};
	enum route route;
	__be16 port;

	if (p->facts.hops <= 1)
		return answer_any(frame, p, ANSWER_TTL, 0, v6);
	/* Without a flow the router itself may be meant: only the FIB knows. */
	route = flow->slot ? route_out(frame, p, backend, &egress, v6) :
			     route_ask(frame, p, &backend->vip, &p->facts.ends.destination, &egress, v6);
	HAND_OVER(p, route);
	if (route == ROUTE_NONE)
		return PASS(p, local);
	if (route > ROUTE_KERNEL)
		return no_way(frame, p, route, egress.mtu, v6);
	if (flow->slot)
		flow_update(flow, p, false, v6);
	else
		COUNT(p, flow_reply_no_flow);
	count_traffic(p, id, false, false);
	COUNT(p, forward_out);
	port = backend->vip_port ? backend->vip_port : p->facts.ends.source_port;
	nat(frame, p, &egress, &backend->vip, port, true, v6);
	return send(frame, &egress, route);
}

/* Inserts failed within the last two ticks. */
INLINE bool table_is_full(const struct packet *p, bool v6)
{
	__u32 zero = 0, full;
	struct limits *limit = bpf_map_lookup_elem(&limits, &zero);

	if (!limit)
		return false;
	full = v6 ? limit->full6 : limit->full4;
	return full && ((p->facts.now - full) & FLOW_SEEN_MASK) <= 2;
}

/* A reply whose flow could not be kept, or the real's own traffic? */
INLINE int reply_without_flow(frame *frame, struct packet *p, __u32 use, bool v6)
{
	struct flow none = {};
	struct backend *backend;
	__u32 *id;

	if (p->facts.ends.protocol == IPPROTO_TCP) {
		if ((p->facts.tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
			return PASS(p, real_itself);
	} else if (!table_is_full(p, v6)) {
		return PASS(p, real_itself);
	}
	if (use & ADDRESS_REAL_ANY_PORT)
		return PASS(p, real_itself);
	id = name_of(&p->facts.ends.source, p->facts.ends.source_port, p->facts.ends.protocol, false, v6);
	if (!id)
		return PASS(p, real_itself);
	if (!*id) {
		struct egress egress = {};

		/* To the router itself it is no reply of a flow. */
		if (route_ask(frame, p, &p->facts.ends.source, &p->facts.ends.destination, &egress, v6) ==
		    ROUTE_NONE)
			return PASS(p, local);
		return DROP(p, reply_ambiguous);
	}
	backend = backend_of(*id);
	if (!backend)
		return DROP(p, internal);
	return forward_out(frame, p, &none, backend, *id, v6);
}

SLOW int reply_without_flow4(frame *frame, struct packet *p, __u32 use)
{
	return reply_without_flow(frame, p, use, false);
}

SLOW int reply_without_flow6(frame *frame, struct packet *p, __u32 use)
{
	return reply_without_flow(frame, p, use, true);
}

/* The flow that a packet from a real to a client answers, by ends as the real
 * sees them. The exact port first: a real may serve an any-port vip too. */
INLINE struct backend *reply_of(struct flow *flow, const struct address *client,
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

INLINE int from_real(frame *frame, struct packet *p, __u32 use, bool v6)
{
	struct flow flow = {};
	struct backend *backend;

	backend = reply_of(&flow, &p->facts.ends.destination, p->facts.ends.destination_port,
			   &p->facts.ends.source, p->facts.ends.source_port, p->facts.ends.protocol, use, v6);
	if (p->facts.kind == KIND_FRAGMENT)
		return backend && p->facts.ends.source_port ? DROP(p, fragment) :
							PASS(p, real_itself);
	if (!backend)
		return v6 ? reply_without_flow6(frame, p, use) :
			    reply_without_flow4(frame, p, use);
	COUNT(p, flow_hit);
	if (backend->flags & BACKEND_RESET && p->facts.ends.protocol == IPPROTO_TCP &&
	    backend->flags & BACKEND_DOWN) {
		flow_end(&flow, p, FLOW_CLOSED, v6);
		return answer_any(frame, p, ANSWER_RESET, 0, v6);
	}
	return forward_out(frame, p, &flow, backend, flow_backend(flow.value), v6);
}

/* ---- ICMP errors ---- */

INLINE int icmp_send(frame *frame, struct packet *p, struct quoted *q,
		     const struct backend *backend, bool to_real, bool v6)
{
	const struct address *to = to_real ? &backend->real : &backend->vip;
	__be16 port = to_real ? backend->real_port : backend->vip_port;
	struct egress egress = {};
	enum route route;

	if (!port)
		port = to_real ? q->ends.source_port : q->ends.destination_port;
	if (p->facts.hops <= 1) /* no error about an error */
		return DROP(p, no_route);
	route = to_real ? route_in(frame, p, backend, &egress, v6) :
			  route_out(frame, p, backend, &egress, v6);
	HAND_OVER(p, route);
	if (route > ROUTE_KERNEL)
		return DROP(p, no_route);
	if (to_real)
		COUNT(p, forward_icmp_in);
	else
		COUNT(p, forward_icmp_out);
	icmp_nat(frame, p, q, &egress, to, port, to_real, v6);
	return send(frame, &egress, route);
}

/* An error to a vip, about a packet that we sent from it. */
INLINE int icmp_to_vip(frame *frame, struct packet *p, __u32 use, bool v6)
{
	struct quoted quoted = {};
	struct flow_key key = {};
	struct backend *backend;
	struct flow flow = {};
	bool any;
	__u32 vip;

	if (!quoted_open(&quoted, p, v6))
		return DROP(p, icmp_no_flow);
	vip = vip_at(&quoted.ends.source, quoted.ends.source_port, quoted.ends.protocol, use,
		     &any, v6);
	if (!vip)
		return PASS(p, echo); /* about a service of the router's own */
	flow_key(&key, &quoted.ends.destination, quoted.ends.destination_port,
		 quoted.ends.protocol, any ? quoted.ends.source_port : 0, vip, v6);
	if (!flow_find(&flow, &key, v6))
		return DROP(p, icmp_no_flow);
	backend = backend_of(flow_backend(flow.value));
	if (!backend)
		return DROP(p, internal);
	return icmp_send(frame, p, &quoted, backend, true, v6);
}

/* An error from inside, about a packet that we sent to a real. */
INLINE int icmp_from_inside(frame *frame, struct packet *p, bool v6)
{
	struct quoted quoted = {};
	struct backend *backend;
	struct flow flow = {};
	__u32 use;

	if (!quoted_open(&quoted, p, v6))
		return PASS(p, not_ours);
	use = address_use(&quoted.ends.destination, v6);
	if (!(use & (ADDRESS_REAL | ADDRESS_REAL_ANY_PORT)))
		return PASS(p, not_ours);
	backend = reply_of(&flow, &quoted.ends.source, quoted.ends.source_port,
			   &quoted.ends.destination, quoted.ends.destination_port,
			   quoted.ends.protocol, use, v6);
	if (!backend)
		return PASS(p, real_itself);
	return icmp_send(frame, p, &quoted, backend, false, v6);
}

SLOW int icmp4(frame *frame, struct packet *p, __u32 use)
{
	return use ? icmp_to_vip(frame, p, use, false) : icmp_from_inside(frame, p, false);
}

SLOW int icmp6(frame *frame, struct packet *p, __u32 use)
{
	return use ? icmp_to_vip(frame, p, use, true) : icmp_from_inside(frame, p, true);
}

/* ---- any packet ---- */

/* To a vip's address. What matches a vip's address and port never reaches the
 * router's own stack; what cannot be read is not given to it either. */
INLINE int to_vip_address(frame *frame, struct packet *p, __u32 use, bool v6)
{
	switch (p->facts.kind) {
	case KIND_PORTS:
		return to_vip(frame, p, use, v6);
	case KIND_ICMP_ERROR:
		return v6 ? icmp6(frame, p, use) : icmp4(frame, p, use);
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

INLINE int classify(frame *frame, struct packet *p, bool v6)
{
	__u32 use = address_use(&p->facts.ends.destination, v6);

	if (use & (ADDRESS_VIP | ADDRESS_VIP_ANY_PORT))
		return to_vip_address(frame, p, use, v6);
	if (p->leg->role == LEG_OUTSIDE)
		return PASS(p, not_ours);
	if (p->facts.kind == KIND_ICMP_ERROR)
		return v6 ? icmp6(frame, p, 0) : icmp4(frame, p, 0);
	use = address_use(&p->facts.ends.source, v6);
	if (!(use & (ADDRESS_REAL | ADDRESS_REAL_ANY_PORT)))
		return PASS(p, not_ours);
	if (p->facts.kind != KIND_PORTS && p->facts.kind != KIND_FRAGMENT)
		return PASS(p, real_itself);
	return from_real(frame, p, use, v6);
}

INLINE int process4(frame *frame, struct packet *p)
{
	p->facts.kind = parse_ipv4(p);
	if (p->facts.kind == KIND_BROKEN)
		return PASS(p, not_ours);
	return classify(frame, p, false);
}

INLINE int process6(frame *frame, struct packet *p)
{
	p->facts.kind = parse_ipv6(p);
	if (p->facts.kind == KIND_BROKEN)
		return PASS(p, not_ours);
	if (p->facts.kind == KIND_NEIGHBOUR)
		return PASS(p, neighbour);
	return classify(frame, p, true);
}

INLINE int process(frame *frame)
{
	struct packet p = { .reasons = reasons_of(HOOK) };
	__be16 type;

	if (!frame_open(frame, &p))
		return PASS(&p, not_ip);
	type = p.eth->h_proto;
	if (type != bpf_htons(ETH_P_IP) && type != bpf_htons(ETH_P_IPV6))
		return PASS(&p, not_ip);
	p.leg = leg_at(p.facts.ifindex, frame_vlan(frame));
	if (!p.leg)
		return PASS(&p, no_leg);
	if (!frame_is_for(&p, frame, p.leg->mac))
		return PASS(&p, other_mac);
	p.facts.now = flow_clock();
	return type == bpf_htons(ETH_P_IP) ? process4(frame, &p) : process6(frame, &p);
}
