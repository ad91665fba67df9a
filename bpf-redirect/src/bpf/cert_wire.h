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
/* Room for pieces in the ring: a record for each tiny segment must not take what a full one takes. */
#define TINY_BYTES		256
#define SEGMENT_BYTES		1536	/* Of Ethernet. */

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
 * Whether the socket connects or has connected. Others get what anybody may send to them, and a ServerHello
 * among it would be no server's.
 */
static __always_inline int is_client(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	sk = sk ? bpf_sk_fullsock(sk) : 0;
	return sk && bpf_sk_storage_get(&connecting, sk, 0, 0);
}

/* Just before a socket sends its SYN. */
static __always_inline void on_connect(struct bpf_sock_ops *ops)
{
	if (ops->op == BPF_SOCK_OPS_TCP_CONNECT_CB && ops->sk)
		bpf_sk_storage_get(&connecting, ops->sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
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

/* A record with `room` for data, which the compiler must know, and these bytes of the packet in it. */
static __always_inline struct record *read_into(struct __sk_buff *skb, __u32 at, __u32 bytes,
						const __u32 room)
{
	struct record *record = bpf_ringbuf_reserve(&events, RECORD_HEAD_BYTES + room, 0);

	if (!record) {
		count(LOST);
		return 0;
	}
	/* The compiler knows that there is one at least; the verifier must see it. */
	asm volatile("" : "+r"(bytes));
	if (bytes > room)
		bytes = room;
	if (!bytes || bpf_skb_load_bytes(skb, at, record->data, bytes)) {
		bpf_ringbuf_discard(record, 0);
		return 0;
	}
	record->data_bytes = bytes;
	return record;
}

static __always_inline void send_piece(struct __sk_buff *skb, __u32 at, __u32 bytes, __u64 cookie,
				       __u32 sequence, __u8 flags)
{
	struct record *record;

	if (bytes <= TINY_BYTES)
		record = read_into(skb, at, bytes, TINY_BYTES);
	else if (bytes <= SEGMENT_BYTES)
		record = read_into(skb, at, bytes, SEGMENT_BYTES);
	else
		record = read_into(skb, at, bytes, PIECE_BYTES);
	if (!record)
		return;
	record->kind = RECORD_SEGMENT;
	record->cookie = cookie;
	record->seen_ns = bpf_ktime_get_ns();
	record->sequence = sequence;
	record->flags = flags;
	bpf_ringbuf_submit(record, 0);
}

/* Hands a segment to user space, as far as the stream's budget goes. */
static __always_inline void send_segment(struct __sk_buff *skb, __u64 cookie, struct stream *stream,
					 const struct segment *segment, __u8 flags)
{
	__u32 left = segment->bytes;

	if (left > stream->bytes_left)
		left = stream->bytes_left;
	stream->bytes_left -= left;
	if (stream->segments_left)
		stream->segments_left--;
	if (!stream->bytes_left || !stream->segments_left)
		bpf_map_delete_elem(&streams, &cookie);
	for (__u32 piece = 0; piece < PIECES_MAX; piece++) {
		__u32 offset = piece * PIECE_BYTES;

		if (offset >= left)
			break;
		send_piece(skb, segment->payload + offset, left - offset, cookie,
			   segment->sequence + offset, piece ? 0 : flags);
	}
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
	record = read_into(skb, segment->payload, segment->bytes, PIECE_BYTES);
	if (record) {
		status = find_wire_status(record, &leaf);
		bpf_ringbuf_discard(record, 0);
	}
	is_good = status && status->status == STATUS_VALID && is_beginning;
	if (is_good || (status && status->status == STATUS_INVALID))
		settle(cookie, status);
	else
		hold(cookie, bpf_ktime_get_ns(), BPF_NOEXIST);
	return is_good;
}

static __always_inline void on_segment(struct __sk_buff *skb)
{
	struct stream begun = { STREAM_BYTES_MAX, STREAM_SEGMENTS_MAX };
	struct segment segment;
	struct stream *stream;
	__u8 flags = 0;
	__u64 cookie;

	if (!find_segment(skb, &segment) || !segment.bytes)
		return;
	cookie = bpf_get_socket_cookie(skb);
	stream = bpf_map_lookup_elem(&streams, &cookie);
	if (!stream) {
		int is_beginning = is_first(skb, &segment);

		if (!begins_stream(skb, &segment, is_beginning) || !is_client(skb))
			return;
		count(STREAMS);
		if (is_known_good(skb, cookie, &segment, is_beginning))
			return;
		bpf_map_update_elem(&streams, &cookie, &begun, BPF_ANY);
		stream = bpf_map_lookup_elem(&streams, &cookie);
		flags = FLAG_BEGINS;
	}
	if (stream)
		send_segment(skb, cookie, stream, &segment, flags);
}

/*
 * Whether user space has let a flow go since it is held. From then on the flow itself says so, since `passes`
 * may forget it earlier; a hold that begins meanwhile is another element of the map.
 */
static __always_inline int has_passed(__u64 cookie, struct flow *flow)
{
	__u64 *seen_ns = bpf_map_lookup_elem(&passes, &cookie);

	if (!seen_ns || *seen_ns < flow->held_ns)
		return 0;
	flow->state = FLOW_PASSED;
	return 1;
}

/* Whether a packet may leave: acknowledgements and the end of a connection always may. */
static __always_inline int may_leave(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct flow *flow = bpf_map_lookup_elem(&flows, &cookie);
	int is_blocked = !!bpf_map_lookup_elem(&blocked, &cookie);
	struct segment segment;

	if (!is_blocked && (!flow || flow->state == FLOW_PASSED || has_passed(cookie, flow)))
		return 1;
	if (!find_segment(skb, &segment) || !segment.bytes)
		return 1;
	if (!is_blocked && flow) {
		if (bpf_ktime_get_boot_ns() < flow->until_boot_ns) {
			count(SEGMENTS_HELD);
			return 0;
		}
		if (!fails_closed)
			return 1;
	}
	count(SEGMENTS_BLOCKED);
	return 0;
}

#endif /* CERT_WIRE_H */
