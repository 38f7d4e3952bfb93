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
		traffic->packets_in += p->facts->segments;
		traffic->bytes_in += p->facts->ip_length;
		traffic->connections += new;
	} else {
		traffic->packets_out += p->facts->segments;
		traffic->bytes_out += p->facts->ip_length;
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
#define HAND_OVER(p, route)                                              \
	do {                                                             \
		if ((route) == ROUTE_KERNEL && !HOOK_IS_TC) {            \
			COUNT(p, to_tc);                                 \
			return VERDICT_PASS;                             \
		}                                                        \
	} while (0)
