/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Which socket a handshake speaks over. */
#ifndef CERT_SOCKET_H
#define CERT_SOCKET_H

#include <bpf/bpf_core_read.h>
#include "cert_probe.h"

/* What a thread reads from inside a handshake is what it speaks TLS over. */
static __always_inline void on_socket_read(__u64 cookie)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct handshake *handshake = bpf_map_lookup_elem(&handshakes, &thread);

	if (handshake)
		handshake->cookie = cookie;
}

/* Data of a TCP socket has been copied to a thread, which is the current one. */
#ifdef KPROBE
/* BTF says where it is. */
struct sock {
	struct {
		struct {
			__s64 counter;
		} skc_cookie;
	} __sk_common;
} __attribute__((preserve_access_index));

SEC("kprobe/tcp_rcv_space_adjust")
int BPF_KPROBE(socket_read, struct sock *sk)
{
	on_socket_read(BPF_CORE_READ(sk, __sk_common.skc_cookie.counter));
	return 0;
}
#else
struct sock;

SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(socket_read, struct sock *sk)
{
	on_socket_read(bpf_get_socket_cookie(sk));
	return 0;
}
#endif

#endif /* CERT_SOCKET_H */
