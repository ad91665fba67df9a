/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Finds the UDP datagram of a frame. All programs read frames by this, and by this alone. */
#ifndef DATAGRAM_H
#define DATAGRAM_H

#include "packet.h"
#include "served.h"

/* One counter each; src/verdicts.rs names them in the same order. */
enum verdict {
	REDIRECTED,		/* To the worker of the queue; of the parser: a datagram, read it. */
	NOT_IP,			/* ARP, a second tag; or a link-layer group (RFC 1122 §3.3.6). */
	NOT_UDP,		/* TCP, ICMP, an IPv6 extension header. */
	IPV4_OPTIONS,		/* An IPv4 header that is not plainly 20 bytes. */
	FRAGMENT,
	BAD_LENGTH,		/* Cut short, or lengths that contradict each other. */
	FOREIGN_PORT,
	FOREIGN_ADDRESS,	/* Not to us, or from no host. */
	WORKER_LATE,		/* The worker of the queue let its deadline pass. */
	NO_SOCKET,		/* No AF_XDP socket is bound to the queue. */
	VERDICTS,
};

struct datagram {
	struct address source;
	struct address destination;
	struct udphdr *udp;
	__u32 payload_bytes;	/* By the UDP header, which the frame holds whole. */
};

/* The IP header promises `bytes`; the frame may hold more (padding), the datagram less (RFC 9868). */
static __always_inline enum verdict find_udp(struct cursor *cursor, __u32 bytes,
					     struct datagram *found)
{
	long present = cursor->end - cursor->next;
	struct udphdr *udp = take(cursor, sizeof(*udp));
	__u32 datagram;

	if (!udp || bytes > present)
		return BAD_LENGTH;
	datagram = bpf_ntohs(udp->len);
	if (datagram < sizeof(*udp) || datagram > bytes)
		return BAD_LENGTH;
	found->udp = udp;
	found->payload_bytes = datagram - sizeof(*udp);
	return REDIRECTED;
}

/* Leaves the cursor at the payload. */
static __always_inline enum verdict find_datagram(struct cursor *cursor, struct datagram *found)
{
	struct ethhdr *eth = take(cursor, sizeof(*eth));
	struct ipv6hdr *ip6;
	struct vlan *vlan;
	struct iphdr *ip;
	__be16 proto;

	if (!eth || (eth->h_dest[0] | eth->h_source[0]) & 1)
		return NOT_IP;
	proto = eth->h_proto;
	if (proto == bpf_htons(ETH_P_8021Q) || proto == bpf_htons(ETH_P_8021AD)) {
		vlan = take(cursor, sizeof(*vlan));
		if (!vlan)
			return BAD_LENGTH;
		proto = vlan->proto;
	}
	if (proto == bpf_htons(ETH_P_IP)) {
		ip = take(cursor, sizeof(*ip));
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
		found->source = address_v4(ip->saddr);
		found->destination = address_v4(ip->daddr);
		return find_udp(cursor, bpf_ntohs(ip->tot_len) - sizeof(*ip), found);
	}
	if (proto == bpf_htons(ETH_P_IPV6)) {
		ip6 = take(cursor, sizeof(*ip6));
		if (!ip6)
			return BAD_LENGTH;
		if (ip6->version != 6 || ip6->nexthdr != IPPROTO_UDP)
			return NOT_UDP;
		found->source = address_v6(&ip6->saddr);
		found->destination = address_v6(&ip6->daddr);
		if (!found->destination.high || !is_host_v6(&ip6->saddr))
			return FOREIGN_ADDRESS;
		return find_udp(cursor, bpf_ntohs(ip6->payload_len), found);
	}
	return NOT_IP;
}

#endif /* DATAGRAM_H */
