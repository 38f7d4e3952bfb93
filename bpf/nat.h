/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Network address translation (RFC 3022 section 4, client's end kept): the
 * packet's one end becomes another address and port. Called once routing has
 * succeeded: nothing can fail any more.
 */
#pragma once

#include "route.h"
#include "csum.h"

INLINE void nat_ports(struct packet *p, bool source, __be16 port)
{
	__be16 *ports = p->l4;

	if ((void *)(ports + 2) > p->end) /* never: parsed */
		return;
	ports[source ? 0 : 1] = port;
}

/* The IP header: one address, and a hop less. */
INLINE void nat_ip(struct packet *p, const struct address *to, bool source,
		   __u64 addresses, bool v6)
{
	if (v6) {
		struct ipv6hdr *ip = p->l3;

		if ((void *)(ip + 1) > p->end)
			return;
		__builtin_memcpy(source ? &ip->saddr : &ip->daddr, to, 16);
		ip->hop_limit--;
	} else {
		struct iphdr *ip = p->l3;

		if ((void *)(ip + 1) > p->end)
			return;
		if (source)
			ip->saddr = to->words[0];
		else
			ip->daddr = to->words[0];
		/* TTL is the high byte of its word: one less is 0x0100 less. */
		ip->check = csum_apply(ip->check, addresses + (__u16)~bpf_htons(0x0100));
		ip->ttl--;
	}
}

INLINE void nat_macs(struct packet *p, const struct egress *egress)
{
	if ((void *)(p->eth + 1) > p->end)
		return;
	__builtin_memcpy(p->eth->h_dest, egress->destination, 6);
	__builtin_memcpy(p->eth->h_source, egress->source, 6);
}

/* Replaces the source's (or destination's) address and port. */
INLINE void nat(frame *frame, struct packet *p, const struct egress *egress,
		const struct address *to, __be16 port, bool source, bool v6)
{
	const struct address *from = source ? &p->facts->ends.source : &p->facts->ends.destination;
	__be16 from_port = source ? p->facts->ends.source_port : p->facts->ends.destination_port;
	__u64 addresses = csum_change_address(from, to, v6);
	__sum16 *check = p->l4 + (p->facts->ends.protocol == IPPROTO_UDP ? 6 : 16);

	nat_macs(p, egress);
	nat_ip(p, to, source, addresses, v6);
	nat_ports(p, source, port);
	if ((void *)(check + 1) > p->end)
		return;
	edit_checksum(frame, p, check, addresses, from_port, port);
}
