/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a dry run found on its way, for people who ask why. Live programs have
 * dry_run false, and the verifier removes what would write here.
 */
#pragma once

#include "config.h"
#include "count.h"

/* A place of a schedule that was tried. */
struct attempt {
	__u32 backend;
	__s32 refused; /* enum refused; 0: the client can use it */
};

#define ATTEMPTS 16

struct trace {
	__u64 schedule; /* the vip's word; 0: not asked */
	__u64 flow;	/* value of the entry that the packet's flow had; 0: none */
	__u32 vip;
	__u32 place; /* in the schedule */
	__u32 tried;
	__u32 backend;	/* that the packet was routed for; 0: it did not get so far */
	__u32 route;	/* enum route, if it did */
	__u32 fib_used; /* the FIB was asked: no next hop was at hand */
	__s32 fib;	/* its answer: BPF_FIB_LKUP_RET_*, or an error */
	__u32 pad;
	struct attempt attempts[ATTEMPTS];
};

/* Not in a map of maps.h: every load of a program has its own. */
struct trace traced;

#define TRACE(field, found)                                                                    \
	do {                                                                                   \
		if (dry_run)                                                                   \
			traced.field = (found);                                                \
	} while (0)

INLINE void trace_attempt(__u32 backend, int result)
{
	struct attempt *attempt;

	if (!dry_run)
		return;
	attempt = &traced.attempts[traced.tried++ & (ATTEMPTS - 1)];
	attempt->backend = backend;
	attempt->refused = result > 0 ? 0 : result;
}
