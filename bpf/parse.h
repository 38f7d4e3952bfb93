/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From bytes to a packet. Bounds are checked here and nowhere else: whoever
 * holds a struct packet of a kind may read the headers that the kind promises.
 * Nothing is decided: a kind says what the packet is, not what becomes of it.
 */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include "count.h"

enum kind {
	KIND_NOT_IP,
	KIND_NEIGHBOUR, /* IPv6 neighbour discovery */
	KIND_BROKEN,	/* not even addresses can be read */
	/* From here on source and destination are read. */
	KIND_PORTS,	  /* TCP or UDP, the whole header is there */
	KIND_FRAGMENT,	  /* ports are read of the first one, else 0 */
	KIND_ICMP_ERROR,  /* the ICMP header is there */
	KIND_ICMP,	  /* other ICMP */
	KIND_PROTOCOL,	  /* another protocol */
	KIND_MALFORMED,	  /* headers that contradict the length */
	KIND_UNSUPPORTED, /* more extension headers than are followed */
};

enum tcp_flag {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_ACK = 0x10,
};

struct icmp_header {
	__u8 type;
	__u8 code;
	__sum16 checksum;
	__be32 rest; /* MTU in its low half (IPv4), or whole (IPv6) */
};

/* A packet and where its headers are. */
struct packet {
	struct facts *facts;
	struct scratch *scratch;
	void *end;
	struct ethhdr *eth;
	void *l3; /* struct iphdr or ipv6hdr */
	void *l4; /* struct tcphdr, udphdr or icmp_header */
	struct reasons *reasons;
	struct leg *leg;
};

/* An IPv6 address into a frame or out of it. */
INLINE void address_copy(void *to, const void *from)
{
	((address_half *)to)[0] = ((const address_half *)from)[0];
	((address_half *)to)[1] = ((const address_half *)from)[1];
}

#define IP_MORE_FRAGMENTS 0x2000
#define IP_OFFSET 0x1fff
#define ICMP4_UNREACHABLE 3
#define ICMP4_TIME_EXCEEDED 11
#define ICMP4_PARAMETER 12
#define ICMP6_UNREACHABLE 1
#define ICMP6_TOO_BIG 2
#define ICMP6_TIME_EXCEEDED 3
#define ICMP6_PARAMETER 4
#define ICMP6_ROUTER_SOLICITATION 133
#define ICMP6_REDIRECT 137
#define IPPROTO_HOPOPTS_ 0
#define IPPROTO_ROUTING_ 43
#define IPPROTO_FRAGMENT_ 44
#define IPPROTO_DSTOPTS_ 60
#define IPPROTO_ICMPV6_ 58

INLINE bool icmp_is_error(__u8 type, bool v6)
{
	if (v6)
		return type >= ICMP6_UNREACHABLE && type <= ICMP6_PARAMETER;
	return type == ICMP4_UNREACHABLE || type == ICMP4_TIME_EXCEEDED ||
	       type == ICMP4_PARAMETER;
}

/* The transport header, at p->l4, of length bytes. */
INLINE enum kind parse_l4(struct packet *p, __u32 length, bool v6)
{
	if (p->facts->ends.protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = p->l4;

		if ((void *)(tcp + 1) > p->end || length < sizeof(*tcp))
			return KIND_MALFORMED;
		if (tcp->doff < 5 || tcp->doff * 4u > length)
			return KIND_MALFORMED;
		p->facts->ends.source_port = tcp->source;
		p->facts->ends.destination_port = tcp->dest;
		p->facts->tcp_flags = ((__u8 *)tcp)[13];
		return KIND_PORTS;
	}
	if (p->facts->ends.protocol == IPPROTO_UDP) {
		struct udphdr *udp = p->l4;

		if ((void *)(udp + 1) > p->end || length < sizeof(*udp))
			return KIND_MALFORMED;
		/* GRO leaves the first datagram's length in a merged one. */
		if (bpf_ntohs(udp->len) < sizeof(*udp) ||
		    (bpf_ntohs(udp->len) > length && p->facts->segments == 1))
			return KIND_MALFORMED;
		p->facts->ends.source_port = udp->source;
		p->facts->ends.destination_port = udp->dest;
		return KIND_PORTS;
	}
	if (p->facts->ends.protocol == (v6 ? IPPROTO_ICMPV6_ : IPPROTO_ICMP)) {
		struct icmp_header *icmp = p->l4;

		if ((void *)(icmp + 1) > p->end || length < sizeof(*icmp))
			return KIND_MALFORMED;
		if (v6 && icmp->type >= ICMP6_ROUTER_SOLICITATION &&
		    icmp->type <= ICMP6_REDIRECT)
			return KIND_NEIGHBOUR;
		return icmp_is_error(icmp->type, v6) ? KIND_ICMP_ERROR : KIND_ICMP;
	}
	return KIND_PROTOCOL;
}

/* A fragment: the first one has ports, if it is long enough to. */
INLINE enum kind parse_fragment(struct packet *p, bool first)
{
	__be16 *ports = p->l4;

	if (first && (void *)(ports + 2) <= p->end &&
	    (p->facts->ends.protocol == IPPROTO_TCP ||
	     p->facts->ends.protocol == IPPROTO_UDP)) {
		p->facts->ends.source_port = ports[0];
		p->facts->ends.destination_port = ports[1];
	}
	return KIND_FRAGMENT;
}

INLINE enum kind parse_ipv4(struct packet *p)
{
	struct iphdr *ip = p->l3;
	__u32 header, length;

	if ((void *)(ip + 1) > p->end)
		return KIND_BROKEN;
	header = ip->ihl * 4;
	if (ip->version != 4 || header < sizeof(*ip))
		return KIND_BROKEN;
	p->facts->ends.source.words[0] = ip->saddr;
	p->facts->ends.destination.words[0] = ip->daddr;
	p->facts->ends.protocol = ip->protocol;
	p->facts->hops = ip->ttl;
	length = bpf_ntohs(ip->tot_len);
	if (length < header || length > p->facts->length - ETH_HLEN)
		return KIND_MALFORMED;
	p->facts->ip_length = length;
	p->l4 = p->l3 + header;
	p->facts->l4_offset = ETH_HLEN + header;
	if (p->l4 > p->end)
		return KIND_MALFORMED;
	if (ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_OFFSET))
		return parse_fragment(p, !(ip->frag_off & bpf_htons(IP_OFFSET)));
	return parse_l4(p, length - header, false);
}

#define MAX_EXTENSIONS 4

struct extension {
	__u8 next;
	__u8 length; /* in 8 bytes, the first not counted */
	__be16 fragment;
	__be32 identification;
};

INLINE enum kind parse_ipv6(struct packet *p)
{
	struct ipv6hdr *ip = p->l3;
	__u32 length, offset = 0;
	__u8 next;

	if ((void *)(ip + 1) > p->end)
		return KIND_BROKEN;
	if (ip->version != 6)
		return KIND_BROKEN;
	address_copy(&p->facts->ends.source, &ip->saddr);
	address_copy(&p->facts->ends.destination, &ip->daddr);
	p->facts->hops = ip->hop_limit;
	length = bpf_ntohs(ip->payload_len);
	p->facts->ends.protocol = next = ip->nexthdr;
	if (length > p->facts->length - ETH_HLEN - sizeof(*ip))
		return KIND_MALFORMED;
	p->facts->ip_length = length + sizeof(*ip);
	p->l4 = ip + 1;
	for (int i = 0; i <= MAX_EXTENSIONS; i++) {
		struct extension *extension = p->l4 + offset;

		if (next != IPPROTO_HOPOPTS_ && next != IPPROTO_ROUTING_ &&
		    next != IPPROTO_DSTOPTS_ && next != IPPROTO_FRAGMENT_)
			break;
		if (i == MAX_EXTENSIONS)
			return KIND_UNSUPPORTED;
		if ((void *)(extension + 1) > p->end || offset + 8 > length)
			return KIND_MALFORMED;
		p->facts->ends.protocol = extension->next;
		if (next == IPPROTO_FRAGMENT_) {
			p->l4 += offset + 8;
			return parse_fragment(p, !(extension->fragment & bpf_htons(0xfff8)));
		}
		next = extension->next;
		offset += 8 + extension->length * 8;
		if (offset > 1024)
			return KIND_UNSUPPORTED;
	}
	if (offset > length)
		return KIND_MALFORMED;
	p->l4 += offset;
	p->facts->l4_offset = ETH_HLEN + sizeof(*ip) + offset;
	return parse_l4(p, length - offset, true);
}
