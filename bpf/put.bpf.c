// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Puts a batch of flows into the table. Go runs it; it is attached nowhere. A TC
 * program, for those may take locks. */
#include "abi.h"
#include "maps.h"
#include "put.h"

/* The batch; the first that is not used ends it. Go and program write. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOW_PUTS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct flow_put);
} puts SEC(".maps");

SEC("tc")
int tarpon_put(struct __sk_buff *frame)
{
	for (__u32 i = 0; i < FLOW_PUTS; i++) {
		__u32 index = i;
		struct flow_put *put = bpf_map_lookup_elem(&puts, &index);

		if (!put || !put->used)
			break;
		put->result = put->v6 ? put_flow6(put) : put_flow4(put);
	}
	return 0;
}

char program_license[] SEC("license") = "Dual BSD/GPL";
