/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Inserts: everything that happens under a page's lock. Nothing is called there,
 * no helper and no look-up; what is needed is fetched before. flow.h says why
 * readers and the sweeper may go on meanwhile.
 */
#pragma once

#include "flow.h"

enum inserted {
	INSERTED,
	INSERT_EXISTS, /* another CPU was faster: flow is its entry */
	INSERT_FULL,
	INSERT_RACED, /* flows of this client to other vips came or went: look again */
};

/* The entry of an insert, NULL if it has none. */
INLINE __u64 *insert_slot(const struct insert *insert, bool v6)
{
	void *page = flow_page(&insert->key, v6);

	if (!page || insert->at == FLOW_NOWHERE)
		return NULL;
	return slot_in(page, insert->at, v6);
}

INLINE void *lock_of(__u32 page, bool v6)
{
	__u32 stripe = page & (FLOW_LOCKS - 1);

	return v6 ? bpf_map_lookup_elem(&locks6, &stripe)
		  : bpf_map_lookup_elem(&locks4, &stripe);
}

/* Slots 0-3 are the first bucket's, 4-7 the second's. */
INLINE __u32 place_at(const struct flow_key *key, __u32 index, bool v6)
{
	__u32 bucket = index < FLOW_SLOTS ? key->first : key->second;

	return offset_of(bucket, index & (FLOW_SLOTS - 1), v6);
}

INLINE __u64 *slot_at(void *page, const struct flow_key *key, __u32 index, bool v6)
{
	return slot_in(page, place_at(key, index, v6), v6);
}

/* A wish that holds whatever this client has with other vips. */
#define NEIGHBOURS_ANY (~0ull)

/* What this client has with other vips in these buckets. */
INLINE __u64 neighbours_of(void *page, const struct flow_key *key, bool v6)
{
	__u64 sum = 0;

	for (int i = 0; i < 2 * FLOW_SLOTS; i++) {
		__u64 *slot = slot_at(page, key, i, v6);
		__u64 value = READ64(slot + VALUE_WORD(v6));

		if (slot_is(slot, key, CLIENT_MASK(v6), v6) &&
		    READ64(slot + KEY_WORD(v6)) != key->word && flow_state(value) > FLOW_GONE)
			sum += 0x100000000ull + flow_backend(value);
	}
	return sum;
}

INLINE void slot_fill(__u64 *slot, const struct flow_key *key, __u64 value, bool v6)
{
	if (dry_run)
		return;
	if (v6) {
		WRITE64(slot, key->address[0]);
		WRITE64(slot + 1, key->address[1]);
	}
	WRITE64(slot + VALUE_WORD(v6), value);
	flow_fence();
	WRITE64(slot + KEY_WORD(v6), key->word);
}

/* Ends an entry; false if somebody changed it. The slot is free then. */
INLINE bool slot_evict(__u64 *slot, __u64 value, bool v6)
{
	__u64 gone = (value & ~(0xfull << FLOW_STATE_SHIFT)) | (__u64)FLOW_GONE
								   << FLOW_STATE_SHIFT;

	if (!flow_swap(slot, value, gone, v6))
		return false;
	if (dry_run)
		return true;
	WRITE64(slot + KEY_WORD(v6), 0);
	flow_fence();
	return true;
}

/*
 * How readily an entry gives way: 0 never, else by class and then by age. An
 * established TCP flow never does while it lives. What the other router has does
 * when nothing else is left: nobody tells that router, which finds the difference.
 */
INLINE __u32 yields(__u64 value, const struct insert_limits *limits, __u32 now)
{
	__u32 age = flow_age(value, now), class;
	__u8 state = flow_state(value);

	if (state <= FLOW_GONE)
		return 0;
	if (state == FLOW_CLOSED || age > limits->longest[flow_timeout(state) & 7])
		class = 4;
	else if (state == FLOW_HANDSHAKE || state == FLOW_ANSWERED)
		class = 3;
	else if (state == FLOW_UDP_UNREPLIED)
		class = 2;
	else if (state == FLOW_UDP)
		class = 1;
	else
		return 0;
	if (!(flow_bits(value) & FLOW_SENT))
		class += 4;
	return class << 24 | age;
}

#define YIELDS_FIRST (8u << 24)

/* The bucket where else the flow of a slot may lie, from the slot alone. */
INLINE __u32 other_bucket(const __u64 *slot, __u64 value, __u32 bucket, bool v6)
{
	__u64 key = READ64(slot + KEY_WORD(v6)), hash;
	bool udp = flow_is_udp(flow_state(value));
	__u64 client[2];
	__u32 first;

	if (v6) {
		client[0] = READ64(slot);
		client[1] = READ64(slot + 1);
		hash = flow_hash6(client, (__be16)key, udp, flow_vip_port(value));
	} else {
		hash = flow_hash4((__be32)key, (__be16)(key >> 32), udp, flow_vip_port(value));
	}
	first = first_bucket(hash, v6);
	return first == bucket ? second_bucket(hash, v6) : first;
}

/*
 * Moves one entry to a free slot of its other bucket. Readers may find either
 * copy until the old key is 0. A change of the old value meanwhile makes the swap
 * to GONE fail, and is carried over. If the sweeper ended the old one, the new
 * copy is ended too and the old slot is the sweeper's.
 */
INLINE bool slot_move(__u64 *from, __u64 *to, __u64 value, bool v6)
{
	struct flow_key key = {.word = READ64(from + KEY_WORD(v6))};

	if (v6) {
		key.address[0] = READ64(from);
		key.address[1] = READ64(from + 1);
	}
	slot_fill(to, &key, value, v6);
	flow_fence();
	for (int i = 0; i < 4; i++) {
		__u64 changed;

		if (slot_evict(from, value, v6))
			return true;
		changed = READ64(from + VALUE_WORD(v6));
		if (flow_state(changed) == FLOW_GONE)
			break;
		flow_swap(to, value, changed, v6);
		value = changed;
	}
	slot_evict(to, READ64(to + VALUE_WORD(v6)), v6);
	return false;
}

/* A free slot of a bucket, as an offset in the page. */
INLINE __u32 free_slot(void *page, __u32 bucket, __u32 swap, bool v6)
{
	__u32 found = FLOW_NOWHERE;

#pragma unroll
	for (int i = FLOW_SLOTS - 1; i >= 0; i--) {
		__u32 at = offset_of(bucket, flow_slot(i, swap), v6);

		if (!READ64(slot_in(page, at, v6) + KEY_WORD(v6)))
			found = at;
	}
	return found;
}

/* Makes room by moving one resident to its other bucket. */
INLINE __u32 make_room(void *page, const struct flow_key *key, bool v6)
{
	for (int i = 0; i < 2 * FLOW_SLOTS; i++) {
		__u32 bucket = i < FLOW_SLOTS ? key->first : key->second, to;
		__u64 *slot = slot_at(page, key, i, v6);
		__u64 value = READ64(slot + VALUE_WORD(v6));

		if (flow_state(value) <= FLOW_GONE)
			continue;
		to = free_slot(page, other_bucket(slot, value, bucket, v6), 0, v6);
		if (to != FLOW_NOWHERE && slot_move(slot, slot_in(page, to, v6), value, v6))
			return place_at(key, i, v6);
	}
	return FLOW_NOWHERE;
}

/* Ends the entry that yields most readily, if one yields at least so readily. */
INLINE __u32 evict(void *page, const struct flow_key *key, const struct insert_limits *limits,
		   __u32 now, __u32 least, bool v6)
{
	__u32 most = least - 1, at = FLOW_NOWHERE;
	__u64 value = 0;

	for (int i = 0; i < 2 * FLOW_SLOTS; i++) {
		__u64 candidate = READ64(slot_at(page, key, i, v6) + VALUE_WORD(v6));
		__u32 how = yields(candidate, limits, now);

		if (how > most) {
			most = how;
			at = place_at(key, i, v6);
			value = candidate;
		}
	}
	if (at == FLOW_NOWHERE || !slot_evict(slot_in(page, at, v6), value, v6))
		return FLOW_NOWHERE;
	return at;
}

/* An entry with the same key, seen under the lock. */
INLINE bool find_locked(struct insert *insert, void *page, bool v6)
{
	const struct flow_key *key = &insert->key;

	for (int i = 0; i < 2 * FLOW_SLOTS; i++) {
		__u64 *slot = slot_at(page, key, i, v6);
		__u64 value = READ64(slot + VALUE_WORD(v6));

		if (!slot_is(slot, key, ~0ull, v6) || flow_state(value) <= FLOW_GONE ||
		    flow_vip_port(value) != key->vip_port)
			continue;
		insert->at = place_at(key, i, v6);
		insert->found = value;
		return true;
	}
	return false;
}

/* Replies may come without their flow now; see table_is_full(). Written once a tick, for
 * every insert of every CPU reads the line. Bit 31 tells tick 0 from never. */
INLINE void mark_full(struct insert_limits *limits, __u32 now, bool v6)
{
	__u32 *full = v6 ? &limits->full6 : &limits->full4;

	now |= 1u << 31;
	if (!dry_run && *full != now)
		*full = now;
}

/* In the order of least harm: a free slot, a dead entry's, one made by a move,
 * one that must yield. */
INLINE __u32 claim_slot(struct insert *insert, void *page, struct insert_limits *limits,
			bool v6)
{
	const struct flow_key *key = &insert->key;
	__u32 at = free_slot(page, key->first, key->swap, v6);

	if (at == FLOW_NOWHERE)
		at = free_slot(page, key->second, key->swap, v6);
	if (at != FLOW_NOWHERE)
		return at;
	at = evict(page, key, limits, insert->now, YIELDS_FIRST, v6);
	if (at == FLOW_NOWHERE) {
		at = make_room(page, key, v6);
		if (at != FLOW_NOWHERE) {
			insert->moved = 1;
			return at;
		}
		mark_full(limits, insert->now, v6);
		at = evict(page, key, limits, insert->now, 1, v6);
	}
	insert->evicted = at != FLOW_NOWHERE;
	return at;
}

/* Under the lock. */
INLINE enum inserted insert_locked(struct insert *insert, void *page,
				   struct insert_limits *limits, bool v6)
{
	if (find_locked(insert, page, v6))
		return INSERT_EXISTS;
	if (insert->neighbours != NEIGHBOURS_ANY &&
	    neighbours_of(page, &insert->key, v6) != insert->neighbours)
		return INSERT_RACED;
	insert->at = claim_slot(insert, page, limits, v6);
	if (insert->at == FLOW_NOWHERE)
		return INSERT_FULL;
	slot_fill(slot_in(page, insert->at, v6), &insert->key, insert->value, v6);
	insert->found = insert->value;
	return INSERTED;
}

INLINE enum inserted flow_insert(struct insert *insert, bool v6)
{
	void *page = flow_page(&insert->key, v6);
	struct flow_lock *lock = lock_of(insert->key.page, v6);
	__u32 zero = 0;
	struct insert_limits *limit = bpf_map_lookup_elem(&limits, &zero);
	enum inserted result;

	if (!page || !lock || !limit)
		return INSERT_FULL;
	bpf_spin_lock(&lock->lock);
	result = insert_locked(insert, page, limit, v6);
	bpf_spin_unlock(&lock->lock);
	if (result == INSERTED)
		flow_dirty(insert->key.page, v6);
	return result;
}

GLOBAL int flow_insert4(struct insert *insert)
{
	return insert ? flow_insert(insert, false) : INSERT_FULL;
}

GLOBAL int flow_insert6(struct insert *insert)
{
	return insert ? flow_insert(insert, true) : INSERT_FULL;
}
