/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The first packet of a flow: choose a backend, remember the choice. */
#pragma once

#include "insert.h"
#include "schedule.h"
#include "tcp.h"
#include "vip.h"

/* A backend's id, or why there is none. */
enum refused {
	REFUSED_EMPTY = -1,     /* no usable real */
	REFUSED_SELF = -2,      /* the only one is the client */
	REFUSED_FULL_NAT = -3,  /* its answer would not come back through us */
	REFUSED_TAKEN = -4,     /* client port in use with every real */
	REFUSED_MIDSTREAM = -5, /* TCP that no schedule can find again */
	REFUSED_INTERNAL = -6,
};

enum collision {
	COLLIDES_NOT,
	COLLIDES,
	COLLISION_ENDED, /* the other flow was as good as dead; look again */
};

/* How many places of a schedule are tried for one that the client can use. */
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
INLINE enum collision collides_in(const struct packet *p, __be16 vip_port, __u16 vip,
				  const struct backend *wanted, __be16 real_port, bool v6)
{
	struct flow_key key = {};
	struct flow other = {};
	struct backend *backend;
	__u64 gone;

	flow_key(&key, &p->ends.source, p->ends.source_port, p->ends.protocol, vip_port, 0, v6);
	backend = flow_find_reply(&other, &key, &wanted->real, real_port, v6);
	if (!backend || backend->vip_id == vip)
		return COLLIDES_NOT;
	if (!flow_is_weak(flow_state(other.value)))
		return COLLIDES;
	gone = flow_value(flow_backend(other.value), flow_vip_port(other.value),
			  FLOW_GONE | FLOW_CHANGED, p->now);
	flow_swap(other.slot, other.value, gone, v6);
	flow_dirty(other.page, v6);
	return COLLISION_ENDED;
}

INLINE enum collision collides(const struct packet *p, __u16 vip,
			       const struct backend *wanted, bool v6)
{
	__be16 port = wanted->real_port ? wanted->real_port : p->ends.destination_port;
	__u32 use = address_use(&wanted->real, v6);
	enum collision collision = COLLIDES_NOT;

	if (use & ADDRESS_REAL)
		collision = collides_in(p, 0, vip, wanted, port, v6);
	if (collision == COLLIDES_NOT && (use & ADDRESS_REAL_ANY_PORT))
		collision = collides_in(p, port, vip, wanted, 0, v6);
	return collision;
}

SLOW enum collision collides4(const struct packet *p, __u16 vip, const struct backend *wanted)
{
	return collides(p, vip, wanted, false);
}

SLOW enum collision collides6(const struct packet *p, __u16 vip, const struct backend *wanted)
{
	return collides(p, vip, wanted, true);
}

INLINE bool in_prefix6(const struct address *address, const struct prefix6 *prefix)
{
#pragma unroll
	for (int i = 0; i < 4; i++) {
		if ((address->words[i] ^ prefix->address.words[i]) & prefix->mask.words[i])
			return false;
	}
	return true;
}

INLINE bool in_prefix4(const struct address *address, const struct prefix4 *prefix)
{
	return !((address->words[0] ^ prefix->address) & prefix->mask);
}

/* A client on the real's own subnet is answered there, past us. */
INLINE bool answered_past_us(const struct packet *p, const struct backend *backend, bool v6)
{
	const struct leg *leg = p->leg;

	for (int i = 0; i < LEG_PREFIXES; i++) {
		if (v6) {
			if (i < leg->connected6_count &&
			    in_prefix6(&p->ends.source, &leg->connected6[i]) &&
			    in_prefix6(&backend->real, &leg->connected6[i]))
				return true;
		} else {
			if (i < leg->connected4_count &&
			    in_prefix4(&p->ends.source, &leg->connected4[i]) &&
			    in_prefix4(&backend->real, &leg->connected4[i]))
				return true;
		}
	}
	return false;
}

INLINE int usable(struct packet *p, __u16 vip, __u16 id, bool v6)
{
	struct backend *backend = backend_of(id);

	if (!id || !backend)
		return REFUSED_EMPTY;
	if (same_address(&backend->real, &p->ends.source, v6))
		return REFUSED_SELF;
	if (answered_past_us(p, backend, v6))
		return REFUSED_FULL_NAT;
	switch (v6 ? collides6(p, vip, backend) : collides4(p, vip, backend)) {
	case COLLIDES:
		return REFUSED_TAKEN;
	case COLLISION_ENDED:
		return 0;
	default:
		return id;
	}
}

SLOW int usable4(struct packet *p, __u16 vip, __u16 id)
{
	return usable(p, vip, id, false);
}

SLOW int usable6(struct packet *p, __u16 vip, __u16 id)
{
	return usable(p, vip, id, true);
}

/* The first backend from a place on that this client can use. neighbours is what
 * the client's other flows were when they were found not to collide. */
INLINE int choose(struct packet *p, const struct flow_key *key, __u16 vip, __u64 schedule,
		  __u32 place, __u64 *neighbours, bool v6)
{
	int chosen = REFUSED_EMPTY;
	void *page = flow_page(key, v6);

	if (!page)
		return REFUSED_INTERNAL;
	for (int i = 0; i < TRIES; i++) {
		__u16 id = schedule_at(schedule, place);

		*neighbours = neighbours_of(page, key, v6);
		chosen = v6 ? usable6(p, vip, id) : usable4(p, vip, id);
		if (chosen > 0)
			return chosen;
		if (chosen == REFUSED_EMPTY || chosen == REFUSED_FULL_NAT)
			return chosen;
		if (chosen && ++place >= SCHEDULE_SLOTS(schedule))
			place = 0;
	}
	return chosen ? chosen : REFUSED_TAKEN;
}

SLOW int choose4(struct packet *p, struct insert *insert, __u64 schedule, __u32 place)
{
	return choose(p, &insert->key, insert->key.word >> 48, schedule, place,
		      &insert->neighbours, false);
}

SLOW int choose6(struct packet *p, struct insert *insert, __u64 schedule, __u32 place)
{
	return choose(p, &insert->key, insert->key.word >> 16, schedule, place,
		      &insert->neighbours, true);
}

INLINE int choose_any(struct packet *p, struct insert *insert, __u64 schedule, __u32 place,
		      bool v6)
{
	return v6 ? choose6(p, insert, schedule, place) : choose4(p, insert, schedule, place);
}

/* Gives an entry that exists to another backend: same key, next generation. */
INLINE bool flow_reopen(struct flow *flow, const struct packet *p, __u64 value, bool v6)
{
	__u8 generation = (flow_bits(flow->value) & FLOW_GENERATION) ^ FLOW_GENERATION;

	value |= (__u64)(generation | (flow_bits(flow->value) & FLOW_SENT))
		 << FLOW_STATE_SHIFT;
	if (!flow_swap(flow->slot, flow->value, value, v6))
		return false;
	flow->value = value;
	flow_dirty(flow->page, v6);
	COUNT(p, flow_again);
	return true;
}

INLINE int remember(struct packet *p, struct insert *insert, struct flow *flow,
		    __u64 schedule, __u32 hash, int chosen, bool v6)
{
	switch (v6 ? flow_insert6(insert, flow) : flow_insert4(insert, flow)) {
	case INSERTED:
		COUNT(p, flow_new);
		if (p->reasons) {
			p->reasons->flow_moved += insert->moved;
			p->reasons->flow_evicted += insert->evicted;
		}
		return chosen;
	case INSERT_EXISTS:
		return flow_backend(flow->value);
	case INSERT_RACED:
		return REFUSED_TAKEN;
	default:
		/* By hash whatever the scheduler: the next packet must find the same. */
		COUNT(p, flow_full);
		flow->slot = NULL;
		return choose_any(p, insert, schedule, schedule_place(schedule, hash), v6);
	}
}

/*
 * Schedules the flow of p, new or (flow->slot set) anew, and returns its backend
 * or a refusal. flow is the entry, without slot if none could be had: then the
 * packet goes by the schedule alone.
 */
INLINE int admit(struct packet *p, struct vip *vip, struct insert *insert,
		 struct flow *flow, bool v6)
{
	__u64 schedule = READ64(&vip->schedule);
	bool tcp = p->ends.protocol == IPPROTO_TCP;
	bool syn = (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	__u32 hash, place, id;
	int chosen;

	if (!SCHEDULE_SLOTS(schedule))
		return REFUSED_EMPTY;
	if (tcp && !syn && (vip->flags & VIP_REJECT_MIDSTREAM))
		return REFUSED_MIDSTREAM;
	hash = schedule_hash(&insert->key, &p->ends.source, p->ends.source_port, v6);
	id = v6 ? (__u16)(insert->key.word >> 16) : (__u16)(insert->key.word >> 48);
	place = SCHEDULE_KIND(schedule) == SCHEDULE_BY_TURN ? schedule_turn(schedule, id) :
							      schedule_place(schedule, hash);
	chosen = choose_any(p, insert, schedule, place, v6);
	if (chosen <= 0)
		return chosen;
	insert->now = p->now;
	insert->value = flow_value(chosen, insert->key.vip_port,
				   (tcp ? FLOW_HANDSHAKE : FLOW_UDP_UNREPLIED) | FLOW_CHANGED,
				   p->now);
	if (!flow->slot)
		return remember(p, insert, flow, schedule, hash, chosen, v6);
	if (flow_reopen(flow, p, insert->value, v6))
		return chosen;
	/* Somebody changed it: theirs holds, if there still is one. */
	if (flow_find(flow, &insert->key, v6))
		return flow_backend(flow->value);
	flow->slot = NULL;
	return chosen;
}

SLOW int admit4(struct packet *p, struct vip *vip, struct insert *insert, struct flow *flow)
{
	return admit(p, vip, insert, flow, false);
}

SLOW int admit6(struct packet *p, struct vip *vip, struct insert *insert, struct flow *flow)
{
	return admit(p, vip, insert, flow, true);
}
