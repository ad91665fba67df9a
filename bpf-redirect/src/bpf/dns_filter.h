/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The workers' sockets and deadlines, and the counters of verdicts. */
#ifndef DNS_FILTER_H
#define DNS_FILTER_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define QUEUES_MAX	64

/* One counter each; src/verdicts.rs names them in the same order. */
enum verdict {
	REDIRECTED,		/* To the worker of the queue. */
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

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, VERDICTS);
	__type(key, __u32);
	__type(value, __u64);
} verdicts SEC(".maps");

#endif /* DNS_FILTER_H */
