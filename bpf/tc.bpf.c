// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The same for skbs: where XDP is not to be had, and what it handed over. */
#define HOOK_IS_TC_PROGRAM 1
#include "abi.h"
#include "maps.h"
#include "edit_tc.h"
#include "tarpon.h"

SEC("tc")
int tarpon_tc(struct __sk_buff *frame)
{
	return process(frame);
}

char program_license[] SEC("license") = "Dual BSD/GPL";
