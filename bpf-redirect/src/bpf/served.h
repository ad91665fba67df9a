/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What is served: a set of ports and a set of addresses. */
#ifndef SERVED_H
#define SERVED_H

#include <linux/bpf.h>
#include <linux/in6.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define PORT_WORDS	(65536 / 64)
#define BUCKETS_BITS	12
#define WAYS		4
#define MULTIPLIER	0x9e3779b97f4a7c15ULL	/* 2^64 divided by the golden ratio. */
#define IPV4_MARK	(1ULL << 32)

/*
 * Two halves of an IPv6 address, or 0 and a marked IPv4 address. An empty way is zero. Nothing in
 * ::/64 is valid on a wire (RFC 4291 §2.5), so neither looks like a destination over IPv6.
 */
struct address {
	__u64 high;
	__u64 low;
};

struct bucket {
	struct address ways[WAYS];
};

/* A bitmap: port p is bit p % 64 of word p / 64. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PORT_WORDS);
	__type(key, __u32);
	__type(value, __u64);
} served_ports SEC(".maps");

/*
 * Buckets of a cache line, filled by src/addresses.rs. A look-up costs a third of one in a
 * BPF_MAP_TYPE_HASH, whose keyed hash is for keys that attackers choose; these are our own.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << BUCKETS_BITS);
	__type(key, __u32);
	__type(value, struct bucket);
} local_addresses SEC(".maps");

static __always_inline int is_served(__be16 destination)
{
	__u32 port = bpf_ntohs(destination), index = port / 64;
	__u64 *word = bpf_map_lookup_elem(&served_ports, &index);

	return word && *word >> port % 64 & 1;
}

static __always_inline struct address address_v4(__be32 address)
{
	return (struct address){ 0, IPV4_MARK | address };
}

static __always_inline struct address address_v6(const struct in6_addr *address)
{
	const __be32 *word = address->in6_u.u6_addr32;

	return (struct address){ (__u64)word[0] << 32 | word[1], (__u64)word[2] << 32 | word[3] };
}

/* Whether an answer to this source can reach one host: no group, broadcast, loopback or "this host". */
static __always_inline int is_host_v4(__be32 source)
{
	__u8 first = bpf_ntohl(source) >> 24;

	return first && first != 127 && first < 224;
}

static __always_inline int is_host_v6(const struct in6_addr *source)
{
	const __be32 *word = source->in6_u.u6_addr32;

	return (word[0] | word[1]) && source->in6_u.u6_addr8[0] != 0xff;
}

/* fe80::/10 (RFC 4291 §2.5.6): means something on its link alone, which a frame does not name. */
static __always_inline int is_link_local(struct address address)
{
	return (address.high >> 32 & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

static __always_inline int is_local(struct address address)
{
	__u32 index = (address.high * MULTIPLIER + address.low) * MULTIPLIER >> (64 - BUCKETS_BITS);
	struct bucket *bucket = bpf_map_lookup_elem(&local_addresses, &index);
	int way;

	for (way = 0; bucket && way < WAYS; way++)
		if (bucket->ways[way].low == address.low && bucket->ways[way].high == address.high)
			return 1;
	return 0;
}

#endif /* SERVED_H */
