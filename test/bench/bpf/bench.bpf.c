// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The bench's own programs: what makes frames, what counts them, and the two
 * ways of forwarding that everything else is compared with. One object per use:
 * the constants below are set before the load.
 */
#include <linux/if_ether.h>
#include <linux/in.h>
#include "client.h"

char _license[] SEC("license") = "Dual BSD/GPL";

/* Where the generator and the bare redirect send to. */
const volatile __u32 out_ifindex;

/* A frame is exactly this long: everything else is not the bench's. */
const volatile __u32 frame_length = FRAME4;
const volatile __u32 frame_protocol = IPPROTO_UDP;
/* Offset of the flow's number in the payload. */
const volatile __u32 number_offset = 42;

/* The generator's frame, with zeros where a flow's own values go. */
const volatile __u64 frame_template[FRAME6 / 8];
/* Sums of what the template has of the IP header, and of pseudo header and segment. */
const volatile __u32 ip_sum;
const volatile __u32 l4_sum;
const volatile __u32 flows = 1;
/* From real to client; else from client to vip. */
const volatile __u32 reply;
/* Flow 0, 1, 2 ...; else at random. */
const volatile __u32 ordered;
/* Last byte of the first real's address. */
const volatile __u32 real_base;

/* The sink notes which real each flow went to. */
volatile __u32 learning;

struct generated {
	__u64 frames;
	__u64 random;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct generated);
} generator SEC(".maps");

/*
 * What the sink saw. Every STAMP_EVERY frames it notes the time, so that a rate
 * is a difference of two stamps and user space need not be on time.
 */
#define STAMP_EVERY 4096
#define SAMPLE_EVERY 65536
#define SAMPLES 64

struct counted {
	__u64 frames;
	__u64 foreign;
	__u64 first_frames;
	__u64 first_ns;
	__u64 stamp_frames;
	__u64 stamp_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counted);
} sink SEC(".maps");

struct sample {
	__u8 frame[FRAME6];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SAMPLES);
	__type(key, __u32);
	__type(value, struct sample);
} samples SEC(".maps");

/* The real of every flow, eight flows an element: array elements are padded to
 * eight bytes, and the replies' generator should not take the caches. */
struct learned_line {
	__u8 real[8];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct learned_line);
} learned SEC(".maps");

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline __u32 next_flow(struct generated *g)
{
	if (ordered)
		return g->frames & CLIENT_FLOWS_MASK;
	if (flows == 1)
		return 0;
	/* Knuth's MMIX generator; its upper bits, scaled. */
	g->random = g->random * 6364136223846793005ull + 1442695040888963407ull;
	return ((g->random >> 32) * flows) >> 32;
}

static __always_inline __u32 real_of(__u32 flow)
{
	__u32 line = flow >> 3;
	struct learned_line *l = bpf_map_lookup_elem(&learned, &line);

	return l ? l->real[flow & 7] : 0;
}

#define AT(type, offset) (*(type *)(data + (offset)))

/* Ports, checksum and number of the segment at l4; sum has the addresses. */
static __always_inline void write_segment(void *data, __u32 l4, struct client *c, __u32 flow, __u64 sum)
{
	__u16 check;

	AT(__be16, l4 + (reply ? 2 : 0)) = c->port;
	sum += l4_sum + c->port + flow;
	check = fold(sum);
	if (frame_protocol == IPPROTO_TCP) {
		AT(__u16, l4 + 16) = check;
		AT(__u32, l4 + 20) = flow;
	} else {
		AT(__u16, l4 + 6) = check ? check : 0xffff;
		AT(__u32, l4 + 8) = flow;
	}
}

/*
 * The generators rewrite the whole header of every frame: a live-frame run
 * hands the same pages out again as the last subject left them.
 */
SEC("xdp")
int generate4(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 zero = 0, flow, real = 0;
	struct generated *g = bpf_map_lookup_elem(&generator, &zero);
	struct client c;

	if (!g || data + FRAME4 > end)
		return XDP_ABORTED;
#pragma unroll
	for (int i = 0; i < FRAME4 / 8; i++)
		AT(__u64, i * 8) = frame_template[i];
	flow = next_flow(g);
	g->frames++;
	client_of4(flow, &c);
	if (reply) {
		real = (real_base + real_of(flow)) << 8;
		AT(__u8, 29) = real >> 8;
		AT(__be32, 30) = c.address4;
	} else {
		AT(__be32, 26) = c.address4;
	}
	AT(__u16, 24) = fold((__u64)ip_sum + c.address4 + real);
	write_segment(data, 34, &c, flow, (__u64)c.address4 + real);
	return bpf_redirect(out_ifindex, 0);
}

SEC("xdp")
int generate6(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 zero = 0, flow, real = 0;
	struct generated *g = bpf_map_lookup_elem(&generator, &zero);
	struct client c;
	__u64 sum;

	if (!g || data + FRAME6 > end)
		return XDP_ABORTED;
#pragma unroll
	for (int i = 0; i < FRAME6 / 8; i++)
		AT(__u64, i * 8) = frame_template[i];
	flow = next_flow(g);
	g->frames++;
	client_of6(flow, &c);
	if (reply) {
		real = (real_base + real_of(flow)) << 8;
		AT(__u8, 37) = real >> 8;
		AT(__be64, 38) = c.network;
		AT(__be64, 46) = c.host;
	} else {
		AT(__be64, 22) = c.network;
		AT(__be64, 30) = c.host;
	}
	sum = (c.network & 0xffffffff) + (c.network >> 32) + (c.host & 0xffffffff) + (c.host >> 32);
	write_segment(data, 54, &c, flow, sum + real);
	return bpf_redirect(out_ifindex, 0);
}

static __always_inline bool is_ours(void *data, void *end)
{
	if (data + FRAME4 > end || end - data != frame_length)
		return false;
	if (frame_length == FRAME4)
		return AT(__be16, 12) == bpf_htons(ETH_P_IP) && AT(__u8, 23) == frame_protocol;
	return AT(__be16, 12) == bpf_htons(ETH_P_IPV6) && AT(__u8, 20) == frame_protocol;
}

static __always_inline void take_sample(__u64 frames, void *data, void *end)
{
	__u32 slot = frames / SAMPLE_EVERY % SAMPLES;
	struct sample *s = bpf_map_lookup_elem(&samples, &slot);

	if (!s)
		return;
	if (data + FRAME6 <= end)
		__builtin_memcpy(s->frame, data, FRAME6);
	else if (data + FRAME4 <= end)
		__builtin_memcpy(s->frame, data, FRAME4);
}

static __always_inline void learn(void *data, void *end)
{
	__u32 real_offset = frame_length == FRAME4 ? 33 : 53;
	struct learned_line *l;
	__u32 flow, line;

	if (frame_length == FRAME6 && data + FRAME6 > end)
		return;
	flow = AT(__u32, number_offset);
	line = flow >> 3;
	l = bpf_map_lookup_elem(&learned, &line);
	if (l)
		l->real[flow & 7] = AT(__u8, real_offset) - real_base;
}

/* Counts and drops the bench's frames; the rest (ARP, health checks) passes. */
SEC("xdp")
int count(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 zero = 0;
	struct counted *c = bpf_map_lookup_elem(&sink, &zero);

	if (!c)
		return XDP_ABORTED;
	if (!is_ours(data, end)) {
		c->foreign++;
		return XDP_PASS;
	}
	c->frames++;
	if (c->frames % STAMP_EVERY == 0) {
		c->stamp_frames = c->frames;
		c->stamp_ns = bpf_ktime_get_ns();
		if (!c->first_ns) {
			c->first_frames = c->frames;
			c->first_ns = c->stamp_ns;
		}
	}
	/* The first of a run, then one in SAMPLE_EVERY. */
	if (c->frames % SAMPLE_EVERY == 1)
		take_sample(c->frames, data, end);
	if (learning)
		learn(data, end);
	return XDP_DROP;
}

/* The limit: nothing but the redirect. */
SEC("xdp")
int redirect(struct xdp_md *ctx)
{
	return bpf_redirect(out_ifindex, 0);
}

/* So that a device's peer may redirect to it. */
SEC("xdp")
int pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}
