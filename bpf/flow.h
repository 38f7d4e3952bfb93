/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flow table: one entry per flow serves both directions.
 *
 * A page of 4 KiB holds buckets of four slots: 64 of 64 bytes (IPv4), 32 of 128
 * bytes (IPv6). A flow may lie in two buckets of one page; page and buckets
 * follow from a hash of what both directions see: the client's address and port,
 * the protocol and, on an any-port vip, the vip's port.
 *
 * IPv4 slot:  word 0  key    client address 32 | client port 16 | vip id 16
 *             word 1  value
 * IPv6 slot:  words 0-1      client address
 *             word 2  key    client port 16 | vip id 16 | part of the hash 32
 *             word 3  value
 * value:      backend 16 | vip port 16 (any-port vips) | state 4 flags 4 | last seen 24
 *
 * A slot whose key is 0 is free, whatever else is in it (no vip has the id 0).
 *
 * WHO MAY DO WHAT, AND WHY EVERY RACE IS SAFE
 *
 * Packets look up without a lock. Inserts, evictions and moves hold the lock of
 * the page, so they never race with each other, and there is one entry per key at
 * most: an insert looks again under the lock. The sweeper (Go) takes no lock.
 *
 * - Reader against insert: an insert writes the value (IPv6: and the address)
 *   first and the key last; who sees the key sees the value.
 * - Reader against reuse of a slot: an eviction swaps the old value for GONE,
 *   then sets the key to 0, then writes as an insert does. A reader takes a value
 *   only if the key was the same before and after it read the value.
 * - Change against reuse: every change of a live value is a compare-and-swap
 *   against the value that was read. Once the value is GONE, none succeeds. (A
 *   plain store of "last seen" would put one flow's backend into another's entry.)
 * - Change against move: a move copies value and key into the other bucket, then
 *   swaps the old value for GONE; if a change came between, the swap fails, and
 *   the change is carried over and the swap tried again. Until the old key is 0
 *   a reader may find either copy: both name the same backend.
 * - Sweeper against reader: it swaps value for GONE, then the key it read for 0.
 *   Readers ignore GONE entries, inserts neither reuse nor evict them, so nobody
 *   writes between its two swaps.
 * - Sweeper against eviction: both start with a swap of the value to GONE; one of
 *   the two wins and only the winner goes on. An insert that lost looks for
 *   another slot.
 * - Who dies between: a program does not; a sweeper leaves a GONE entry, which a
 *   later sweep gives back if it was GONE with the same key one sweep before
 *   (so it is nobody's eviction under way).
 * - GONE by a program (a half-open flow that gave way to another vip's): as by a
 *   sweeper that died.
 *
 * arm64 may reorder accesses to different words; flow_fence() forbids it.
 */
#pragma once

#include "config.h"
#include "parse.h"
#include "trace.h"

#define READ64(p) (*(volatile __u64 *)(p))
#define WRITE64(p, v) (*(volatile __u64 *)(p) = (v))

/* Loads and stores before it are seen before those after it. x86 keeps the
 * order of loads and of stores by itself; arm64 needs a fetching atomic, which
 * its JIT makes a full barrier; clang 14 has no lighter one. */
INLINE void flow_fence(void)
{
#ifdef __TARGET_ARCH_arm64
	__u64 word = 0;

	__sync_fetch_and_add((volatile __u64 *)&word, 1);
#endif
	asm volatile("" ::: "memory");
}

/* ---- the value word ---- */

#define FLOW_STATE_SHIFT 32
#define FLOW_SEEN_SHIFT 40
#define FLOW_SEEN_MASK 0xffffffu

INLINE __u16 flow_backend(__u64 value)
{
	return value;
}

INLINE __be16 flow_vip_port(__u64 value)
{
	return value >> 16;
}

INLINE __u8 flow_bits(__u64 value)
{
	return value >> FLOW_STATE_SHIFT;
}

INLINE __u8 flow_state(__u64 value)
{
	return flow_bits(value) & 0xf;
}

INLINE __u32 flow_seen(__u64 value)
{
	return value >> FLOW_SEEN_SHIFT;
}

/* Ticks since a packet was seen; modulo 2^24 ticks, 208 days. Another CPU may have seen
 * one in a later tick than the caller's now: that is 0, not the whole circle. */
INLINE __u32 flow_age(__u64 value, __u32 now)
{
	__u32 age = (now - flow_seen(value)) & FLOW_SEEN_MASK;

	return age <= FLOW_SEEN_MASK / 2 ? age : 0;
}

INLINE __u64 flow_value(__u16 backend, __be16 vip_port, __u8 bits, __u32 seen)
{
	return backend | (__u64)vip_port << 16 | (__u64)bits << FLOW_STATE_SHIFT |
	       (__u64)seen << FLOW_SEEN_SHIFT;
}

INLINE __u32 flow_clock(void)
{
	return bpf_ktime_get_coarse_ns() >> 30 & FLOW_SEEN_MASK;
}

INLINE bool flow_is_udp(__u8 state)
{
	return state >= FLOW_UDP_UNREPLIED;
}

/* Which of the timeouts ends a silent flow in this state. */
INLINE enum timeout flow_timeout(__u8 state)
{
	switch (state) {
	case FLOW_HANDSHAKE:
	case FLOW_ANSWERED:
		return TIMEOUT_HANDSHAKE;
	case FLOW_ESTABLISHED:
		return TIMEOUT_ESTABLISHED;
	case FLOW_FIN_CLIENT:
	case FLOW_FIN_REAL:
		return TIMEOUT_CLOSING;
	case FLOW_UDP:
		return TIMEOUT_UDP;
	case FLOW_UDP_UNREPLIED:
		return TIMEOUT_UDP_UNREPLIED;
	}
	return TIMEOUT_CLOSED;
}

/* ---- where a flow lies ---- */

#define SLOT_WORDS(v6) ((v6) ? 4 : 2)
#define KEY_WORD(v6) ((v6) ? 2 : 0)
#define VALUE_WORD(v6) ((v6) ? 3 : 1)
#define BUCKET_BITS(v6) ((v6) ? 5 : 6)
#define BUCKET_SHIFT(v6) ((v6) ? 7 : 6)

/* What a look-up compares of a key: all but the vip id, which no packet has. */
#define CLIENT_MASK(v6) ((v6) ? 0xffffffff0000ffffull : 0x0000ffffffffffffull)

/* murmur3's finalizer: every bit of the key reaches every bit of the hash. */
INLINE __u64 mix(__u64 x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ull;
	x ^= x >> 33;
	return x;
}

/* The secret keeps strangers from choosing their bucket. IPv4: the ports and the
 * address fill one word exactly. IPv6: the ports meet the address's first 32 bits,
 * which no client can choose. */
INLINE __u64 flow_hash4(__be32 client, __be16 port, bool udp, __be16 vip_port)
{
	return mix(((__u64)client << 32 | (__u32)port << 16 | vip_port) ^ hash_secret[udp]);
}

INLINE __u64 flow_hash6(const __u64 *client, __be16 port, bool udp, __be16 vip_port)
{
	return mix(mix(client[1] ^ hash_secret[udp]) ^ client[0] ^
		   ((__u32)port << 16 | vip_port));
}

/* The two buckets of a hash; never the same one twice. */
INLINE __u32 first_bucket(__u64 hash, bool v6)
{
	return hash & ((1 << BUCKET_BITS(v6)) - 1);
}

INLINE __u32 second_bucket(__u64 hash, bool v6)
{
	const __u32 mask = (1 << BUCKET_BITS(v6)) - 1;
	__u32 first = first_bucket(hash, v6);
	__u32 second = hash >> 6 & mask;

	return second == first ? second ^ 1 : second;
}

/* The key of a client's end; vip_port is 0 unless the vip is any-port. */
INLINE void flow_key(struct flow_key *key, const struct address *client, __be16 port,
		     __u8 protocol, __be16 vip_port, bool v6)
{
	__u64 hash;

	if (v6) {
		address_copy(key->address, client);
		hash = flow_hash6(key->address, port, protocol == IPPROTO_UDP, vip_port);
		key->word = (__u64)port | hash << 32;
	} else {
		hash = flow_hash4(client->words[0], port, protocol == IPPROTO_UDP, vip_port);
		key->word = (__u64)client->words[0] | (__u64)port << 32;
	}
	key->page = hash >> 32 & (v6 ? flow6_page_mask : flow4_page_mask);
	key->first = first_bucket(hash, v6);
	key->second = second_bucket(hash, v6);
	key->swap = v6 ? hash >> 10 & 2 : 0;
	key->vip_port = vip_port;
}

/* The key under which an entry is written: with its vip. */
INLINE void flow_key_of_vip(struct flow_key *key, __u16 vip, bool v6)
{
	key->word |= (__u64)vip << (v6 ? 16 : 48);
}

INLINE void *flow_page(const struct flow_key *key, bool v6)
{
	__u32 page = key->page;

	return v6 ? bpf_map_lookup_elem(&flows6, &page) : bpf_map_lookup_elem(&flows4, &page);
}

/* Says where to look: stored after every write, whatever it was. */
INLINE void flow_dirty(__u32 page, bool v6)
{
	__u32 line = page >> 6;
	struct dirty_line *dirty =
	    v6 ? bpf_map_lookup_elem(&dirty6, &line) : bpf_map_lookup_elem(&dirty4, &line);

	if (dirty)
		*(volatile __u8 *)&dirty->pages[page & 63] = 1;
}

INLINE bool slot_is(const __u64 *slot, const struct flow_key *key, __u64 mask, bool v6)
{
	if ((READ64(slot + KEY_WORD(v6)) ^ key->word) & mask)
		return false;
	return !v6 || (READ64(slot) == key->address[0] && READ64(slot + 1) == key->address[1]);
}

/* The value of a slot that had this key before and after; 0 if it changed or
 * is GONE. */
INLINE __u64 slot_value(const __u64 *slot, __be16 vip_port, bool v6)
{
	__u64 key = READ64(slot + KEY_WORD(v6)), value;

	flow_fence();
	value = READ64(slot + VALUE_WORD(v6));
	flow_fence();
	if (READ64(slot + KEY_WORD(v6)) != key || flow_state(value) <= FLOW_GONE ||
	    flow_vip_port(value) != vip_port)
		return 0;
	return value;
}

/* ---- look-up ---- */

/* What a look-up found. */
struct flow {
	__u64 *slot; /* NULL: no flow */
	__u64 value; /* as it was read */
	__u32 page;
	__u32 at; /* the slot's offset in its page */
	__u16 backend;
};

#define FLOW_NOWHERE (~0u)

/* The i-th slot of a bucket to be looked at. An IPv6 bucket has two lines: half of
 * the flows prefer the second, or only every other line of the caches were used. */
INLINE __u32 flow_slot(__u32 i, __u32 swap)
{
	return i ^ (swap & 2);
}

INLINE __u32 offset_of(__u32 bucket, __u32 slot, bool v6)
{
	return (bucket << BUCKET_SHIFT(v6)) + slot * SLOT_WORDS(v6) * sizeof(__u64);
}

INLINE struct backend *backend_of(__u16 id)
{
	__u32 key = id;

	return bpf_map_lookup_elem(&backends, &key);
}

/* Its TCP connections are to be reset: removed, or failed with on_fail: reset. */
INLINE bool is_cut(const struct backend *backend)
{
	const __u8 both = BACKEND_DOWN | BACKEND_RESET;

	return backend->flags & BACKEND_REMOVED || (backend->flags & both) == both;
}

INLINE bool same_address(const struct address *a, const struct address *b, bool v6)
{
	const address_half *x = (void *)a, *y = (void *)b;

	if (!v6)
		return a->words[0] == b->words[0];
	return x[0] == y[0] && x[1] == y[1];
}

/* A flow has a client's end, which is in its key, and one that its backend knows:
 * the vip's where the client sees it, the real's where the real does. */
enum end_of {
	END_OF_VIP,
	END_OF_REAL,
};

struct end {
	const struct address *address;
	__be16 port; /* 0: of an any-port vip */
	__u8 protocol;
	enum end_of of;
};

INLINE bool backend_has(const struct backend *backend, const struct end *end, bool v6)
{
	bool vip = end->of == END_OF_VIP;

	return same_address(vip ? &backend->vip : &backend->real, end->address, v6) &&
	       (vip ? backend->vip_port : backend->real_port) == end->port &&
	       backend->protocol == end->protocol;
}

INLINE __u64 *slot_in(void *page, __u32 at, bool v6)
{
	/* Or clang adds before the caller has seen that page is not NULL. */
	asm volatile("" : "+r"(at));
	return page + (at & (FLOW_PAGE - SLOT_WORDS(v6) * sizeof(__u64)));
}

/* Asks for a bucket before it is needed. */
INLINE void flow_touch(const struct flow_key *key, bool v6)
{
	void *page = flow_page(key, v6);

	if (page)
		(void)READ64(
		    slot_in(page, offset_of(key->first, flow_slot(0, key->swap), v6), v6));
}

/* Not unrolled: a smaller program is a faster one. */
INLINE struct backend *find_in(struct flow *flow, void *page, __u32 number,
			       const struct flow_key *key, const struct end *end, bool v6)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < FLOW_SLOTS; i++) {
		__u32 at = offset_of(number, flow_slot(i, key->swap), v6);
		__u64 *slot = slot_in(page, at, v6), value;
		struct backend *backend;

		if (!slot_is(slot, key, CLIENT_MASK(v6), v6))
			continue;
		value = slot_value(slot, key->vip_port, v6);
		if (!value)
			continue;
		backend = backend_of(flow_backend(value));
		if (!backend || !backend_has(backend, end, v6))
			continue;
		flow->slot = slot;
		flow->value = value;
		flow->backend = flow_backend(value);
		flow->at = at;
		return backend;
	}
	return NULL;
}

/*
 * The flow of a client with one of our ends, either way, and its backend. The
 * backend's line is read for every packet anyway and tells whose the entry is: no
 * name is looked up, and it is one look-up however many vips share a real.
 */
INLINE struct backend *flow_find(struct flow *flow, const struct flow_key *key,
				 const struct end *end, bool v6)
{
	void *page = flow_page(key, v6);
	struct backend *backend;

	flow->page = key->page;
	flow->at = FLOW_NOWHERE;
	if (!page)
		return NULL;
	backend = find_in(flow, page, key->first, key, end, v6);
	return backend ? backend : find_in(flow, page, key->second, key, end, v6);
}

/* A packet's two ends as one of ours. */
INLINE struct end end_of_vip(const struct ends *to)
{
	return (struct end){&to->destination, to->destination_port, to->protocol, END_OF_VIP};
}

INLINE struct end end_of_real(const struct ends *from)
{
	return (struct end){&from->source, from->source_port, from->protocol, END_OF_REAL};
}

/* The same for an end whose address may have every port (use is what it is): with
 * the exact port first. key is room to work in. */
INLINE struct backend *flow_between(struct flow *flow, struct flow_key *key,
				    const struct address *client, __be16 client_port,
				    struct end *end, __u32 use, bool v6)
{
	struct backend *backend = NULL;

	flow->at = FLOW_NOWHERE;
	if (use & (ADDRESS_VIP | ADDRESS_REAL)) {
		flow_key(key, client, client_port, end->protocol, 0, v6);
		backend = flow_find(flow, key, end, v6);
	}
	if (!backend && use & (ADDRESS_VIP_ANY_PORT | ADDRESS_REAL_ANY_PORT)) {
		flow_key(key, client, client_port, end->protocol, end->port, v6);
		end->port = 0;
		backend = flow_find(flow, key, end, v6);
	}
	return backend;
}

/* ---- change ---- */

INLINE bool flow_swap(__u64 *slot, __u64 old, __u64 new, bool v6)
{
	if (dry_run)
		return true;
	return __sync_val_compare_and_swap(slot + VALUE_WORD(v6), old, new) == old;
}
