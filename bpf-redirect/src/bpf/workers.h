/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The workers' sockets and deadlines. Programs that steer share these two maps. */
#ifndef WORKERS_H
#define WORKERS_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define QUEUES_MAX	64

/* A cache line each, so that workers do not share one while they extend their deadlines. */
struct deadline {
	__u64 until_ns;		/* CLOCK_MONOTONIC. */
	__u64 unused[7];
};

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, QUEUES_MAX);
	__type(key, __u32);
	__type(value, __u32);
} xsks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, QUEUES_MAX);
	__type(key, __u32);
	__type(value, struct deadline);
} worker_deadline SEC(".maps");

/* Whether the worker of the queue said of late that it is alive. */
static __always_inline int is_alive(__u32 queue)
{
	struct deadline *deadline = bpf_map_lookup_elem(&worker_deadline, &queue);

	return deadline && deadline->until_ns >= bpf_ktime_get_coarse_ns();
}

#endif /* WORKERS_H */
