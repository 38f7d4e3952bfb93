/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Network address translation (RFC 3022 section 4, client's end kept): the
 * packet's one end becomes another address and port. Called once routing has
 * succeeded: nothing can fail any more.
 */
#pragma once

#include "route.h"
#include "csum.h"

/* Replaces a port, and returns what that changes in the checksum. */
INLINE __u64 nat_port(struct packet *p, bool source, __be16 port)
{
	__be16 *at = p->l4 + (source ? 0 : 2), from;

	if ((void *)(at + 1) > p->end) /* never: parsed */
		return 0;
	from = *at;
	*at = port;
	return csum_change16(from, port);
}

/* A segment of a flow that is cut becomes its reset, and keeps its place in the
 * sequence (RFC 9293 section 3.10.7.4: else it would not be believed). */
INLINE __u64 nat_reset(struct packet *p)
{
	__u16 *word = p->l4 + 12, from; /* offset and flags */

	if ((void *)(word + 1) > p->end)
		return 0;
	from = *word;
	*word |= bpf_htons(TCP_RST);
	return csum_change16(from, *word);
}

/* Writes an address at a place in the frame. */
INLINE void nat_address(struct packet *p, void *at, const struct address *to, bool v6)
{
	if (at + (v6 ? 16 : 4) > p->end) /* never: parsed */
		return;
	if (v6)
		address_copy(at, to);
	else
		*(__be32 *)at = to->words[0];
}

/* The IP header: one address, and a hop less. */
INLINE void nat_ip(struct packet *p, const struct address *to, bool source, __u64 addresses,
		   bool v6)
{
	if (v6) {
		struct ipv6hdr *ip = p->l3;

		if ((void *)(ip + 1) > p->end)
			return;
		ip->hop_limit--;
	} else {
		struct iphdr *ip = p->l3;

		if ((void *)(ip + 1) > p->end)
			return;
		/* TTL is the high byte of its word: one less is 0x0100 less. */
		ip->check = csum_apply(ip->check, addresses + (__u16)~bpf_htons(0x0100));
		ip->ttl--;
	}
	nat_address(p, p->l3 + (v6 ? 8 : 12) + (source ? 0 : v6 ? 16 : 4), to, v6);
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
	const struct address *from =
	    source ? &p->facts->ends.source : &p->facts->ends.destination;
	__u64 addresses = csum_change_address(from, to, v6), segment;
	__sum16 *check = p->l4 + (p->facts->ends.protocol == IPPROTO_UDP ? 6 : 16);

	nat_macs(p, egress);
	nat_ip(p, to, source, addresses, v6);
	segment = nat_port(p, source, port);
	if (p->facts->tcp_flags & TCP_RST)
		segment += nat_reset(p);
	if ((void *)(check + 1) > p->end)
		return;
	edit_checksum(frame, p, check, addresses, segment);
}
