/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How the TC program reads and writes its packet; edit_xdp.h is the same
 * interface for a frame. An skb may hold several segments, its checksum may be
 * only begun (then a plain write of it would break the packet), and its VLAN tag
 * is beside it.
 */
#pragma once

#include "csum.h"
#include "parse.h"

typedef struct __sk_buff frame;

#define HOOK 1
#define HOOK_IS_TC true
#define TC_ACT_UNSPEC (-1) /* the next program, or on to the stack; TCX_NEXT */
#define TC_ACT_SHOT 2
#define VERDICT_PASS TC_ACT_UNSPEC
#define VERDICT_DROP TC_ACT_SHOT

/* Headers that must be in the linear part: Ethernet, 40 + extensions, TCP, and
 * what an ICMP error quotes. */
#define LINEAR 256

INLINE bool frame_open(frame *frame, struct packet *p)
{
	void *data = (void *)(long)frame->data;
	__u32 want = frame->len < LINEAR ? frame->len : LINEAR;

	if (data + want > (void *)(long)frame->data_end) {
		if (bpf_skb_pull_data(frame, want))
			return false;
		data = (void *)(long)frame->data;
	}
	p->end = (void *)(long)frame->data_end;
	p->eth = data;
	p->l3 = p->l4 = p->eth + 1; /* a packet pointer on every path */
	p->facts->ifindex = frame->ifindex;
	p->facts->length = frame->len;
	p->facts->segments = frame->gso_segs ? frame->gso_segs : 1;
	return p->l3 <= p->end;
}

INLINE void *frame_data(frame *frame)
{
	return (void *)(long)frame->data;
}

INLINE void *frame_end(frame *frame)
{
	return (void *)(long)frame->data_end;
}

INLINE __u32 frame_vlan(frame *frame)
{
	return frame->vlan_present ? frame->vlan_tci & 0xfff : 0;
}

#define PACKET_HOST 0

INLINE bool frame_is_for(const struct packet *p, frame *frame, const __u8 *mac)
{
	return frame->pkt_type == PACKET_HOST;
}

INLINE __u32 frame_segment(frame *frame, const struct packet *p)
{
	struct tcphdr *tcp = p->l4;

	if (!frame->gso_size)
		return p->facts->ip_length;
	if (p->facts->ends.protocol != IPPROTO_TCP || (void *)(tcp + 1) > p->end)
		return frame->gso_size + p->facts->l4_offset - ETH_HLEN + sizeof(struct udphdr);
	return frame->gso_size + p->facts->l4_offset - ETH_HLEN + tcp->doff * 4;
}

/* A checksum that is only begun is the pseudo header's sum, not inverted. */
INLINE bool frame_is_partial(frame *frame, const struct facts *f, bool v6)
{
	__u32 offset = f->ends.protocol == IPPROTO_UDP ? 6 : 16;
	__sum16 *check = frame_data(frame) + (f->l4_offset & OFFSET_MASK) + offset;

	if ((void *)(check + 1) > frame_end(frame))
		return false;
	return *check ==
	       csum_fold(csum_pseudo(&f->ends.source, &f->ends.destination, f->ends.protocol,
				     f->ip_length + ETH_HLEN - f->l4_offset, v6));
}

/* Pointers into the packet are void after these. */
INLINE void edit_checksum(frame *frame, struct packet *p, __sum16 *check, __u64 addresses,
			  __u64 segment)
{
	bool udp = p->facts->ends.protocol == IPPROTO_UDP;
	__u32 offset = p->facts->l4_offset + (udp ? 6 : 16);
	__u64 flags = udp ? BPF_F_MARK_MANGLED_0 : 0;

	bpf_l4_csum_replace(frame, offset, 0, csum_fold(addresses), flags | BPF_F_PSEUDO_HDR);
	if (segment)
		bpf_l4_csum_replace(frame, offset, 0, csum_fold(segment), flags);
}

INLINE void edit_icmp_checksum(frame *frame, struct packet *p, struct icmp_header *icmp,
			       __u64 message, __u64 addresses)
{
	__u32 offset = p->facts->l4_offset + __builtin_offsetof(struct icmp_header, checksum);

	if (addresses)
		bpf_l4_csum_replace(frame, offset, 0, csum_fold(addresses), BPF_F_PSEUDO_HDR);
	bpf_l4_csum_replace(frame, offset, 0, csum_fold(message), 0);
}

INLINE bool edit_reshape(frame *frame, __u32 front, __u32 length)
{
	if (front && bpf_skb_change_head(frame, front, 0))
		return false;
	return !bpf_skb_change_tail(frame, length, 0);
}

INLINE int frame_redirect(frame *frame, __u32 ifindex)
{
	return bpf_redirect(ifindex, 0);
}

INLINE int frame_return(frame *frame, const struct leg *leg, __u32 ifindex)
{
	return bpf_redirect(ifindex, 0);
}
