/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * While flows come over to other tables (of another size, or another layout), one
 * that is not here may still be in the tables before. The first packet that misses
 * it brings it over; Go brings the rest. So no packet of a flow is without it at any
 * moment, whichever of the two programs, the one before or this, the other legs run.
 * (ICMP errors bring none over: they follow a packet of their flow. And a new flow
 * may meet one, with the same real and client port, of an any-port vip that has another
 * port than its own, before that came over: the real has to tell them apart then.)
 *
 * Slots of the tables before are read by the layout that they have: ABI_VERSION's, or
 * the one before that. Today both are the same.
 */
#pragma once

#include "put.h"

/* Marks a flow in the tables before: it has come over. If it ends here it is not to come
 * again, when another flow may have its client's port with its real. FLOW_CHANGED says
 * from then on that the program before knows better; that keeps the mark, but where a
 * SYN begins the flow anew. */
INLINE __u64 as_brought(__u64 value)
{
	return (value & ~((__u64)FLOW_CHANGED << FLOW_STATE_SHIFT)) | (__u64)FLOW_BROUGHT
									  << FLOW_STATE_SHIFT;
}

INLINE void *page_before(__u64 hash, bool v6)
{
	__u32 page = hash >> 32 & (v6 ? before6_page_mask : before4_page_mask);

	return v6 ? bpf_map_lookup_elem(&before6, &page) : bpf_map_lookup_elem(&before4, &page);
}

/* Brings over what a client's port has in its buckets before, whatever the vips. */
INLINE void bring_over_client(const struct address *client, __be16 port, __u8 protocol,
			      __be16 vip_port, bool v6)
{
	struct put_room *room = put_room();
	struct flow_key key = {};
	struct flow_put *put;
	__u64 hash;
	void *page;

	if (!room)
		return;
	put = &room->put;
	*put = (struct flow_put){.client = *client, .client_port = port};
	flow_key(&key, client, port, protocol, vip_port, v6);
	hash = v6 ? flow_hash6(key.address, port, protocol == IPPROTO_UDP, vip_port)
		  : flow_hash4(client->words[0], port, protocol == IPPROTO_UDP, vip_port);
	page = page_before(hash, v6);
	if (!page)
		return;
	for (int i = 0; i < 2 * FLOW_SLOTS; i++) {
		__u64 *slot = slot_at(page, &key, i, v6), value;

		if (!slot_is(slot, &key, CLIENT_MASK(v6), v6))
			continue;
		value = slot_value(slot, vip_port, v6);
		if (!value || (flow_bits(value) & FLOW_BROUGHT))
			continue;
		put->value = value;
		if ((v6 ? put_flow6(put) : put_flow4(put)) <= PUT_KEPT)
			flow_swap(slot, value, as_brought(value), v6);
	}
}

GLOBAL int bring_over_client4(const struct address *client, __be16 port, __u8 protocol,
			      __be16 vip_port)
{
	if (client)
		bring_over_client(client, port, protocol, vip_port, false);
	return 0;
}

GLOBAL int bring_over_client6(const struct address *client, __be16 port, __u8 protocol,
			      __be16 vip_port)
{
	if (client)
		bring_over_client(client, port, protocol, vip_port, true);
	return 0;
}

#define BRING_OVER_CLIENT(...)                                                                 \
	(v6 ? bring_over_client6(__VA_ARGS__) : bring_over_client4(__VA_ARGS__))

/* Brings over what either end of a packet has as a client, of vips with one port and
 * with every port. */
INLINE void bring_over(const struct ends *ends, bool v6)
{
	if (!upgrading)
		return;
	BRING_OVER_CLIENT(&ends->source, ends->source_port, ends->protocol, 0);
	BRING_OVER_CLIENT(&ends->source, ends->source_port, ends->protocol,
			  ends->destination_port);
	BRING_OVER_CLIENT(&ends->destination, ends->destination_port, ends->protocol, 0);
	BRING_OVER_CLIENT(&ends->destination, ends->destination_port, ends->protocol,
			  ends->source_port);
}
