/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counting: every CPU has its own, so plain additions do. */
#pragma once

#include "maps.h"

#define INLINE static __always_inline
/* Slow paths, kept out of the fast path's instructions and the verifier's
 * product of branches. Never called under a lock: 6.1 refuses calls there. */
#define SLOW static __attribute__((noinline))

/* Functions that the verifier checks once, by themselves, whoever calls them. They
 * take and return numbers and plain memory only. */
#define GLOBAL __attribute__((noinline))

#define COUNT(p, reason)                                   \
	do {                                               \
		if ((p)->reasons)                          \
			(p)->reasons->reason++;            \
	} while (0)

INLINE struct reasons *reasons_of(__u32 hook)
{
	return bpf_map_lookup_elem(&reasons_by_hook, &hook);
}
