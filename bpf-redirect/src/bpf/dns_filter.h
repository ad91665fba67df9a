/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The counters of verdicts, and the program that looks after other ports. */
#ifndef DNS_FILTER_H
#define DNS_FILTER_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include "datagram.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, VERDICTS);
	__type(key, __u32);
	__type(value, __u64);
} verdicts SEC(".maps");

/* One place, for consensus_coord; while it is empty, other ports are the kernel's. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} other_ports SEC(".maps");

#endif /* DNS_FILTER_H */
