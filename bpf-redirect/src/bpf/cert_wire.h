/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Certificate messages of TLS 1.2 and older, as they come to clients over TCP. */
#ifndef CERT_WIRE_H
#define CERT_WIRE_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include "cert_validator.h"
#include "packet.h"

#define TLS_HANDSHAKE		22
#define SERVER_HELLO		2
#define CERTIFICATE		11
#define RECORD_HEADER_BYTES	5
#define MESSAGE_HEADER_BYTES	4
#define SESSION_ID_OFFSET	(RECORD_HEADER_BYTES + MESSAGE_HEADER_BYTES + 2 + 32)
#define TLS13_SUITES		0x13	/* RFC 8446 §B.4: TLS_AES_128_GCM_SHA256 is 13 01. */
#define PIECES_MAX		(STREAM_BYTES_MAX / PIECE_BYTES)

struct segment {
	__u32 payload;		/* Offset in the packet. */
	__u32 bytes;		/* Of the payload. */
	__u32 sequence;
};

/* Finds TCP directly behind IP; -1 where it is not. */
static __always_inline int find_tcp(struct __sk_buff *skb, __u32 *packet_bytes)
{
	struct ipv6hdr six;
	struct iphdr four;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, 0, &four, sizeof(four)))
			return -1;
		if (four.protocol != IPPROTO_TCP || four.frag_off & bpf_htons(IP_FRAGMENT))
			return -1;
		*packet_bytes = skb->len;
		return four.ihl * 4;
	}
	if (skb->protocol != bpf_htons(ETH_P_IPV6) || bpf_skb_load_bytes(skb, 0, &six, sizeof(six)))
		return -1;
	*packet_bytes = skb->len;
	return six.nexthdr == IPPROTO_TCP ? (int)sizeof(six) : -1;
}

static __always_inline int find_segment(struct __sk_buff *skb, struct segment *found)
{
	__u32 packet_bytes = 0;
	int start = find_tcp(skb, &packet_bytes);
	struct tcphdr tcp;

	if (start < 0 || bpf_skb_load_bytes(skb, start, &tcp, sizeof(tcp)))
		return 0;
	found->payload = start + tcp.doff * 4;
	found->bytes = packet_bytes > found->payload ? packet_bytes - found->payload : 0;
	found->sequence = bpf_ntohl(tcp.seq);
	return 1;
}

/* Whether these are the first bytes that the socket gets: nothing before them gives them another sense. */
static __always_inline int is_first(struct __sk_buff *skb, const struct segment *segment)
{
	struct bpf_sock *sk = skb->sk;
	struct bpf_tcp_sock *tcp;

	if (!sk)
		return 0;
	sk = bpf_sk_fullsock(sk);
	tcp = sk ? bpf_tcp_sock(sk) : 0;
	return tcp && !tcp->bytes_received && tcp->rcv_nxt == segment->sequence;
}

/*
 * Whether a segment begins with a ServerHello that takes TLS 1.2 or older. A short one at the beginning of
 * a connection may be the start of one: user space will see.
 */
static __always_inline int begins_stream(struct __sk_buff *skb, const struct segment *segment,
					 int is_beginning)
{
	__u8 head[RECORD_HEADER_BYTES + 1], session_id_bytes, suite;

	if (bpf_skb_load_bytes(skb, segment->payload, head, 1) || head[0] != TLS_HANDSHAKE)
		return 0;
	if (segment->bytes < SESSION_ID_OFFSET)
		return is_beginning;
	if (bpf_skb_load_bytes(skb, segment->payload, head, sizeof(head)))
		return 0;
	if (head[1] != 3 || head[5] != SERVER_HELLO)
		return 0;
	if (bpf_skb_load_bytes(skb, segment->payload + SESSION_ID_OFFSET, &session_id_bytes, 1) ||
	    bpf_skb_load_bytes(skb, segment->payload + SESSION_ID_OFFSET + 1 + session_id_bytes,
			       &suite, 1))
		return is_beginning;
	return suite != TLS13_SUITES;
}

/* The Certificate behind a ServerHello, in its record or the next one, and the leaf in it. */
struct leaf {
	__u32 offset;		/* In the payload. */
	__u32 bytes;		/* 0: it does not lie in one record. */
};

static __always_inline int find_certificate(struct __sk_buff *skb, const struct segment *segment,
					    struct leaf *leaf)
{
	__u8 head[MESSAGE_HEADER_BYTES + 6], record[RECORD_HEADER_BYTES + MESSAGE_HEADER_BYTES];
	__u32 next, end;

	if (bpf_skb_load_bytes(skb, segment->payload, record, sizeof(record)))
		return 0;
	end = RECORD_HEADER_BYTES + (record[3] << 8 | record[4]);
	next = sizeof(record) + u24(record + 6);
	if (next == end) {
		if (bpf_skb_load_bytes(skb, segment->payload + next, record, RECORD_HEADER_BYTES) ||
		    record[0] != TLS_HANDSHAKE || record[1] != 3)
			return 0;
		next += RECORD_HEADER_BYTES;
		end = next + (record[3] << 8 | record[4]);
	}
	if (next >= end || bpf_skb_load_bytes(skb, segment->payload + next, head, sizeof(head)) ||
	    head[0] != CERTIFICATE)
		return 0;
	leaf->offset = next + sizeof(head);
	leaf->bytes = u24(head + 7);
	if (leaf->offset + leaf->bytes > end)
		leaf->bytes = 0;
	return 1;
}

/* The verdict on a leaf that lies whole in `record`, if there is one for every name. */
static __always_inline struct cert_status *find_wire_status(struct record *record,
							    const struct leaf *leaf)
{
	__u8 fingerprint[DIGEST_BYTES] = {};
	__u64 start;

	if (!leaf->bytes || leaf->offset + leaf->bytes > record->data_bytes)
		return 0;
	/* Through memory, so that the verifier sees a number: the bounds have just been checked. */
	record->ssl = (__u64)record->data;
	start = record->ssl + leaf->offset;
	if (sha256_of((void *)start, leaf->bytes, 1, fingerprint))
		return 0;
	return find_status(fingerprint, 0);
}

static __always_inline struct record *read_piece(struct __sk_buff *skb, __u64 cookie, __u32 at,
						 __u32 bytes, __u32 sequence)
{
	struct record *record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);

	if (!record) {
		count(LOST);
		return 0;
	}
	/* The compiler knows that there is one at least; the verifier must see it. */
	asm volatile("" : "+r"(bytes));
	if (bytes > PIECE_BYTES)
		bytes = PIECE_BYTES;
	if (!bytes || bpf_skb_load_bytes(skb, at, record->data, bytes)) {
		bpf_ringbuf_discard(record, 0);
		return 0;
	}
	record->kind = RECORD_SEGMENT;
	record->data_bytes = bytes;
	record->cookie = cookie;
	record->seen_ns = bpf_ktime_get_ns();
	record->sequence = sequence;
	return record;
}

/* Hands a segment to user space, as far as the stream's budget goes. */
static __always_inline void send_segment(struct __sk_buff *skb, __u64 cookie, struct stream *stream,
					 const struct segment *segment)
{
	__u32 left = segment->bytes;

	if (left > stream->bytes_left)
		left = stream->bytes_left;
	stream->bytes_left -= left;
	for (__u32 piece = 0; piece < PIECES_MAX; piece++) {
		__u32 offset = piece * PIECE_BYTES;
		struct record *record;

		if (offset >= left)
			break;
		record = read_piece(skb, cookie, segment->payload + offset, left - offset,
				    segment->sequence + offset);
		if (record)
			bpf_ringbuf_submit(record, 0);
	}
	if (!stream->bytes_left)
		bpf_map_delete_elem(&streams, &cookie);
}

/* Whether nothing more is wanted of a connection that begins with this segment: its verdict is known. */
static __always_inline int is_known_good(struct __sk_buff *skb, __u64 cookie,
					 const struct segment *segment, int is_beginning)
{
	struct cert_status *status = 0;
	struct record *record;
	struct leaf leaf = {};
	int is_good;

	if (!find_certificate(skb, segment, &leaf))
		return 0;
	record = read_piece(skb, cookie, segment->payload, segment->bytes, segment->sequence);
	if (record) {
		status = find_wire_status(record, &leaf);
		bpf_ringbuf_discard(record, 0);
	}
	is_good = status && status->status == STATUS_VALID && is_beginning;
	if (is_good || (status && status->status == STATUS_INVALID))
		settle(cookie, status);
	else
		hold(cookie, BPF_NOEXIST);
	return is_good;
}

static __always_inline void on_segment(struct __sk_buff *skb)
{
	struct stream begun = { STREAM_BYTES_MAX };
	struct segment segment;
	struct stream *stream;
	__u64 cookie;

	if (!find_segment(skb, &segment) || !segment.bytes)
		return;
	cookie = bpf_get_socket_cookie(skb);
	stream = bpf_map_lookup_elem(&streams, &cookie);
	if (!stream) {
		int is_beginning = is_first(skb, &segment);

		if (!begins_stream(skb, &segment, is_beginning))
			return;
		count(STREAMS);
		if (is_known_good(skb, cookie, &segment, is_beginning))
			return;
		bpf_map_update_elem(&streams, &cookie, &begun, BPF_ANY);
		stream = bpf_map_lookup_elem(&streams, &cookie);
	}
	if (stream)
		send_segment(skb, cookie, stream, &segment);
}

/* Whether a packet may leave: acknowledgements and the end of a connection always may. */
static __always_inline int may_leave(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct flow *flow = bpf_map_lookup_elem(&flows, &cookie);
	struct segment segment;

	if (!flow || flow->state == FLOW_PASSED)
		return 1;
	if (!find_segment(skb, &segment) || !segment.bytes)
		return 1;
	if (flow->state == FLOW_PENDING && bpf_ktime_get_boot_ns() < flow->until_boot_ns) {
		count(SEGMENTS_HELD);
		return 0;
	}
	if (flow->state == FLOW_PENDING && !fails_closed)
		return 1;
	count(SEGMENTS_BLOCKED);
	return 0;
}

#endif /* CERT_WIRE_H */
