//! The next version of a zone: its records, and the steps of an IXFR.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::contents::ZoneContents;
use super::error::{Problem, show};
use super::receive::Delta;
use super::record_set::RecordSet;
use super::records::{Record, Records};
use super::types::type_to_text;

/// Why a delta does not fit to the records.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DeltaError {
    /// It takes away what is not there.
    #[error("the step to serial {to} takes away {record}, which the zone does not have")]
    Absent {
        /// Serial after the step.
        to: u32,
        /// Owner and type.
        record: String,
    },
    /// It brings what is there already.
    #[error("the step to serial {to} brings {record}, which the zone has already")]
    Present {
        /// Serial after the step.
        to: u32,
        /// Owner and type.
        record: String,
    },
    /// A record that no zone can have.
    #[error("a record is unfit: {0}")]
    Record(Problem),
}

type Key = (Box<[u8]>, u16, Box<[u8]>);

impl Delta {
    /// Applies steps in their order. Owner, type and data say which record is meant; TTLs of records to delete do not count.
    /// A step that does not fit means that the two sides do not have the same zone: ask for all of it then.
    ///
    /// # Errors
    /// The first record that does not fit.
    pub fn apply_all(records: &Records, deltas: &[Self]) -> Result<Records, DeltaError> {
        // By owner first, as a zone file would have them.
        let mut kept: BTreeMap<Key, u32> = records.iter().map(|r| (key_of(&r), r.ttl)).collect();
        for delta in deltas {
            for record in delta.deleted.iter() {
                if kept.remove(&key_of(&record)).is_none() {
                    let (to, record) = (delta.to, name_of(&record));
                    return Err(DeltaError::Absent { to, record });
                }
            }
            for record in delta.added.iter() {
                if kept.insert(key_of(&record), record.ttl).is_some() {
                    let (to, record) = (delta.to, name_of(&record));
                    return Err(DeltaError::Present { to, record });
                }
            }
        }
        let origin: Arc<str> = "IXFR".into();
        let mut next = Records::new();
        for ((owner, rtype, data), ttl) in kept {
            next.push(&owner, rtype, ttl, &data, &origin)
                .map_err(DeltaError::Record)?;
        }
        Ok(next)
    }
}

impl ZoneContents {
    /// Follows one step of the zone of which this is a copy. See [`Delta::apply_all`].
    ///
    /// # Errors
    /// The first record that does not fit. The copy is of no use then.
    pub fn follow(&mut self, delta: &Delta) -> Result<(), DeltaError> {
        for record in delta.deleted.iter() {
            let set = self.set(record.owner, record.rtype);
            let set = set.filter(|set| set.contains(record.data));
            let Some(set) = set else {
                let (to, record) = (delta.to, name_of(&record));
                return Err(DeltaError::Absent { to, record });
            };
            let rest = set.retain(|data| data != record.data);
            self.put(record.owner, record.rtype, rest);
        }
        for record in delta.added.iter() {
            let set = self.set(record.owner, record.rtype);
            if set.is_some_and(|set| set.contains(record.data)) {
                let (to, record) = (delta.to, name_of(&record));
                return Err(DeltaError::Present { to, record });
            }
            let next = match set {
                Some(set) => set.with_ttl(record.ttl).with(record.data),
                None => RecordSet::from_sorted(record.ttl, [record.data]),
            };
            self.put(record.owner, record.rtype, Some(next));
        }
        Ok(())
    }
}

fn key_of(record: &Record<'_>) -> Key {
    (record.owner.into(), record.rtype, record.data.into())
}

fn name_of(record: &Record<'_>) -> String {
    format!("{} {}", show(record.owner), type_to_text(record.rtype))
}
