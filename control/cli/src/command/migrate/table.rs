//! The options of Unbound that no key of ours stands for, and why that does or does not matter.
//!
//! Who adds such a key takes its options out of here and maps them in `options.rs`, `filters.rs` or the file of its clause.

use super::report::{Outcome, Verdict};
use super::source::Setting;

/// Options with one reason.
struct Row {
    options: &'static [&'static str],
    /// Values with which Unbound does what Nexus does: nothing is lost by these.
    same: &'static [&'static str],
    /// With any other value.
    outcome: Outcome,
    why: &'static str,
}

const fn row(
    options: &'static [&'static str],
    same: &'static [&'static str],
    outcome: Outcome,
    why: &'static str,
) -> Row {
    Row {
        options,
        same,
        outcome,
        why,
    }
}

use Outcome::{Lost, NoEffect};

#[rustfmt::skip]
const ROWS: &[Row] = &[
    // Answers of our own.
    row(&["local-zone-override"], &[], Lost, "a local zone is the same for all addresses; resolver.views can have another"),
    row(&["local-zone-tag", "define-tag", "access-control-tag", "access-control-tag-action", "access-control-tag-data", "interface-tag", "interface-tag-action", "interface-tag-data", "interface-view"], &[], Lost, "no tags; resolver.views gives other answers to the networks of clients"),
    row(&["interface-action"], &[], Lost, "access goes by the client's address alone"),
    row(&["response-ip", "response-ip-data", "response-ip-tag"], &[], Lost, "write a policy zone with rpz-ip rules for resolver.rpz"),
    row(&["dns64-ignore-aaaa"], &[], Lost, "which IPv6 addresses count as absent goes by address, in resolver.dns64.exclude"),
    row(&["minimal-responses"], &["yes"], NoEffect, "how much stands beside an answer is not set by configuration"),
    row(&["rrset-roundrobin"], &[], NoEffect, "the order of records is not set by configuration"),
    row(&["ignore-cd-flag"], &["no"], Lost, "clients that set CD get the data unchecked"),
    row(&["serve-original-ttl"], &["no"], Lost, "TTLs always count down"),
    row(&["ede"], &["yes"], NoEffect, "the reasons of errors are always sent to clients with EDNS"),
    row(&["disable-edns-do"], &["no"], Lost, "signatures are always asked for"),
    row(&["serve-expired-ttl-reset", "ede-serve-expired", "prefetch-key"], &[], NoEffect, "expired answers and fetching ahead have no such setting"),
    // Validation.
    row(&["val-permissive-mode"], &["no"], Lost, "bogus answers are never given to clients that do not set CD"),
    row(&["trusted-keys-file"], &[], Lost, "keys in BIND's form are not read; use trust-anchor-file"),
    row(&["zonemd-permissive-mode", "zonemd-check", "zonemd-reject-absence"], &["no"], NoEffect, "the digest of a zone is not checked"),
    row(&["add-holddown", "del-holddown", "keep-missing", "permit-small-holddown", "trust-anchor-signaling", "root-key-sentinel", "val-sig-skew-min", "val-sig-skew-max", "val-max-restart", "val-bogus-ttl", "val-clean-additional", "val-log-level", "val-log-squelch", "val-nsec3-keysize-iterations", "hide-trustanchor"], &[], NoEffect, "validation goes by the RFCs and has no such setting"),
    // Towards servers.
    row(&["do-not-query-address"], &[], Lost, "no servers can be excluded"),
    row(&["do-not-query-localhost"], &["yes"], NoEffect, "no servers can be excluded"),
    row(&["tls-upstream"], &["no"], Lost, "servers are asked over UDP and TCP, not TLS"),
    row(&["client-subnet-always-forward"], &["no"], Lost, "servers see no client subnet but for the zones of resolver.client_subnet"),
    row(&["client-subnet-opcode", "min-client-subnet-ipv4", "min-client-subnet-ipv6", "max-ecs-tree-size-ipv4", "max-ecs-tree-size-ipv6"], &[], NoEffect, "answers are kept for each network apart, with no such setting"),
    row(&["ratelimit", "ratelimit-for-domain", "ratelimit-below-domain"], &["0"], Lost, "queries to the servers of one zone are bounded by the work of each question alone"),
    row(&["ratelimit-size", "ratelimit-slabs", "ratelimit-factor", "ratelimit-backoff", "ip-ratelimit-size", "ip-ratelimit-slabs", "ip-ratelimit-backoff", "ip-ratelimit-cookie"], &[], NoEffect, "rate limits have no such setting"),
    row(&["outgoing-interface", "outgoing-port-permit", "outgoing-port-avoid", "prefer-ip4", "prefer-ip6", "tcp-upstream", "udp-upstream-without-downstream", "udp-connect", "outgoing-tcp-mss", "outgoing-num-tcp", "tcp-auth-query-timeout", "tcp-reuse-timeout", "max-reuse-tcp-queries", "delay-close", "edns-client-string", "edns-client-string-opcode", "nsid", "tls-cert-bundle", "tls-win-cert", "tls-system-cert", "tls-use-sni", "caps-exempt"], &[], NoEffect, "the way to servers is not set by configuration"),
    row(&["infra-host-ttl", "infra-cache-slabs", "infra-cache-numhosts", "infra-cache-min-rtt", "infra-cache-max-rtt", "infra-keep-probing", "infra-lame-ttl", "target-fetch-policy", "fast-server-permil", "fast-server-num", "outbound-msg-retry", "max-sent-count", "max-query-restarts", "iter-scrub-promiscuous", "iter-scrub-ns", "iter-scrub-cname", "max-global-quota", "unwanted-reply-threshold", "unknown-server-time-limit", "jostle-timeout", "discard-timeout", "wait-limit", "wait-limit-cookie", "wait-limit-netblock", "wait-limit-cookie-netblock", "edns-buffer-size", "max-udp-size", "msg-buffer-size"], &[], NoEffect, "limits and choices of servers are fixed"),
    row(&["harden-glue", "harden-dnssec-stripped"], &["yes"], NoEffect, "Nexus always does this"),
    row(&["harden-short-bufsize", "harden-large-queries", "harden-below-nxdomain", "harden-referral-path", "harden-algo-downgrade", "harden-unverified-glue", "harden-unknown-additional", "disable-dnssec-lame-check"], &[], NoEffect, "hardening is not set by configuration"),
    // Transports of clients.
    row(&["tls-service-key", "tls-service-pem", "tls-additional-port", "tls-session-ticket-keys", "https-port", "http-endpoint", "http-notls-downstream", "quic-port"], &[], Lost, "clients are served over UDP and TCP alone, not TLS, HTTPS or QUIC"),
    row(&["tls-port", "tls-ciphers", "tls-ciphersuites", "http-max-streams", "http-query-buffer-size", "http-response-buffer-size", "http-nodelay", "quic-size", "pad-responses", "pad-responses-block-size", "pad-queries", "pad-queries-block-size", "http-user-agent", "hide-http-user-agent"], &[], NoEffect, "clients are served over UDP and TCP alone"),
    row(&["do-udp", "do-tcp"], &["yes"], Lost, "clients are served over UDP and TCP"),
    row(&["proxy-protocol-port"], &[], Lost, "the PROXY protocol is not spoken"),
    row(&["interface-automatic-ports", "tcp-connection-limit"], &[], Lost, "no such limit or port"),
    row(&["edns-tcp-keepalive", "edns-tcp-keepalive-timeout", "tcp-mss", "stream-wait-size", "so-rcvbuf", "so-sndbuf", "so-reuseport", "ip-transparent", "ip-freebind", "ip-dscp", "use-systemd", "sock-queue-timeout"], &[], NoEffect, "sockets have no such setting"),
    row(&["cookie-secret-file"], &[], NoEffect, "name one secret in resolver.cookies.secret; until then it is random"),
    // The machine.
    row(&["msg-cache-slabs", "rrset-cache-slabs", "key-cache-slabs", "key-cache-size", "neg-cache-size"], &[], NoEffect, "there is one cache of records, for keys and denials, too"),
    row(&["chroot", "directory", "pidfile", "do-daemonize", "username", "dnscrypt-nonce-cache-size"], &[], NoEffect, "the service manager does this; file names below them are taken over"),
    row(&["verbosity", "logfile", "use-syslog", "log-identity", "log-time-ascii", "log-time-iso", "log-queries", "log-replies", "log-tag-queryreply", "log-destaddr", "log-local-actions", "log-servfail", "statistics-interval", "statistics-cumulative", "statistics-inhibit-zero", "extended-statistics", "shm-enable", "shm-key"], &[], NoEffect, "logs go to the journal; counters are at api.listen and in `nexus stats`"),
    row(&["ipsecmod-enabled", "ipsecmod-hook", "ipsecmod-strict", "ipsecmod-max-ttl", "ipsecmod-ignore-bogus", "ipsecmod-allow"], &["no"], NoEffect, "no opportunistic IPsec"),
];

/// What becomes of an option of `server:` that has no key. Options that Unbound does not have, or not yet,
/// count as lost: nobody knows what they would have done.
pub(super) fn judge(setting: &Setting) -> Verdict {
    let row = ROWS
        .iter()
        .find(|row| row.options.contains(&setting.option.as_str()));
    match row {
        None => Verdict::lost("unknown option"),
        Some(row) if row.same.contains(&setting.value()) => Verdict::default("Nexus does the same"),
        Some(row) => Verdict::of(row.outcome, row.why),
    }
}

/// What becomes of a clause of which nothing is taken over.
pub(super) fn judge_clause(kind: &str) -> Verdict {
    match kind {
        "remote-control" => {
            Verdict::no_effect("`nexus` speaks over the unix socket api.socket, without keys")
        }
        "dnscrypt" => Verdict::lost("clients are served over UDP and TCP alone, not DNSCrypt"),
        "python" | "dynlib" => Verdict::lost("no modules"),
        "cachedb" => Verdict::no_effect("no cache in a database"),
        "ipset" => Verdict::lost("answers are not written into sets of the kernel"),
        _ => Verdict::lost("unknown clause"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_has_one_row() {
        let mut options: Vec<_> = ROWS.iter().flat_map(|row| row.options).collect();
        let count = options.len();
        options.sort();
        options.dedup();
        assert_eq!(options.len(), count);
    }
}
