// SPDX-License-Identifier: MIT OR Apache-2.0
/* A lookup in cert_status_map and nothing else; and a digest alone, for tests. */
#include <linux/bpf.h>
#include "../../src/bpf/sha256.h"

struct cert_status {
	__u8 status;
	__u8 unused[63];
};

struct request {
	__u64 start;
	__u32 bytes;
	__u32 is_broken;
	__u8 digest[DIGEST_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u8[DIGEST_BYTES]);
	__type(value, struct cert_status);
} cert_status_map SEC(".maps");

/* The frame is the fingerprint. */
SEC("xdp")
int status_lookup(struct xdp_md *ctx)
{
	void *key = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct cert_status *status;

	if (key + DIGEST_BYTES > end)
		return XDP_ABORTED;
	status = bpf_map_lookup_elem(&cert_status_map, key);
	return status && status->status == 1 ? XDP_PASS : XDP_DROP;
}

SEC("syscall")
int digest(struct request *request)
{
	__u8 found[DIGEST_BYTES] = {};

	request->is_broken = sha256_of_user((void *)request->start, request->bytes, found);
	__builtin_memcpy(request->digest, found, sizeof(found));
	return 0;
}

char _license[] SEC("license") = "Dual MIT/GPL";
