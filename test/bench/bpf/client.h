/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The client of a flow: a function of the flow's number, one to one, so that
 * the generator needs no table and Go can check what came out (clients.go has
 * the same function). Addresses and ports vary as real clients' do: eight
 * clients in a /24, the /24s all over the address space (IPv6: random interface
 * identifiers), sixteen ephemeral ports a client.
 */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define bool _Bool
#define true 1
#define false 0

/* Frames are a multiple of eight bytes, TCP and UDP the same. */
#define FRAME4 64
#define FRAME6 80

/* Above this number flows repeat. */
#define CLIENT_FLOWS_MASK 0x1fffffff

struct client {
	__be64 network; /* IPv6: upper half of the address */
	__be64 host;
	__be32 address4;
	__be16 port;
};

static __always_inline __be16 client_port(__u32 flow)
{
	__u32 client = flow >> 4, port = flow & 15;

	return bpf_htons(32768 + ((client * 40503 + port * 7919) & 0x7fff));
}

/* An odd factor permutes the numbers of 22 bits. */
static __always_inline __u32 client_network(__u32 flow)
{
	return ((flow >> 7) * 0x9e3779b1u) & 0x3fffff;
}

/* 32.0.0.0 to 95.255.255.255: far from the lab's own networks. */
static __always_inline void client_of4(__u32 flow, struct client *c)
{
	__u32 host = 1 + ((flow >> 4) & 7) * 31;

	c->address4 = bpf_htonl(0x20000000 | client_network(flow) << 8 | host);
	c->port = client_port(flow);
}

/* 2a10::/32, a /56 for eight clients. */
static __always_inline void client_of6(__u32 flow, struct client *c)
{
	c->network = bpf_cpu_to_be64(0x2a10ull << 48 | (__u64)client_network(flow) << 8);
	c->host = bpf_cpu_to_be64((__u64)((flow >> 4) + 1) * 0x9e3779b97f4a7c15ull);
	c->port = client_port(flow);
}
