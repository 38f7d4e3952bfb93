/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The order of work: decide, route, commit. Before routing has succeeded only an
 * insert into the flow table may happen; counters, TCP state and writes are the
 * program's that finishes the packet. XDP passes unmodified what it cannot
 * finish, and the TC program takes the same decision again.
 */
#pragma once

#include "answer.h"
#include "nat.h"
#include "tcp.h"

#define DROP(p, reason)                                                                        \
	({                                                                                     \
		COUNT(p, drop_##reason);                                                       \
		VERDICT_DROP;                                                                  \
	})

#define PASS(p, reason)                                                                        \
	({                                                                                     \
		COUNT(p, pass_##reason);                                                       \
		VERDICT_PASS;                                                                  \
	})

INLINE void count_traffic(const struct packet *p, __u16 id, bool in, bool new)
{
	__u32 key = id;
	struct traffic *traffic = bpf_map_lookup_elem(&traffic_of, &key);

	if (!traffic)
		return;
	if (in) {
		traffic->packets_in += p->facts->segments;
		traffic->bytes_in += p->facts->ip_length;
		traffic->connections += new;
	} else {
		traffic->packets_out += p->facts->segments;
		traffic->bytes_out += p->facts->ip_length;
	}
}

/* A packet that a standby forwards: its sender does not follow the active router. */
GLOBAL int count_stray(const struct facts *f, __u64 mac, bool v6)
{
	struct stray key = {.v6 = v6};
	__u64 *count, first = 1;

	if (!f)
		return 0;
	key.leg = f->leg;
	if (!f->out)
		key.address = f->ends.destination;
	__builtin_memcpy(key.mac, &mac, sizeof(key.mac));
	count = bpf_map_lookup_elem(&strays, &key);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&strays, &key, &first, BPF_ANY);
	return 0;
}

INLINE __u64 sender_mac(const struct packet *p)
{
	__u64 mac = 0;

	__builtin_memcpy(&mac, p->eth->h_source, sizeof(p->eth->h_source));
	return mac;
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
		return answer(frame, p->facts, ANSWER_UNREACHABLE, 0, v6);
	case ROUTE_PROHIBITED:
		return answer(frame, p->facts, ANSWER_PROHIBITED, 0, v6);
	case ROUTE_TOO_BIG:
		return answer(frame, p->facts, ANSWER_MTU, mtu, v6);
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
#define HAND_OVER(p, route)                                                                    \
	do {                                                                                   \
		if ((route) == ROUTE_KERNEL && !HOOK_IS_TC) {                                  \
			COUNT(p, to_tc);                                                       \
			return VERDICT_PASS;                                                   \
		}                                                                              \
	} while (0)

INLINE void trace_forward(const struct flow *flow, bool new, enum route way)
{
	traced.backend = flow->backend;
	traced.route = way;
	if (flow->slot && !new)
		traced.flow = flow->value;
}

/*
 * Routes and sends a packet with ports on, to its backend's real or (out) from the
 * backend's vip to the client. A packet without a slot goes by the schedule or the
 * backend's name alone.
 */
INLINE int forward(frame *frame, struct packet *p, const struct flow *flow,
		   const struct backend *backend, bool new, bool v6)
{
	const struct facts *f = p->facts;
	const bool out = f->out;
	const struct address *ours = out ? &backend->vip : &backend->real;
	const struct address *source = out ? ours : &f->ends.source;
	const struct address *destination = out ? &f->ends.destination : ours;
	__be16 port = out ? backend->vip_port : backend->real_port;
	struct egress *egress = &p->scratch->egress;
	const struct hop *hop = &backend->hop;
	enum route way;

	/* Without a flow the router itself may be meant: only the FIB knows. */
	if (out)
		hop = flow->slot ? hop_out(p->leg, destination, v6) : NULL;
	way = route(frame, f, hop, source, destination, frame_segment(frame, p), egress, v6);
	if (dry_run)
		trace_forward(flow, new, way);
	HAND_OVER(p, way);
	if (way == ROUTE_NONE && out && !flow->slot)
		return PASS(p, local);
	if (f->hops <= 1)
		return answer(frame, f, ANSWER_TTL, 0, v6);
	if (way > ROUTE_KERNEL)
		return no_way(frame, p, way, egress->mtu, v6);
	if (flow->slot)
		flow_update(flow, p, !out, v6);
	if (flow->slot && !new)
		COUNT(p, flow_hit);
	count_traffic(p, flow->backend, !out, new);
	if (p->leg->watched)
		count_stray(f, sender_mac(p), v6);
	if (out) {
		COUNT(p, forward_out);
		if (!flow->slot)
			COUNT(p, flow_reply_no_flow);
		port = port ? port : f->ends.source_port;
	} else {
		COUNT(p, forward_in);
		port = port ? port : f->ends.destination_port;
	}
	nat(frame, p, egress, ours, port, out, v6);
	return send(frame, egress, way);
}
