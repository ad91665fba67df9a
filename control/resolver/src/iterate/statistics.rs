//! What the resolver counts.

/// Counters since the start, and gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Questions asked.
    pub questions: u64,
    /// Questions answered from the cache at once.
    pub cache_hits: u64,
    /// Questions that no cache answered at once.
    pub cache_misses: u64,
    /// Questions that joined a resolution under way.
    pub coalesced: u64,
    /// Questions turned away since a table was full.
    pub rejected: u64,
    /// Answers with data past its TTL.
    pub stale_answers: u64,
    /// Questions that ended in SERVFAIL.
    pub failures: u64,
    /// Questions answered from the failure cache.
    pub cached_failures: u64,
    /// Messages sent over UDP.
    pub sends_udp: u64,
    /// Messages sent over TCP.
    pub sends_tcp: u64,
    /// Replies accepted.
    pub replies: u64,
    /// Replies to no exchange: late, or made up.
    pub replies_unknown: u64,
    /// Replies from another address than the one asked.
    pub mismatches_address: u64,
    /// Replies with another id.
    pub mismatches_id: u64,
    /// Replies to another question, and refusals over UDP without one.
    pub mismatches_question: u64,
    /// Replies whose name came back in other case.
    pub mismatches_case: u64,
    /// Replies that could not be read.
    pub malformed: u64,
    /// Exchanges without a reply in time.
    pub timeouts: u64,
    /// Exchanges that failed in another way.
    pub transport_errors: u64,
    /// Replies with TC over UDP.
    pub truncated: u64,
    /// Replies of servers that do not serve the zone.
    pub lame: u64,
    /// Answers that were proven.
    pub secure: u64,
    /// Answers of zones that nothing vouches for.
    pub insecure: u64,
    /// Answers that did not hold under the keys of their zones.
    pub bogus: u64,
    /// Queries repeated without EDNS.
    pub edns_fallbacks: u64,
    /// Queries repeated with the whole name (RFC 9156 §3).
    pub minimisation_fallbacks: u64,
    /// Sub-resolutions started.
    pub subqueries: u64,
    /// Resolutions ended early to make place for new questions.
    pub given_up: u64,
    /// Times that a resolution waited for room at a server.
    pub parked: u64,
    /// Resolutions stopped by a limit of work.
    pub limited: u64,
    /// Names resolved anew before they expired.
    pub prefetches: u64,
    /// Answers made of what was proven for other names (RFC 8198).
    pub aggressive: u64,
    /// Denials and wildcards put into the index of those.
    pub aggressive_insertions: u64,
    /// Denials and wildcards, or zones with all of theirs, removed from it for room.
    pub aggressive_evictions: u64,
    /// RRsets put into the cache.
    pub cache_insertions: u64,
    /// Names removed for room, with all their RRsets.
    pub cache_evictions: u64,
    /// Failures put into the failure cache.
    pub failure_insertions: u64,
    /// Failures removed from it for room.
    pub failure_evictions: u64,
    /// Gauge: questions that wait.
    pub tickets: u64,
    /// Gauge: resolutions under way.
    pub tasks: u64,
    /// Gauge: messages in flight.
    pub exchanges: u64,
    /// Gauge: servers remembered.
    pub servers: u64,
    /// Gauge: names of which something is cached.
    pub cache_entries: u64,
    /// Gauge: bytes the cache holds.
    pub cache_bytes: u64,
    /// Gauge: zones of which proven denials are kept.
    pub aggressive_zones: u64,
    /// Gauge: bytes that those take.
    pub aggressive_bytes: u64,
    /// Gauge: failures remembered.
    pub failures_cached: u64,
}
