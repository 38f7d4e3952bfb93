/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Flows that come from elsewhere, not from a packet: of an older table, or of the
 * other router. Each is inserted, or merged with the entry that is here, by the
 * same rules as packets go by (flow.h): the programs may run meanwhile.
 */
#pragma once

#include "insert.h"

/* Of two states of one connection the one that is further in its life. */
INLINE __u8 further(__u8 a, __u8 b)
{
	if ((a == FLOW_FIN_CLIENT && b == FLOW_FIN_REAL) ||
	    (a == FLOW_FIN_REAL && b == FLOW_FIN_CLIENT))
		return FLOW_CLOSED;
	return a > b ? a : b;
}

/* Whether a was seen later than b; modulo, as ages are. */
INLINE bool seen_later(__u64 a, __u64 b)
{
	__u32 ahead = (flow_seen(a) - flow_seen(b)) & FLOW_SEEN_MASK;

	return ahead && ahead <= FLOW_SEEN_MASK / 2;
}

/*
 * What an entry is after a put. The same connection (backend and generation): the
 * further state, the later time, the flags of both. Else one of the two is over,
 * or was given another real elsewhere: the one that was seen later stays, and what
 * is here if none was.
 */
INLINE __u64 merged(__u64 here, __u64 put)
{
	__u8 differ = flow_bits(here) ^ flow_bits(put);

	if (flow_backend(here) != flow_backend(put) || (differ & FLOW_GENERATION))
		return seen_later(put, here) ? put : here;
	return flow_value(flow_backend(here), flow_vip_port(here),
			  ((flow_bits(here) | flow_bits(put)) & 0xf0) |
			      further(flow_state(here), flow_state(put)),
			  flow_seen(seen_later(put, here) ? put : here));
}

/* Whether a put can be of this backend. */
INLINE bool put_is_right(const struct flow_put *put, const struct backend *backend, bool v6)
{
	__u8 state = flow_state(put->value);

	return backend->vip_id && !(backend->flags & BACKEND_IPV6) == !v6 &&
	       state > FLOW_GONE && state < FLOW_STATES &&
	       flow_is_udp(state) == (backend->protocol == IPPROTO_UDP) &&
	       !flow_vip_port(put->value) == !!backend->vip_port;
}

/* One try; PUT_FULL also if the entry changed in this moment. */
INLINE enum put_result put_once(struct flow_put *put, struct insert *insert, bool v6)
{
	void *page = flow_page(&insert->key, v6);
	__u64 value;

	if (!page)
		return PUT_REFUSED;
	switch (flow_insert(insert, true, v6)) {
	case INSERTED:
		put->evicted = insert->evicted;
		return PUT_INSERTED;
	case INSERT_EXISTS:
		break;
	default:
		return PUT_FULL;
	}
	put->before = insert->found;
	value = merged(insert->found, put->value);
	put->value = value;
	if (value == insert->found)
		return PUT_KEPT;
	if (insert->at == FLOW_NOWHERE ||
	    !flow_swap(slot_in(page, insert->at, v6), insert->found, value, v6))
		return PUT_FULL;
	flow_dirty(insert->key.page, v6);
	return PUT_MERGED;
}

INLINE int put_flow(struct flow_put *put, bool v6)
{
	struct backend *backend = backend_of(flow_backend(put->value));
	struct insert insert = {.value = put->value, .now = flow_clock()};
	enum put_result result = PUT_REFUSED;

	if (!backend || !put_is_right(put, backend, v6))
		return PUT_REFUSED;
	flow_key(&insert.key, &put->client, put->client_port, backend->protocol,
		 flow_vip_port(put->value), v6);
	flow_key_of_vip(&insert.key, backend->vip_id, v6);
	for (int i = 0; i < 4; i++) {
		put->value = insert.value;
		put->before = 0;
		result = put_once(put, &insert, v6);
		if (result != PUT_FULL)
			break;
	}
	return result;
}

GLOBAL int put_flow4(struct flow_put *put)
{
	return put ? put_flow(put, false) : PUT_REFUSED;
}

GLOBAL int put_flow6(struct flow_put *put)
{
	return put ? put_flow(put, true) : PUT_REFUSED;
}
