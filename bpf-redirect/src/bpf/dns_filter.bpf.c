// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Steers queries to the AF_XDP socket of their queue. A filter, never a judge: whatever is not
 * plain UDP to a served port and address, with a live worker behind it, goes to the kernel.
 */
#include "dns_filter.h"
#include "packet.h"
#include "served.h"

/* The IP header promises `bytes`; the frame may hold more (padding), the datagram less (RFC 9868). */
static __always_inline enum verdict match_udp(struct cursor cursor, __u32 bytes,
					      struct address address)
{
	long present = cursor.end - cursor.next;
	struct udphdr *udp = take(&cursor, sizeof(*udp));
	__u32 datagram;

	if (!udp || bytes > present)
		return BAD_LENGTH;
	datagram = bpf_ntohs(udp->len);
	if (datagram < sizeof(*udp) || datagram > bytes)
		return BAD_LENGTH;
	if (!is_served(udp->dest))
		return FOREIGN_PORT;
	return is_local(address) ? REDIRECTED : FOREIGN_ADDRESS;
}

static __always_inline enum verdict match(struct cursor cursor)
{
	struct ethhdr *eth = take(&cursor, sizeof(*eth));
	struct address address;
	struct ipv6hdr *ip6;
	struct vlan *vlan;
	struct iphdr *ip;
	__be16 proto;

	if (!eth || (eth->h_dest[0] | eth->h_source[0]) & 1)
		return NOT_IP;
	proto = eth->h_proto;
	if (proto == bpf_htons(ETH_P_8021Q) || proto == bpf_htons(ETH_P_8021AD)) {
		vlan = take(&cursor, sizeof(*vlan));
		if (!vlan)
			return BAD_LENGTH;
		proto = vlan->proto;
	}
	if (proto == bpf_htons(ETH_P_IP)) {
		ip = take(&cursor, sizeof(*ip));
		if (!ip)
			return BAD_LENGTH;
		if (ip->version != 4 || ip->ihl != 5)
			return IPV4_OPTIONS;
		if (ip->protocol != IPPROTO_UDP)
			return NOT_UDP;
		if (ip->frag_off & bpf_htons(IP_FRAGMENT))
			return FRAGMENT;
		if (!is_host_v4(ip->saddr))
			return FOREIGN_ADDRESS;
		return match_udp(cursor, bpf_ntohs(ip->tot_len) - sizeof(*ip), address_v4(ip->daddr));
	}
	if (proto == bpf_htons(ETH_P_IPV6)) {
		ip6 = take(&cursor, sizeof(*ip6));
		if (!ip6)
			return BAD_LENGTH;
		if (ip6->version != 6 || ip6->nexthdr != IPPROTO_UDP)
			return NOT_UDP;
		address = address_v6(&ip6->daddr);
		if (!address.high || !is_host_v6(&ip6->saddr))
			return FOREIGN_ADDRESS;
		return match_udp(cursor, bpf_ntohs(ip6->payload_len), address);
	}
	return NOT_IP;
}

SEC("xdp")
int dns_filter(struct xdp_md *ctx)
{
	struct cursor cursor = { (void *)(long)ctx->data, (void *)(long)ctx->data_end };
	__u32 queue = ctx->rx_queue_index, verdict = match(cursor);
	struct deadline *deadline;
	int action = XDP_PASS;
	__u64 *count;

	if (verdict == REDIRECTED) {
		deadline = bpf_map_lookup_elem(&worker_deadline, &queue);
		if (!deadline || deadline->until_ns < bpf_ktime_get_coarse_ns()) {
			verdict = WORKER_LATE;
		} else {
			action = bpf_redirect_map(&xsks, queue, XDP_PASS);
			if (action != XDP_REDIRECT)
				verdict = NO_SOCKET;
		}
	}
	count = bpf_map_lookup_elem(&verdicts, &verdict);
	if (count)
		++*count;
	return action;
}

char _license[] SEC("license") = "MIT";
