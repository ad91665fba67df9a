/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Certificates as libssl hands them to libcrypto. */
#ifndef CERT_PROBE_H
#define CERT_PROBE_H

#include <linux/ptrace.h>
#include <bpf/bpf_tracing.h>
#include "cert_validator.h"

#define SSL_CTRL_SET_TLSEXT_HOSTNAME	55
#define LAYOUT_DIRECTION_BIT		62
#define LAYOUT_BEFORE			0x3fffffff
#define CERTIFICATE_BYTES_MAX		(CERTIFICATE_PIECES_MAX * PIECE_BYTES)

static const struct connection new_connection;

static __always_inline int is_watched(void)
{
	return bpf_current_task_under_cgroup(&watched_cgroup, 0) == 1;
}

static __always_inline struct connection_key connection_key(__u64 ssl)
{
	return (struct connection_key){ bpf_get_current_pid_tgid() >> 32, ssl };
}

static __always_inline struct connection *connection_of(__u64 ssl)
{
	struct connection_key key = connection_key(ssl);
	struct connection *known = bpf_map_lookup_elem(&connections, &key);

	if (known)
		return known;
	bpf_map_update_elem(&connections, &key, &new_connection, BPF_NOEXIST);
	return bpf_map_lookup_elem(&connections, &key);
}

static __always_inline void name_host(__u64 ssl, const char *name)
{
	struct connection *connection = connection_of(ssl);
	__u8 digest[DIGEST_BYTES] = {};
	long bytes;

	if (!connection)
		return;
	connection->host_hash = 0;
	bytes = bpf_probe_read_user_str(connection->host, HOST_BYTES, name);
	if (bytes <= 1 || sha256_of_user(name, bytes - 1, digest))
		connection->host[0] = 0;	/* No name. */
	else
		__builtin_memcpy(&connection->host_hash, digest, sizeof(connection->host_hash));
}

/*
 * A handshake begins: at once, or (is_implicit) with some call of SSL_read or SSL_write, which are too
 * frequent to be probed. The cookie of the probe says where libssl's code lies, and the direction.
 */
static __always_inline void begin_handshake(struct pt_regs *ctx, int is_implicit)
{
	__u64 thread = bpf_get_current_pid_tgid(), layout = bpf_get_attach_cookie(ctx);
	struct handshake *before = bpf_map_lookup_elem(&handshakes, &thread);
	struct handshake begun = {
		.ssl = PT_REGS_PARM1(ctx),
		.text_start = PT_REGS_IP(ctx) - (layout >> 32 & LAYOUT_BEFORE),
		.text_bytes = (__u32)layout,
		.is_implicit = is_implicit,
	};
	struct connection *connection;

	if (!is_watched())
		return;
	connection = layout >> LAYOUT_DIRECTION_BIT ? connection_of(begun.ssl) : 0;
	if (connection)
		connection->direction = layout >> LAYOUT_DIRECTION_BIT;
	if (is_implicit && before && !before->is_implicit)
		return;		/* SSL_connect sets the state of its own. */
	if (is_implicit && before && before->ssl != begun.ssl)
		begun.ssl = 0;
	bpf_map_update_elem(&handshakes, &thread, &begun, BPF_ANY);
}

static __always_inline void free_connection(__u64 ssl)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct handshake *handshake = bpf_map_lookup_elem(&handshakes, &thread);
	struct connection_key key = connection_key(ssl);

	bpf_map_delete_elem(&connections, &key);
	if (handshake && handshake->ssl == ssl)
		bpf_map_delete_elem(&handshakes, &thread);
}

/* Where the probed function, just entered, goes back to. */
static __always_inline __u64 return_address(struct pt_regs *ctx)
{
#if defined(__TARGET_ARCH_x86)
	__u64 address = 0;

	bpf_probe_read_user(&address, sizeof(address), (void *)PT_REGS_SP(ctx));
	return address;
#else
	return PT_REGS_RET(ctx);
#endif
}

/*
 * libssl parses certificates in place: before the leaf lie the length of the list and its own (RFC
 * 5246 §7.4.2, RFC 8446 §4.4.2). So it is known which one is the last.
 */
static __always_inline __u64 find_list_end(const __u8 *leaf, __u32 bytes)
{
	__u8 lengths[6];
	__u32 list_bytes;

	if (bpf_probe_read_user(lengths, sizeof(lengths), leaf - sizeof(lengths)))
		return 0;
	list_bytes = u24(lengths);
	if (u24(lengths + 3) != bytes || list_bytes < bytes + 3)
		return 0;
	return (__u64)leaf - 3 + list_bytes;
}

/* TLS 1.3 has extensions behind each certificate. */
static __always_inline int is_last(const struct handshake *handshake, const __u8 *end)
{
	__u8 extensions[2];

	if ((__u64)end == handshake->list_end)
		return 1;
	if (!handshake->list_end || bpf_probe_read_user(extensions, sizeof(extensions), end))
		return 0;
	return (__u64)end + 2 + (extensions[0] << 8 | extensions[1]) == handshake->list_end;
}

static __always_inline void fill(struct record *record, const struct handshake *handshake,
				 const struct connection *connection, __u64 now_ns)
{
	__u64 thread = bpf_get_current_pid_tgid();

	record->kind = RECORD_CERTIFICATE;
	record->data_bytes = 0;
	record->cookie = handshake->cookie;
	record->seen_ns = now_ns;
	record->message = handshake->message;
	record->ssl = handshake->ssl;
	record->cgroup_id = bpf_get_current_cgroup_id();
	record->pid = thread >> 32;
	record->tid = thread;
	record->direction = connection->direction;
	record->status = STATUS_NONE;
	record->reason = 0;
	bpf_get_current_comm(record->comm, sizeof(record->comm));
	__builtin_memcpy(record->host, connection->host, HOST_BYTES);
}

/* A leaf whose verdict is known: the flow follows it at once, and user space hears of it. */
static __always_inline void on_known(const struct handshake *handshake,
				     const struct connection *connection,
				     const struct cert_status *status, const __u8 *fingerprint)
{
	struct record *record;

	count(SEEN_KNOWN);
	settle(handshake->cookie, status);
	record = bpf_ringbuf_reserve(&events, RECORD_HEAD_BYTES, 0);
	if (!record) {
		count(LOST);
		return;
	}
	fill(record, handshake, connection, handshake->message);
	record->flags = FLAG_KNOWN | FLAG_LAST;
	record->status = status->status;
	record->reason = status->reason;
	record->sequence = record->offset = record->total_bytes = 0;
	__builtin_memcpy(record->fingerprint, fingerprint, DIGEST_BYTES);
	bpf_ringbuf_submit(record, 0);
}

static __always_inline void send_certificate(const struct handshake *handshake,
					     const struct connection *connection,
					     const __u8 *der, __u32 bytes, __u8 flags,
					     const __u8 *fingerprint)
{
	__u64 now_ns = bpf_ktime_get_ns();

	for (__u32 piece = 0; piece < CERTIFICATE_PIECES_MAX; piece++) {
		__u32 offset = piece * PIECE_BYTES, data_bytes;
		struct record *record;

		if (offset >= bytes)
			return;
		record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);
		if (!record) {
			count(LOST);
			return;
		}
		fill(record, handshake, connection, now_ns);
		data_bytes = bytes - offset;
		if (data_bytes > PIECE_BYTES)
			data_bytes = PIECE_BYTES;
		if (bpf_probe_read_user(record->data, data_bytes, der + offset)) {
			bpf_ringbuf_discard(record, 0);
			count(IGNORED_LARGE);
			return;
		}
		record->data_bytes = data_bytes;
		record->flags = flags;
		record->sequence = handshake->certificates;
		record->offset = offset;
		record->total_bytes = bytes;
		__builtin_memcpy(record->fingerprint, fingerprint, DIGEST_BYTES);
		bpf_ringbuf_submit(record, 0);
	}
}

/* The first certificate of a message: its verdict, if it is known, or else the flow waits for one. */
static __always_inline __u8 on_leaf(struct handshake *handshake, const struct connection *connection,
				    const __u8 *der, __u32 bytes, __u8 *fingerprint)
{
	struct cert_status *status = 0;

	handshake->message = bpf_ktime_get_ns();
	handshake->is_done = connection->direction == DIRECTION_SERVER;
	if (handshake->is_done) {
		count(IGNORED_CLIENT);
		return 0;
	}
	if (bytes <= CERTIFICATE_BYTES_MAX && !sha256_of_user(der, bytes, fingerprint))
		status = find_status(fingerprint, connection->host_hash);
	if (!status)
		return hold(handshake->cookie, handshake->message, BPF_ANY) ? FLAG_HELD : 0;
	handshake->is_done = 1;
	on_known(handshake, connection, status, fingerprint);
	return 0;
}

static __always_inline void on_certificate(struct handshake *handshake, const __u8 *der, __u32 bytes)
{
	struct connection *connection = connection_of(handshake->ssl);
	__u8 fingerprint[DIGEST_BYTES] = {}, flags = 0;
	int is_leaf = !handshake->certificates;

	if (is_leaf)
		handshake->list_end = find_list_end(der, bytes);
	if (!connection || (handshake->is_implicit && !handshake->list_end)) {
		count(IGNORED_OWN);	/* No message around it. */
		return;
	}
	count(SEEN);
	if (is_leaf)
		flags = on_leaf(handshake, connection, der, bytes, fingerprint);
	if (is_last(handshake, der + bytes))
		flags |= FLAG_LAST;
	if (bytes - 1 >= CERTIFICATE_BYTES_MAX)
		count(IGNORED_LARGE);
	else if (!handshake->is_done)
		send_certificate(handshake, connection, der, bytes, flags, fingerprint);
	handshake->certificates = flags & FLAG_LAST ? 0 : handshake->certificates + 1;
}

#endif /* CERT_PROBE_H */
