//! Counters of one worker: one table gives field, metric, labels and help.
//!
//! The worker alone writes (a relaxed load and store, no locked instruction); anybody reads.

use core::ops::Deref;
use std::sync::Arc;

use crate::claim::Claim;
use crate::mapped::{Mapped, Shareable};
use crate::sync::{AtomicU64, Ordering};

/// How a counter moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterKind {
    /// Only grows while the region lives.
    Counter,
    /// The latest value of something.
    Gauge,
}

/// One row of the table of counters.
#[derive(Clone, Copy, Debug)]
pub struct CounterDescription {
    /// Field of [`Counters`], so that a test can look for its writer in the worker's source.
    pub field: &'static str,
    /// Prometheus metric, unit last, `_total` for counters. Several rows may share one metric and
    /// then differ in labels.
    pub metric: &'static str,
    /// Label names and values of this row; empty for most.
    pub labels: &'static [(&'static str, &'static str)],
    /// One sentence for the reader of the metric.
    pub help: &'static str,
    /// Counter or gauge.
    pub kind: CounterKind,
}

/// One 64-bit number that a single worker writes.
#[repr(transparent)]
#[derive(Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`; wraps at 2^64. Only the worker that owns the block may call this.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(count),
            Ordering::Relaxed,
        );
    }

    /// Sets a gauge, or a counter that somebody else (the kernel, the cache) counts.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value now.
    #[inline]
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($field:ident: $kind:ident $metric:literal {$($label:ident = $value:literal),*} $help:literal;)*) => {
        /// The block of one worker, in shared memory.
        #[repr(C, align(128))]
        #[derive(Debug)]
        pub struct Counters {
            $(#[doc = $help] pub $field: Counter,)*
        }

        /// Every counter, in the order of the block.
        pub const COUNTERS: &[CounterDescription] = &[
            $(CounterDescription {
                field: stringify!($field),
                metric: $metric,
                labels: &[$((stringify!($label), $value)),*],
                help: $help,
                kind: CounterKind::$kind,
            },)*
        ];

        impl Counters {
            /// Reads all of them, in the order of [`COUNTERS`].
            fn values(&self) -> [u64; COUNTERS.len()] {
                [$(self.$field.get()),*]
            }
        }

        /// The counters of a worker as plain numbers, at about one moment.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct CounterValues {
            $(#[doc = $help] pub $field: u64,)*
        }

        impl CounterValues {
            /// Every row of the table with its value, in the order of [`COUNTERS`].
            pub fn rows(&self) -> impl Iterator<Item = (&'static CounterDescription, u64)> {
                COUNTERS.iter().zip([$(self.$field),*])
            }

            /// Adds another worker's values, gauges too.
            pub fn add(&mut self, other: &Self) {
                $(self.$field = self.$field.wrapping_add(other.$field);)*
            }

            fn from_values([$($field),*]: [u64; COUNTERS.len()]) -> Self {
                Self { $($field),* }
            }
        }
    };
}

counters! {
    packets_received: Counter "nexus_received_packets_total" {} "Frames or datagrams taken from the network.";
    packets_sent: Counter "nexus_sent_packets_total" {} "Frames or datagrams given to the network.";
    receive_bytes: Counter "nexus_received_bytes_total" {} "Bytes taken from the network, frame headers included where there are frames.";
    send_bytes: Counter "nexus_sent_bytes_total" {} "Bytes given to the network, frame headers included where there are frames.";
    wakeups: Counter "nexus_wakeups_total" {} "Times the worker slept and was woken.";

    queries: Counter "nexus_queries_total" {} "Well-formed DNS queries.";
    answers_cache: Counter "nexus_answers_total" {source = "cache"} "Answers sent, by where they came from.";
    answers_table: Counter "nexus_answers_total" {source = "table"} "Answers sent, by where they came from.";
    answers_stale: Counter "nexus_answers_total" {source = "stale"} "Answers sent, by where they came from.";
    answers_control: Counter "nexus_answers_total" {source = "control"} "Answers sent, by where they came from.";
    answers_slipped: Counter "nexus_answers_total" {source = "slipped"} "Answers sent, by where they came from.";
    answers_cookie: Counter "nexus_answers_total" {source = "cookie"} "Answers sent, by where they came from.";
    errors_formerr: Counter "nexus_errors_total" {rcode = "formerr"} "Error responses that the worker made itself.";
    errors_notimp: Counter "nexus_errors_total" {rcode = "notimp"} "Error responses that the worker made itself.";
    errors_badvers: Counter "nexus_errors_total" {rcode = "badvers"} "Error responses that the worker made itself.";
    errors_servfail: Counter "nexus_errors_total" {rcode = "servfail"} "Error responses that the worker made itself.";
    errors_badcookie: Counter "nexus_errors_total" {rcode = "badcookie"} "Error responses that the worker made itself.";

    drops_frame: Counter "nexus_drops_total" {reason = "frame"} "Packets dropped, by reason.";
    drops_short: Counter "nexus_drops_total" {reason = "short"} "Packets dropped, by reason.";
    drops_response: Counter "nexus_drops_total" {reason = "response"} "Packets dropped, by reason.";
    drops_oversize: Counter "nexus_drops_total" {reason = "oversize"} "Packets dropped, by reason.";
    drops_punt_full: Counter "nexus_drops_total" {reason = "punt_full"} "Packets dropped, by reason.";
    drops_punt_limited: Counter "nexus_drops_total" {reason = "punt_limited"} "Packets dropped, by reason.";
    drops_response_limited: Counter "nexus_drops_total" {reason = "response_limited"} "Packets dropped, by reason.";
    drops_reply_invalid: Counter "nexus_drops_total" {reason = "reply_invalid"} "Packets dropped, by reason.";
    drops_mesh_full: Counter "nexus_drops_total" {reason = "mesh_full"} "Packets dropped, by reason.";
    drops_mesh_unheard: Counter "nexus_drops_total" {reason = "mesh_unheard"} "Packets dropped, by reason.";
    drops_tx_full: Counter "nexus_drops_total" {reason = "tx_full"} "Packets dropped, by reason.";

    cookies_client_only: Counter "nexus_cookies_total" {standing = "client_only"} "Queries with a COOKIE option, by what it proves.";
    cookies_invalid: Counter "nexus_cookies_total" {standing = "invalid"} "Queries with a COOKIE option, by what it proves.";
    cookies_valid: Counter "nexus_cookies_total" {standing = "valid"} "Queries with a COOKIE option, by what it proves.";

    punts: Counter "nexus_punts_total" {} "Queries passed to control.";
    replies: Counter "nexus_replies_total" {} "Messages taken from control's reply ring.";
    mesh_received: Counter "nexus_mesh_datagrams_total" {direction = "received"} "Datagrams between nodes that took the worker's way.";
    mesh_sent: Counter "nexus_mesh_datagrams_total" {direction = "sent"} "Datagrams between nodes that took the worker's way.";
    samples_dropped: Counter "nexus_dnstap_dropped_samples_total" {} "Answers that workers were to report to the query log, without room for it.";

    cache_insertions: Counter "nexus_cache_insertions_total" {} "Entries put into the worker's cache.";
    cache_evictions: Counter "nexus_cache_evictions_total" {} "Entries evicted from the worker's cache for room.";
    cache_entries: Gauge "nexus_cache_entries" {} "Entries in the worker's cache.";
    cache_bytes: Gauge "nexus_cache_bytes" {} "Bytes of the worker's cache in use.";

    frames_lost: Gauge "nexus_lost_frames" {} "UMEM frames that no ring accounts for.";
    ring_rx_dropped: Gauge "nexus_xsk_dropped_packets" {cause = "rx_dropped"} "Packets the kernel dropped for this XSK (XDP_STATISTICS).";
    rx_ring_full: Gauge "nexus_xsk_dropped_packets" {cause = "rx_ring_full"} "Packets the kernel dropped for this XSK (XDP_STATISTICS).";
    fill_ring_empty: Gauge "nexus_xsk_fill_ring_empty_descriptors" {} "Times the kernel found the fill ring empty (XDP_STATISTICS).";
    tx_waiting: Gauge "nexus_xsk_transmit_waiting_frames" {} "Frames that wait to be sent.";
    tx_invalid: Gauge "nexus_xsk_invalid_transmit_descriptors" {} "Transmit descriptors the kernel refused (XDP_STATISTICS).";
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Counters>() == (COUNTERS.len() * 8).next_multiple_of(128));

// SAFETY: transparent atomics and padding only, repr(C).
unsafe impl Shareable for Counters {}

/// A worker's own block: fields by deref, `counters.queries.add(3)`.
#[derive(Debug)]
pub struct CountersWriter {
    counters: Mapped<Counters>,
    _claim: Arc<Claim>,
}

impl CountersWriter {
    pub(crate) fn new(counters: Mapped<Counters>, claim: Arc<Claim>) -> Self {
        Self {
            counters,
            _claim: claim,
        }
    }
}

impl Deref for CountersWriter {
    type Target = Counters;

    #[inline]
    fn deref(&self) -> &Counters {
        &self.counters
    }
}

/// Reads a block that another process may be writing.
pub(crate) fn read(counters: &Counters) -> CounterValues {
    CounterValues::from_values(counters.values())
}
