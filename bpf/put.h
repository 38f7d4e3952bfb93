/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Flows that come from elsewhere, not from a packet: of an older table, or of the
 * other router. Each is inserted, or merged with the entry that is here, by the
 * same rules as packets go by (flow.h): the programs may run meanwhile.
 */
#pragma once

#include "insert.h"

/* Room to work in, for the stack has none to spare. Every load of a program has its
 * own: nobody comes between. */
struct put_room {
	struct flow_put put;
	struct insert insert;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct put_room);
} put_rooms SEC(".maps");

INLINE struct put_room *put_room(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&put_rooms, &zero);
}

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

/* The entry that is here already, if there is one. */
INLINE bool put_find(struct insert *insert, void *page, bool v6)
{
	for (int i = 0; i < 2 * FLOW_SLOTS; i++) {
		__u64 *slot = slot_at(page, &insert->key, i, v6);

		if (!slot_is(slot, &insert->key, ~0ull, v6))
			continue;
		insert->found = slot_value(slot, insert->key.vip_port, v6);
		insert->at = place_at(&insert->key, i, v6);
		if (insert->found)
			return true;
	}
	return false;
}

INLINE enum inserted put_insert(const struct flow_put *put, struct insert *insert, void *page,
				bool v6)
{
	if (put->brought)
		return put_find(insert, page, v6) ? INSERT_EXISTS : INSERT_RACED;
	return v6 ? flow_insert6(insert) : flow_insert4(insert);
}

/* One try; PUT_FULL also if the entry changed in this moment. */
INLINE enum put_result put_once(struct flow_put *put, struct insert *insert, bool v6)
{
	void *page = flow_page(&insert->key, v6);
	__u64 value;

	if (!page)
		return PUT_REFUSED;
	switch (put_insert(put, insert, page, v6)) {
	case INSERTED:
		put->evicted = insert->evicted;
		return PUT_INSERTED;
	case INSERT_EXISTS:
		break;
	case INSERT_RACED:
		return PUT_KEPT;
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
	enum put_result result = PUT_REFUSED;
	struct put_room *room = put_room();
	struct insert *insert;

	if (!room || !backend || !put_is_right(put, backend, v6))
		return PUT_REFUSED;
	insert = &room->insert;
	*insert = (struct insert){
	    .value = put->value, .neighbours = NEIGHBOURS_ANY, .now = flow_clock()};
	flow_key(&insert->key, &put->client, put->client_port, backend->protocol,
		 flow_vip_port(put->value), v6);
	flow_key_of_vip(&insert->key, backend->vip_id, v6);
	for (int i = 0; i < 4; i++) {
		put->value = insert->value;
		put->before = 0;
		result = put_once(put, insert, v6);
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
