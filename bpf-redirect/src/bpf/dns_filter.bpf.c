// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Steers queries to the AF_XDP socket of their queue. A filter, never a judge: whatever is not
 * plain UDP to a served port and address, with a live worker behind it, goes to the kernel, or, if
 * its port alone is not served, to the program that looks after other ports.
 */
#include "datagram.h"
#include "dns_filter.h"
#include "workers.h"

static __always_inline enum verdict match(struct cursor cursor)
{
	struct datagram found;
	enum verdict verdict = find_datagram(&cursor, &found);

	if (verdict != REDIRECTED)
		return verdict;
	if (!is_served(found.udp->dest))
		return FOREIGN_PORT;
	return is_local(found.destination) ? REDIRECTED : FOREIGN_ADDRESS;
}

SEC("xdp")
int dns_filter(struct xdp_md *ctx)
{
	struct cursor cursor = { (void *)(long)ctx->data, (void *)(long)ctx->data_end };
	__u32 queue = ctx->rx_queue_index, verdict = match(cursor);
	int action = XDP_PASS;
	__u64 *count;

	if (verdict == REDIRECTED) {
		if (!is_alive(queue)) {
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
	if (verdict == FOREIGN_PORT)
		bpf_tail_call(ctx, &other_ports, 0);	/* Returns only if there is no such program. */
	return action;
}

char _license[] SEC("license") = "MIT";
