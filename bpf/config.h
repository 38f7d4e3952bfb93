/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Constants that Go sets before the load. The verifier knows their values and
 * removes what they make unreachable.
 */
#pragma once

#include "abi.h"

/* Secrets of the bucket hash, made once and pinned beside the table. */
const volatile __u64 hash_secret[2];

/* Pages of each flow table less one: a power of two less one. */
const volatile __u32 flow4_page_mask;
const volatile __u32 flow6_page_mask;

/* Flows still come over from the tables before, which have these masks (before.h). */
const volatile bool upgrading;
const volatile __u32 before4_page_mask;
const volatile __u32 before6_page_mask;

/* ICMP errors and RSTs that one CPU may send per tick (1.07 s). */
const volatile __u32 answers_per_tick = 1000;

/* The program handles multi-buffer packets (xdp.frags). */
const volatile bool frags;

/*
 * The program only says what it would do (trace.h). It reads the live tables and
 * writes nothing to them: not to the flows, whose turn it is, and when an insert
 * failed. The other maps that it writes are copies of its own.
 */
const volatile bool dry_run;
