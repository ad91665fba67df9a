//! What control counts itself. One table gives field, metric, labels and help.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::code_counters::CodeCounters;

/// Counter or gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only grows.
    Counter,
    /// The latest value of something.
    Gauge,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Description {
    /// Prometheus metric. Rows that share one differ in labels and stand together.
    pub metric: &'static str,
    /// Label names and values.
    pub labels: &'static [(&'static str, &'static str)],
    /// One sentence.
    pub help: &'static str,
    /// Counter or gauge.
    pub kind: Kind,
}

/// One number, shared by all threads of control.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub(crate) fn increment(&self) {
        self.add(1);
    }

    /// Adds `count`.
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Sets a gauge.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value now.
    #[must_use]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($field:ident: $kind:ident $metric:literal {$($label:ident = $value:literal),*} $help:literal;)*) => {
        /// Everything that control counts itself.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(#[doc = $help] pub $field: Counter,)*
            /// Extended errors (RFC 8914) of answers to clients with EDNS, by INFO-CODE.
            pub extended_errors: CodeCounters,
        }

        /// Every counter, in the order of its metric.
        pub(crate) const COUNTERS: &[Description] = &[
            $(Description {
                metric: $metric,
                labels: &[$((stringify!($label), $value)),*],
                help: $help,
                kind: Kind::$kind,
            },)*
        ];

        /// Field names, so that a test can look for who writes each.
        #[cfg(test)]
        const FIELDS: &[&str] = &[$(stringify!($field)),*];

        impl Counters {
            /// Every row of the table with its value now, in the order of [`COUNTERS`].
            pub(crate) fn rows(&self) -> impl Iterator<Item = (&'static Description, u64)> {
                COUNTERS.iter().zip([$(self.$field.get()),*])
            }
        }
    };
}

counters! {
    queries_punt: Counter "nexus_control_queries_total" {transport = "punt"} "Queries that reached control, by how they came.";
    queries_udp: Counter "nexus_control_queries_total" {transport = "udp"} "Queries that reached control, by how they came.";
    queries_tcp: Counter "nexus_control_queries_total" {transport = "tcp"} "Queries that reached control, by how they came.";
    samples: Counter "nexus_control_dnstap_samples_total" {} "Messages that workers report to the query log.";
    refreshes: Counter "nexus_control_refreshes_total" {} "Answers in use by workers that will soon expire, as workers tell control.";

    answers_zone: Counter "nexus_control_answers_total" {source = "zone"} "Answers that control made, by where they came from.";
    answers_resolver: Counter "nexus_control_answers_total" {source = "resolver"} "Answers that control made, by where they came from.";
    answers_kept: Counter "nexus_control_answers_total" {source = "memory"} "Answers that control made, by where they came from.";
    answers_policy: Counter "nexus_control_answers_total" {source = "policy"} "Answers that control made, by where they came from.";
    answers_malformed: Counter "nexus_control_answers_total" {source = "malformed"} "Answers that control made, by where they came from.";
    answers_overload: Counter "nexus_control_answers_total" {source = "overload"} "Answers that control made, by where they came from.";
    answers_cookie: Counter "nexus_control_answers_total" {source = "cookie"} "Answers that control made, by where they came from.";
    answers_slipped: Counter "nexus_control_slipped_answers_total" {} "Answers over the client network's limit that were sent all the same: cut, or short errors.";

    drops_silent: Counter "nexus_control_drops_total" {reason = "silent"} "Messages that control did not answer, by reason.";
    drops_policy: Counter "nexus_control_drops_total" {reason = "policy"} "Messages that control did not answer, by reason.";
    drops_slot: Counter "nexus_control_drops_total" {reason = "slot"} "Messages that control did not answer, by reason.";
    drops_late: Counter "nexus_control_drops_total" {reason = "late"} "Messages that control did not answer, by reason.";
    drops_reply_ring: Counter "nexus_control_drops_total" {reason = "reply_ring"} "Messages that control did not answer, by reason.";
    drops_response_limited: Counter "nexus_control_drops_total" {reason = "response_limited"} "Messages that control did not answer, by reason.";
    drops_send: Counter "nexus_control_drops_total" {reason = "send"} "Messages that control did not answer, by reason.";

    cookies_client_only: Counter "nexus_control_cookies_total" {standing = "client_only"} "Queries with a COOKIE option that reached control, by what it proves.";
    cookies_invalid: Counter "nexus_control_cookies_total" {standing = "invalid"} "Queries with a COOKIE option that reached control, by what it proves.";
    cookies_valid: Counter "nexus_control_cookies_total" {standing = "valid"} "Queries with a COOKIE option that reached control, by what it proves.";

    mesh_received_rings: Counter "nexus_control_mesh_datagrams_total" {direction = "received", way = "rings"} "Datagrams between nodes, by the way they took.";
    mesh_received_kernel: Counter "nexus_control_mesh_datagrams_total" {direction = "received", way = "kernel"} "Datagrams between nodes, by the way they took.";
    mesh_sent_rings: Counter "nexus_control_mesh_datagrams_total" {direction = "sent", way = "rings"} "Datagrams between nodes, by the way they took.";
    mesh_sent_kernel: Counter "nexus_control_mesh_datagrams_total" {direction = "sent", way = "kernel"} "Datagrams between nodes, by the way they took.";
    mesh_drops_queue: Counter "nexus_control_mesh_drops_total" {reason = "queue"} "Datagrams between nodes that were lost between the workers and their receiver, by reason.";
    mesh_drops_ring: Counter "nexus_control_mesh_drops_total" {reason = "reply_ring"} "Datagrams between nodes that were lost between the workers and their receiver, by reason.";

    table_insertions: Counter "nexus_control_table_insertions_total" {} "Answers put into the shared table.";
    attachments: Counter "nexus_control_attachments_total" {} "Times control attached to a dataplane.";
    attached: Gauge "nexus_control_attached" {} "1 while control is attached to a dataplane.";
    serving_udp: Gauge "nexus_control_serving_udp" {} "1 while control reads UDP queries from kernel sockets.";

    tcp_accepted: Counter "nexus_control_tcp_connections_total" {outcome = "accepted"} "TCP connections from clients, by outcome.";
    tcp_refused: Counter "nexus_control_tcp_connections_total" {outcome = "refused"} "TCP connections from clients, by outcome.";
    tcp_open: Gauge "nexus_control_tcp_open_connections" {} "TCP connections from clients that are open.";
    tcp_timeouts: Counter "nexus_control_tcp_timeouts_total" {} "TCP connections closed because nothing moved on them.";
    notifies: Counter "nexus_control_notifies_total" {outcome = "taken"} "NOTIFY messages (RFC 1996), by outcome.";
    notifies_refused: Counter "nexus_control_notifies_total" {outcome = "refused"} "NOTIFY messages (RFC 1996), by outcome.";
    transfers: Counter "nexus_control_transfers_total" {outcome = "served"} "Zone transfers, by outcome.";
    transfers_incremental: Counter "nexus_control_transfers_total" {outcome = "incremental"} "Zone transfers, by outcome.";
    transfers_refused: Counter "nexus_control_transfers_total" {outcome = "refused"} "Zone transfers, by outcome.";
    notices_confirmed: Counter "nexus_control_notices_total" {outcome = "confirmed"} "Secondaries told of a change (RFC 1996), by outcome.";
    notices_failed: Counter "nexus_control_notices_total" {outcome = "failed"} "Secondaries told of a change (RFC 1996), by outcome.";
    certificates_valid: Counter "nexus_control_certificates_total" {status = "valid"} "Certificates judged, by verdict.";
    certificates_invalid: Counter "nexus_control_certificates_total" {status = "invalid"} "Certificates judged, by verdict.";
    certificates_unknown: Counter "nexus_control_certificates_total" {status = "unknown"} "Certificates judged, by verdict.";
    certificates_agreed: Counter "nexus_control_certificate_agreements_total" {verdict = "agreed"} "Verdicts on certificates that other nodes were asked about, by what came of it.";
    certificates_refused: Counter "nexus_control_certificate_agreements_total" {verdict = "refused"} "Verdicts on certificates that other nodes were asked about, by what came of it.";
    certificates_undecided: Counter "nexus_control_certificate_agreements_total" {verdict = "undecided"} "Verdicts on certificates that other nodes were asked about, by what came of it.";
    certificate_sources_found: Counter "nexus_control_certificate_sources_total" {outcome = "found"} "Responses, lists, issuers, records and proofs that were looked for to judge a certificate, by outcome.";
    certificate_sources_missing: Counter "nexus_control_certificate_sources_total" {outcome = "missing"} "Responses, lists, issuers, records and proofs that were looked for to judge a certificate, by outcome.";
    zone_publications: Counter "nexus_control_zone_publications_total" {} "Versions of agreed zones taken into service.";
    updates_done: Counter "nexus_control_updates_total" {outcome = "done"} "UPDATE messages (RFC 2136), by outcome.";
    updates_refused: Counter "nexus_control_updates_total" {outcome = "refused"} "UPDATE messages (RFC 2136), by outcome.";
    updates_failed: Counter "nexus_control_updates_total" {outcome = "failed"} "UPDATE messages (RFC 2136), by outcome.";
    updates_repeated: Counter "nexus_control_updates_total" {outcome = "repeated"} "UPDATE messages (RFC 2136), by outcome.";
    signatures_valid: Counter "nexus_control_signatures_total" {outcome = "valid"} "Requests signed by TSIG (RFC 8945), by outcome.";
    signatures_refused: Counter "nexus_control_signatures_total" {outcome = "refused"} "Requests signed by TSIG (RFC 8945), by outcome.";

    validation_agreed: Counter "nexus_validation_answers_total" {verdict = "agreed"} "Answers that this node proposed to others, by what came of it.";
    validation_refused: Counter "nexus_validation_answers_total" {verdict = "refused"} "Answers that this node proposed to others, by what came of it.";
    validation_undecided: Counter "nexus_validation_answers_total" {verdict = "undecided"} "Answers that this node proposed to others, by what came of it.";
    validation_secure: Counter "nexus_validation_secure_answers_total" {} "Answers that needed no agreement, since DNSSEC proves them.";
    validation_failures: Counter "nexus_validation_failures_total" {} "Questions answered SERVFAIL, since nodes did not agree.";
    validation_purges: Counter "nexus_validation_purges_total" {} "Answers that were forgotten, since other nodes refuse them.";
    validation_waiting: Gauge "nexus_validation_waiting_questions" {} "Questions whose answers wait for agreement.";
    validation_bundles: Counter "nexus_validation_bundles_total" {} "Bundles of answers that this node proposed.";
    validation_votes_agree: Counter "nexus_validation_votes_total" {opinion = "agree"} "Votes of this node on answers of others, by what they say.";
    validation_votes_disagree: Counter "nexus_validation_votes_total" {opinion = "disagree"} "Votes of this node on answers of others, by what they say.";
    validation_votes_none: Counter "nexus_validation_votes_total" {opinion = "none"} "Votes of this node on answers of others, by what they say.";
    validation_drops_malformed: Counter "nexus_validation_dropped_messages_total" {reason = "malformed"} "Messages of other nodes on answers that were dropped, by reason.";
    validation_drops_sender: Counter "nexus_validation_dropped_messages_total" {reason = "sender"} "Messages of other nodes on answers that were dropped, by reason.";
    validation_drops_signature: Counter "nexus_validation_dropped_messages_total" {reason = "signature"} "Messages of other nodes on answers that were dropped, by reason.";
    validation_drops_overload: Counter "nexus_validation_dropped_messages_total" {reason = "overload"} "Messages of other nodes on answers that were dropped, by reason.";
    validation_drops_turned: Counter "nexus_validation_dropped_messages_total" {reason = "turned_away"} "Messages of other nodes on answers that were dropped, by reason.";

    dnstap_frames: Counter "nexus_dnstap_frames_total" {} "Frames of the query log that were written.";
    dnstap_dropped_frames: Counter "nexus_dnstap_dropped_frames_total" {} "Frames of the query log that were lost: the reader was too slow, or gone.";

    zones: Gauge "nexus_control_zones" {} "Zones in service.";
    reloads: Counter "nexus_control_zone_reloads_total" {outcome = "changed"} "Zone files read again, by outcome.";
    reloads_unchanged: Counter "nexus_control_zone_reloads_total" {outcome = "unchanged"} "Zone files read again, by outcome.";
    reloads_failed: Counter "nexus_control_zone_reloads_total" {outcome = "failed"} "Zone files read again, by outcome.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_a_writer_outside_of_tests() {
        let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        let mut code = String::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                if path.to_string_lossy().ends_with("tests.rs") {
                    continue;
                }
                let text = std::fs::read_to_string(path).unwrap();
                let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
                // Calls may be broken over lines.
                code.extend(text[..end].split_whitespace());
            }
        }
        for field in FIELDS {
            let written = ["increment(", "add(", "set("].iter().any(|verb| {
                let field = format!("{field}.{verb}");
                code.contains(&format!("counters.{field}"))
                    || code.contains(&format!("counters().{field}"))
            });
            assert!(written, "nothing writes {field}");
        }
    }

    #[test]
    fn rows_of_one_metric_stand_together_with_one_help_and_different_labels() {
        let mut seen = Vec::new();
        for group in COUNTERS.chunk_by(|one, next| one.metric == next.metric) {
            assert!(
                !seen.contains(&group[0].metric),
                "{} is split",
                group[0].metric
            );
            seen.push(group[0].metric);
            for (index, row) in group.iter().enumerate() {
                assert_eq!((row.help, row.kind), (group[0].help, group[0].kind));
                assert!(
                    group[..index]
                        .iter()
                        .all(|other| other.labels != row.labels)
                );
            }
        }
    }
}
