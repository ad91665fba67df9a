/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Who may send to the consensus port, how much, and what became of it. */
#ifndef CONSENSUS_COORD_H
#define CONSENSUS_COORD_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include "served.h"

#define PEERS_MAX	128
#define STRANGERS	PEERS_MAX	/* The bucket that all strangers share. */
#define NEWCOMERS_MAX	1024

/* One counter each; src/consensus_coord.rs names them in the same order. */
enum outcome {
	PASSED_PEER,
	PASSED_INITIAL,		/* A stranger begins. */
	PASSED_NEWCOMER,	/* A stranger that has begun goes on with its handshake. */
	DROPPED_SHAPE,		/* From here on: dropped. */
	DROPPED_RATE,
	DROPPED_ISOLATED,
	DROPPED_STRANGER,
	DROPPED_INITIAL_RATE,
	OUTCOMES,
};

/* A packet every `interval_ns`, and as many at once as `burst_ns` holds of those; 0: no limit. */
struct rate {
	__u64 interval_ns;
	__u64 burst_ns;
};

struct guard {
	struct rate peer;
	struct rate initial;
	__u64 newcomer_ns;	/* A stranger that has begun may go on for so long, */
	__u64 newcomer_packets;	/* and for so many packets. */
	__u16 port;
	__u16 steers;		/* Whether what passes goes to the workers. */
	__u32 unused;
};

struct endpoint {
	struct address address;
	__u64 port;		/* As on the wire. */
};

struct peer {
	__u64 isolated_until_ns;	/* CLOCK_MONOTONIC. */
	__u32 place;		/* In byzantine_stats and buckets; below PEERS_MAX. */
	__u32 unused;
};

/* Written by packets above, by control (through the dataplane) below. Two cache lines. */
struct statistics {
	__u64 node_id;
	__u64 packets;
	__u64 bytes;		/* UDP payload. */
	__u64 dropped_shape;
	__u64 dropped_rate;
	__u64 dropped_isolated;
	__u64 unused[2];
	__u64 bad_signatures;
	__u64 contradictions;
	__u64 late_votes;
	__u64 unused_too[5];
};

struct token_bucket {
	struct bpf_spin_lock lock;
	__u32 unused;
	__u64 due_ns;		/* When the next packet is due at the lowest pace. */
};

struct newcomer {
	__u64 until_ns;
	__s64 packets;
};

struct replica_state {
	__u64 view;
	__u64 sequence;
	__u64 state;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct guard);
} guard SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PEERS_MAX);
	__type(key, struct endpoint);
	__type(value, struct peer);
} peers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PEERS_MAX + 1);
	__type(key, __u32);
	__type(value, struct token_bucket);
} buckets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, NEWCOMERS_MAX);
	__type(key, struct endpoint);
	__type(value, struct newcomer);
} newcomers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OUTCOMES);
	__type(key, __u32);
	__type(value, __u64);
} outcomes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PEERS_MAX);
	__type(key, __u32);
	__type(value, struct statistics);
} byzantine_stats SEC(".maps");

/* By node id. No program reads it: it is for whoever looks (nexus, bpftool). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PEERS_MAX);
	__type(key, __u64);
	__type(value, struct replica_state);
} byzantine_state_map SEC(".maps");

/* Takes a token, or says no. */
static __always_inline int is_in_rate(__u32 place, const struct rate *rate, __u64 now_ns)
{
	struct token_bucket *bucket = bpf_map_lookup_elem(&buckets, &place);
	int taken = 0;

	if (!bucket)
		return 0;
	bpf_spin_lock(&bucket->lock);
	if (bucket->due_ns < now_ns)
		bucket->due_ns = now_ns;
	if (bucket->due_ns - now_ns <= rate->burst_ns) {
		bucket->due_ns += rate->interval_ns;
		taken = 1;
	}
	bpf_spin_unlock(&bucket->lock);
	return taken;
}

#endif /* CONSENSUS_COORD_H */
