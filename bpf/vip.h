/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whose packet is it: names to ids. */
#pragma once

#include "maps.h"
#include "parse.h"

/* What an address is: 0, or an or of enum address_use. Looked up by a copy: as a key
 * 6.1 takes memory of a map or the stack, but not a GLOBAL function's argument. */
INLINE __u32 address_use(const struct address *address, bool v6)
{
	struct address key = *address;
	__u32 *use = v6 ? bpf_map_lookup_elem(&addresses6, &key)
			: bpf_map_lookup_elem(&addresses4, &key.words[0]);

	return use ? *use : 0;
}

INLINE __u32 *name_of(const struct address *address, __be16 port, __u8 protocol, bool vip,
		      bool v6)
{
	if (v6) {
		struct name6 name = {.address = *address, .port = port, .protocol = protocol};

		return vip ? bpf_map_lookup_elem(&names6, &name)
			   : bpf_map_lookup_elem(&reals6, &name);
	} else {
		struct name4 name = {
		    .address = address->words[0], .port = port, .protocol = protocol};

		return vip ? bpf_map_lookup_elem(&names4, &name)
			   : bpf_map_lookup_elem(&reals4, &name);
	}
}

/* The vip at an address that has some; all tells whether it has every port. 0:
 * none. */
INLINE __u32 vip_at(const struct address *address, __be16 port, __u8 protocol, __u32 use,
		    __u32 *all, bool v6)
{
	__u32 *id = name_of(address, port, protocol, true, v6);

	*all = false;
	if (id || !(use & ADDRESS_VIP_ANY_PORT))
		return id ? *id : 0;
	id = name_of(address, 0, protocol, true, v6);
	*all = true;
	return id ? *id : 0;
}

INLINE struct vip *vip_of(__u32 id)
{
	return bpf_map_lookup_elem(&vips, &id);
}

INLINE struct leg *leg_of(__u32 id)
{
	return bpf_map_lookup_elem(&legs, &id);
}

INLINE struct leg *leg_at(__u32 ifindex, __u32 vlan, __u32 *id)
{
	__u32 *found;

	if (!vlan && ifindex < LEG_INDICES) {
		found = bpf_map_lookup_elem(&leg_of_index, &ifindex);
	} else {
		struct leg_key key = {.ifindex = ifindex, .vlan = vlan};

		found = bpf_map_lookup_elem(&leg_ids, &key);
	}
	if (!found || !*found)
		return NULL;
	*id = *found;
	return leg_of(*found);
}

INLINE bool in_prefix6(const struct address *address, const struct prefix6 *prefix)
{
#pragma unroll
	for (int i = 0; i < 4; i++) {
		if ((address->words[i] ^ prefix->address.words[i]) & prefix->mask.words[i])
			return false;
	}
	return true;
}

/* Whether two addresses have the same first bits, at least one. */
INLINE bool same_network(const struct address *a, const struct address *b, __u8 bits, bool v6)
{
	const address_half *x = (void *)a, *y = (void *)b;
	__u64 high, low;

	if (!v6)
		return !((__u64)bpf_ntohl(a->words[0] ^ b->words[0]) >> (32 - bits));
	high = bpf_be64_to_cpu(x[0] ^ y[0]);
	low = bpf_be64_to_cpu(x[1] ^ y[1]);
	return bits <= 64 ? !(high >> (64 - bits)) : !high && !(low >> (128 - bits));
}

INLINE bool in_prefix4(const struct address *address, const struct prefix4 *prefix)
{
	return !((address->words[0] ^ prefix->address) & prefix->mask);
}
