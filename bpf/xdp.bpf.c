// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Frames of a leg at its driver: balance, or pass on to the kernel. */
#include "abi.h"
#include "maps.h"
#include "edit_xdp.h"
#include "tarpon.h"

SEC("xdp")
int tarpon_xdp(struct xdp_md *frame)
{
	return process(frame);
}

char program_license[] SEC("license") = "Dual BSD/GPL";
