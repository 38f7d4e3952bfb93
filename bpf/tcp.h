/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a packet makes of a flow's state. A pure function of the state, the
 * packet's flags and its direction; sequence numbers are not checked (that is
 * left to the two ends: we only decide how long to remember).
 */
#pragma once

#include "flow.h"

INLINE __u8 tcp_from_client(__u8 state, __u8 flags)
{
	if (flags & TCP_RST)
		return FLOW_CLOSED;
	if (flags & TCP_FIN) {
		if (state == FLOW_FIN_REAL)
			return FLOW_CLOSED;
		if (state == FLOW_ESTABLISHED || state == FLOW_ANSWERED)
			return FLOW_FIN_CLIENT;
		return state;
	}
	if (state == FLOW_ANSWERED && (flags & (TCP_ACK | TCP_SYN)) == TCP_ACK)
		return FLOW_ESTABLISHED;
	return state;
}

INLINE __u8 tcp_from_real(__u8 state, __u8 flags)
{
	if (flags & TCP_RST)
		return FLOW_CLOSED;
	if (flags & TCP_FIN) {
		if (state == FLOW_FIN_CLIENT)
			return FLOW_CLOSED;
		return state == FLOW_CLOSED ? state : FLOW_FIN_REAL;
	}
	if (state == FLOW_HANDSHAKE)
		return flags & TCP_SYN ? FLOW_ANSWERED : FLOW_ESTABLISHED;
	/* A client that is silent after the handshake, while the real speaks. */
	if (state == FLOW_ANSWERED && !(flags & TCP_SYN))
		return FLOW_ESTABLISHED;
	return state;
}

INLINE __u8 flow_next_state(__u8 state, const struct packet *p, bool from_client)
{
	if (p->facts->ends.protocol == IPPROTO_UDP)
		return from_client ? state : FLOW_UDP;
	return from_client ? tcp_from_client(state, p->facts->tcp_flags)
			   : tcp_from_real(state, p->facts->tcp_flags);
}

/* A client's first packet. */
INLINE bool is_syn(const struct facts *f)
{
	return f->ends.protocol == IPPROTO_TCP &&
	       (f->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* A SYN on such a flow begins a new one. */
INLINE bool flow_may_begin_again(__u8 state)
{
	return state == FLOW_FIN_CLIENT || state == FLOW_FIN_REAL || state == FLOW_CLOSED;
}

/*
 * The packet's effect on its flow: state and last seen. Lost swaps are tried
 * again only if the state changes: the time is another packet's as well.
 */
INLINE void flow_update(const struct flow *flow, const struct packet *p, bool from_client,
			bool v6)
{
	__u64 value = flow->value;

	for (int i = 0; i < 4; i++) {
		__u8 state = flow_state(value), bits = flow_bits(value);
		__u8 next = flow_next_state(state, p, from_client);
		__u64 new;

		if (next == state && flow_seen(value) == p->facts->now)
			return;
		if (next != state)
			bits = (bits & 0xf0) | next | FLOW_CHANGED;
		new =
		    flow_value(flow_backend(value), flow_vip_port(value), bits, p->facts->now);
		if (flow_swap(flow->slot, value, new, v6)) {
			flow_dirty(flow->page, v6);
			return;
		}
		if (next == state)
			return;
		value = READ64(flow->slot + VALUE_WORD(v6));
		if (flow_state(value) <= FLOW_GONE ||
		    flow_backend(value) != flow_backend(flow->value))
			return;
	}
	COUNT(p, flow_state_lost);
}

/* Puts a flow in a last state, unless somebody changed it in this moment. The
 * caller marks the page dirty. */
INLINE void flow_end(__u64 *slot, __u64 value, __u8 state, __u32 now, bool v6)
{
	if (slot)
		flow_swap(slot, value,
			  flow_value(flow_backend(value), flow_vip_port(value),
				     (flow_bits(value) & 0xf0) | state | FLOW_CHANGED, now),
			  v6);
}
