/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the programs and the daemon must agree on: the layouts of map values
 * and the numbers in them. Go gets these types through BTF. Addresses and ports
 * are in network byte order, everything else in host byte order. A change of
 * any layout here changes ABI_VERSION, but for padding that is given a meaning which 0
 * does not change.
 */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>

#define bool _Bool
#define true 1
#define false 0

#define ABI_VERSION 1

/* An IPv4 address is in words[0]; the rest is zero then. Aligned, for two loads. */
struct address {
	__be32 words[4];
} __attribute__((aligned(8)));

/* Half an IPv6 address, wherever it lies: both architectures load unaligned. */
typedef __u64 __attribute__((may_alias)) address_half;

/* ---- names: hash maps' keys ---- */

struct name4 {
	__be32 address;
	__be16 port; /* 0: every port */
	__u8 protocol;
	__u8 pad;
};

struct name6 {
	struct address address;
	__be16 port;
	__u8 protocol;
	__u8 pad[5];
};

struct address6 {
	struct address address;
};

/* What an address is, before any port is looked at (values of addresses4/6). */
enum address_use {
	ADDRESS_VIP = 1 << 0,
	ADDRESS_VIP_ANY_PORT = 1 << 1,
	ADDRESS_REAL = 1 << 2,
	ADDRESS_REAL_ANY_PORT = 1 << 3,
	ADDRESS_VIPS = ADDRESS_VIP | ADDRESS_VIP_ANY_PORT,
	ADDRESS_REALS = ADDRESS_REAL | ADDRESS_REAL_ANY_PORT,
};

struct leg_key {
	__u32 ifindex;
	__u32 vlan; /* 0: untagged */
};

/* ---- arrays ---- */

/*
 * Where frames to one neighbour go. Go writes it in place while packets read
 * it: sequence is 0 while it is invalid, else even and different after every
 * change; a reader takes it only if sequence was the same before and after.
 */
struct hop {
	__u32 sequence;
	__u32 ifindex;
	__u8 source[6];
	__u8 destination[6];
	__u16 mtu;
	/* Of a backend's: bits of the network that its real and we are on, which its
	 * neighbours share; 0: it is behind a gateway. Holds whatever sequence is. */
	__u8 on_link;
	__u8 pad;
};

enum vip_flag {
	VIP_DROP_EMPTY = 1 << 0,       /* no usable real: drop, do not answer */
	VIP_REJECT_MIDSTREAM = 1 << 1, /* TCP in mid-stream without a flow: RST */
	VIP_ANY_PORT = 1 << 2,
	VIP_IPV6 = 1 << 3,
};

enum schedule_kind {
	SCHEDULE_BY_HASH = 1,
	SCHEDULE_BY_TURN = 2,
};

/* A vip's record: one cache line, read only on a flow's first packet. */
struct vip {
	__u64 schedule; /* first line | slots << 32 | kind << 56; swapped whole */
	struct address address;
	__be16 port;
	__u8 protocol;
	__u8 flags;
	__u16 timeouts[6]; /* ticks, by enum timeout */
	__u32 seconds[6];  /* the same, as the daemon was told; it reads them back */
};

enum backend_flag {
	BACKEND_DOWN = 1 << 0,	  /* failed by its check */
	BACKEND_RESET = 1 << 1,	  /* its TCP flows are reset */
	BACKEND_REMOVED = 1 << 2, /* only its flows remember it */
	BACKEND_IPV6 = 1 << 3,
};

/*
 * A (vip, real) pair: one cache line, read for every packet of a flow. What the
 * id means never changes while a flow has it; flags and hop do.
 */
struct backend {
	struct address real;
	struct address vip;
	__be16 real_port; /* 0 on an any-port vip: the packet's own */
	__be16 vip_port;
	__u16 vip_id;
	__u8 protocol;
	__u8 flags;
	struct hop hop;
};

/* 32 backends of a schedule. */
struct schedule_line {
	__u16 backends[32];
};

enum leg_role {
	LEG_OUTSIDE = 1,
	LEG_INSIDE = 2, /* both: 3 */
};

#define LEG_PREFIXES 8

struct prefix4 {
	__be32 address;
	__be32 mask;
};

struct prefix6 {
	struct address address;
	struct address mask;
};

/*
 * A leg of the router. The default hops are valid when a reply to a client
 * outside of every connected prefix (which has another route) can only go there.
 */
struct leg {
	__u8 mac[6];
	__u8 role;
	__u8 redirects; /* XDP may redirect to this device */
	__be32 own4;	/* source of ICMP that we answer with; 0: none */
	__u8 watched;	/* another router is active: strays are counted */
	__u8 pad[3];
	struct hop default4;
	struct hop default6;
	__u32 connected4_count;
	__u32 connected6_count;
	struct prefix4 connected4[LEG_PREFIXES];
	struct prefix6 connected6[LEG_PREFIXES];
	struct address own6; /* likewise; words[0] 0: none */
};

/* ---- flows: see flow.h for the protocol ---- */

#define FLOW_SLOTS 4
#define FLOW_PAGE 4096

struct flow_page {
	__u8 bytes[FLOW_PAGE];
};

/* Who else is asked when a page changes: one lock for several pages. */
struct flow_lock {
	struct bpf_spin_lock lock;
	__u8 pad[60];
};

enum flow_state {
	FLOW_NONE = 0,
	FLOW_GONE,	/* ended; its slot is given back by the sweeper */
	FLOW_HANDSHAKE, /* client's SYN, or mid-stream: no answer yet */
	FLOW_ANSWERED,	/* real's SYN|ACK */
	FLOW_ESTABLISHED,
	FLOW_FIN_CLIENT,
	FLOW_FIN_REAL,
	FLOW_CLOSED, /* both FINs, or RST */
	FLOW_UDP_UNREPLIED,
	FLOW_UDP,
	FLOW_STATES,
};

enum flow_flag {
	FLOW_CHANGED = 1 << 4,	  /* state changed since replication copied it */
	FLOW_SENT = 1 << 5,	  /* the other router has it */
	FLOW_GENERATION = 1 << 6, /* toggled when a SYN opens the entry again */
	FLOW_BROUGHT = 1 << 7,	  /* in tables that flows come over from: it has */
};

/* A flow that comes from elsewhere: see put.h. Go fills it, the program answers. */
struct flow_put {
	struct address client;
	__u64 value;  /* as in a slot; after: what the entry has */
	__u64 before; /* after: what the entry had; 0: there was none */
	__be16 client_port;
	__u8 v6;
	__u8 used; /* 0 ends a batch */
	__u16 result;
	__u8 evicted; /* another flow gave way */
	__u8 brought; /* was here before: if it is no more, it has ended */
};

/* How many go in one batch: some 20 us, in which a CPU does nothing else. */
#define FLOW_PUTS 128

enum put_result {
	PUT_INSERTED,
	PUT_MERGED,  /* with the entry that was there */
	PUT_KEPT,    /* the entry that is there says as much or more */
	PUT_FULL,    /* no slot */
	PUT_REFUSED, /* no such backend, or not one for this flow */
};

enum timeout {
	TIMEOUT_HANDSHAKE,
	TIMEOUT_ESTABLISHED,
	TIMEOUT_CLOSING,
	TIMEOUT_CLOSED,
	TIMEOUT_UDP,
	TIMEOUT_UDP_UNREPLIED,
	TIMEOUTS,
};

/* One record that programs write and read, and Go sets the first part of. */
struct insert_limits {
	__u16 longest[8]; /* ticks, by enum timeout: the longest of any vip */
	__u32 full4;	  /* tick at which an insert last had no slot but another flow's */
	__u32 full6;
	__u64 pad;
};

/* ---- counters: per CPU, sums are made in Go ---- */

struct traffic {
	__u64 packets_in; /* from clients to the real */
	__u64 bytes_in;	  /* lengths of IP packets */
	__u64 packets_out;
	__u64 bytes_out;
	__u64 connections;
};

/* Tokens of one CPU for packets that the program makes itself. */
struct allowance {
	__u64 tick;
	__u64 left;
};

/*
 * One counter per reason. A packet that a program ends moves exactly one of
 * pass_*, drop_*, answer_*, forward_* or to_tc; flow_* count what happened to the
 * flow table besides.
 */
struct reasons {
	/* passed to the kernel, unchanged */
	__u64 pass_not_ip;	/* ARP and everything that is neither IPv4 nor IPv6 */
	__u64 pass_neighbour;	/* neighbour discovery */
	__u64 pass_other_mac;	/* not for the leg's own MAC */
	__u64 pass_no_leg;	/* an interface or VLAN that is no leg */
	__u64 pass_not_ours;	/* neither a vip's nor a real's */
	__u64 pass_other_port;	/* a vip's address, but no vip's port or protocol */
	__u64 pass_echo;	/* ping and other ICMP to a vip's address */
	__u64 pass_real_itself; /* a real's own traffic */
	__u64 pass_local;	/* a real's packet to the router itself */

	__u64 to_tc; /* handed to the TC program to finish */

	/* translated and sent on */
	__u64 forward_in;	/* client to real */
	__u64 forward_out;	/* real to client */
	__u64 forward_icmp_in;	/* ICMP error about a flow, to the real */
	__u64 forward_icmp_out; /* ICMP error about a flow, to the client */

	/* answered by the program */
	__u64 answer_empty;	  /* no usable real: RST or port unreachable */
	__u64 answer_midstream;	  /* TCP without a flow that no schedule can find: RST */
	__u64 answer_reset;	  /* the flow's real was removed or failed: RST */
	__u64 answer_ttl;	  /* time exceeded */
	__u64 answer_mtu;	  /* fragmentation needed, packet too big */
	__u64 answer_unreachable; /* the route says unreachable or prohibited */

	/* dropped */
	__u64 drop_malformed;	    /* to a vip, not parsable */
	__u64 drop_fragment;	    /* fragments of balanced traffic: not supported yet */
	__u64 drop_unsupported;	    /* to a vip, of a kind not supported yet */
	__u64 drop_empty;	    /* no usable real, and the vip says drop */
	__u64 drop_martian;	    /* a client that says it is a vip */
	__u64 drop_self;	    /* the only usable real is the client itself */
	__u64 drop_needs_full_nat;  /* client on the real's own subnet */
	__u64 drop_tuple_taken;	    /* every real has this client port from another vip */
	__u64 drop_reply_ambiguous; /* reply without a flow, of a real with several vips */
	__u64 drop_icmp_no_flow;    /* ICMP error to a vip about nothing we know */
	__u64 drop_no_route;
	__u64 drop_blackhole;	   /* the route says so */
	__u64 drop_forwarding_off; /* net.*.conf.<leg>.forwarding is 0 */
	__u64 drop_answer_limit;   /* an answer was due, but too many were sent */
	__u64 drop_answer_partial; /* an answer was due to a half-made checksum */
	__u64 drop_closed;	   /* RST, or anything, of a flow already reset */
	__u64 drop_internal;	   /* cannot happen: report it */

	/* the flow table */
	__u64 flow_hit;
	__u64 flow_new;
	__u64 flow_again;   /* scheduled anew: SYN on a closing flow, or its real failed */
	__u64 flow_moved;   /* residents moved to their other bucket */
	__u64 flow_evicted; /* ended to make room */
	__u64 flow_full;    /* no slot: forwarded by the schedule alone */
	__u64 flow_reply_no_flow; /* reply translated without a flow */
	__u64 flow_state_lost;	  /* a state change lost against four others */
};

_Static_assert(sizeof(struct vip) == 64, "a vip is one cache line");
_Static_assert(sizeof(struct hop) == 24, "hop");
_Static_assert(sizeof(struct backend) == 64, "a backend is one cache line");
_Static_assert(sizeof(struct flow_lock) == 64, "locks do not share cache lines");
_Static_assert(sizeof(struct leg) % 8 == 0, "legs have no padding");
