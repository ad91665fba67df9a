/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Walks the headers of a frame; each bound is checked where it is taken, in the verifier's sight. */
#ifndef PACKET_H
#define PACKET_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/types.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define IP_FRAGMENT	0x3fff	/* RFC 791 §3.1: more fragments, or an offset. */

/* IEEE 802.1Q: what follows a tag's EtherType. UAPI has no struct for it. */
struct vlan {
	__be16 tci;
	__be16 proto;
};

struct cursor {
	void *next;
	void *end;
};

/* The next `bytes` bytes of the frame, or null where it is shorter. */
static __always_inline void *take(struct cursor *cursor, __u32 bytes)
{
	void *taken = cursor->next;

	if (taken + bytes > cursor->end)
		return 0;
	cursor->next = taken + bytes;
	return taken;
}

#endif /* PACKET_H */
