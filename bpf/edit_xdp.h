/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How the XDP program reads and writes its packet; edit_tc.h is the same
 * interface for an skb. Frames are whole and checksums complete here.
 */
#pragma once

#include "csum.h"
#include "config.h"
#include "parse.h"

typedef struct xdp_md frame;

#define HOOK 0
#define HOOK_IS_TC false
#define VERDICT_PASS XDP_PASS
#define VERDICT_DROP XDP_DROP

/* Sets what is known before parsing. False: not even an Ethernet header. */
INLINE bool frame_open(frame *frame, struct packet *p)
{
	void *data = (void *)(long)frame->data;

	p->end = (void *)(long)frame->data_end;
	p->eth = data;
	p->l3 = p->l4 = p->eth + 1; /* a packet pointer on every path */
	p->facts->ifindex = frame->ingress_ifindex;
	p->facts->length = frags ? bpf_xdp_get_buff_len(frame) : frame->data_end - frame->data;
	p->facts->segments = 1;
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
	return 0; /* tags are in the frame: it is not IP then */
}

INLINE bool frame_is_for(const struct packet *p, frame *frame, const __u8 *mac)
{
	const __u16 *a = (void *)p->eth->h_dest, *b = (void *)mac;

	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2];
}

/* The IP length of the longest packet that will leave. */
INLINE __u32 frame_segment(frame *frame, const struct packet *p)
{
	return p->facts->ip_length;
}

/* Whether the L4 checksum is only begun, for a device to finish. */
INLINE bool frame_is_partial(frame *frame, const struct facts *f, bool v6)
{
	return false;
}

/*
 * Adds the changes of addresses (in the pseudo header) and of the segment's own
 * words to the checksum at check. A UDP checksum of 0 is none and stays so; one that becomes 0
 * is sent as 0xffff (RFC 768).
 */
INLINE void edit_checksum(frame *frame, struct packet *p, __sum16 *check, __u64 addresses,
			  __u64 segment)
{
	bool udp = p->facts->ends.protocol == IPPROTO_UDP;

	if (udp && !*check)
		return;
	*check = csum_apply(*check, addresses + segment);
	if (udp && !*check)
		*check = 0xffff;
}

/* Adds changes in the ICMP message, and of addresses in IPv6's pseudo header. */
INLINE void edit_icmp_checksum(frame *frame, struct packet *p, struct icmp_header *icmp,
			       __u64 message, __u64 addresses)
{
	icmp->checksum = csum_apply(icmp->checksum, message + addresses);
}

/* Makes the frame longer by front bytes before its first, then cuts it to
 * length. Pointers into it are void after. */
INLINE bool edit_reshape(frame *frame, __u32 front, __u32 length)
{
	if (front && bpf_xdp_adjust_head(frame, -(int)front))
		return false;
	return !bpf_xdp_adjust_tail(frame, (int)length - (int)bpf_xdp_get_buff_len(frame));
}

INLINE int frame_redirect(frame *frame, __u32 ifindex)
{
	return bpf_redirect(ifindex, 0);
}

/* Back to where it came from. XDP_TX would do for all, but a veth leaves such
 * frames lying if its peer has no XDP program (seen in 6.18,
 * drivers/net/veth.c, veth_xdp_flush). */
INLINE int frame_return(frame *frame, const struct leg *leg, __u32 ifindex)
{
	return leg && leg->redirects ? bpf_redirect(ifindex, 0) : XDP_TX;
}
