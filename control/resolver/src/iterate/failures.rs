//! Remembers questions that failed, so that they are not asked again at once (RFC 9520).

use super::bounded::{BoundedMap, HashKeys};
use super::task::TaskKey;

/// How long a first failure is remembered, in seconds; it doubles with each failure in a row, which
/// ends when the longest hold has passed without one.
const HOLD_SECS_MIN: u32 = 5;
/// Longest time that a failure may be remembered, in seconds (RFC 9520 §3.2: five minutes).
const HOLD_SECS_MAX: u32 = 300;

/// Why a resolution failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// INFO-CODE of RFC 8914.
    pub(super) code: u16,
    pub(super) text: String,
    /// Whether asking again soon would fail again. False where our own limits were at fault.
    pub(super) lasting: bool,
}

struct Remembered {
    failure: Failure,
    until_ms: u64,
    hold_secs: u32,
}

/// Questions that failed lately, and how many ever were put in.
pub(super) struct Failures(BoundedMap<TaskKey, Remembered>, u64);

impl Failures {
    pub(super) fn new(failures_max: usize, keys: HashKeys) -> Self {
        Self(BoundedMap::new(failures_max, keys), 0)
    }

    /// The failure, and for how many seconds more it holds.
    pub(super) fn find(&mut self, now_ms: u64, key: &TaskKey) -> Option<(&Failure, u32)> {
        let remembered = self
            .0
            .get(key)
            .filter(|remembered| now_ms < remembered.until_ms)?;
        let left_secs =
            u32::try_from((remembered.until_ms - now_ms).div_ceil(1000)).unwrap_or(HOLD_SECS_MAX);
        Some((&remembered.failure, left_secs))
    }

    /// Remembers a failure, for `secs_min` at least; gives the seconds for which it holds.
    pub(super) fn insert(
        &mut self,
        now_ms: u64,
        key: TaskKey,
        failure: Failure,
        secs_min: u32,
    ) -> u32 {
        let in_a_row =
            |before: &&Remembered| now_ms < before.until_ms + 1000 * u64::from(HOLD_SECS_MAX);
        let hold_secs = match self.0.peek(&key).filter(in_a_row) {
            Some(before) => (before.hold_secs * 2).min(HOLD_SECS_MAX),
            None => HOLD_SECS_MIN,
        }
        .max(secs_min);
        self.1 += 1;
        let until_ms = now_ms + u64::from(hold_secs) * 1000;
        self.0.insert(
            key,
            Remembered {
                failure,
                until_ms,
                hold_secs,
            },
            1,
        );
        hold_secs
    }

    /// The question was answered after all.
    pub(super) fn remove(&mut self, key: &TaskKey) {
        self.0.remove(key);
    }

    /// Forgets the questions that `matches`; gives their number.
    pub(super) fn flush(&mut self, matches: impl Fn(&TaskKey) -> bool) -> usize {
        let before = self.0.len();
        self.0.retain(|key, _| (!matches(key)).then_some(1));
        before - self.0.len()
    }

    /// Every failure that still holds, and for how many seconds.
    pub(super) fn list(&self, now_ms: u64) -> impl Iterator<Item = (&TaskKey, &Failure, u32)> {
        self.0.iter().filter_map(move |(key, remembered)| {
            let left_ms = remembered
                .until_ms
                .checked_sub(now_ms)
                .filter(|ms| *ms > 0)?;
            let left_secs = u32::try_from(left_ms.div_ceil(1000)).unwrap_or(HOLD_SECS_MAX);
            Some((key, &remembered.failure, left_secs))
        })
    }

    pub(super) fn insertions(&self) -> u64 {
        self.1
    }

    pub(super) fn evictions(&self) -> u64 {
        self.0.evictions()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iterate::name::WireName;
    use hickory_proto::rr::RecordType;

    #[test]
    fn failure_is_remembered_for_longer_each_time_and_never_over_five_minutes() {
        let mut failures = Failures::new(4, HashKeys(1, 2));
        let key = TaskKey {
            name: WireName::root(),
            rtype: RecordType::A,
            checking_disabled: false,
        };
        let failure = Failure {
            code: 22,
            text: String::new(),
            lasting: true,
        };
        let holds: Vec<u32> = (0..8)
            .map(|_| failures.insert(0, key.clone(), failure.clone(), 0))
            .collect();
        assert_eq!(holds, [5, 10, 20, 40, 80, 160, 300, 300]);
        assert!(failures.find(299_999, &key).is_some());
        assert!(failures.find(300_000, &key).is_none());
        failures.remove(&key);
        let mut insert = |now_ms| failures.insert(now_ms, key.clone(), failure.clone(), 0);
        assert_eq!((insert(0), insert(304_999)), (5, 10));
        assert_eq!(insert(304_999 + 310_000), 5, "the row ended long ago");
    }
}
