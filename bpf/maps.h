/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The maps. "Go" is tarpond, "program" both the XDP and the TC program. All of
 * them are pinned by name; sizes that depend on the configuration are set by Go
 * before creation.
 */
#pragma once

#include <bpf/bpf_helpers.h>
#include "scratch.h"

#define MAX_VIPS 65536
#define MAX_BACKENDS 65536
#define MAX_LEGS 64
#define LEG_INDICES 4096
#define FLOW_LOCKS 1024

/* Address -> enum address_use. Go writes, program reads. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_BACKENDS + MAX_VIPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __be32);
	__type(value, __u32);
} addresses4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_BACKENDS + MAX_VIPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct address6);
	__type(value, __u32);
} addresses6 SEC(".maps");

/* Vip's address, port, protocol -> vip id. Go writes, program reads. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_VIPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct name4);
	__type(value, __u32);
} names4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_VIPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct name6);
	__type(value, __u32);
} names6 SEC(".maps");

/* Real's address, port, protocol -> its only backend, 0 if it has several.
 * For replies without a flow. Go writes, program reads. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_BACKENDS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct name4);
	__type(value, __u32);
} reals4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_BACKENDS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct name6);
	__type(value, __u32);
} reals6 SEC(".maps");

/* By vip id; 0 is nobody. Go writes (mapped), program reads. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_VIPS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct vip);
} vips SEC(".maps");

/* By backend id; 0 is nobody. Go writes (mapped), program reads. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_BACKENDS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct backend);
} backends SEC(".maps");

/* Lines of all schedules; vip.schedule says which are whose. Go writes free
 * lines (mapped), then swaps the word; lines are reused a second later. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << 18);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct schedule_line);
} schedules SEC(".maps");

/* Whose turn it is, by vip id. Program writes (atomic add). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_VIPS);
	__type(key, __u32);
	__type(value, __u64);
} turns SEC(".maps");

/* Interface and VLAN -> leg id. Go writes, program reads. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_LEGS);
	__type(key, struct leg_key);
	__type(value, __u32);
} leg_ids SEC(".maps");

/* The same for untagged interfaces with a small index, which most are: an array is
 * looked up in two instructions, a hash in forty. 0: no leg. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LEG_INDICES);
	__type(key, __u32);
	__type(value, __u32);
} leg_of_index SEC(".maps");

/* By leg id. Go writes (mapped), program reads. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_LEGS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct leg);
} legs SEC(".maps");

/* Flow tables: pages of buckets of slots (flow.h). Program and Go write, both
 * by compare-and-swap. Sized by Go. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct flow_page);
} flows4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct flow_page);
} flows6 SEC(".maps");

/* The tables that flows come over from, while they do; else the same as flows4/6.
 * The program before and this one write. Pinned as that one's. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct flow_page);
} before4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct flow_page);
} before6 SEC(".maps");

/* Locks of the pages, striped by page number: a map with a lock cannot be
 * mapped, so they are not in the pages. Program only. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOW_LOCKS);
	__type(key, __u32);
	__type(value, struct flow_lock);
} locks4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOW_LOCKS);
	__type(key, __u32);
	__type(value, struct flow_lock);
} locks6 SEC(".maps");

/* One byte a page, 64 pages an element: 1 after a write to the page. Program
 * sets, Go exchanges it with 0 before it reads the page. Sized by Go. */
struct dirty_line {
	__u8 pages[64];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct dirty_line);
} dirty4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct dirty_line);
} dirty6 SEC(".maps");

/* What an insert must know of all vips, and when one last failed. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct insert_limits);
} limits SEC(".maps");

/* Element 0 is the XDP program's, 1 the TC program's. Program writes, Go reads the
 * reasons. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct hook);
} hooks SEC(".maps");

/* By backend id. Program writes, Go reads. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_BACKENDS);
	__type(key, __u32);
	__type(value, struct traffic);
} traffic_of SEC(".maps");

/* Program only. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct allowance);
} allowances SEC(".maps");

/* Who sends flows' packets to us although another router is active. */
struct stray {
	struct address address; /* vip that they are for; 0: a real's, to clients */
	__u8 mac[6];
	__u8 leg;
	__u8 v6;
};

/* How many packets. Program writes, Go reads and empties. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct stray);
	__type(value, __u64);
} strays SEC(".maps");

/* ---- the lease: see lease.bpf.c ---- */

/* Until when this router may speak for the addresses in held4/6. */
struct lease {
	__u64 until; /* ns, CLOCK_BOOTTIME; 0: nobody said, so it may */
};

#define LEASE_OPEN 0x7fffffffffffffff /* never ends */

/* Go writes (mapped, whole words), program reads. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct lease);
} lease SEC(".maps");

/* A set of addresses; values say nothing. Go writes, program reads. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_VIPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __be32);
	__type(value, __u8);
} held4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_VIPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct address6);
	__type(value, __u8);
} held6 SEC(".maps");

/* What the lease kept from leaving: reasons, as in struct reasons. */
struct silenced {
	__u64 drop_lease_arp;	    /* ARP from a held address */
	__u64 drop_lease_neighbour; /* neighbour discovery from or about one */
};

/* Program writes, Go reads. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct silenced);
} silence SEC(".maps");
