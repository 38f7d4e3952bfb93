/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Internet checksums (RFC 1071) and their incremental update (RFC 1624, eqn. 3:
 * HC' = ~(~HC + ~m + m')). Sums are of 16-bit words as they lie in memory; the
 * ones' complement sum does not care about byte order.
 */
#pragma once

#include <bpf/bpf_endian.h>
#include "count.h"

INLINE __u16 csum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* The difference that replacing a word makes, to be added up and applied. */
INLINE __u64 csum_change16(__u16 from, __u16 to)
{
	return (__u64)(__u16)~from + to;
}

INLINE __u64 csum_change32(__u32 from, __u32 to)
{
	return (__u64)(__u32)~from + to;
}

INLINE __u64 csum_change_address(const struct address *from, const struct address *to, bool v6)
{
	__u64 sum = csum_change32(from->words[0], to->words[0]);

	if (v6) {
		sum += csum_change32(from->words[1], to->words[1]);
		sum += csum_change32(from->words[2], to->words[2]);
		sum += csum_change32(from->words[3], to->words[3]);
	}
	return sum;
}

INLINE __sum16 csum_apply(__sum16 checksum, __u64 change)
{
	return ~csum_fold((__u64)(__u16)~checksum + change);
}

INLINE __u64 csum_address(const struct address *address, bool v6)
{
	__u64 sum = address->words[0];

	if (v6) {
		sum += address->words[1];
		sum += address->words[2];
		sum += address->words[3];
	}
	return sum;
}

/* Of the pseudo header: RFC 9293 section 3.1, RFC 8200 section 8.1. */
INLINE __u64 csum_pseudo(const struct address *source, const struct address *destination,
			 __u8 protocol, __u32 length, bool v6)
{
	return csum_address(source, v6) + csum_address(destination, v6) + bpf_htons(protocol) +
	       bpf_htonl(length);
}
