/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a translated packet goes. Nothing is written here. */
#pragma once

#include "flow.h"
#include "vip.h"

/* Kernel: enum in linux/bpf.h, BPF_FIB_LKUP_RET_*; net/core/filter.c. */
enum route {
	ROUTE_HOP,    /* a neighbour whose MAC is known: egress is filled in */
	ROUTE_KERNEL, /* the TC program must let the kernel find the neighbour */
	ROUTE_NONE,
	ROUTE_BLACKHOLE,
	ROUTE_UNREACHABLE,
	ROUTE_PROHIBITED,
	ROUTE_FORWARDING_OFF,
	ROUTE_TOO_BIG,
};

/* A consistent copy of a hop, or false: see abi.h. */
INLINE bool hop_read(struct egress *egress, const struct hop *hop)
{
	__u32 sequence = *(volatile __u32 *)&hop->sequence;

	if (!sequence)
		return false;
	flow_fence();
	egress->ifindex = *(volatile __u32 *)&hop->ifindex;
	__builtin_memcpy(egress->source, hop->source, 6);
	__builtin_memcpy(egress->destination, hop->destination, 6);
	egress->mtu = hop->mtu;
	flow_fence();
	return *(volatile __u32 *)&hop->sequence == sequence;
}

INLINE enum route route_of_fib(long code)
{
	switch (code) {
	case BPF_FIB_LKUP_RET_SUCCESS:
		return ROUTE_HOP;
	case BPF_FIB_LKUP_RET_BLACKHOLE:
		return ROUTE_BLACKHOLE;
	case BPF_FIB_LKUP_RET_UNREACHABLE:
		return ROUTE_UNREACHABLE;
	case BPF_FIB_LKUP_RET_PROHIBIT:
		return ROUTE_PROHIBITED;
	case BPF_FIB_LKUP_RET_FWD_DISABLED:
		return ROUTE_FORWARDING_OFF;
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		return ROUTE_TOO_BIG;
	case BPF_FIB_LKUP_RET_NO_NEIGH:
	case BPF_FIB_LKUP_RET_UNSUPP_LWT:
		return ROUTE_KERNEL;
	}
	return ROUTE_NONE;
}

/* Asks the kernel's FIB, as for a packet from source to destination. */
INLINE enum route route_fib(frame *frame, const struct facts *f, const struct address *source,
			    const struct address *destination, struct egress *egress, bool v6)
{
	struct bpf_fib_lookup fib = {
	    .family = v6 ? 10 : 2, /* AF_INET6, AF_INET */
	    .l4_protocol = f->ends.protocol,
	    /* In TC 0 asks for the check of skb and device instead. */
	    .tot_len = HOOK_IS_TC ? 0 : f->ip_length,
	    .ifindex = f->ifindex,
	};
	struct leg *leg;
	__u32 id;
	long code;

	if (v6) {
		__builtin_memcpy(fib.ipv6_src, source, 16);
		__builtin_memcpy(fib.ipv6_dst, destination, 16);
	} else {
		fib.ipv4_src = source->words[0];
		fib.ipv4_dst = destination->words[0];
	}
	code = bpf_fib_lookup(frame, &fib, sizeof(fib), 0);
	TRACE(fib_used, true);
	TRACE(fib, code);
	egress->ifindex = fib.ifindex;
	egress->mtu = code == BPF_FIB_LKUP_RET_FRAG_NEEDED ? fib.mtu_result : 0;
	egress->neighbour.nh_family = 0;
	if (code == BPF_FIB_LKUP_RET_NO_NEIGH || code == BPF_FIB_LKUP_RET_SUCCESS) {
		egress->neighbour.nh_family = fib.family;
		__builtin_memcpy(&egress->neighbour.ipv6_nh, fib.ipv6_dst, 16);
		__builtin_memcpy(egress->source, fib.smac, 6);
		__builtin_memcpy(egress->destination, fib.dmac, 6);
	}
	if (code != BPF_FIB_LKUP_RET_SUCCESS)
		return route_of_fib(code);
	leg = leg_at(fib.ifindex, 0, &id);
	return leg && leg->redirects ? ROUTE_HOP : ROUTE_KERNEL;
}

GLOBAL int route_fib4(frame *frame, const struct facts *f, const struct address *source,
		      const struct address *destination, struct egress *egress)
{
	if (!f || !source || !destination || !egress)
		return ROUTE_NONE;
	return route_fib(frame, f, source, destination, egress, false);
}

GLOBAL int route_fib6(frame *frame, const struct facts *f, const struct address *source,
		      const struct address *destination, struct egress *egress)
{
	if (!f || !source || !destination || !egress)
		return ROUTE_NONE;
	return route_fib(frame, f, source, destination, egress, true);
}

INLINE enum route route_ask(frame *frame, const struct facts *f, const struct address *source,
			    const struct address *destination, struct egress *egress, bool v6)
{
	return v6 ? route_fib6(frame, f, source, destination, egress)
		  : route_fib4(frame, f, source, destination, egress);
}

/* The leg's default hop serves only who is in no connected prefix. */
INLINE bool client_is_connected(const struct leg *leg, const struct address *client, bool v6)
{
	for (int i = 0; i < LEG_PREFIXES; i++) {
		if (v6) {
			if (i >= leg->connected6_count)
				break;
			if (in_prefix6(client, &leg->connected6[i]))
				return true;
		} else {
			if (i >= leg->connected4_count)
				break;
			if (in_prefix4(client, &leg->connected4[i]))
				return true;
		}
	}
	return false;
}

/* The hop that Go keeps for the way to a client; NULL: the FIB must say. */
INLINE const struct hop *hop_out(const struct leg *leg, const struct address *client, bool v6)
{
	const struct hop *hop = v6 ? &leg->default6 : &leg->default4;

	return hop->sequence && !client_is_connected(leg, client, v6) ? hop : NULL;
}

/* Where a packet from source to destination goes: by a hop that Go keeps, if it is
 * valid, else as the FIB says. segment: the longest packet that will leave. */
INLINE enum route route(frame *frame, const struct facts *f, const struct hop *hop,
			const struct address *source, const struct address *destination,
			__u32 segment, struct egress *egress, bool v6)
{
	if (hop && hop_read(egress, hop))
		return segment > egress->mtu ? ROUTE_TOO_BIG : ROUTE_HOP;
	return route_ask(frame, f, source, destination, egress, v6);
}
