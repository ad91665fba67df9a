//! [`Update`]: a DNS UPDATE message (RFC 2136) as a typed value, checked as far as that needs no zone.
//!
//! [`Update::parse`] reads a message, `update_codec.rs` the compact form in which it travels between nodes, `apply.rs` carries it
//! out. Nothing here is believed about who sent it: that is for TSIG and the caller's policy.

use std::collections::BTreeMap;
use std::sync::Arc;

use wire::{HEADER_BYTES, flag, rcode};

use super::check::{check_rdata, make_canonical};
use super::expand::{Expansion, expand_name, expand_rdata};
use super::fitness::{Unfit, is_inside};
use super::name::NameBuffer;
use super::record_set::RecordSet;
use super::types::{CLASS_IN, is_meta, rtype};
use super::update_codec::UPDATE_BYTES_MAX;
use super::words::TTL_SECONDS_MAX;

const OPCODE_UPDATE: u16 = 5;
const CLASS_NONE: u16 = 254;
const CLASS_ANY: u16 = 255;

/// What must be so before anything is changed (RFC 2136 §2.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prerequisite {
    /// The name has a record.
    NameInUse(Arc<[u8]>),
    /// The name has none.
    NameNotInUse(Arc<[u8]>),
    /// The name has records of this type.
    SetExists(Arc<[u8]>, u16),
    /// The name has none of this type.
    SetAbsent(Arc<[u8]>, u16),
    /// The name has exactly these records of this type; their TTL does not count.
    SetEquals(Arc<[u8]>, u16, RecordSet),
}

/// One change (RFC 2136 §2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A record comes.
    Add {
        /// Owner in wire form, lower-case.
        owner: Arc<[u8]>,
        /// Number of the type.
        rtype: u16,
        /// Seconds, of the whole set from now on.
        ttl: u32,
        /// In canonical form.
        data: Box<[u8]>,
    },
    /// A record goes.
    DeleteRecord {
        /// Owner in wire form, lower-case.
        owner: Arc<[u8]>,
        /// Number of the type.
        rtype: u16,
        /// In canonical form.
        data: Box<[u8]>,
    },
    /// All records of a name and type go.
    DeleteSet {
        /// Owner in wire form, lower-case.
        owner: Arc<[u8]>,
        /// Number of the type.
        rtype: u16,
    },
    /// All records of a name go.
    DeleteName {
        /// Owner in wire form, lower-case.
        owner: Arc<[u8]>,
    },
}

/// Data of the sets that must be equal, by owner and type.
type Equals = BTreeMap<(Arc<[u8]>, u16), Vec<Box<[u8]>>>;

/// Changes to one zone, all or nothing, and what they depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    pub(super) zone: NameBuffer,
    pub(super) prerequisites: Vec<Prerequisite>,
    pub(super) steps: Vec<Step>,
}

/// Why an update is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// The message cannot be read, or says what no update can say.
    #[error("malformed at byte {offset}")]
    Malformed {
        /// Of the message; 0 where it does not matter.
        offset: usize,
    },
    /// It is for another zone, or another class.
    #[error("not for a zone of ours")]
    NotAuthoritative,
    /// A name is not inside of the zone.
    #[error("a name outside of the zone")]
    NotZone,
    /// A name that must be there is not.
    #[error("a name that must be there is not")]
    NameAbsent,
    /// A name that must not be there is.
    #[error("a name that must not be there is")]
    NamePresent,
    /// Records that must be there are not, or not those.
    #[error("records that must be there are not")]
    SetAbsent,
    /// Records that must not be there are.
    #[error("records that must not be there are")]
    SetPresent,
    /// Written out, as nodes pass it on, it is longer than [`UPDATE_BYTES_MAX`].
    #[error("more than {UPDATE_BYTES_MAX} bytes with names written out; make several of it")]
    TooLarge,
    /// The zone must not become what it would.
    #[error("refused: {0}")]
    Unfit(#[from] Unfit),
}

impl UpdateError {
    /// What the client is told (RFC 2136 §2.2).
    #[must_use]
    pub fn rcode(&self) -> u16 {
        match self {
            Self::Malformed { .. } => rcode::FORMERR,
            Self::NotAuthoritative => rcode::NOTAUTH,
            Self::NotZone => rcode::NOTZONE,
            Self::NameAbsent => rcode::NXDOMAIN,
            Self::NamePresent => rcode::YXDOMAIN,
            Self::SetAbsent => rcode::NXRRSET,
            Self::SetPresent => rcode::YXRRSET,
            Self::TooLarge | Self::Unfit(_) => rcode::REFUSED,
        }
    }
}

impl From<Expansion> for UpdateError {
    fn from(Expansion { offset }: Expansion) -> Self {
        Self::Malformed { offset }
    }
}

impl Update {
    /// An update with nothing in it: the zone stays as it is.
    #[must_use]
    pub fn new(zone: NameBuffer) -> Self {
        Self {
            zone,
            prerequisites: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// Name of the zone in wire form, lower-case.
    #[must_use]
    pub fn zone(&self) -> &[u8] {
        self.zone.as_bytes()
    }

    /// What must be so before, in the order in which it is looked at.
    #[must_use]
    pub fn prerequisites(&self) -> &[Prerequisite] {
        &self.prerequisites
    }

    /// The changes in their order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The zone that a message is for, before its sender is known and the rest is read.
    ///
    /// # Errors
    /// The message is no update, or not one of a zone of class IN.
    pub fn read_zone(message: &[u8]) -> Result<NameBuffer, UpdateError> {
        read_zone(message).map(|(zone, _)| zone)
    }

    /// Reads a message. The additional section, TSIG included, is not looked at.
    ///
    /// # Errors
    /// The first thing that no update can have.
    pub fn parse(message: &[u8]) -> Result<Self, UpdateError> {
        let (zone, mut offset) = read_zone(message)?;
        let mut update = Self::new(zone);
        let mut equals = Equals::new();
        let mut scratch = Vec::new();
        let mut owner: Arc<[u8]> = Arc::default();
        for _ in 0..u16_at(message, 6)? {
            let record = Raw::read(message, &mut offset, &mut scratch, &mut owner)?;
            update.add_prerequisite(&record, &mut equals)?;
        }
        for ((owner, rtype), mut all) in equals {
            all.sort_unstable();
            all.dedup();
            let set = RecordSet::from_sorted(0, all.iter().map(|data| &**data));
            update
                .prerequisites
                .push(Prerequisite::SetEquals(owner, rtype, set));
        }
        for _ in 0..u16_at(message, 8)? {
            let record = Raw::read(message, &mut offset, &mut scratch, &mut owner)?;
            let step = update.read_step(&record)?;
            update.steps.push(step);
        }
        match update.encode() {
            Ok(_) => Ok(update),
            Err(_) => Err(UpdateError::TooLarge),
        }
    }

    /// RFC 2136 §3.2.
    fn add_prerequisite(
        &mut self,
        record: &Raw<'_>,
        equals: &mut Equals,
    ) -> Result<(), UpdateError> {
        let malformed = UpdateError::Malformed {
            offset: record.offset,
        };
        if record.ttl != 0 {
            return Err(malformed);
        }
        let (owner, rtype) = (Arc::clone(record.owner), record.rtype);
        if !is_inside(self.zone(), &owner) {
            return Err(UpdateError::NotZone);
        }
        let is_any = rtype == rtype::ANY;
        if !is_any && is_meta(rtype) {
            return Err(malformed);
        }
        let prerequisite = match (record.class, record.data.is_empty()) {
            (CLASS_ANY, true) if is_any => Prerequisite::NameInUse(owner),
            (CLASS_ANY, true) => Prerequisite::SetExists(owner, rtype),
            (CLASS_NONE, true) if is_any => Prerequisite::NameNotInUse(owner),
            (CLASS_NONE, true) => Prerequisite::SetAbsent(owner, rtype),
            (CLASS_IN, _) if !is_any => {
                let data = record.canonical_data()?;
                equals.entry((owner, rtype)).or_default().push(data);
                return Ok(());
            }
            _ => return Err(malformed),
        };
        self.prerequisites.push(prerequisite);
        Ok(())
    }

    /// RFC 2136 §3.4.1.
    fn read_step(&self, record: &Raw<'_>) -> Result<Step, UpdateError> {
        let malformed = UpdateError::Malformed {
            offset: record.offset,
        };
        let (owner, rtype) = (Arc::clone(record.owner), record.rtype);
        if !is_inside(self.zone(), &owner) {
            return Err(UpdateError::NotZone);
        }
        let is_any = rtype == rtype::ANY;
        if !is_any && is_meta(rtype) {
            return Err(malformed);
        }
        match record.class {
            CLASS_IN if !is_any => Ok(Step::Add {
                data: record.canonical_data()?,
                // RFC 2181 §8.
                ttl: Some(record.ttl)
                    .filter(|ttl| *ttl <= TTL_SECONDS_MAX)
                    .unwrap_or(0),
                owner,
                rtype,
            }),
            CLASS_ANY if record.ttl == 0 && record.data.is_empty() && is_any => {
                Ok(Step::DeleteName { owner })
            }
            CLASS_ANY if record.ttl == 0 && record.data.is_empty() => {
                Ok(Step::DeleteSet { owner, rtype })
            }
            CLASS_NONE if record.ttl == 0 && !is_any => Ok(Step::DeleteRecord {
                data: record.canonical_data()?,
                owner,
                rtype,
            }),
            _ => Err(malformed),
        }
    }
}

/// The zone section (RFC 2136 §2.3), and where it ends.
fn read_zone(message: &[u8]) -> Result<(NameBuffer, usize), UpdateError> {
    let flags = u16_at(message, 2)?;
    if flags & flag::QR != 0 || flags >> 11 & 0xf != OPCODE_UPDATE || u16_at(message, 4)? != 1 {
        return Err(UpdateError::Malformed { offset: 2 });
    }
    let (mut zone, end) = expand_name(message, HEADER_BYTES)?;
    zone.make_lowercase();
    let (ztype, zclass) = (u16_at(message, end)?, u16_at(message, end + 2)?);
    if ztype != rtype::SOA {
        return Err(UpdateError::Malformed { offset: end });
    }
    if zclass != CLASS_IN {
        return Err(UpdateError::NotAuthoritative);
    }
    Ok((zone, end + 4))
}

/// A record of a message, its names written out.
struct Raw<'m> {
    /// Where it begins.
    offset: usize,
    owner: &'m Arc<[u8]>,
    rtype: u16,
    class: u16,
    ttl: u32,
    data: &'m [u8],
}

impl<'m> Raw<'m> {
    /// Reads the record at `offset` and moves that behind it. Records in a row with one owner share `last`.
    fn read(
        message: &[u8],
        offset: &mut usize,
        scratch: &'m mut Vec<u8>,
        last: &'m mut Arc<[u8]>,
    ) -> Result<Self, UpdateError> {
        let start = *offset;
        let (mut owner, at) = expand_name(message, start)?;
        owner.make_lowercase();
        let (rtype, class) = (u16_at(message, at)?, u16_at(message, at + 2)?);
        let ttl = u32::from(u16_at(message, at + 4)?) << 16 | u32::from(u16_at(message, at + 6)?);
        let bytes = usize::from(u16_at(message, at + 8)?);
        let (begin, end) = (at + 10, at + 10 + bytes);
        if end > message.len() {
            return Err(UpdateError::Malformed { offset: at });
        }
        scratch.clear();
        // Where a whole set is meant there are no data, of any type.
        if bytes > 0 {
            expand_rdata(rtype, message, begin..end, scratch)?;
        }
        if **last != *owner.as_bytes() {
            *last = owner.as_bytes().into();
        }
        *offset = end;
        Ok(Self {
            offset: start,
            owner: last,
            rtype,
            class,
            ttl,
            data: scratch,
        })
    }

    fn canonical_data(&self) -> Result<Box<[u8]>, UpdateError> {
        let offset = self.offset;
        let mut data: Box<[u8]> = self.data.into();
        // Names that were compressed may have made it longer than a record can be.
        if data.len() > usize::from(u16::MAX) || check_rdata(self.rtype, &data).is_err() {
            return Err(UpdateError::Malformed { offset });
        }
        make_canonical(self.rtype, &mut data);
        Ok(data)
    }
}

fn u16_at(message: &[u8], offset: usize) -> Result<u16, UpdateError> {
    let bytes = message.get(offset..).and_then(<[u8]>::first_chunk);
    bytes
        .map(|bytes| u16::from_be_bytes(*bytes))
        .ok_or(UpdateError::Malformed { offset })
}

#[cfg(test)]
#[path = "update_tests.rs"]
mod tests;
