//! What a look-up finds, and when an entry may be served.

use crate::Entry;

/// How long after its TTL an entry may be served stale by default, in seconds (RFC 8767 §5: one
/// to three days).
pub const STALE_SECS_MAX: u32 = 86_400;

/// How far the writer's clock reading may be ahead of the reader's, in seconds: both read
/// CLOCK_MONOTONIC, the reader once a batch.
const AHEAD_SECS_MAX: u32 = 2;

/// The present generation of each zone. A zone's older entries are dead.
pub trait Generations {
    /// Generation of `zone`; zone 0 is all data from recursion.
    fn generation(&self, zone: u32) -> u32;
}

/// Whether an entry may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Within its TTL; its age in seconds.
    Fresh(u32),
    /// Past its TTL, but within the bound for stale answers (RFC 8767).
    Stale,
    /// Never again: of an older generation, or too old.
    Dead,
}

impl Freshness {
    /// Judges an entry at `now`, in seconds of the clock that `stored_at` came from.
    #[inline]
    #[must_use]
    pub fn of(
        entry: &Entry<'_>,
        now: u32,
        generations: &impl Generations,
        stale_secs_max: u32,
    ) -> Self {
        let (stored_at, ttl_secs) = (entry.stored_at(), entry.ttl());
        let is_ahead = stored_at > now.saturating_add(AHEAD_SECS_MAX);
        if is_ahead || entry.generation() != generations.generation(entry.zone()) {
            return Self::Dead;
        }
        let age_secs = now.saturating_sub(stored_at);
        if age_secs < ttl_secs {
            Self::Fresh(age_secs)
        } else if age_secs - ttl_secs < stale_secs_max {
            Self::Stale
        } else {
            Self::Dead
        }
    }
}

/// Outcome of a look-up.
#[derive(Clone, Copy, Debug)]
pub enum Lookup<'a> {
    /// An entry within its TTL, and its age in seconds.
    Fresh(Entry<'a>, u32),
    /// An entry past its TTL: to be served only when nobody can refresh it (RFC 8767).
    Stale(Entry<'a>),
    /// Nothing.
    Miss,
}

impl<'a> Lookup<'a> {
    /// What finding `entry` at `now` means; see [`Freshness::of`].
    #[inline]
    #[must_use]
    pub fn judge(
        entry: Entry<'a>,
        now: u32,
        generations: &impl Generations,
        stale_secs_max: u32,
    ) -> Self {
        match Freshness::of(&entry, now, generations, stale_secs_max) {
            Freshness::Fresh(age_secs) => Self::Fresh(entry, age_secs),
            Freshness::Stale => Self::Stale(entry),
            Freshness::Dead => Self::Miss,
        }
    }
}
