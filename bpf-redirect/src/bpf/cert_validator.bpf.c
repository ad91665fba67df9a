// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Sees the certificates of peers: as OpenSSL parses them inside a handshake, and in TLS 1.2 on the
 * wire. Where it is told to, it holds what a client sends until its peer's certificate is judged, and
 * drops it when the judgement is bad. It never judges: verdicts come from user space.
 */
#include "cert_probe.h"
#include "cert_socket.h"
#include "cert_wire.h"

/* SSL_do_handshake, SSL_connect, SSL_accept. */
SEC("uprobe")
int handshake_entered(struct pt_regs *ctx)
{
	begin_handshake(ctx, 0);
	return 0;
}

SEC("uretprobe")
int handshake_left(struct pt_regs *ctx)
{
	__u64 thread = bpf_get_current_pid_tgid();

	bpf_map_delete_elem(&handshakes, &thread);
	return 0;
}

/* d2i_X509(X509 **a, const unsigned char **in, long len). */
SEC("uprobe")
int certificate_parsed(struct pt_regs *ctx)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct handshake *handshake = bpf_map_lookup_elem(&handshakes, &thread);
	const __u8 *der = 0;

	if (!handshake) {
		if (is_watched())
			count(IGNORED_OUTSIDE);
		return 0;
	}
	/* Verification may load a trust store inside the handshake; libssl parses the peer's alone. */
	if (return_address(ctx) - handshake->text_start >= handshake->text_bytes)
		count(IGNORED_OWN);
	else if (!bpf_probe_read_user(&der, sizeof(der), (void *)PT_REGS_PARM2(ctx)))
		on_certificate(handshake, der, PT_REGS_PARM3(ctx));
	return 0;
}

/* SSL_ctrl(SSL *ssl, int cmd, long larg, void *parg): the name that the client asks for. */
SEC("uprobe")
int host_named(struct pt_regs *ctx)
{
	if ((int)PT_REGS_PARM2(ctx) == SSL_CTRL_SET_TLSEXT_HOSTNAME && is_watched())
		name_host(PT_REGS_PARM1(ctx), (const char *)PT_REGS_PARM4(ctx));
	return 0;
}

/* SSL_set_connect_state, SSL_set_accept_state. */
SEC("uprobe")
int direction_set(struct pt_regs *ctx)
{
	begin_handshake(ctx, 1);
	return 0;
}

SEC("uprobe")
int connection_freed(struct pt_regs *ctx)
{
	free_connection(PT_REGS_PARM1(ctx));
	return 0;
}

SEC("sockops")
int socket_connects(struct bpf_sock_ops *ops)
{
	on_connect(ops);
	return 1;
}

SEC("cgroup_skb/ingress")
int segment_received(struct __sk_buff *skb)
{
	on_segment(skb);
	return 1;
}

SEC("cgroup_skb/egress")
int segment_sent(struct __sk_buff *skb)
{
	return may_leave(skb);
}

/* Helpers that read memory of processes want a licence that the GPL is compatible with. */
char _license[] SEC("license") = "Dual MIT/GPL";
