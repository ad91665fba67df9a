// SPDX-License-Identifier: MIT OR Apache-2.0
/* Does nothing: what calling any program costs. Measured beside dns_filter, never attached. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int empty(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_PASS;
}

char _license[] SEC("license") = "MIT";
