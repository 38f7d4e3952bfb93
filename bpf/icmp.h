/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which flow an ICMP error is about, and where it goes. */
#pragma once

#include "forward.h"
#include "quoted.h"

INLINE int icmp_send(frame *frame, struct packet *p, struct quoted *q,
		     const struct backend *backend, bool to_real, bool v6)
{
	const struct address *to = to_real ? &backend->real : &backend->vip;
	__be16 port = to_real ? backend->real_port : backend->vip_port;
	__u32 segment = frame_segment(frame, p);
	struct egress *egress = &p->scratch->egress;
	enum route way;

	if (!port)
		port = to_real ? q->ends->source_port : q->ends->destination_port;
	if (p->facts->hops <= 1) /* no error about an error */
		return DROP(p, no_route);
	if (to_real)
		way = route(frame, p->facts, &backend->hop, &p->facts->ends.source, to, segment,
			    egress, v6);
	else
		way = route(frame, p->facts, hop_out(p->leg, &p->facts->ends.destination, v6),
			    to, &p->facts->ends.destination, segment, egress, v6);
	HAND_OVER(p, way);
	if (way > ROUTE_KERNEL)
		return DROP(p, no_route);
	if (to_real)
		COUNT(p, forward_icmp_in);
	else
		COUNT(p, forward_icmp_out);
	icmp_nat(frame, p, q, egress, to, port, to_real, v6);
	return send(frame, egress, way);
}

/* An error to a vip, about a packet that we sent from it; use is what the vip's
 * address is. */
INLINE int icmp_to_vip(frame *frame, struct packet *p, __u32 use, bool v6)
{
	struct quoted quoted = {.ends = &p->scratch->quoted};
	const struct ends *ends = quoted.ends;
	struct flow_key key = {};
	struct backend *backend;
	struct flow flow = {};
	struct end vip = {};
	__u32 all;

	if (!quoted_open(&quoted, p, v6))
		return DROP(p, icmp_no_flow);
	vip.address = &ends->source;
	vip.port = ends->source_port;
	vip.protocol = ends->protocol;
	vip.of = END_OF_VIP;
	backend = flow_between(&flow, &key, &ends->destination, ends->destination_port, &vip,
			       use, v6);
	if (backend)
		return icmp_send(frame, p, &quoted, backend, true, v6);
	if (vip_at(&ends->source, ends->source_port, ends->protocol, use, &all, v6))
		return DROP(p, icmp_no_flow);
	return PASS(p, echo); /* about a service of the router's own */
}

/* An error from inside, about a packet that we sent to a real. */
INLINE int icmp_from_inside(frame *frame, struct packet *p, bool v6)
{
	struct quoted quoted = {.ends = &p->scratch->quoted};
	const struct ends *ends = quoted.ends;
	struct flow_key key = {};
	struct backend *backend;
	struct flow flow = {};
	struct end real = {};
	__u32 use;

	if (!quoted_open(&quoted, p, v6))
		return PASS(p, not_ours);
	use = address_use(&ends->destination, v6) & ADDRESS_REALS;
	if (!use)
		return PASS(p, not_ours);
	real.address = &ends->destination;
	real.port = ends->destination_port;
	real.protocol = ends->protocol;
	real.of = END_OF_REAL;
	backend = flow_between(&flow, &key, &ends->source, ends->source_port, &real, use, v6);
	if (!backend)
		return PASS(p, real_itself);
	return icmp_send(frame, p, &quoted, backend, false, v6);
}
