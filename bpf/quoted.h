/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP errors about our flows (RFC 5508 section 4.2, RFC 4443): the packet that
 * an error quotes is one of ours as the sender of the error saw it, so the outer
 * and the quoted header are translated the opposite way.
 */
#pragma once

#include "nat.h"

struct quoted {
	void *l3;
	void *l4;
	struct ends *ends;
};

INLINE bool quoted_open(struct quoted *q, const struct packet *p, bool v6)
{
	q->l3 = p->l4 + sizeof(struct icmp_header);
	if (v6) {
		struct ipv6hdr *ip = q->l3;

		if ((void *)(ip + 1) > p->end)
			return false;
		address_copy(&q->ends->source, &ip->saddr);
		address_copy(&q->ends->destination, &ip->daddr);
		q->ends->protocol = ip->nexthdr;
		q->l4 = ip + 1;
	} else {
		struct iphdr *ip = q->l3;

		if ((void *)(ip + 1) > p->end || ip->ihl < 5 ||
		    (ip->frag_off & bpf_htons(IP_OFFSET)))
			return false;
		q->ends->source.words[0] = ip->saddr;
		q->ends->destination.words[0] = ip->daddr;
		q->ends->protocol = ip->protocol;
		q->l4 = q->l3 + ip->ihl * 4;
	}
	if (q->ends->protocol != IPPROTO_TCP && q->ends->protocol != IPPROTO_UDP)
		return false;
	if (q->l4 + 4 > p->end)
		return false;
	q->ends->source_port = *(__be16 *)q->l4;
	q->ends->destination_port = *(__be16 *)(q->l4 + 2);
	return true;
}

/* Translates the quoted header; returns the change of the sum over the message. */
INLINE __u64 quoted_nat(struct quoted *q, struct packet *p, const struct address *to,
			__be16 port, bool source, bool v6)
{
	const struct address *from = source ? &q->ends->source : &q->ends->destination;
	__be16 from_port = source ? q->ends->source_port : q->ends->destination_port;
	__u64 addresses = csum_change_address(from, to, v6), sum = addresses;
	__be16 *ports = q->l4;
	__sum16 *check = q->l4 + (q->ends->protocol == IPPROTO_UDP ? 6 : 16);

	if (v6) {
		struct ipv6hdr *ip = q->l3;

		if ((void *)(ip + 1) > p->end)
			return 0;
		address_copy(source ? &ip->saddr : &ip->daddr, to);
	} else {
		struct iphdr *ip = q->l3;
		__sum16 old;

		if ((void *)(ip + 1) > p->end)
			return 0;
		if (source)
			ip->saddr = to->words[0];
		else
			ip->daddr = to->words[0];
		old = ip->check;
		ip->check = csum_apply(old, addresses);
		sum += csum_change16(old, ip->check);
	}
	if ((void *)(ports + 2) > p->end)
		return 0;
	ports[source ? 0 : 1] = port;
	sum += csum_change16(from_port, port);
	/* The quoted checksum, if the quotation reaches so far. */
	if ((void *)(check + 1) <= p->end && (q->ends->protocol != IPPROTO_UDP || *check)) {
		__sum16 old = *check;

		*check = csum_apply(old, addresses + csum_change16(from_port, port));
		sum += csum_change16(old, *check);
	}
	return sum;
}

/* To the real: what a router towards the client, or the client, says of a packet
 * that we sent from the vip. To the client: the same the other way. */
INLINE void icmp_nat(frame *frame, struct packet *p, struct quoted *q,
		     const struct egress *egress, const struct address *to, __be16 port,
		     bool to_real, bool v6)
{
	const struct address *from =
	    to_real ? &p->facts->ends.destination : &p->facts->ends.source;
	__u64 addresses = csum_change_address(from, to, v6), message;
	struct icmp_header *icmp = p->l4;

	nat_macs(p, egress);
	nat_ip(p, to, !to_real, addresses, v6);
	message = quoted_nat(q, p, to, port, to_real, v6);
	if ((void *)(icmp + 1) > p->end)
		return;
	edit_icmp_checksum(frame, p, icmp, message, v6 ? addresses : 0);
}
