/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a program knows of the packet in hand. It lies beside the counters of its
 * CPU, not on the stack: 512 bytes do not hold it, and functions that the verifier
 * checks by themselves (GLOBAL) can take it. A CPU has one packet in hand per
 * hook: both run with softirqs off. Nothing here outlives the packet.
 */
#pragma once

#include "abi.h"

/* The two ends of a packet. */
struct ends {
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
};

/* Bounds l4_offset for the verifier. */
#define OFFSET_MASK 0x7ff

/* What is known of a packet, without a pointer in it: functions that the verifier
 * checks by themselves can take it. */
struct facts {
	struct ends ends;
	__u32 now;     /* ticks of 2^30 ns, 24 bits */
	__u32 ifindex; /* where it came in */
	__u32 leg;
	__u32 length; /* of the frame; in TC more may be behind packet.end */
	__u32 ip_length;
	__u32 segments; /* more than one only in TC */
	__u16 l4_offset;
	__u8 kind;
	__u8 tcp_flags; /* as it leaves: RST is added where a flow is cut */
	__u8 hops;	/* TTL or hop limit */
	bool out;	/* towards the client: a real's, that answers */
};

/* A key and its place. */
struct flow_key {
	__u64 word;	  /* with vip id 0 for a look-up by client */
	__u64 address[2]; /* IPv6 */
	__u32 page;
	__u16 first; /* bucket numbers in the page */
	__u16 second;
	__be16 vip_port; /* 0 unless the vip is any-port */
	__u16 swap;	 /* of slot numbers in a bucket: see flow_slot() */
};

/* A wish and, after, what came of it. */
struct insert {
	struct flow_key key;
	struct flow_key other; /* room for looking up the client's other flows */
	__u64 value;	       /* to be written */
	__u64 found;	       /* what is in the entry now */
	/* Sum of the backends that this client's flows to other vips have, as seen
	 * when none was found to collide: compared under the lock. */
	__u64 neighbours;
	__u32 now;
	__u32 at;      /* the entry: its offset in the page, or FLOW_NOWHERE */
	__u32 created; /* a connection begins */
	/* What happened besides. */
	__u32 moved;
	__u32 evicted;
};

struct egress {
	__u32 ifindex;
	__u32 mtu;
	__u8 source[6];
	__u8 destination[6];
	struct bpf_redir_neigh neighbour; /* for ROUTE_KERNEL; family 0: route again */
};

struct scratch {
	struct facts facts;
	struct ends quoted; /* of the packet that an ICMP error quotes */
	struct insert insert;
	struct egress egress;
};

/* What a hook has on every CPU. */
struct hook {
	struct reasons reasons;
	struct scratch scratch;
};
