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
    /// Replies over UDP with another cookie than the query, or without one from a server that gives them.
    pub mismatches_cookie: u64,
    /// Replies that could not be read.
    pub malformed: u64,
    /// Exchanges without a reply in time.
    pub timeouts: u64,
    /// Exchanges that failed in another way.
    pub transport_errors: u64,
    /// Queries repeated by TCP: truncated replies, and suspicion of forgery.
    pub tcp_fallbacks: u64,
    /// Milliseconds from query to reply over UDP.
    pub round_trips: RoundTrips,
    /// Replies with TC over UDP.
    pub truncated: u64,
    /// Replies of servers that do not serve the zone.
    pub lame: u64,
    /// Times that the copy of the root zone here answered instead of a root server (RFC 8806).
    pub local_root_answers: u64,
    /// Answers that were proven.
    pub secure: u64,
    /// Answers of zones that nothing vouches for.
    pub insecure: u64,
    /// Answers that did not hold under the keys of their zones.
    pub bogus: u64,
    /// Replies that ask for another cookie (BADCOOKIE).
    pub bad_cookies: u64,
    /// Queries repeated without a cookie.
    pub cookie_fallbacks: u64,
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

/// Upper bounds of the buckets of [`RoundTrips`], in milliseconds.
pub const ROUND_TRIP_BOUNDS_MS: [u32; 12] =
    [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000];

/// A histogram of round-trip times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoundTrips {
    /// How many were at most each bound of [`ROUND_TRIP_BOUNDS_MS`] and above the one before; the
    /// last counts those above all.
    pub counts: [u64; ROUND_TRIP_BOUNDS_MS.len() + 1],
    /// Their sum in milliseconds.
    pub sum_ms: u64,
}

impl RoundTrips {
    pub(super) fn count(&mut self, rtt_ms: u32) {
        let index = ROUND_TRIP_BOUNDS_MS.partition_point(|bound_ms| *bound_ms < rtt_ms);
        if let Some(count) = self.counts.get_mut(index) {
            *count += 1;
        }
        self.sum_ms = self.sum_ms.saturating_add(rtt_ms.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_counted_once_in_the_bucket_of_the_next_bound() {
        let mut trips = RoundTrips::default();
        for rtt_ms in [0, 1, 2, 3, 5_000, 5_001, u32::MAX] {
            trips.count(rtt_ms);
        }
        assert_eq!(trips.counts, [2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(trips.sum_ms, 6 + 5_000 + 5_001 + u64::from(u32::MAX));
    }
}
