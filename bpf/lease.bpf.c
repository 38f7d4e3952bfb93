// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What leaves a leg. Once the lease has ended, another router may hold our addresses:
 * nothing that teaches a neighbour one of them with our MAC may go out then, whoever of
 * this machine sends it. That is not answers alone: who receives an ARP request learns
 * its sender (RFC 826), who receives a solicitation its source (RFC 4861, 7.2.3). To ask
 * *about* a held address stays allowed; so do probes, which have no sender.
 *
 * IPv4 costs a look at the protocol, all else one at the lease besides. Without an end
 * to the lease nothing more is read.
 */
#include "abi.h"
#include "maps.h"
#include "parse.h"

#define TC_ACT_UNSPEC (-1) /* the next program, or on to the device; TCX_NEXT */
#define TC_ACT_SHOT 2

/* ARP of Ethernet and IPv4, up to the sender. */
struct arp_sender {
	__be16 hardware, protocol;
	__u8 hardware_length, protocol_length;
	__be16 operation;
	__u8 mac[6];
	__u8 address[4];
};

struct neighbour_message {
	struct ipv6hdr ip;
	__u8 type, code;
	__be16 checksum;
};

#define ICMP6_NEIGHBOUR_ADVERTISEMENT 136
#define NEIGHBOUR_TARGET (ETH_HLEN + sizeof(struct ipv6hdr) + 8)

INLINE __u64 lease_until(void)
{
	__u32 only = 0;
	struct lease *now = bpf_map_lookup_elem(&lease, &only);
	__u64 until = now ? *(volatile __u64 *)&now->until : 0;

	return until ? until : LEASE_OPEN;
}

INLINE bool is_held6(const void *address)
{
	struct address6 key;

	address_copy(&key.address, address);
	return bpf_map_lookup_elem(&held6, &key);
}

INLINE bool is_arp_from_held(struct __sk_buff *frame)
{
	struct arp_sender arp;
	__be32 sender;

	if (bpf_skb_load_bytes(frame, ETH_HLEN, &arp, sizeof(arp)))
		return false;
	if (arp.protocol != bpf_htons(ETH_P_IP) || arp.protocol_length != sizeof(sender))
		return false;
	__builtin_memcpy(&sender, arp.address, sizeof(sender));
	return bpf_map_lookup_elem(&held4, &sender);
}

INLINE bool is_discovery_of_held(struct __sk_buff *frame)
{
	struct neighbour_message message;
	struct address target;

	if (bpf_skb_load_bytes(frame, ETH_HLEN, &message, sizeof(message)))
		return false;
	if (message.ip.nexthdr != IPPROTO_ICMPV6_ || message.type < ICMP6_ROUTER_SOLICITATION ||
	    message.type > ICMP6_REDIRECT)
		return false;
	if (is_held6(&message.ip.saddr))
		return true;
	if (message.type != ICMP6_NEIGHBOUR_ADVERTISEMENT)
		return false;
	return !bpf_skb_load_bytes(frame, NEIGHBOUR_TARGET, &target, sizeof(target)) &&
	       is_held6(&target);
}

SEC("tc")
int tarpon_lease(struct __sk_buff *frame)
{
	bool arp = frame->protocol == bpf_htons(ETH_P_ARP);
	struct silenced *count;
	__u32 only = 0;
	__u64 until;

	if (!arp && frame->protocol != bpf_htons(ETH_P_IPV6))
		return TC_ACT_UNSPEC;
	until = lease_until();
	if (until == LEASE_OPEN)
		return TC_ACT_UNSPEC;
	if (arp ? !is_arp_from_held(frame) : !is_discovery_of_held(frame))
		return TC_ACT_UNSPEC;
	if (bpf_ktime_get_boot_ns() < until)
		return TC_ACT_UNSPEC;
	count = bpf_map_lookup_elem(&silence, &only);
	if (count && arp)
		count->drop_lease_arp++;
	else if (count)
		count->drop_lease_neighbour++;
	return TC_ACT_SHOT;
}

char program_license[] SEC("license") = "Dual BSD/GPL";
