//! [`Journal`]: the latest steps of a zone, for secondaries that ask for what changed (RFC 1995).
//!
//! Bounded in steps, records and bytes; the oldest go first. Who asks for older ones gets the whole zone.

use std::collections::VecDeque;
use std::sync::Arc;

use super::receive::Delta;
use super::records::Records;
use super::types::rtype;

/// Most steps that are kept.
pub const JOURNAL_STEPS_MAX: usize = 4_096;
/// Most records in all steps.
pub const JOURNAL_RECORDS_MAX: usize = 100_000;
/// Most bytes of names and data in all steps.
pub const JOURNAL_BYTES_MAX: usize = 8 << 20;

/// Steps that lead from one version to the next, without a gap. Cheap to clone: steps are shared.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    steps: VecDeque<Arc<Delta>>,
    records_count: usize,
    bytes: usize,
}

impl Journal {
    /// Adds the latest step. One that does not lead on from the last begins the journal anew.
    pub fn push(&mut self, delta: Delta) {
        if self.serial().is_some_and(|serial| serial != delta.from) {
            *self = Self::default();
        }
        let begins_with_soa = |records: &Records| {
            let first = records.iter().next();
            first.is_some_and(|record| record.rtype == rtype::SOA)
        };
        if !begins_with_soa(&delta.deleted) || !begins_with_soa(&delta.added) {
            *self = Self::default();
            return;
        }
        self.records_count += records_of(&delta);
        self.bytes += bytes_of(&delta);
        self.steps.push_back(Arc::new(delta));
        while self.steps.len() > JOURNAL_STEPS_MAX
            || self.records_count > JOURNAL_RECORDS_MAX
            || self.bytes > JOURNAL_BYTES_MAX
        {
            let Some(oldest) = self.steps.pop_front() else {
                return;
            };
            self.records_count -= records_of(&oldest);
            self.bytes -= bytes_of(&oldest);
        }
    }

    /// The serial that the last step leads to.
    #[must_use]
    pub fn serial(&self) -> Option<u32> {
        self.steps.back().map(|step| step.to)
    }

    /// Number of steps.
    #[must_use]
    pub fn steps_count(&self) -> usize {
        self.steps.len()
    }

    /// The steps from one serial to another, which is the last, if they are all there.
    pub(super) fn steps(&self, from: u32, to: u32) -> Option<Vec<Arc<Delta>>> {
        if self.serial() != Some(to) {
            return None;
        }
        // The latest, should serials have gone all the way round.
        let first = self.steps.iter().rposition(|step| step.from == from)?;
        Some(self.steps.iter().skip(first).cloned().collect())
    }
}

pub(super) fn records_of(delta: &Delta) -> usize {
    delta.deleted.len() + delta.added.len()
}

fn bytes_of(delta: &Delta) -> usize {
    delta.deleted.bytes() + delta.added.bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(from: u32, records_count: usize) -> Delta {
        let origin: Arc<str> = "test".into();
        let mut delta = Delta {
            from,
            to: from.wrapping_add(1),
            ..Delta::default()
        };
        for records in [&mut delta.deleted, &mut delta.added] {
            let soa = [0; 22];
            records.push(b"\0", rtype::SOA, 60, &soa, &origin).unwrap();
        }
        for index in 0..u32::try_from(records_count).unwrap() {
            let data = index.to_be_bytes();
            let pushed = delta.added.push(b"\0", rtype::A, 60, &data, &origin);
            pushed.unwrap();
        }
        delta
    }

    #[test]
    fn steps_are_found_by_their_serials_over_the_turn() {
        let mut journal = Journal::default();
        for from in [u32::MAX - 1, u32::MAX, 0, 1] {
            journal.push(delta(from, 1));
        }
        assert_eq!(journal.serial(), Some(2));
        let since = |from| journal.steps(from, 2).map(|steps| steps.len());
        assert_eq!(since(u32::MAX), Some(3));
        assert_eq!(since(1), Some(1));
        assert_eq!(since(2), None);
        assert_eq!(since(7), None);
        assert!(journal.steps(1, 3).is_none());
    }

    #[test]
    fn a_gap_begins_anew_and_the_oldest_steps_make_room() {
        let mut journal = Journal::default();
        journal.push(delta(1, 1));
        journal.push(delta(5, 1));
        assert_eq!(journal.steps_count(), 1);
        for from in 6..20 {
            journal.push(delta(from, 30_000));
        }
        assert_eq!(journal.steps_count(), 3);
        assert!(journal.steps(17, 20).is_some());
        assert!(journal.steps(16, 20).is_none());
        for from in 20..6_000 {
            journal.push(delta(from, 0));
        }
        assert_eq!(journal.steps_count(), JOURNAL_STEPS_MAX);
        assert_eq!(
            (journal.records_count, journal.bytes),
            (2 * JOURNAL_STEPS_MAX, 2 * JOURNAL_STEPS_MAX * 23)
        );
        journal.push(Delta {
            from: 6_000,
            to: 6_001,
            ..Delta::default()
        });
        assert_eq!(journal.steps_count(), 0);
    }
}
