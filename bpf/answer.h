/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets that the program makes itself, out of the one it answers: TCP resets
 * (RFC 9293 section 3.10.7.1) and ICMP errors (RFC 792, RFC 4443). They go back
 * to where the packet came from, and each CPU sends only so many per tick.
 */
#pragma once

#include "csum.h"
#include "route.h"

#define ANSWER_HOPS 64

INLINE bool answer_allowed(const struct facts *f)
{
	__u32 zero = 0;
	struct allowance *allowance = bpf_map_lookup_elem(&allowances, &zero);

	if (!allowance)
		return false;
	if (allowance->tick != f->now) {
		allowance->tick = f->now;
		allowance->left = answers_per_tick;
	}
	if (!allowance->left)
		return false;
	allowance->left--;
	return true;
}

INLINE void answer_ethernet(struct ethhdr *eth, const struct ethhdr *asked)
{
	__builtin_memcpy(eth->h_dest, asked->h_source, 6);
	__builtin_memcpy(eth->h_source, asked->h_dest, 6);
	eth->h_proto = asked->h_proto;
}

/* An IP header without options. */
INLINE void answer_ip(void *l3, const struct address *source, const struct address *destination,
		      __u8 protocol, __u32 payload, bool v6)
{
	if (v6) {
		struct ipv6hdr *ip = l3;

		__builtin_memset(ip, 0, sizeof(*ip));
		ip->version = 6;
		ip->payload_len = bpf_htons(payload);
		ip->nexthdr = protocol;
		ip->hop_limit = ANSWER_HOPS;
		__builtin_memcpy(&ip->saddr, source, 16);
		__builtin_memcpy(&ip->daddr, destination, 16);
	} else {
		struct iphdr *ip = l3;
		__u16 *words = l3;
		__u64 sum = 0;

		__builtin_memset(ip, 0, sizeof(*ip));
		ip->version = 4;
		ip->ihl = 5;
		ip->tot_len = bpf_htons(payload + sizeof(*ip));
		ip->frag_off = bpf_htons(0x4000);
		ip->ttl = ANSWER_HOPS;
		ip->protocol = protocol;
		ip->saddr = source->words[0];
		ip->daddr = destination->words[0];
#pragma unroll
		for (int i = 0; i < 10; i++)
			sum += words[i];
		ip->check = ~csum_fold(sum);
	}
}

/* What a reset says: RFC 9293 section 3.5.2, group 1. */
INLINE void answer_tcp(struct tcphdr *tcp, const struct facts *f, __be32 seq, __be32 ack,
		       __u32 consumed, bool v6)
{
	__u16 *words = (__u16 *)tcp;
	__u64 sum;

	__builtin_memset(tcp, 0, sizeof(*tcp));
	tcp->source = f->ends.destination_port;
	tcp->dest = f->ends.source_port;
	tcp->doff = 5;
	tcp->rst = 1;
	if (f->tcp_flags & TCP_ACK) {
		tcp->seq = ack;
	} else {
		tcp->ack = 1;
		tcp->ack_seq = bpf_htonl(bpf_ntohl(seq) + consumed);
	}
	sum = csum_pseudo(&f->ends.destination, &f->ends.source, IPPROTO_TCP, sizeof(*tcp), v6);
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += words[i];
	tcp->check = ~csum_fold(sum);
}

/* Answers a TCP segment with RST, from its own destination. */
INLINE int answer_reset(frame *frame, const struct facts *f, bool v6)
{
	const __u32 l3_size = v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	const __u32 size = ETH_HLEN + l3_size + sizeof(struct tcphdr);
	struct tcphdr *tcp = frame_data(frame) + (f->l4_offset & OFFSET_MASK);
	struct ethhdr *eth = frame_data(frame), asked;
	__u32 consumed;
	__be32 seq, ack;
	void *data;

	if ((void *)(tcp + 1) > frame_end(frame) || (void *)(eth + 1) > frame_end(frame))
		return VERDICT_DROP;
	seq = tcp->seq;
	ack = tcp->ack_seq;
	consumed = f->ip_length + ETH_HLEN - f->l4_offset - tcp->doff * 4 +
		   !!(f->tcp_flags & TCP_SYN) + !!(f->tcp_flags & TCP_FIN);
	asked = *eth;
	if (!edit_reshape(frame, 0, size))
		return VERDICT_DROP;
	data = frame_data(frame);
	if (data + size > frame_end(frame))
		return VERDICT_DROP;
	answer_ethernet(data, &asked);
	answer_ip(data + ETH_HLEN, &f->ends.destination, &f->ends.source, IPPROTO_TCP,
		  sizeof(*tcp), v6);
	answer_tcp(data + ETH_HLEN + l3_size, f, seq, ack, consumed, v6);
	return frame_return(frame, leg_of(f->leg), f->ifindex);
}

/* How much of a packet an ICMP error quotes at most: enough for IPv6, options and
 * a whole TCP header. */
#define QUOTE 128

/* The sum over an ICMP message that ends with the frame or at QUOTE. */
INLINE __u64 answer_sum(void *message, void *end)
{
	__u64 sum = 0;

	for (__u32 i = 0; i < (sizeof(struct icmp_header) + QUOTE) / 2; i++) {
		__u16 *word = message + i * 2;

		if ((void *)(word + 1) > end)
			break;
		sum += *word;
	}
	return sum;
}

/* Answers with an ICMP error that quotes the packet, from source. */
INLINE int answer_error(frame *frame, const struct facts *f, const struct address *source,
			__u8 type, __u8 code, __u32 rest, bool v6)
{
	const __u32 l3_size = v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	const __u32 front = l3_size + sizeof(struct icmp_header);
	const __u8 protocol = v6 ? IPPROTO_ICMPV6_ : IPPROTO_ICMP;
	__u32 quote = f->ip_length < QUOTE ? f->ip_length & ~1u : QUOTE;
	__u32 payload = sizeof(struct icmp_header) + quote;
	struct ethhdr *eth = frame_data(frame), asked;
	struct icmp_header *icmp;
	__u64 sum;
	void *data;

	if ((void *)(eth + 1) > frame_end(frame))
		return VERDICT_DROP;
	asked = *eth;
	if (!edit_reshape(frame, front, ETH_HLEN + front + quote))
		return VERDICT_DROP;
	data = frame_data(frame);
	if (data + ETH_HLEN + front > frame_end(frame))
		return VERDICT_DROP;
	answer_ethernet(data, &asked);
	answer_ip(data + ETH_HLEN, source, &f->ends.source, protocol, payload, v6);
	icmp = data + ETH_HLEN + l3_size;
	icmp->type = type;
	icmp->code = code;
	icmp->checksum = 0;
	icmp->rest = bpf_htonl(rest);
	sum = answer_sum(icmp, frame_end(frame));
	if (v6)
		sum += csum_pseudo(source, &f->ends.source, protocol, payload, true);
	icmp->checksum = ~csum_fold(sum);
	return frame_return(frame, leg_of(f->leg), f->ifindex);
}

enum answer {
	ANSWER_EMPTY,
	ANSWER_MIDSTREAM,
	ANSWER_RESET,
	ANSWER_TTL,
	ANSWER_MTU,
	ANSWER_UNREACHABLE,
	ANSWER_PROHIBITED,
};

/* Type, code and rest of the ICMP error for an answer. */
INLINE int answer_icmp(frame *frame, const struct facts *f, __u32 answer, __u32 mtu, bool v6)
{
	struct address source = f->ends.destination;
	const struct leg *leg = leg_of(f->leg);
	__u8 type = v6 ? ICMP6_UNREACHABLE : ICMP4_UNREACHABLE;
	__u8 code = v6 ? 0 : 1; /* no route; host unreachable */
	__u32 rest = 0;

	/* A port is unreachable where it was sought; the rest the router says. */
	if (answer == ANSWER_EMPTY) {
		code = v6 ? 4 : 3;
	} else if (leg && v6) {
		if (leg->own6.words[0])
			source = leg->own6;
	} else if (leg && leg->own4) {
		source.words[0] = leg->own4;
	}
	if (answer == ANSWER_TTL) {
		type = v6 ? ICMP6_TIME_EXCEEDED : ICMP4_TIME_EXCEEDED;
		code = 0;
	} else if (answer == ANSWER_MTU) {
		type = v6 ? ICMP6_TOO_BIG : ICMP4_UNREACHABLE;
		code = v6 ? 0 : 4;
		rest = mtu;
	} else if (answer == ANSWER_PROHIBITED) {
		code = v6 ? 1 : 13;
	}
	return answer_error(frame, f, &source, type, code, rest, v6);
}

INLINE void answer_count(struct reasons *reasons, __u32 what)
{
	switch (what) {
	case ANSWER_EMPTY:
		reasons->answer_empty++;
		break;
	case ANSWER_MIDSTREAM:
		reasons->answer_midstream++;
		break;
	case ANSWER_RESET:
		reasons->answer_reset++;
		break;
	case ANSWER_TTL:
		reasons->answer_ttl++;
		break;
	case ANSWER_MTU:
		reasons->answer_mtu++;
		break;
	default:
		reasons->answer_unreachable++;
	}
}

/* Never an error about an error (RFC 1122 section 3.2.2), nor a reset of one:
 * only packets with ports come here. */
INLINE int answer_with(frame *frame, const struct facts *f, __u32 what, __u32 mtu, bool v6)
{
	bool reset = f->ends.protocol == IPPROTO_TCP && what <= ANSWER_RESET;
	struct hook *hook = hook_of(HOOK);
	struct reasons *reasons;
	int verdict;

	if (!hook)
		return VERDICT_DROP;
	reasons = &hook->reasons;
	if (reset && f->tcp_flags & TCP_RST) { /* never answered */
		reasons->drop_closed++;
		return VERDICT_DROP;
	}
	if (frame_is_partial(frame, f, v6)) {
		reasons->drop_answer_partial++;
		return VERDICT_DROP;
	}
	if (!answer_allowed(f)) {
		reasons->drop_answer_limit++;
		return VERDICT_DROP;
	}
	verdict = reset ? answer_reset(frame, f, v6) : answer_icmp(frame, f, what, mtu, v6);
	if (verdict == VERDICT_DROP)
		reasons->drop_internal++;
	else
		answer_count(reasons, what);
	return verdict;
}

GLOBAL int answer4(frame *frame, const struct facts *f, __u32 what, __u32 mtu)
{
	return f ? answer_with(frame, f, what, mtu, false) : VERDICT_DROP;
}

GLOBAL int answer6(frame *frame, const struct facts *f, __u32 what, __u32 mtu)
{
	return f ? answer_with(frame, f, what, mtu, true) : VERDICT_DROP;
}

/* Makes the answer out of the packet; the verdict. Pointers into it are void. */
INLINE int answer(frame *frame, const struct facts *f, enum answer what, __u32 mtu, bool v6)
{
	return v6 ? answer6(frame, f, what, mtu) : answer4(frame, f, what, mtu);
}
