/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which backend a new flow gets: a place in a table that Go built. */
#pragma once

#include "flow.h"

#define SCHEDULE_SLOTS(word) ((__u32)((word) >> 32) & 0xffffff)
#define SCHEDULE_KIND(word) ((__u32)((word) >> 56))

/* Without any secret: another router with the same schedule finds the same. */
INLINE __u32 schedule_hash(const struct flow_key *key, const struct address *client,
			   __be16 port, bool v6)
{
	__u64 ports = (__u32)port << 16 | key->vip_port;

	if (!v6)
		return mix((__u64)client->words[0] << 32 | ports) >> 32;
	return mix(mix(key->address[0]) ^ mix(key->address[1] + ports)) >> 32;
}

/* A place from a hash: multiplied down, not divided. */
INLINE __u32 schedule_place(__u64 schedule, __u32 hash)
{
	return (__u64)hash * SCHEDULE_SLOTS(schedule) >> 32;
}

INLINE __u32 schedule_turn(__u64 schedule, __u32 vip)
{
	__u64 *turn = bpf_map_lookup_elem(&turns, &vip);

	if (!turn)
		return 0;
	if (dry_run)
		return (__u32)*turn % SCHEDULE_SLOTS(schedule);
	return (__u32)__sync_fetch_and_add(turn, 1) % SCHEDULE_SLOTS(schedule);
}

/* The backend at a place, 0 if there is none. */
INLINE __u16 schedule_at(__u64 schedule, __u32 place)
{
	__u32 number = (__u32)schedule + place / 32;
	struct schedule_line *line = bpf_map_lookup_elem(&schedules, &number);

	return line ? *(volatile __u16 *)&line->backends[place & 31] : 0;
}

/*
 * The place after this one, of another backend: in a schedule one often has many in a
 * row. How far is looked is more than any row of Maglev's, and a bound for the others.
 */
GLOBAL __u32 schedule_next(__u64 schedule, __u32 place)
{
	__u16 id = schedule_at(schedule, place);

	for (int i = 0; i < 128; i++) {
		/* A place that was set to 0 would be known: the verifier would go each way. */
		place = (place + 1) % SCHEDULE_SLOTS(schedule);
		if (schedule_at(schedule, place) != id)
			break;
	}
	return place;
}
