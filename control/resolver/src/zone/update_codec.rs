//! The compact form of an [`Update`], in which it travels inside a command: canonical, bounded, checked as a message is.

use std::sync::Arc;

use super::codec::{CodecError, Reader, to_u16, to_u32};
use super::fitness::is_inside;
use super::name::NameBuffer;
use super::snapshot::read_set;
use super::types::is_meta;
use super::update::{Prerequisite, Step, Update};
use super::words::TTL_SECONDS_MAX;

/// Longest compact form. A message of the largest size whose names are compressed may be longer written out, and is not
/// taken: one command of the ledger has room for this and no more.
pub const UPDATE_BYTES_MAX: usize = 500_000;

/// Of the form below.
const VERSION: u8 = 1;

impl Update {
    /// The compact form.
    ///
    /// # Errors
    /// It is longer than [`UPDATE_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let mut out = vec![VERSION];
        out.extend_from_slice(self.zone());
        out.extend_from_slice(&to_u16(self.prerequisites.len()).to_be_bytes());
        for prerequisite in &self.prerequisites {
            write_prerequisite(prerequisite, &mut out);
        }
        out.extend_from_slice(&to_u16(self.steps.len()).to_be_bytes());
        for step in &self.steps {
            write_step(step, &mut out);
        }
        match out.len() > UPDATE_BYTES_MAX {
            true => Err(CodecError::TooLarge {
                max: UPDATE_BYTES_MAX,
            }),
            false => Ok(out),
        }
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// The first thing that no update has, or that is not written as we write it.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        if bytes.len() > UPDATE_BYTES_MAX {
            let max = UPDATE_BYTES_MAX;
            return Err(CodecError::TooLarge { max });
        }
        let mut reader = Reader::new(bytes);
        let found = reader.u8()?;
        if found != VERSION {
            let expected = VERSION;
            return Err(CodecError::Version { found, expected });
        }
        let offset = reader.offset();
        let zone = NameBuffer::from_wire(reader.name()?).ok_or(CodecError::Name { offset })?;
        let mut update = Self::new(zone);
        for _ in 0..reader.u16()? {
            let prerequisite = read_prerequisite(&mut reader, update.zone())?;
            update.prerequisites.push(prerequisite);
        }
        for _ in 0..reader.u16()? {
            let step = read_step(&mut reader, update.zone())?;
            update.steps.push(step);
        }
        reader.finish()?;
        Ok(update)
    }
}

fn write_prerequisite(prerequisite: &Prerequisite, out: &mut Vec<u8>) {
    let mut put = |kind: u8, owner: &[u8], rtype: Option<u16>| {
        out.push(kind);
        out.extend_from_slice(owner);
        out.extend(rtype.into_iter().flat_map(u16::to_be_bytes));
    };
    match prerequisite {
        Prerequisite::NameInUse(owner) => put(0, owner, None),
        Prerequisite::NameNotInUse(owner) => put(1, owner, None),
        Prerequisite::SetExists(owner, rtype) => put(2, owner, Some(*rtype)),
        Prerequisite::SetAbsent(owner, rtype) => put(3, owner, Some(*rtype)),
        Prerequisite::SetEquals(owner, rtype, set) => {
            put(4, owner, Some(*rtype));
            out.extend_from_slice(&to_u32(set.len()).to_be_bytes());
            out.extend_from_slice(set.as_bytes());
        }
    }
}

fn read_prerequisite(reader: &mut Reader<'_>, zone: &[u8]) -> Result<Prerequisite, CodecError> {
    let offset = reader.offset();
    let kind = reader.u8()?;
    let owner = read_owner(reader, zone)?;
    Ok(match kind {
        0 => Prerequisite::NameInUse(owner),
        1 => Prerequisite::NameNotInUse(owner),
        2 => Prerequisite::SetExists(owner, read_type(reader)?),
        3 => Prerequisite::SetAbsent(owner, read_type(reader)?),
        4 => {
            let rtype = read_type(reader)?;
            Prerequisite::SetEquals(owner, rtype, read_set(reader, rtype, 0)?)
        }
        _ => return Err(CodecError::Value { offset }),
    })
}

fn write_step(step: &Step, out: &mut Vec<u8>) {
    let (kind, owner, rtype, ttl, data) = match step {
        Step::Add {
            owner,
            rtype,
            ttl,
            data,
        } => (0, owner, Some(*rtype), Some(*ttl), Some(data)),
        Step::DeleteRecord { owner, rtype, data } => (1, owner, Some(*rtype), None, Some(data)),
        Step::DeleteSet { owner, rtype } => (2, owner, Some(*rtype), None, None),
        Step::DeleteName { owner } => (3, owner, None, None, None),
    };
    out.push(kind);
    out.extend_from_slice(owner);
    out.extend(rtype.into_iter().flat_map(u16::to_be_bytes));
    out.extend(ttl.into_iter().flat_map(u32::to_be_bytes));
    if let Some(data) = data {
        out.extend_from_slice(&to_u16(data.len()).to_be_bytes());
        out.extend_from_slice(data);
    }
}

fn read_step(reader: &mut Reader<'_>, zone: &[u8]) -> Result<Step, CodecError> {
    let offset = reader.offset();
    let kind = reader.u8()?;
    let owner = read_owner(reader, zone)?;
    Ok(match kind {
        0 => {
            let (rtype, offset) = (read_type(reader)?, reader.offset());
            let ttl = reader.u32()?;
            if ttl > TTL_SECONDS_MAX {
                return Err(CodecError::Value { offset });
            }
            let data = reader.rdata(rtype)?.into();
            Step::Add {
                owner,
                rtype,
                ttl,
                data,
            }
        }
        1 => {
            let rtype = read_type(reader)?;
            let data = reader.rdata(rtype)?.into();
            Step::DeleteRecord { owner, rtype, data }
        }
        2 => Step::DeleteSet {
            owner,
            rtype: read_type(reader)?,
        },
        3 => Step::DeleteName { owner },
        _ => return Err(CodecError::Value { offset }),
    })
}

fn read_owner(reader: &mut Reader<'_>, zone: &[u8]) -> Result<Arc<[u8]>, CodecError> {
    let offset = reader.offset();
    let owner = reader.name()?;
    match is_inside(zone, owner) {
        true => Ok(owner.into()),
        false => Err(CodecError::Name { offset }),
    }
}

fn read_type(reader: &mut Reader<'_>) -> Result<u16, CodecError> {
    let offset = reader.offset();
    let rtype = reader.u16()?;
    match is_meta(rtype) {
        true => Err(CodecError::Value { offset }),
        false => Ok(rtype),
    }
}
