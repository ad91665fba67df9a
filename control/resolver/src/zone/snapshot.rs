//! Bytes of [`ZoneContents`], for snapshots: equal contents, equal bytes, on every node.
//!
//! A version, the apex, and then each owner with its sets, both ascending.

use super::codec::{CodecError, Reader, to_u16, to_u32};
use super::contents::{CONTENTS_BYTES_MAX, ZoneContents};
use super::fitness::{check_owner, is_inside};
use super::record_set::RecordSet;
use super::types::is_meta;
use super::words::TTL_SECONDS_MAX;

/// Of the form below.
const VERSION: u8 = 1;

impl ZoneContents {
    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes());
        out.push(VERSION);
        out.extend_from_slice(self.apex());
        out.extend_from_slice(&to_u32(self.owners().len()).to_be_bytes());
        for (owner, sets) in self.owners() {
            out.extend_from_slice(owner);
            out.extend_from_slice(&to_u16(sets.len()).to_be_bytes());
            for (rtype, set) in sets.iter() {
                out.extend_from_slice(&rtype.to_be_bytes());
                out.extend_from_slice(&set.ttl().to_be_bytes());
                out.extend_from_slice(&to_u32(set.len()).to_be_bytes());
                out.extend_from_slice(set.as_bytes());
            }
        }
        out
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// The first thing that no zone has, or that is not written as we write it.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        // Counts and headers beside what the bound counts.
        if bytes.len() > 2 * CONTENTS_BYTES_MAX {
            let max = CONTENTS_BYTES_MAX;
            return Err(CodecError::TooLarge { max });
        }
        let mut reader = Reader::new(bytes);
        let found = reader.u8()?;
        if found != VERSION {
            let expected = VERSION;
            return Err(CodecError::Version { found, expected });
        }
        let mut contents = Self::empty(reader.name()?);
        let owners_count = reader.u32()?;
        let mut last: Option<&[u8]> = None;
        for _ in 0..owners_count {
            let offset = reader.offset();
            let owner = reader.name()?;
            if !is_inside(contents.apex(), owner) {
                return Err(CodecError::Name { offset });
            }
            if last.is_some_and(|last| last >= owner) {
                return Err(CodecError::Order { offset });
            }
            last = Some(owner);
            read_owner(&mut reader, owner, &mut contents)?;
        }
        reader.finish()?;
        check_owner(
            contents.apex(),
            contents.apex(),
            contents.sets_of(contents.apex()),
        )?;
        contents.check_size()?;
        Ok(contents)
    }
}

fn read_owner(
    reader: &mut Reader<'_>,
    owner: &[u8],
    contents: &mut ZoneContents,
) -> Result<(), CodecError> {
    let offset = reader.offset();
    let sets_count = reader.u16()?;
    if sets_count == 0 {
        return Err(CodecError::Value { offset });
    }
    let mut last = None;
    for _ in 0..sets_count {
        let offset = reader.offset();
        let (rtype, ttl) = (reader.u16()?, reader.u32()?);
        if is_meta(rtype) || ttl > TTL_SECONDS_MAX {
            return Err(CodecError::Value { offset });
        }
        if last.is_some_and(|last| last >= rtype) {
            return Err(CodecError::Order { offset });
        }
        last = Some(rtype);
        let set = read_set(reader, rtype, ttl)?;
        contents.put(owner, rtype, Some(set));
    }
    check_owner(contents.apex(), owner, contents.sets_of(owner))?;
    Ok(())
}

/// Data of one or more records, ascending.
pub(super) fn read_set(
    reader: &mut Reader<'_>,
    rtype: u16,
    ttl: u32,
) -> Result<RecordSet, CodecError> {
    let offset = reader.offset();
    let count = reader.u32()?;
    if count == 0 {
        return Err(CodecError::Value { offset });
    }
    let mut all: Vec<&[u8]> = Vec::new();
    for _ in 0..count {
        let offset = reader.offset();
        let data = reader.rdata(rtype)?;
        if all.last().is_some_and(|last| *last >= data) {
            return Err(CodecError::Order { offset });
        }
        all.push(data);
    }
    Ok(RecordSet::from_sorted(ttl, all))
}
