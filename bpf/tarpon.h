/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Any packet: whose is it, and who takes it from here. */
#pragma once

#include "before.h"
#include "decide.h"
#include "forward.h"
#include "portless.h"

/* To the router itself it is no reply; what cannot be told apart is dropped. */
INLINE int ambiguous(frame *frame, struct packet *p, bool v6)
{
	const struct ends *ends = &p->facts->ends;
	enum route way = route_ask(frame, p->facts, &ends->source, &ends->destination,
				   &p->scratch->egress, v6);

	return way == ROUTE_NONE ? PASS(p, local) : DROP(p, reply_ambiguous);
}

INLINE int refuse(frame *frame, struct packet *p, int why, bool v6)
{
	switch (why) {
	case REFUSED_STRANGER:
		return PASS(p, not_ours);
	case REFUSED_PORT:
		return PASS(p, other_port);
	case REFUSED_OWN:
		return PASS(p, real_itself);
	case REFUSED_AMBIGUOUS:
		return ambiguous(frame, p, v6);
	case REFUSED_EMPTY:
		return answer(frame, p->facts, ANSWER_EMPTY, 0, v6);
	case REFUSED_MIDSTREAM:
		return answer(frame, p->facts, ANSWER_MIDSTREAM, 0, v6);
	case REFUSED_RESET:
		return answer(frame, p->facts, ANSWER_RESET, 0, v6);
	case REFUSED_SILENT:
		return DROP(p, empty);
	case REFUSED_MARTIAN:
		return DROP(p, martian);
	case REFUSED_SELF:
		return DROP(p, self);
	case REFUSED_FULL_NAT:
		return DROP(p, needs_full_nat);
	case REFUSED_TAKEN:
		return DROP(p, tuple_taken);
	default:
		return DROP(p, internal);
	}
}

INLINE void client_key(struct flow_key *key, const struct facts *f, bool v6)
{
	const struct ends *ends = &f->ends;

	if (f->out)
		flow_key(key, &ends->destination, ends->destination_port, ends->protocol, 0,
			 v6);
	else
		flow_key(key, &ends->source, ends->source_port, ends->protocol, 0, v6);
}

/*
 * The flow of a packet, as most are: a client's to a vip, or a real's that answers.
 * Its ends alone find it. From inside only a real's packet can have one, and most
 * are: the bucket is on its way from memory while the address is looked up.
 */
INLINE struct backend *known(struct flow *flow, struct packet *p, bool v6)
{
	struct facts *f = p->facts;
	struct flow_key key = {};
	struct end end;

	f->out = p->leg->role & LEG_INSIDE;
	client_key(&key, f, v6);
	flow_touch(&key, v6);
	f->now = flow_clock();
	if (f->out && !(address_use(&f->ends.source, v6) & ADDRESS_REAL)) {
		f->out = false;
		if (!(p->leg->role & LEG_OUTSIDE))
			return NULL;
		client_key(&key, f, v6);
	}
	end = f->out ? end_of_real(&f->ends) : end_of_vip(&f->ends);
	return flow_find(flow, &key, &end, v6);
}

/* Decide, route, commit: see forward.h. */
INLINE int process_ip(frame *frame, struct packet *p, bool v6)
{
	struct insert *insert = &p->scratch->insert;
	struct flow flow = {.at = FLOW_NOWHERE};
	struct backend *backend;
	bool new = false;
	int id;

	if (p->facts->kind != KIND_PORTS)
		return v6 ? portless6(frame) : portless4(frame);
	backend = known(&flow, p, v6);
	if (!backend || !is_plain(p->facts, backend)) {
		bring_over(&p->facts->ends, v6);
		insert->at = flow.at;
		insert->found = flow.value;
		insert->key.page = flow.page;
		id = v6 ? decide6(p->facts, insert) : decide4(p->facts, insert);
		if (id <= 0)
			return refuse(frame, p, id, v6);
		flow.slot = insert_slot(insert, v6);
		flow.value = insert->found;
		flow.page = insert->key.page;
		flow.backend = id;
		new = insert->created;
		backend = backend_of(id);
		if (!backend)
			return DROP(p, internal);
	}
	return forward(frame, p, &flow, backend, new, v6);
}

INLINE int process4(frame *frame, struct packet *p)
{
	p->facts->kind = parse_ipv4(p);
	if (p->facts->kind == KIND_BROKEN)
		return PASS(p, not_ours);
	return process_ip(frame, p, false);
}

INLINE int process6(frame *frame, struct packet *p)
{
	p->facts->kind = parse_ipv6(p);
	if (p->facts->kind == KIND_BROKEN)
		return PASS(p, not_ours);
	if (p->facts->kind == KIND_NEIGHBOUR)
		return PASS(p, neighbour);
	return process_ip(frame, p, true);
}

INLINE int process(frame *frame)
{
	struct hook *hook = hook_of(HOOK);
	struct packet p = {};
	__be16 type;

	if (!hook) /* never: the index is in range */
		return VERDICT_PASS;
	p.reasons = &hook->reasons;
	p.scratch = &hook->scratch;
	p.facts = &hook->scratch.facts;
	*p.facts = (struct facts){};
	if (!frame_open(frame, &p))
		return PASS(&p, not_ip);
	type = p.eth->h_proto;
	if (type != bpf_htons(ETH_P_IP) && type != bpf_htons(ETH_P_IPV6))
		return PASS(&p, not_ip);
	p.leg = leg_at(p.facts->ifindex, frame_vlan(frame), &p.facts->leg);
	if (!p.leg)
		return PASS(&p, no_leg);
	if (!frame_is_for(&p, frame, p.leg->mac))
		return PASS(&p, other_mac);
	return type == bpf_htons(ETH_P_IP) ? process4(frame, &p) : process6(frame, &p);
}
