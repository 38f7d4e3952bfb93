// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The plain router: look up the route, count the TTL down, redirect. What a
 * forwarder that translates nothing costs.
 */
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include "client.h"

char _license[] SEC("license") = "Dual BSD/GPL";

#define AF_INET 2
#define AF_INET6 10

static __always_inline int forward(struct xdp_md *ctx, struct ethhdr *eth, struct bpf_fib_lookup *fib)
{
	fib->ifindex = ctx->ingress_ifindex;
	if (bpf_fib_lookup(ctx, fib, sizeof(*fib), 0))
		return XDP_PASS;
	__builtin_memcpy(eth->h_dest, fib->dmac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, fib->smac, ETH_ALEN);
	return bpf_redirect(fib->ifindex, 0);
}

SEC("xdp")
int route4(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct bpf_fib_lookup fib = {.family = AF_INET};
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	__u32 check;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->ttl <= 1)
		return XDP_PASS;
	fib.tot_len = bpf_ntohs(ip->tot_len);
	fib.ipv4_src = ip->saddr;
	fib.ipv4_dst = ip->daddr;
	/* A TTL less by one is a checksum more by 0x0100 (RFC 1141). */
	check = ip->check + (__u32)bpf_htons(0x0100);
	ip->check = check + (check >= 0xffff);
	ip->ttl--;
	return forward(ctx, eth, &fib);
}

SEC("xdp")
int route6(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct bpf_fib_lookup fib = {.family = AF_INET6};
	struct ethhdr *eth = data;
	struct ipv6hdr *ip = (void *)(eth + 1);

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IPV6) || ip->hop_limit <= 1)
		return XDP_PASS;
	fib.tot_len = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	*(struct in6_addr *)fib.ipv6_src = ip->saddr;
	*(struct in6_addr *)fib.ipv6_dst = ip->daddr;
	ip->hop_limit--;
	return forward(ctx, eth, &fib);
}
