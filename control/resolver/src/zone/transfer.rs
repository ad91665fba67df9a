//! Sends a zone out: the messages of an AXFR (RFC 5936) or IXFR (RFC 1995), without TSIG.

use std::sync::Arc;

use wire::query::Query;
use wire::{HEADER_BYTES, flag};

use super::codec::to_u16;
use super::compose::{Composer, Full, Owner, Section, write_header};
use super::data::{EncodedRecords, Rrset, Shape, Zone};
use super::journal::{Journal, records_of};
use super::receive::Delta;
use super::records::{Record, Records};
use super::tree::APEX;
use super::types::{CLASS_IN, rtype};

/// Largest message over TCP in bytes.
const MESSAGE_BYTES_MAX: usize = 65_535;

/// Messages end near this many bytes: compression pointers reach no further (RFC 1035 §4.1.4).
const MESSAGE_BYTES_AIM: usize = 16_384;

/// Names remembered for compression in one message.
const COMPRESSION_SLOTS: usize = 1_024;

/// The messages of one transfer, in order: the SOA record, all others, and the SOA record again. Keeps its zone as it was when the
/// transfer began. Each message is complete but for a signature; the caller frames it for TCP.
#[derive(Debug)]
pub struct Transfer {
    zone: Arc<Zone>,
    /// Those of an IXFR; none: the whole zone.
    steps: Vec<Arc<Delta>>,
    /// Header and question as the client sent them.
    question: Vec<u8>,
    flags: u16,
    buffer: Vec<u8>,
    stage: Stage,
    /// Records of this stage that were already sent.
    sent: usize,
    is_first: bool,
    /// Bytes of a message that the caller adds.
    reserved: usize,
}

/// What is to be sent next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    FirstSoa,
    /// What goes with a step of an IXFR, its SOA record first, and then what comes.
    Deleted(usize),
    Added(usize),
    /// A set of a node.
    Set {
        node: usize,
        set: usize,
    },
    /// An NSEC3 record, those of the chain in use first.
    Nsec3(usize),
    LastSoa,
    Done,
}

impl Transfer {
    /// Begins the transfer that `query` (AXFR, or IXFR answered in full, RFC 1995 §4) asks for. `message` is that query.
    ///
    /// # Panics
    /// When `message` is shorter than the question: the caller's mistake.
    pub fn new(zone: Arc<Zone>, query: &Query, message: &[u8]) -> Self {
        Self {
            zone,
            steps: Vec::new(),
            question: message[..usize::from(query.question_end)].to_vec(),
            flags: flag::QR | flag::AA | query.flags & flag::RD,
            buffer: vec![0; MESSAGE_BYTES_MAX],
            stage: Stage::FirstSoa,
            sent: 0,
            is_first: true,
            reserved: 0,
        }
    }

    /// Leaves room for so many bytes that the caller adds to each message, unless one record takes all of it.
    pub fn reserve(&mut self, bytes: usize) {
        self.reserved = bytes.min(MESSAGE_BYTES_AIM / 2);
    }

    /// Begins the transfer of what changed since serial `from`; of the whole zone where the journal does not reach so far back, or
    /// where that takes fewer records (RFC 1995 §4).
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn since(
        zone: Arc<Zone>,
        journal: &Journal,
        from: u32,
        query: &Query,
        message: &[u8],
    ) -> Self {
        let steps = journal.steps(from, zone.serial());
        let records_max = zone.counts().records;
        let is_short = |steps: &Vec<Arc<Delta>>| {
            steps.iter().map(|step| records_of(step)).sum::<usize>() <= records_max
        };
        let steps = steps.filter(is_short).unwrap_or_default();
        Self {
            steps,
            ..Self::new(zone, query, message)
        }
    }

    /// Whether it is an IXFR and not the whole zone.
    pub fn is_incremental(&self) -> bool {
        !self.steps.is_empty()
    }

    /// All of it in one message of at most `capacity` bytes, if it fits, for UDP; before anything else was taken.
    pub fn into_single(mut self, capacity: usize) -> Option<Vec<u8>> {
        let capacity = capacity.min(MESSAGE_BYTES_MAX);
        if self.question.len() > capacity {
            return None;
        }
        let (bytes, _) = self.fill(capacity);
        let message = self.buffer.get(..bytes).map(<[u8]>::to_vec);
        message.filter(|_| self.stage == Stage::Done)
    }

    /// Fills one message of at most `capacity` bytes; its length, and how many records it has.
    fn fill(&mut self, capacity: usize) -> (usize, u16) {
        // The question stands in the first message alone (RFC 5936 §2.2.1).
        let start = if self.is_first {
            self.question.len()
        } else {
            HEADER_BYTES
        };
        let message = &mut self.buffer[..capacity];
        message[..start].copy_from_slice(&self.question[..start]);
        // The question of a transfer is the apex.
        let qname = self.is_first.then(|| self.zone.apex());
        let mut composer: Composer<'_, COMPRESSION_SLOTS> = Composer::new(message, start, qname);
        while self.stage != Stage::Done {
            let sent = &mut self.sent;
            let result = match step_records(&self.steps, self.stage) {
                Some(records) => send_records(records, sent, &mut composer),
                None => send_stage(&self.zone, self.stage, sent, &mut composer),
            };
            if result == Err(Full) {
                break;
            }
            let next = next_stage(&self.zone, self.steps.len(), self.stage);
            (self.stage, self.sent) = (next, 0);
        }
        let (bytes, counts) = (composer.position(), composer.counts());
        write_header(message, self.flags, u16::from(self.is_first), counts);
        (bytes, counts[Section::Answer as usize])
    }
}

impl Iterator for Transfer {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        if self.stage == Stage::Done {
            return None;
        }
        let (mut bytes, mut count) = self.fill(MESSAGE_BYTES_AIM - self.reserved);
        if count == 0 {
            (bytes, count) = self.fill(MESSAGE_BYTES_MAX - self.reserved);
        }
        if count == 0 {
            // One record that is larger than what we aim at. The build bounds sets so that any record fits here.
            (bytes, count) = self.fill(MESSAGE_BYTES_MAX);
            assert!(count > 0, "a record larger than a message");
        }
        self.is_first = false;
        Some(self.buffer[..bytes].to_vec())
    }
}

/// The records of a stage that is a part of a step.
fn step_records(steps: &[Arc<Delta>], stage: Stage) -> Option<&Records> {
    match stage {
        Stage::Deleted(index) => steps.get(index).map(|step| &step.deleted),
        Stage::Added(index) => steps.get(index).map(|step| &step.added),
        _ => None,
    }
}

/// Sends what is left of records; counts in `sent`.
fn send_records(
    records: &Records,
    sent: &mut usize,
    composer: &mut Composer<'_, COMPRESSION_SLOTS>,
) -> Result<(), Full> {
    let mut encoded = Vec::new();
    for record in records.iter().skip(*sent) {
        encode(&record, &mut encoded);
        let (owner, shape) = (Owner::Name(record.owner), Shape::of(record.rtype));
        composer.write_record(Section::Answer, owner, shape, &encoded)?;
        *sent += 1;
    }
    Ok(())
}

fn encode(record: &Record<'_>, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&record.rtype.to_be_bytes());
    out.extend_from_slice(&CLASS_IN.to_be_bytes());
    out.extend_from_slice(&record.ttl.to_be_bytes());
    out.extend_from_slice(&to_u16(record.data.len()).to_be_bytes());
    out.extend_from_slice(record.data);
}

/// Sends what is left of a stage; counts in `sent`.
fn send_stage(
    zone: &Zone,
    stage: Stage,
    sent: &mut usize,
    composer: &mut Composer<'_, COMPRESSION_SLOTS>,
) -> Result<(), Full> {
    let (name, rrset) = match stage {
        Stage::FirstSoa | Stage::LastSoa => (zone.apex(), zone.soa()),
        Stage::Set { node, set } => {
            let node = &zone.tree.nodes[node];
            let Some(rrset) = zone.rrsets_of(node).get(set) else {
                return Ok(());
            };
            (super::tree::node_name(node, &zone.bytes), rrset)
        }
        Stage::Nsec3(index) => {
            let other = index
                .checked_sub(zone.nsec3.len())
                .and_then(|index| zone.nsec3_other.get(index));
            let Some(entry) = zone.nsec3.get(index).or(other) else {
                return Ok(());
            };
            (zone.span(entry.name), &entry.rrset)
        }
        Stage::Deleted(_) | Stage::Added(_) | Stage::Done => return Ok(()),
    };
    let (has_records, has_signatures) = match stage {
        Stage::FirstSoa | Stage::LastSoa => (true, false),
        // The SOA record itself begins and ends the transfer (RFC 5936 §2.2).
        Stage::Set { node, .. } => (node != APEX as usize || rrset.rtype != rtype::SOA, true),
        _ => (true, true),
    };
    let mut owner = Owner::Name(name);
    for (shape, record) in encoded(zone, rrset, has_records, has_signatures).skip(*sent) {
        owner = composer.write_record(Section::Answer, owner, shape, record)?;
        *sent += 1;
    }
    Ok(())
}

fn encoded<'z>(
    zone: &'z Zone,
    rrset: &'z Rrset,
    has_records: bool,
    has_signatures: bool,
) -> impl Iterator<Item = (Shape, &'z [u8])> {
    let records = EncodedRecords(if has_records {
        zone.span(rrset.records)
    } else {
        &[]
    });
    let signatures = EncodedRecords(if has_signatures {
        zone.span(rrset.signatures)
    } else {
        &[]
    });
    let records = records.map(|record| (rrset.shape, record));
    records.chain(signatures.map(|record| (Shape::OPAQUE, record)))
}

fn next_stage(zone: &Zone, steps_count: usize, stage: Stage) -> Stage {
    let nsec3_or_end = |index: usize| {
        let count = zone.nsec3.len() + zone.nsec3_other.len();
        if index < count {
            Stage::Nsec3(index)
        } else {
            Stage::LastSoa
        }
    };
    match stage {
        Stage::FirstSoa if steps_count > 0 => Stage::Deleted(0),
        Stage::FirstSoa => Stage::Set { node: 0, set: 0 },
        Stage::Deleted(index) => Stage::Added(index),
        Stage::Added(index) if index + 1 < steps_count => Stage::Deleted(index + 1),
        Stage::Added(_) => Stage::LastSoa,
        Stage::Set { node, set } if set + 1 < usize::from(zone.tree.nodes[node].rrsets_count) => {
            Stage::Set { node, set: set + 1 }
        }
        Stage::Set { node, .. } if node + 1 < zone.tree.nodes.len() => Stage::Set {
            node: node + 1,
            set: 0,
        },
        Stage::Set { .. } => nsec3_or_end(0),
        Stage::Nsec3(index) => nsec3_or_end(index + 1),
        Stage::LastSoa | Stage::Done => Stage::Done,
    }
}

#[cfg(test)]
#[path = "transfer_tests.rs"]
mod tests;
