//! A zone that is too large for one command: a part that makes it, and updates that bring the rest.
//!
//! Each update requires the serial that the one before leaves. So several nodes may bring the same zone at once, and one may go
//! on where another stopped: what comes twice is refused and changes nothing.

use std::sync::Arc;

use consensus::COMMAND_BYTES_MAX;
use resolver::zone::{RecordSet, Records, Update, Zone, ZoneContents};

use crate::command::{Command, CreateMode};

/// Most bytes of a zone that comes whole: a command's, less room for what stands around it.
const WHOLE_BYTES_MAX: usize = COMMAND_BYTES_MAX - 4096;
/// About as many bytes of records in an update. With one more set it is still less than an update may have.
const PART_BYTES: usize = 48 * 1024;

const CLASS_IN: u16 = 1;
const SOA: u16 = 6;
/// Opcode 5 (RFC 2136 §1.3).
const UPDATE_FLAGS: u16 = 5 << 11;

/// Why a zone cannot come by commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// No update brings signatures (RFC 2136 leaves them to the signer), and in one command it has no room.
    #[error("a signed zone of more than {WHOLE_BYTES_MAX} bytes")]
    Signed,
    /// Part by part it would be gone before it is back.
    #[error("a zone of more than {WHOLE_BYTES_MAX} bytes cannot replace one")]
    Replace,
    /// It does not hold together without its later parts.
    #[error("the first part is no zone")]
    FirstPart,
}

/// The commands that bring a zone, in their order; one if it fits. Each update raises the serial by one.
///
/// # Errors
/// It is too large for one command, and cannot come in parts.
pub fn commands_of(contents: &ZoneContents, mode: CreateMode) -> Result<Vec<Command>, ImportError> {
    if contents.encode().len() <= WHOLE_BYTES_MAX {
        let contents = contents.clone();
        return Ok(vec![Command::ZoneCreate { contents, mode }]);
    }
    if contents.is_signed() {
        return Err(ImportError::Signed);
    }
    if mode == CreateMode::Replace {
        return Err(ImportError::Replace);
    }
    let apex: Arc<[u8]> = contents.apex().into();
    let (top, rest): (Vec<_>, Vec<_>) = contents.sets().partition(|(owner, ..)| **owner == *apex);
    let mut commands = vec![first(&apex, &top, mode).ok_or(ImportError::FirstPart)?];
    let mut soa = soa_of(contents).ok_or(ImportError::FirstPart)?;
    let mut part = Part::default();
    for (owner, rtype, set) in rest {
        part.add(owner, rtype, set);
        if part.bytes.len() >= PART_BYTES {
            let done = std::mem::take(&mut part);
            commands.push(done.finish(&apex, &soa).ok_or(ImportError::FirstPart)?);
            soa = next(soa);
        }
    }
    if part.records > 0 {
        commands.push(part.finish(&apex, &soa).ok_or(ImportError::FirstPart)?);
    }
    Ok(commands)
}

fn first(apex: &[u8], sets: &[(&[u8], u16, &RecordSet)], mode: CreateMode) -> Option<Command> {
    let (origin, mut records) = (Arc::from("zone"), Records::new());
    for (owner, rtype, set) in sets {
        for data in set.iter() {
            records.push(owner, *rtype, set.ttl(), data, &origin).ok()?;
        }
    }
    let (zone, _) = Zone::build(apex, &records).ok()?;
    let contents = ZoneContents::from_zone(&zone);
    Some(Command::ZoneCreate { contents, mode })
}

fn soa_of(contents: &ZoneContents) -> Option<Vec<u8>> {
    let set = contents.set(contents.apex(), SOA)?;
    set.iter().next().map(<[u8]>::to_vec)
}

/// Data of the SOA record with the serial that an update leaves (its first number, RFC 1035 §3.3.13).
fn next(mut soa: Vec<u8>) -> Vec<u8> {
    if let Some(serial) = soa.last_chunk_mut::<20>().and_then(|n| n.first_chunk_mut()) {
        *serial = u32::from_be_bytes(*serial)
            .wrapping_add(1)
            .max(1)
            .to_be_bytes();
    }
    soa
}

/// Records of an update in the form of a message.
#[derive(Default)]
struct Part {
    bytes: Vec<u8>,
    records: u16,
}

impl Part {
    fn add(&mut self, owner: &[u8], rtype: u16, set: &RecordSet) {
        for data in set.iter() {
            write_record(owner, rtype, set.ttl(), data, &mut self.bytes);
            self.records += 1;
        }
    }

    /// With the SOA record that must be there before.
    fn finish(self, apex: &[u8], soa: &[u8]) -> Option<Command> {
        let mut message = Vec::new();
        for number in [0, UPDATE_FLAGS, 1, 1, self.records, 0] {
            message.extend_from_slice(&number.to_be_bytes());
        }
        message.extend_from_slice(apex);
        message.extend_from_slice(&SOA.to_be_bytes());
        message.extend_from_slice(&CLASS_IN.to_be_bytes());
        write_record(apex, SOA, 0, soa, &mut message);
        message.extend_from_slice(&self.bytes);
        let update = Update::parse(&message).ok()?;
        Some(Command::ZoneUpdate(Box::new(update)))
    }
}

fn write_record(owner: &[u8], rtype: u16, ttl: u32, data: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(owner);
    out.extend_from_slice(&rtype.to_be_bytes());
    out.extend_from_slice(&CLASS_IN.to_be_bytes());
    out.extend_from_slice(&ttl.to_be_bytes());
    // A record's data have at most 65,535 bytes.
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(data);
}
