/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The first packet of a flow: choose a backend, remember the choice. */
#pragma once

#include "insert.h"
#include "schedule.h"
#include "tcp.h"
#include "vip.h"

/* A backend's id, or why there is none. */
enum refused {
	REFUSED_STRANGER = 0,	 /* neither to a vip nor from a real */
	REFUSED_PORT = -1,	 /* a vip's address, but no vip's port */
	REFUSED_EMPTY = -2,	 /* no usable real */
	REFUSED_SILENT = -3,	 /* likewise, and the vip says drop */
	REFUSED_SELF = -4,	 /* the only one is the client */
	REFUSED_FULL_NAT = -5,	 /* its answer would not come back through us */
	REFUSED_TAKEN = -6,	 /* client port in use with every real */
	REFUSED_MIDSTREAM = -7,	 /* TCP that no schedule can find again */
	REFUSED_RESET = -8,	 /* its flow's real was removed, or failed */
	REFUSED_MARTIAN = -9,	 /* the client has a vip's address */
	REFUSED_OWN = -10,	 /* a real's own traffic */
	REFUSED_AMBIGUOUS = -11, /* a real's reply to one of several vips */
	REFUSED_INTERNAL = -12,
};

enum collision {
	COLLIDES_NOT,
	COLLIDES,
	COLLISION_ENDED, /* the other flow was as good as dead, and is now */
};

/* How many backends of a schedule are tried for one that the client can use. */
#define TRIES 8

/* An entry that a new flow of the same client port may push aside. */
INLINE bool flow_is_weak(__u8 state)
{
	return state == FLOW_CLOSED || state == FLOW_HANDSHAKE || state == FLOW_ANSWERED ||
	       state == FLOW_UDP_UNREPLIED;
}

/*
 * Two vips that share a real can make the same tuple there: the same client port
 * to the same real port. A reply could not tell them apart.
 */
INLINE enum collision collides(const struct facts *f, struct flow_key *key, __u16 vip,
			       const struct backend *wanted, bool v6)
{
	struct backend *backend;
	struct flow other = {};
	struct end real = {
	    .address = &wanted->real,
	    .port = wanted->real_port ? wanted->real_port : f->ends.destination_port,
	    .protocol = f->ends.protocol,
	    .of = END_OF_REAL,
	};

	backend = flow_between(&other, key, &f->ends.source, f->ends.source_port, &real,
			       address_use(&wanted->real, v6), v6);
	if (!backend || backend->vip_id == vip)
		return COLLIDES_NOT;
	if (!flow_is_weak(flow_state(other.value)))
		return COLLIDES;
	flow_end(other.slot, other.value, FLOW_GONE, f->now, v6);
	flow_dirty(other.page, v6);
	return COLLISION_ENDED;
}

/* A client on the real's own network is answered there, past us. */
INLINE bool answered_past_us(const struct facts *f, const struct backend *backend, bool v6)
{
	__u8 bits = backend->hop.on_link;

	return bits && same_network(&f->ends.source, &backend->real, bits, v6);
}

/* A backend's id if this client can use it, or a refusal. */
INLINE int usable(const struct facts *f, struct insert *insert, __u16 id, bool v6)
{
	__u16 vip = v6 ? insert->key.word >> 16 : insert->key.word >> 48;
	struct backend *backend = backend_of(id);
	void *page = flow_page(&insert->key, v6);

	if (!id || !backend || !page)
		return REFUSED_EMPTY;
	if (same_address(&backend->real, &f->ends.source, v6))
		return REFUSED_SELF;
	if (answered_past_us(f, backend, v6))
		return REFUSED_FULL_NAT;
	insert->neighbours = neighbours_of(page, &insert->key, v6);
	switch (collides(f, &insert->other, vip, backend, v6)) {
	case COLLIDES:
		return REFUSED_TAKEN;
	case COLLISION_ENDED:
		insert->neighbours = neighbours_of(page, &insert->key, v6);
		return id;
	default:
		return id;
	}
}

GLOBAL int usable4(const struct facts *f, struct insert *insert, __u16 id)
{
	int result = f && insert ? usable(f, insert, id, false) : REFUSED_INTERNAL;

	trace_attempt(id, result);
	return result;
}

GLOBAL int usable6(const struct facts *f, struct insert *insert, __u16 id)
{
	int result = f && insert ? usable(f, insert, id, true) : REFUSED_INTERNAL;

	trace_attempt(id, result);
	return result;
}

INLINE int usable_at(const struct facts *f, struct insert *insert, __u64 schedule, __u32 place,
		     bool v6)
{
	__u16 id = schedule_at(schedule, place);

	return v6 ? usable6(f, insert, id) : usable4(f, insert, id);
}

/* The first backend from a place on that this client can use. */
INLINE int choose(const struct facts *f, struct insert *insert, __u64 schedule, __u32 first,
		  bool v6)
{
	int chosen = REFUSED_EMPTY;
	__u32 place = first;

	for (int i = 0; i < TRIES; i++) {
		chosen = usable_at(f, insert, schedule, place, v6);
		if (chosen > 0 || chosen == REFUSED_EMPTY || chosen == REFUSED_FULL_NAT)
			break;
		place = schedule_next(schedule, place);
	}
	return chosen;
}

/* Gives the entry that was found to another backend: same key, next generation. */
INLINE bool flow_reopen(struct insert *insert, bool v6)
{
	__u8 bits = flow_bits(insert->found);
	__u64 value = insert->value;
	__u64 *slot = insert_slot(insert, v6);

	value |= (__u64)((~bits & FLOW_GENERATION) | (bits & FLOW_SENT)) << FLOW_STATE_SHIFT;
	if (!slot || !flow_swap(slot, insert->found, value, v6))
		return false;
	insert->found = value;
	flow_dirty(insert->key.page, v6);
	return true;
}

/* Gives the flow an entry; the backend that it goes to. */
INLINE int remember(const struct facts *f, struct insert *insert, __u64 schedule, __u32 hash,
		    int chosen, struct reasons *reasons, bool v6)
{
	switch (v6 ? flow_insert6(insert) : flow_insert4(insert)) {
	case INSERTED:
		insert->created = 1;
		reasons->flow_new++;
		reasons->flow_moved += insert->moved;
		reasons->flow_evicted += insert->evicted;
		return chosen;
	case INSERT_EXISTS:
		return flow_backend(insert->found);
	case INSERT_RACED:
		return REFUSED_TAKEN;
	}
	insert->created = is_syn(f);
	insert->at = FLOW_NOWHERE;
	reasons->flow_full++;
	if (SCHEDULE_KIND(schedule) == SCHEDULE_BY_HASH)
		return chosen;
	/* The next packet must find the same: nobody remembers whose turn it was. */
	return usable_at(f, insert, schedule, schedule_place(schedule, hash), v6);
}

/*
 * Schedules a flow, new or (insert->at is its entry, insert->found the value)
 * anew, and returns its backend or a refusal. insert->at is its entry then, or
 * FLOW_NOWHERE if none could be had: the packet goes by the schedule alone.
 */
INLINE int admit(const struct facts *f, struct insert *insert, struct vip *vip, __u32 vip_id,
		 bool v6)
{
	__u64 schedule = READ64(&vip->schedule);
	bool tcp = f->ends.protocol == IPPROTO_TCP;
	struct hook *hook = hook_of(HOOK);
	__u32 hash, place;
	int chosen;

	if (!hook)
		return REFUSED_INTERNAL;
	/* Else it could pass off a real's connection to that vip for a reply. */
	if (address_use(&f->ends.source, v6) & ADDRESS_VIPS)
		return REFUSED_MARTIAN;
	if (!SCHEDULE_SLOTS(schedule))
		return REFUSED_EMPTY;
	if (tcp && !is_syn(f) && (vip->flags & VIP_REJECT_MIDSTREAM))
		return REFUSED_MIDSTREAM;
	hash = schedule_hash(&insert->key, &f->ends.source, f->ends.source_port, v6);
	place = SCHEDULE_KIND(schedule) == SCHEDULE_BY_TURN ? schedule_turn(schedule, vip_id)
							    : schedule_place(schedule, hash);
	TRACE(schedule, schedule);
	TRACE(place, place);
	chosen = choose(f, insert, schedule, place, v6);
	if (chosen <= 0)
		return chosen;
	insert->value =
	    flow_value(chosen, insert->key.vip_port,
		       (tcp ? FLOW_HANDSHAKE : FLOW_UDP_UNREPLIED) | FLOW_CHANGED, f->now);
	if (insert->at == FLOW_NOWHERE)
		return remember(f, insert, schedule, hash, chosen, &hook->reasons, v6);
	if (flow_reopen(insert, v6)) {
		hook->reasons.flow_again++;
		insert->created = 1;
		return chosen;
	}
	/* Somebody changed it in this moment: leave the entry alone. */
	insert->at = FLOW_NOWHERE;
	return chosen;
}
