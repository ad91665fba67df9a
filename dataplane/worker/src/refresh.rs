//! Tells control of answers in use that will soon expire, so that it resolves their names in time.
//!
//! A worker answers from its cache without control; control would hear of a name only once its answer
//! has expired. So a hit on a resolved answer in the last tenth of its life also sends control a copy
//! of the query, which it does not answer. Once an entry, as far as a small table remembers it, and at
//! most once in a millisecond: a copy that is not sent costs somebody a wait, and no more.

use cache::Entry;

/// Places to remember entries in; a power of two.
const PLACES: usize = 256;
/// What lives shorter than this, in seconds, is not worth it. Control thinks the same.
const TTL_SECS_MIN: u32 = 10;
/// The zone number of resolved data.
const RESOLVED: u32 = 0;

/// The entries that control was told of lately.
#[derive(Debug)]
pub struct Refreshes {
    told: Box<[u64; PLACES]>,
    last_ms: u64,
}

impl Default for Refreshes {
    fn default() -> Self {
        Self {
            told: Box::new([0; PLACES]),
            last_ms: 0,
        }
    }
}

impl Refreshes {
    /// Whether an answer of this age is in the last tenth of its life.
    #[inline]
    #[must_use]
    pub fn is_due(entry: &Entry<'_>, age_secs: u32) -> bool {
        let (ttl, left) = (entry.ttl(), entry.ttl().saturating_sub(age_secs));
        entry.zone() == RESOLVED && ttl >= TTL_SECS_MIN && u64::from(left) * 10 < u64::from(ttl)
    }

    /// Whether control is to be told now; it then counts as told. `hash` is that of the entry's key,
    /// and with `stored_at` names one entry.
    #[cold]
    pub fn claim(&mut self, hash: u64, stored_at: u32, now_ms: u64) -> bool {
        let entry = hash ^ u64::from(stored_at).rotate_left(32);
        let place = usize::try_from(hash % PLACES as u64).unwrap_or(0);
        let Some(told) = self.told.get_mut(place) else {
            return false;
        };
        if *told == entry || self.last_ms == now_ms {
            return false;
        }
        (*told, self.last_ms) = (entry, now_ms);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_claimed_once_and_its_successor_anew() {
        let mut refreshes = Refreshes::default();
        assert!(refreshes.claim(7, 100, 1));
        assert!(!refreshes.claim(7, 100, 2));
        assert!(refreshes.claim(7, 400, 3), "another entry of the same key");
        assert!(refreshes.claim(8, 100, 4));
    }

    #[test]
    fn not_more_than_one_is_claimed_in_a_millisecond() {
        let mut refreshes = Refreshes::default();
        let claimed = (0..1000).filter(|hash| refreshes.claim(*hash, 100, 5 + hash / 100));
        assert_eq!(claimed.count(), 10);
    }
}
