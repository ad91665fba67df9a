/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The shape of QUIC datagrams, as far as it shows without keys (RFC 8999, RFC 9000 §17). */
#ifndef QUIC_H
#define QUIC_H

#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include "packet.h"

#define QUIC_VERSION		1
#define QUIC_LONG		0x80
#define QUIC_FIXED		0x40
#define QUIC_TYPE		0x30
#define QUIC_TYPE_INITIAL	0x00
#define QUIC_ID_BYTES_MAX	20	/* RFC 9000 §17.2. */
#define QUIC_INITIAL_BYTES_MIN	1200	/* RFC 9000 §14.1. */
/* First byte, packet number and sample together, no connection id: RFC 9001 §5.4.2. */
#define QUIC_SHORT_BYTES_MIN	21

enum shape {
	GARBAGE,
	INITIAL,		/* Such as a stranger may begin with. */
	OTHER,			/* Anything else that one who has begun may send. */
	UNUSUAL,		/* Only for peers that have negotiated it, or whose server we are not. */
};

/* Everything of a long header up to the first connection id (RFC 8999 §5.1). */
struct quic_long {
	__u8 first;
	__u8 version[4];
	__u8 destination_bytes;
};

static __always_inline enum shape long_shape(struct cursor *cursor, __u32 payload_bytes)
{
	struct quic_long *header = take(cursor, sizeof(*header));
	__u32 version, destination_bytes, source_bytes;
	__u8 *length;

	if (!header || payload_bytes < sizeof(*header) + 1)
		return GARBAGE;
	version = (__u32)header->version[0] << 24 | header->version[1] << 16 |
		  header->version[2] << 8 | header->version[3];
	destination_bytes = header->destination_bytes;
	if (destination_bytes > QUIC_ID_BYTES_MAX || !take(cursor, destination_bytes))
		return GARBAGE;
	length = take(cursor, 1);
	if (!length)
		return GARBAGE;
	source_bytes = *length;
	if (source_bytes > QUIC_ID_BYTES_MAX ||
	    payload_bytes < sizeof(*header) + destination_bytes + 1 + source_bytes)
		return GARBAGE;
	if (!version)
		return UNUSUAL;		/* Version negotiation: a server's (RFC 9000 §17.2.1). */
	if (version != QUIC_VERSION || !(header->first & QUIC_FIXED))
		return GARBAGE;
	if ((header->first & QUIC_TYPE) != QUIC_TYPE_INITIAL)
		return OTHER;
	/* A server's may be short, if it acknowledges or closes and no more (RFC 9000 §14.1). */
	return payload_bytes < QUIC_INITIAL_BYTES_MIN ? UNUSUAL : INITIAL;
}

static __always_inline enum shape quic_shape(struct cursor cursor, __u32 payload_bytes)
{
	struct cursor start = cursor;
	__u8 *first = take(&cursor, 1);

	if (!first || !payload_bytes)
		return GARBAGE;
	if (*first & QUIC_LONG)
		return long_shape(&start, payload_bytes);
	if (payload_bytes < QUIC_SHORT_BYTES_MIN)
		return GARBAGE;
	return *first & QUIC_FIXED ? OTHER : UNUSUAL;	/* Cleared by agreement: RFC 9287. */
}

#endif /* QUIC_H */
