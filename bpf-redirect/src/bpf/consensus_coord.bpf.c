// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Guards the consensus port, as far as that can be done before decryption: who sends, whether it
 * looks like QUIC, and how much of it comes. It drops what a rule here says it drops, and passes
 * whatever it does not understand.
 */
#include "consensus_coord.h"
#include "datagram.h"
#include "quic.h"
#include "workers.h"

#define ADD(counter, number)	__sync_fetch_and_add(&(counter), number)

static __always_inline enum outcome judge_peer(const struct guard *rules, const struct peer *peer,
					       enum shape shape, __u32 bytes, __u64 now_ns)
{
	__u32 place = peer->place;
	struct statistics *statistics = bpf_map_lookup_elem(&byzantine_stats, &place);

	if (!statistics)
		return DROPPED_RATE;	/* Not a place that we give. */
	ADD(statistics->packets, 1);
	ADD(statistics->bytes, bytes);
	if (peer->isolated_until_ns > now_ns) {
		ADD(statistics->dropped_isolated, 1);
		return DROPPED_ISOLATED;
	}
	if (shape == GARBAGE) {
		ADD(statistics->dropped_shape, 1);
		return DROPPED_SHAPE;
	}
	if (!is_in_rate(place, &rules->peer, now_ns)) {
		ADD(statistics->dropped_rate, 1);
		return DROPPED_RATE;
	}
	return PASSED_PEER;
}

static __always_inline enum outcome judge_stranger(const struct guard *rules,
						   const struct endpoint *from,
						   enum shape shape, __u64 now_ns)
{
	struct newcomer begun = { now_ns + rules->newcomer_ns, rules->newcomer_packets };
	struct newcomer *newcomer;

	if (shape == GARBAGE)
		return DROPPED_SHAPE;
	newcomer = bpf_map_lookup_elem(&newcomers, from);
	if (shape != UNUSUAL && newcomer && newcomer->until_ns > now_ns &&
	    ADD(newcomer->packets, -1) > 0)
		return PASSED_NEWCOMER;
	if (shape != INITIAL)
		return DROPPED_STRANGER;
	if (!is_in_rate(STRANGERS, &rules->initial, now_ns))
		return DROPPED_INITIAL_RATE;
	bpf_map_update_elem(&newcomers, from, &begun, BPF_ANY);
	return PASSED_INITIAL;
}

SEC("xdp")
int consensus_coord(struct xdp_md *ctx)
{
	struct cursor cursor = { (void *)(long)ctx->data, (void *)(long)ctx->data_end };
	__u32 queue = ctx->rx_queue_index, first = 0, outcome;
	struct guard *rules = bpf_map_lookup_elem(&guard, &first);
	struct endpoint from = {};
	struct datagram found;
	enum shape shape;
	struct peer *peer;
	__u64 now_ns, *count;

	if (!rules || find_datagram(&cursor, &found) != REDIRECTED)
		return XDP_PASS;
	if (found.udp->dest != bpf_htons(rules->port) || !is_local(found.destination))
		return XDP_PASS;
	from.address = found.source;
	from.port = found.udp->source;
	shape = quic_shape(cursor, found.payload_bytes);
	now_ns = bpf_ktime_get_coarse_ns();
	peer = bpf_map_lookup_elem(&peers, &from);
	outcome = peer ? judge_peer(rules, peer, shape, found.payload_bytes, now_ns) :
			 judge_stranger(rules, &from, shape, now_ns);
	count = bpf_map_lookup_elem(&outcomes, &outcome);
	if (count)
		++*count;
	if (outcome >= DROPPED_SHAPE)
		return XDP_DROP;
	if (!rules->steers || is_link_local(found.source) || !is_alive(queue))
		return XDP_PASS;
	return bpf_redirect_map(&xsks, queue, XDP_PASS);
}

char _license[] SEC("license") = "MIT";
