//! What `cert_validator` counted.

/// Certificates, connections and segments since the program was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Certificates of peers that were parsed inside a handshake.
    pub seen: u64,
    /// Leaves among them whose verdict was known.
    pub seen_known: u64,
    /// Parsed outside a handshake: trust stores, a program's own.
    pub ignored_outside: u64,
    /// Parsed inside one, but not by libssl: a trust store that verification loads.
    pub ignored_own: u64,
    /// Longer than the bound, or not readable.
    pub ignored_large: u64,
    /// Shown by a client to a server on this host, which has its own rule for whom it trusts.
    pub ignored_client: u64,
    /// Records for which the ring buffer had no room.
    pub lost: u64,
    /// Connections whose beginning was read off the wire.
    pub streams: u64,
    /// Segments that had to wait for a verdict.
    pub segments_held: u64,
    /// Segments that were dropped by one.
    pub segments_blocked: u64,
}

/// How many counters there are; `COUNTS` in `src/bpf/cert_validator.h`.
pub(super) const COUNTS: usize = 10;

impl Counts {
    /// The counters in the order of `enum count` in `src/bpf/cert_validator.h`.
    pub(super) fn from_counters(counters: [u64; COUNTS]) -> Self {
        let [
            seen,
            seen_known,
            ignored_outside,
            ignored_own,
            ignored_large,
            ignored_client,
            lost,
            streams,
            segments_held,
            segments_blocked,
        ] = counters;
        Self {
            seen,
            seen_known,
            ignored_outside,
            ignored_own,
            ignored_large,
            ignored_client,
            lost,
            streams,
            segments_held,
            segments_blocked,
        }
    }
}
