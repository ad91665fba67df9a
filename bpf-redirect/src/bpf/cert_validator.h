/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What cert_validator tells user space and is told by it. src/cert_validator/layout.rs has the same
 * sizes and numbers.
 */
#ifndef CERT_VALIDATOR_H
#define CERT_VALIDATOR_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include "sha256.h"

#define PIECE_BYTES		4096
#define CERTIFICATE_PIECES_MAX	4
#define HOST_BYTES		256
#define HOSTS			4
#define EVENTS_BYTES		(4 << 20)
#define STATUSES_MAX		65536
#define FLOWS_MAX		65536
#define CONNECTIONS_MAX		16384
#define STREAM_BYTES_MAX	(32 << 10)
#define STREAM_SEGMENTS_MAX	128

enum status { STATUS_NONE, STATUS_VALID, STATUS_INVALID, STATUS_UNKNOWN };
enum enforce { ENFORCE_ALERT = 1, ENFORCE_BLOCK };
enum direction { DIRECTION_UNKNOWN, DIRECTION_CLIENT, DIRECTION_SERVER };
enum record_kind { RECORD_CERTIFICATE = 1, RECORD_SEGMENT };

#define FLAG_LAST	1	/* No further certificate follows in this message. */
#define FLAG_KNOWN	2	/* A leaf whose verdict was in cert_status_map: nothing else follows. */
#define FLAG_HELD	4	/* The flow is held until the verdict or the bound. */
#define FLAG_BEGINS	8	/* A segment, or its first piece, with which a stream begins. */

/* One counter each; src/cert_validator/counts.rs names them in the same order. */
enum count {
	SEEN,			/* Certificates of peers. */
	SEEN_KNOWN,		/* Leaves among them whose verdict was known. */
	IGNORED_OUTSIDE,	/* Parsed outside a handshake: trust stores, own certificates. */
	IGNORED_OWN,		/* Parsed inside one, but not by libssl. */
	IGNORED_LARGE,		/* Above the bound, or unreadable. */
	IGNORED_CLIENT,		/* Shown to a server on this host. */
	LOST,			/* Records for which the ring had no room. */
	STREAMS,		/* Connections whose handshake is read off the wire. */
	SEGMENTS_HELD,
	SEGMENTS_BLOCKED,
	COUNTS,
};

struct cert_status {
	__u8 status;
	__u8 reason;
	__u8 unused[6];
	__u64 good_until_unix_secs;
	__u64 checked_at_unix_secs;
	__u64 good_until_boot_ns;	/* The same moment by CLOCK_BOOTTIME. */
	__u64 hosts[HOSTS];		/* Names that a valid one was asked for: starts of their SHA-256. */
};

struct record {
	__u32 kind;
	__u32 data_bytes;	/* In `data`. */
	__u64 cookie;		/* Of the socket; 0 if not known. */
	__u64 seen_ns;		/* CLOCK_MONOTONIC. */
	/* Of a certificate; of a segment only `sequence` and `flags`. */
	__u64 message;		/* The same for all certificates of one message. */
	__u64 ssl;
	__u64 cgroup_id;
	__u32 pid;
	__u32 tid;
	__u32 sequence;		/* Of a segment: TCP's. Of a certificate: its place in the chain. */
	__u32 offset;		/* Of `data` in the certificate. */
	__u32 total_bytes;	/* Of the certificate. */
	__u8 direction;
	__u8 flags;
	__u8 status;
	__u8 reason;
	__u8 fingerprint[DIGEST_BYTES];	/* Of a leaf. */
	char comm[16];
	char host[HOST_BYTES];
	__u8 data[PIECE_BYTES];
};

/* src/cert_validator/layout.rs asserts the same. */
_Static_assert(sizeof(struct cert_status) == 64, "cert_status");
_Static_assert(__builtin_offsetof(struct record, data) == 376, "record");

#define RECORD_HEAD_BYTES	__builtin_offsetof(struct record, data)

enum flow_state { FLOW_PENDING = 1, FLOW_PASSED };

struct flow {
	__u64 until_boot_ns;	/* How long FLOW_PENDING may take. */
	__u64 held_ns;		/* CLOCK_MONOTONIC: what was seen before that does not end it. */
	__u64 state;
};

/* What a thread does with libssl. */
struct handshake {
	__u64 ssl;		/* 0: with one of several connections. */
	__u64 text_start;	/* Where libssl's code lies in this process. */
	__u64 text_bytes;
	__u64 cookie;		/* Of the TCP socket that it has read from. */
	__u64 message;
	__u64 list_end;		/* Where the list of certificates ends, if that is known. */
	__u32 certificates;	/* Of the message that is being parsed. */
	__u32 is_done;		/* The rest of its chain is not wanted. */
	__u64 is_implicit;	/* Not inside SSL_do_handshake and its like, but may be by SSL_write. */
};

struct connection_key {
	__u64 pid;
	__u64 ssl;
};

struct connection {
	__u64 host_hash;	/* 0: no name. */
	__u64 direction;
	char host[HOST_BYTES];
};

struct stream {
	__u32 bytes_left;
	__u32 segments_left;
};

const volatile __u32 enforce = ENFORCE_ALERT;
const volatile __u32 fails_closed = 0;
const volatile __u64 hold_ns = 0;

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, STATUSES_MAX);
	__type(key, __u8[DIGEST_BYTES]);
	__type(value, struct cert_status);
} cert_status_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENTS_BYTES);
} events SEC(".maps");

/*
 * What becomes of a connection, by socket cookie. Kernel and user space write at the same time, and neither
 * must undo what the other has just done: so each map says one thing, and what is in `blocked` stays.
 */
/* Connections that wait for a verdict, or had one in the kernel: written by the kernel alone. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FLOWS_MAX);
	__type(key, __u64);
	__type(value, struct flow);
} flows SEC(".maps");

/* Let go by user space: when, by CLOCK_MONOTONIC, it was seen what the verdict is about. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FLOWS_MAX);
	__type(key, __u64);
	__type(value, __u64);
} passes SEC(".maps");

/* With a bad certificate; the value says nothing. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FLOWS_MAX);
	__type(key, __u64);
	__type(value, __u64);
} blocked SEC(".maps");

/* On sockets that connect, unlike those that listen or were accepted. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u8);
} connecting SEC(".maps");

/* By thread. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CONNECTIONS_MAX);
	__type(key, __u64);
	__type(value, struct handshake);
} handshakes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CONNECTIONS_MAX);
	__type(key, struct connection_key);
	__type(value, struct connection);
} connections SEC(".maps");

/* By socket cookie: connections whose handshake is read off the wire. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CONNECTIONS_MAX);
	__type(key, __u64);
	__type(value, struct stream);
} streams SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} watched_cgroup SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTS);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

static __always_inline void count(__u32 index)
{
	__u64 *counter = bpf_map_lookup_elem(&counts, &index);

	if (counter)
		__sync_fetch_and_add(counter, 1);	/* Probes may be preempted. */
}

/* Has the egress of a flow wait for a verdict on what was seen at `now_ns`. */
static __always_inline int hold(__u64 cookie, __u64 now_ns, __u64 bpf_flags)
{
	struct flow pending = { bpf_ktime_get_boot_ns() + hold_ns, now_ns, FLOW_PENDING };

	if (enforce != ENFORCE_BLOCK || !cookie)
		return 0;
	bpf_map_update_elem(&flows, &cookie, &pending, bpf_flags);
	return 1;
}

static __always_inline __u32 u24(const __u8 *bytes)
{
	return bytes[0] << 16 | bytes[1] << 8 | bytes[2];
}

static __always_inline int knows_host(const struct cert_status *status, __u64 host_hash)
{
	if (status->status != STATUS_VALID || !host_hash)
		return 1;
	for (int i = 0; i < HOSTS; i++)
		if (status->hosts[i] == host_hash)
			return 1;
	return 0;
}

/* The verdict on a leaf, if there is one that still holds for this name. */
static __always_inline struct cert_status *find_status(const __u8 *fingerprint, __u64 host_hash)
{
	struct cert_status *status = bpf_map_lookup_elem(&cert_status_map, fingerprint);

	if (!status || status->status == STATUS_UNKNOWN)
		return 0;
	if (status->good_until_boot_ns <= bpf_ktime_get_boot_ns() || !knows_host(status, host_hash))
		return 0;
	return status;
}

/* Does to a flow what the verdict on its certificate says. */
static __always_inline void settle(__u64 cookie, const struct cert_status *status)
{
	struct flow passed = { 0, 0, FLOW_PASSED };
	__u64 nothing = 0;

	if (enforce != ENFORCE_BLOCK || !cookie)
		return;
	if (status->status == STATUS_INVALID)
		bpf_map_update_elem(&blocked, &cookie, &nothing, BPF_ANY);
	else
		bpf_map_update_elem(&flows, &cookie, &passed, BPF_ANY);
}

#endif /* CERT_VALIDATOR_H */
