//! Takes a response apart so that it can be written behind another query.

use core::ops::Range;

use super::{ANSWER_FLAGS, Answer};
use crate::cursor::{Cursor, CursorError, Options, Record};
use crate::query::words;
use crate::{HEADER_BYTES, code, flag};

/// What a response consists of. Ranges count from the start of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dissected {
    /// The name of the question, in wire form as it came, root byte included.
    pub qname: Range<usize>,
    /// Type of the question.
    pub qtype: u16,
    /// Class of the question.
    pub qclass: u16,
    /// AA, TC, RA, AD and the low four bits of the response code.
    pub flags: u16,
    /// High eight bits of the response code, from OPT.
    pub rcode_high: u8,
    /// ANCOUNT, NSCOUNT, and ARCOUNT without OPT.
    pub counts: [u16; 3],
    /// Length of the prefix of the body that must be sent whole, in bytes: answer and authority,
    /// and the glue too if this is a referral (RFC 9471 §3).
    pub required_bytes: u16,
    /// INFO-CODE of the first extended error (RFC 8914).
    pub extended_error: Option<u16>,
    /// Its text.
    pub extended_text: Range<usize>,
    /// Data of the Nexus extension.
    pub nexus: Option<[u8; 16]>,
    /// Everything between question and OPT.
    pub body: Range<usize>,
    /// How many bytes of the caller's scratch hold TTL offsets.
    pub ttl_offsets_bytes: usize,
    /// Smallest TTL, in seconds, of all records but OPT, and MINIMUM of a SOA in authority
    /// (RFC 2308 §5). `None` if there is no record.
    pub ttl_secs_min: Option<u32>,
}

impl Dissected {
    /// The answer over the message and the scratch that were given to [`dissect`].
    ///
    /// # Panics
    /// If given others, shorter ones: our own mistake.
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "another message is our own mistake"
    )]
    pub fn answer<'a>(&self, message: &'a [u8], ttl_offsets: &'a [u8]) -> Answer<'a> {
        Answer {
            flags: self.flags,
            rcode_high: self.rcode_high,
            counts: self.counts,
            required_bytes: self.required_bytes,
            extended_error: self.extended_error,
            extended_text: &message[self.extended_text.clone()],
            nexus: self.nexus,
            body: &message[self.body.clone()],
            ttl_offsets: &ttl_offsets[..self.ttl_offsets_bytes],
        }
    }
}

/// Why a response cannot be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AnswerError {
    /// The message ends inside the field that starts at `offset`.
    Truncated {
        /// In bytes from the start of the message.
        offset: usize,
    },
    /// A name at `offset` is malformed, or the name of the question is compressed.
    Name {
        /// In bytes from the start of the message.
        offset: usize,
    },
    /// QR is not set.
    NotResponse,
    /// An opcode other than QUERY.
    Opcode(u8),
    /// QDCOUNT is not 1.
    QuestionCount(u16),
    /// OPT outside of the additional section, not its last record, or with another owner than the
    /// root.
    OptPlace,
    /// An EDNS version above 0, or an option that does not fit.
    OptMalformed,
    /// A TSIG or SIG(0) record: made for one client alone.
    Signed,
    /// More records than the caller's scratch can note TTL offsets of.
    RecordCount,
    /// The message has more than 65535 bytes.
    MessageLength,
    /// Bytes after the last record.
    TrailingBytes {
        /// Of the first such byte, from the start of the message.
        offset: usize,
    },
}

impl AnswerError {
    /// Label of the counter that this error belongs to.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Truncated { .. } => "answer_truncated",
            Self::Name { .. } => "answer_name",
            Self::NotResponse => "answer_not_response",
            Self::Opcode(_) => "answer_opcode",
            Self::QuestionCount(_) => "answer_question_count",
            Self::OptPlace => "answer_opt_place",
            Self::OptMalformed => "answer_opt_malformed",
            Self::Signed => "answer_signed",
            Self::RecordCount => "answer_record_count",
            Self::MessageLength => "answer_message_length",
            Self::TrailingBytes { .. } => "answer_trailing_bytes",
        }
    }
}

impl core::fmt::Display for AnswerError {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(self.reason())
    }
}

impl core::error::Error for AnswerError {}

impl From<CursorError> for AnswerError {
    fn from(error: CursorError) -> Self {
        match error {
            CursorError::Truncated { offset } => Self::Truncated { offset },
            CursorError::Name { offset } => Self::Name { offset },
        }
    }
}

/// Sections of a response behind the question, as indices into `counts`.
const ANSWER: usize = 0;
const AUTHORITY: usize = 1;
const ADDITIONAL: usize = 2;

/// Walks a whole response once: checks every bound, notes the TTL offsets in `ttl_offsets` (two
/// bytes a record, little-endian, from the start of the body) and takes a last OPT off.
///
/// # Errors
/// [`AnswerError`] for everything that must not be kept.
pub fn dissect(message: &[u8], ttl_offsets: &mut [u8]) -> Result<Dissected, AnswerError> {
    let mut dissected = parse_question(message)?;
    let mut walk = Walk {
        cursor: Cursor::new(message, dissected.body.start),
        ttl_slots: ttl_offsets.as_chunks_mut::<2>().0.iter_mut(),
        has_name_servers: false,
        has_authority_soa: false,
    };
    for (section, count) in dissected.counts.into_iter().enumerate() {
        for index in 1..=count {
            let start = walk.cursor.offset();
            let record = walk.cursor.record()?;
            if record.rtype == code::TYPE_OPT {
                let is_last = section == ADDITIONAL && index == count;
                if !is_last || !record.is_root {
                    return Err(AnswerError::OptPlace);
                }
                let end = walk.cursor.offset();
                dissected.read_opt(&record, end - record.rdata.len())?;
                dissected.counts[ADDITIONAL] -= 1;
                dissected.body.end = start;
                break;
            }
            walk.note(&mut dissected, section, &record)?;
            dissected.body.end = walk.cursor.offset();
        }
        let is_referral = walk.has_name_servers && !walk.has_authority_soa;
        if section != ADDITIONAL || (is_referral && dissected.counts[ANSWER] == 0) {
            dissected.required_bytes = body_offset(&dissected, dissected.body.end)?;
        }
    }
    if !walk.cursor.is_at_end() {
        return Err(AnswerError::TrailingBytes {
            offset: walk.cursor.offset(),
        });
    }
    Ok(dissected)
}

/// Reads header and question; the body is still empty.
fn parse_question(message: &[u8]) -> Result<Dissected, AnswerError> {
    if message.len() > usize::from(u16::MAX) {
        return Err(AnswerError::MessageLength);
    }
    let mut cursor = Cursor::new(message, 0);
    let [_, flags, question_count, counts @ ..] = words(&cursor.array()?);
    if flags & flag::QR == 0 {
        return Err(AnswerError::NotResponse);
    }
    if flags & flag::OPCODE != 0 {
        return Err(AnswerError::Opcode(((flags & flag::OPCODE) >> 11) as u8));
    }
    if question_count != 1 {
        return Err(AnswerError::QuestionCount(question_count));
    }
    // A pointer cannot be valid here: it would have to point backwards, into the header.
    cursor.skip_name()?;
    let qname = HEADER_BYTES..cursor.offset();
    let (qtype, qclass) = (cursor.u16()?, cursor.u16()?);
    Ok(Dissected {
        qname,
        qtype,
        qclass,
        flags: flags & ANSWER_FLAGS,
        rcode_high: 0,
        counts,
        required_bytes: 0,
        extended_error: None,
        extended_text: 0..0,
        nexus: None,
        body: cursor.offset()..cursor.offset(),
        ttl_offsets_bytes: 0,
        ttl_secs_min: None,
    })
}

/// State of the walk over the records.
struct Walk<'a, 'b> {
    cursor: Cursor<'a>,
    ttl_slots: core::slice::IterMut<'b, [u8; 2]>,
    has_name_servers: bool,
    has_authority_soa: bool,
}

impl Walk<'_, '_> {
    /// Notes one record that is not OPT.
    fn note(
        &mut self,
        dissected: &mut Dissected,
        section: usize,
        record: &Record<'_>,
    ) -> Result<(), AnswerError> {
        let is_transaction_signature =
            record.rtype == code::TYPE_SIG && record.rdata.starts_with(&[0, 0]);
        if record.rtype == code::TYPE_TSIG || is_transaction_signature {
            return Err(AnswerError::Signed);
        }
        let slot = self.ttl_slots.next().ok_or(AnswerError::RecordCount)?;
        *slot = body_offset(dissected, record.ttl_offset)?.to_le_bytes();
        dissected.ttl_offsets_bytes += 2;
        let mut ttl_secs = record.ttl;
        if section == AUTHORITY && record.rtype == code::TYPE_NS {
            self.has_name_servers = true;
        }
        if section == AUTHORITY && record.rtype == code::TYPE_SOA {
            self.has_authority_soa = true;
            if let Some(minimum) = record.rdata.last_chunk::<4>() {
                ttl_secs = ttl_secs.min(u32::from_be_bytes(*minimum));
            }
        }
        if ttl_secs > i32::MAX.unsigned_abs() {
            ttl_secs = 0; // RFC 2181 §8.
        }
        let ttl_secs_min = dissected.ttl_secs_min.unwrap_or(ttl_secs);
        dissected.ttl_secs_min = Some(ttl_secs_min.min(ttl_secs));
        Ok(())
    }
}

impl Dissected {
    /// `rdata_start` counts from the start of the message.
    fn read_opt(&mut self, record: &Record<'_>, rdata_start: usize) -> Result<(), AnswerError> {
        let [rcode_high, version, _, _] = record.ttl.to_be_bytes();
        if version != 0 {
            return Err(AnswerError::OptMalformed);
        }
        self.rcode_high = rcode_high;
        for option in Options::new(record.rdata) {
            let (code, offset, data) = option.map_err(|_| AnswerError::OptMalformed)?;
            match code {
                code::OPTION_EXTENDED_ERROR if self.extended_error.is_none() => {
                    let info_code = data.first_chunk().ok_or(AnswerError::OptMalformed)?;
                    self.extended_error = Some(u16::from_be_bytes(*info_code));
                    let start = rdata_start + offset;
                    self.extended_text = start + info_code.len()..start + data.len();
                }
                code::OPTION_NEXUS => self.nexus = data.try_into().ok(),
                _ => {}
            }
        }
        Ok(())
    }
}

/// `offset` of the message as an offset of the body.
fn body_offset(dissected: &Dissected, offset: usize) -> Result<u16, AnswerError> {
    u16::try_from(offset - dissected.body.start).map_err(|_| AnswerError::MessageLength)
}
