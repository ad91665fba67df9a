//! Takes a zone in: from the messages of an AXFR (RFC 5936) or IXFR (RFC 1995) response to records or deltas, without TSIG.
//!
//! Start at [`Receiver::new`]; [`Delta::apply_all`] makes the next version of a zone. Never sends, waits or reads a clock.

use std::sync::Arc;

use wire::{HEADER_BYTES, flag};

use super::error::Problem;
use super::expand::{Expansion, expand_name, expand_rdata};
use super::name::{NameBuffer, is_at_or_below};
use super::records::Records;
use super::types::{CLASS_IN, rtype};

/// What is asked of a primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The whole zone (AXFR).
    Whole,
    /// What changed since this serial (IXFR); the primary may send the whole zone instead.
    Since(u32),
}

/// Over what the response comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// One message; what does not fit in it is to be asked for over TCP (RFC 1995 §2).
    Udp,
    /// Any number of messages.
    Tcp,
}

/// Bounds on what a primary may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiveLimits {
    /// Records, those of all deltas together.
    pub records_max: usize,
    /// Bytes of all messages.
    pub bytes_max: usize,
}

impl Default for ReceiveLimits {
    /// 10 million records in 1 GiB of messages.
    fn default() -> Self {
        Self {
            records_max: 10_000_000,
            bytes_max: 1 << 30,
        }
    }
}

/// One step from a version of a zone to the next.
#[derive(Debug, Default)]
pub struct Delta {
    /// Serial before.
    pub from: u32,
    /// Serial after.
    pub to: u32,
    /// Records that go, the old SOA record among them.
    pub deleted: Records,
    /// Records that come, the new SOA record among them.
    pub added: Records,
}

/// What a complete response says.
#[derive(Debug)]
pub enum Received {
    /// The primary has nothing newer.
    UpToDate {
        /// Its serial.
        serial: u32,
    },
    /// All records, the SOA record first and once.
    Whole {
        /// The new serial.
        serial: u32,
        /// The records.
        records: Records,
    },
    /// Steps that lead from the serial that was named to the new one.
    Deltas {
        /// The new serial.
        serial: u32,
        /// At least one.
        deltas: Vec<Delta>,
    },
    /// There is something newer, but it does not fit in a datagram: ask over TCP.
    Truncated,
}

/// Why a response is no transfer of the zone.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReceiveError {
    /// It ends inside a header, a name or a record.
    #[error("a message is cut or malformed at byte {offset}; expected a whole record")]
    Malformed {
        /// Where.
        offset: usize,
    },
    /// It is no response to what was asked.
    #[error("a message answers something else; expected the response to our question")]
    Unrelated,
    /// The primary refused, or has no such zone.
    #[error("the primary answered with response code {rcode}; expected a transfer")]
    Refused {
        /// RCODE.
        rcode: u8,
    },
    /// TC is set over TCP.
    #[error("a message over TCP is marked as truncated")]
    Truncated,
    /// The first record is not the zone's SOA record.
    #[error("the transfer begins with another record; expected the zone's SOA record")]
    FirstRecord,
    /// A SOA record stands where none belongs, or has the wrong serial.
    #[error("serial {found} follows; expected {expected}")]
    Serial {
        /// What came.
        found: u32,
        /// What belongs there.
        expected: u32,
    },
    /// Two deltas, of which the second is not newer.
    #[error("a step leads from serial {from} to {to}; expected a newer one")]
    NotNewer {
        /// Before.
        from: u32,
        /// After.
        to: u32,
    },
    /// A record that no zone can have.
    #[error("a record is unfit: {0}")]
    Record(Problem),
    /// Records come after the last SOA record.
    #[error("records follow behind the end of the transfer")]
    Trailing,
    /// The zone is larger than is allowed here.
    #[error("the transfer is above {limit} {unit}")]
    TooLarge {
        /// How many.
        limit: usize,
        /// Of what.
        unit: &'static str,
    },
    /// Messages came after the end.
    #[error("the transfer had ended already")]
    Ended,
}

/// Takes the messages of one response in order.
#[derive(Debug)]
pub struct Receiver {
    apex: NameBuffer,
    id: u16,
    wanted: Wanted,
    carrier: Carrier,
    limits: ReceiveLimits,
    origin: Arc<str>,
    stage: Stage,
    /// Serial of the first SOA record.
    serial: u32,
    records: Records,
    deltas: Vec<Delta>,
    records_count: usize,
    bytes_count: usize,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    FirstSoa,
    /// The second record tells the forms apart (RFC 1995 §4).
    Second,
    Whole,
    Deleting,
    Adding,
    Done,
}

/// One record of the answer section.
struct Incoming<'m> {
    owner: NameBuffer,
    rtype: u16,
    ttl: u32,
    data: &'m [u8],
    /// Of a SOA record of the apex.
    serial: Option<u32>,
}

impl Receiver {
    /// Expects the response to the question for `apex` (wire form, any case) with this id. `origin` names the primary, for
    /// errors in records. `None` when `apex` is no name.
    pub fn new(
        apex: &[u8],
        id: u16,
        wanted: Wanted,
        carrier: Carrier,
        limits: ReceiveLimits,
        origin: &str,
    ) -> Option<Self> {
        let mut apex = NameBuffer::from_wire(apex)?;
        apex.make_lowercase();
        Some(Self {
            apex,
            id,
            wanted,
            carrier,
            limits,
            origin: origin.into(),
            stage: Stage::FirstSoa,
            serial: 0,
            records: Records::new(),
            deltas: Vec::new(),
            records_count: 0,
            bytes_count: 0,
        })
    }

    /// The message to send, without the length that TCP puts in front. An IXFR says by a SOA record what we have; of it
    /// only the serial counts (RFC 1995 §3).
    pub fn query(&self) -> Vec<u8> {
        let authorities = u16::from(self.wanted != Wanted::Whole);
        let mut message = Vec::with_capacity(HEADER_BYTES + 2 * 255);
        for field in [self.id, 0, 1, 0, authorities, 0] {
            message.extend_from_slice(&field.to_be_bytes());
        }
        message.extend_from_slice(self.apex.as_bytes());
        for field in [self.qtype(), CLASS_IN] {
            message.extend_from_slice(&field.to_be_bytes());
        }
        if let Wanted::Since(serial) = self.wanted {
            message.extend_from_slice(&[0xc0, 12]); // The name of the question.
            for field in [rtype::SOA, CLASS_IN, 0, 0, 22] {
                message.extend_from_slice(&field.to_be_bytes());
            }
            message.extend_from_slice(&[0, 0]); // MNAME and RNAME: the root.
            for field in [serial, 0, 0, 0, 0] {
                message.extend_from_slice(&field.to_be_bytes());
            }
        }
        message
    }

    /// Takes the next message; `None` when more are to come.
    ///
    /// # Errors
    /// What makes the response unfit. Nothing of it may be used then.
    pub fn on_message(&mut self, message: &[u8]) -> Result<Option<Received>, ReceiveError> {
        if self.stage == Stage::Done {
            return Err(ReceiveError::Ended);
        }
        self.bytes_count = self.bytes_count.saturating_add(message.len());
        if self.bytes_count > self.limits.bytes_max {
            return Err(ReceiveError::TooLarge {
                limit: self.limits.bytes_max,
                unit: "bytes",
            });
        }
        let (mut offset, answers) = self.check_head(message)?;
        let mut scratch = Vec::new();
        for _ in 0..answers {
            let (record, end) = self.read_record(message, offset, &mut scratch)?;
            offset = end;
            self.on_record(&record)?;
        }
        self.result(message)
    }

    /// Checks header and question; where the records begin, and how many there are.
    fn check_head(&self, message: &[u8]) -> Result<(usize, u16), ReceiveError> {
        let (id, flags) = (u16_at(message, 0)?, u16_at(message, 2)?);
        let (questions, answers) = (u16_at(message, 4)?, u16_at(message, 6)?);
        let opcode = flags >> 11 & 0xf;
        if id != self.id || flags & flag::QR == 0 || opcode != 0 || questions > 1 {
            return Err(ReceiveError::Unrelated);
        }
        let mut offset = HEADER_BYTES;
        // Messages behind the first one need no question (RFC 5936 §2.2.1).
        if questions == 1 {
            let (mut name, end) = expand_name(message, offset)?;
            name.make_lowercase();
            let (qtype, qclass) = (u16_at(message, end)?, u16_at(message, end + 2)?);
            if name != self.apex || qtype != self.qtype() || qclass != CLASS_IN {
                return Err(ReceiveError::Unrelated);
            }
            offset = end + 4;
        }
        let rcode = flags.to_be_bytes()[1] & 0xf;
        if rcode != 0 {
            return Err(ReceiveError::Refused { rcode });
        }
        if flags & flag::TC != 0 && self.carrier == Carrier::Tcp {
            return Err(ReceiveError::Truncated);
        }
        Ok((offset, answers))
    }

    fn read_record<'s>(
        &mut self,
        message: &[u8],
        offset: usize,
        scratch: &'s mut Vec<u8>,
    ) -> Result<(Incoming<'s>, usize), ReceiveError> {
        self.records_count += 1;
        if self.records_count > self.limits.records_max {
            return Err(ReceiveError::TooLarge {
                limit: self.limits.records_max,
                unit: "records",
            });
        }
        let (mut owner, at) = expand_name(message, offset)?;
        owner.make_lowercase();
        let (rtype, class) = (u16_at(message, at)?, u16_at(message, at + 2)?);
        let ttl = u32::from(u16_at(message, at + 4)?) << 16 | u32::from(u16_at(message, at + 6)?);
        let bytes = usize::from(u16_at(message, at + 8)?);
        let (start, end) = (at + 10, at + 10 + bytes);
        if class != CLASS_IN || end > message.len() {
            return Err(ReceiveError::Malformed { offset: at });
        }
        scratch.clear();
        expand_rdata(rtype, message, start..end, scratch)?;
        let is_soa = rtype == rtype::SOA && owner == self.apex;
        let serial = is_soa.then(|| serial_of(scratch));
        let serial = serial
            .map(|serial| serial.ok_or(ReceiveError::Malformed { offset: start }))
            .transpose()?;
        let record = Incoming {
            owner,
            rtype,
            ttl,
            data: scratch,
            serial,
        };
        Ok((record, end))
    }

    fn on_record(&mut self, record: &Incoming<'_>) -> Result<(), ReceiveError> {
        match (self.stage, record.serial) {
            (Stage::FirstSoa, Some(serial)) => {
                self.serial = serial;
                self.stage = Stage::Second;
                push(&mut self.records, record, &self.origin)
            }
            (Stage::FirstSoa, None) => Err(ReceiveError::FirstRecord),
            (Stage::Second, None) => {
                self.stage = Stage::Whole;
                self.add(record)
            }
            (Stage::Second, Some(serial)) if self.wanted == Wanted::Since(serial) => {
                self.begin_delta(serial, record)
            }
            // A zone of a SOA record alone.
            (Stage::Second | Stage::Whole, Some(serial)) => {
                self.expect(serial, self.serial)?;
                self.stage = Stage::Done;
                Ok(())
            }
            (Stage::Deleting, Some(serial)) => {
                self.stage = Stage::Adding;
                self.turn_delta(serial, record)
            }
            (Stage::Adding, Some(serial)) => {
                let reached = self.deltas.last().map_or(serial, |delta| delta.to);
                self.expect(serial, reached)?;
                if reached == self.serial {
                    self.stage = Stage::Done;
                    return Ok(());
                }
                self.begin_delta(serial, record)
            }
            (Stage::Whole | Stage::Deleting | Stage::Adding, None) => self.add(record),
            (Stage::Done, _) => Err(ReceiveError::Trailing),
        }
    }

    fn begin_delta(&mut self, from: u32, record: &Incoming<'_>) -> Result<(), ReceiveError> {
        self.stage = Stage::Deleting;
        self.deltas.push(Delta {
            from,
            to: from,
            ..Delta::default()
        });
        self.add(record)
    }

    fn turn_delta(&mut self, to: u32, record: &Incoming<'_>) -> Result<(), ReceiveError> {
        if let Some(delta) = self.deltas.last_mut() {
            if !is_newer(to, delta.from) {
                let from = delta.from;
                return Err(ReceiveError::NotNewer { from, to });
            }
            delta.to = to;
        }
        self.add(record)
    }

    /// Keeps a record where the stage says. What lies outside the zone is passed over, as other secondaries do: it could
    /// never be an answer from this zone.
    fn add(&mut self, record: &Incoming<'_>) -> Result<(), ReceiveError> {
        if !is_at_or_below(record.owner.as_bytes(), self.apex.as_bytes()) {
            return Ok(());
        }
        let records = match (self.stage, self.deltas.last_mut()) {
            (Stage::Deleting, Some(delta)) => &mut delta.deleted,
            (Stage::Adding, Some(delta)) => &mut delta.added,
            _ => &mut self.records,
        };
        push(records, record, &self.origin)
    }

    fn expect(&self, found: u32, expected: u32) -> Result<(), ReceiveError> {
        if found == expected {
            Ok(())
        } else {
            Err(ReceiveError::Serial { found, expected })
        }
    }

    /// What the response says, if this message was its last one.
    fn result(&mut self, message: &[u8]) -> Result<Option<Received>, ReceiveError> {
        let serial = self.serial;
        let is_old =
            matches!(self.wanted, Wanted::Since(own) if own == serial || !is_newer(serial, own));
        let received = match self.stage {
            Stage::Done if self.deltas.is_empty() => Received::Whole {
                serial,
                records: std::mem::take(&mut self.records),
            },
            Stage::Done => Received::Deltas {
                serial,
                deltas: std::mem::take(&mut self.deltas),
            },
            // A single SOA record that is not newer (RFC 1995 §2).
            Stage::Second if is_old => Received::UpToDate { serial },
            _ if self.carrier == Carrier::Tcp => return Ok(None),
            // A newer one, or a part: the rest did not fit (RFC 1995 §2, RFC 2181 §9).
            Stage::FirstSoa if u16_at(message, 2)? & flag::TC == 0 => {
                return Err(ReceiveError::FirstRecord);
            }
            _ => Received::Truncated,
        };
        self.stage = Stage::Done;
        Ok(Some(received))
    }

    fn qtype(&self) -> u16 {
        match self.wanted {
            Wanted::Whole => rtype::AXFR,
            Wanted::Since(_) => rtype::IXFR,
        }
    }
}

fn push(
    records: &mut Records,
    record: &Incoming<'_>,
    origin: &Arc<str>,
) -> Result<(), ReceiveError> {
    let owner = record.owner.as_bytes();
    records
        .push(owner, record.rtype, record.ttl, record.data, origin)
        .map_err(ReceiveError::Record)
}

fn u16_at(message: &[u8], offset: usize) -> Result<u16, ReceiveError> {
    let bytes = message.get(offset..).and_then(<[u8]>::first_chunk);
    bytes
        .map(|bytes| u16::from_be_bytes(*bytes))
        .ok_or(ReceiveError::Malformed { offset })
}

/// The serial in the data of a SOA record: the first of the five numbers at its end.
pub(super) fn serial_of(data: &[u8]) -> Option<u32> {
    let numbers = data.get(data.len().checked_sub(20)?..)?;
    numbers
        .first_chunk()
        .map(|bytes| u32::from_be_bytes(*bytes))
}

/// Whether serial `left` is newer than `right` (RFC 1982 §3.2). Two that are half the numbers apart are not comparable.
#[must_use]
pub fn is_newer(left: u32, right: u32) -> bool {
    let distance = left.wrapping_sub(right);
    distance != 0 && distance < 1 << 31
}

impl From<Expansion> for ReceiveError {
    fn from(Expansion { offset }: Expansion) -> Self {
        Self::Malformed { offset }
    }
}
