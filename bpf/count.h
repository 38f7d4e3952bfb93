/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counting: every CPU has its own, so plain additions do. */
#pragma once

#include "maps.h"

#define INLINE static __always_inline

/* Functions that the verifier checks once, by themselves, whoever calls them. They
 * take and return numbers and plain memory only, and their callers keep no pointer
 * into the packet over one that edits it. */
#define GLOBAL __attribute__((noinline))

#define COUNT(p, reason) ((p)->reasons->reason++)

INLINE struct hook *hook_of(__u32 hook)
{
	return bpf_map_lookup_elem(&hooks, &hook);
}
