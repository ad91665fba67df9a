//! DNS queries: one question, perhaps EDNS, nothing that an answer cannot deal with.
//!
//! [`Query::parse`] reads the whole message once and says for everything else whether to stay
//! silent or which response code to send ([`QueryError::rcode`]). Never follows a pointer.

use crate::cursor::{Cursor, CursorError};
use crate::{HEADER_BYTES, code, flag, rcode};

mod edns;

mod qname;

pub(crate) use edns::COOKIE_BYTES;
pub use edns::{CLIENT_COOKIE_BYTES, CheckedCookie, Edns, SERVER_COOKIE_BYTES};

use qname::Qname;

/// UDP payload that a client without EDNS accepts, in bytes (RFC 1035 §4.2.1, RFC 6891 §6.2.3).
const PAYLOAD_BYTES_MIN: u16 = 512;

/// Bytes of type and class in a question (RFC 1035 §4.1.2).
const QTYPE_QCLASS_BYTES: usize = 4;

/// One query, with everything that the answer depends on. Offsets count from its first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Message id, chosen by the client.
    pub id: u16,
    /// Second header word as it came; see [`crate::flag`].
    pub flags: u16,
    /// Type asked for.
    pub qtype: u16,
    /// Class asked for.
    pub qclass: u16,
    /// Offset of the first byte after QCLASS.
    pub question_end: u16,
    /// What the OPT record says, if there is one.
    pub edns: Option<Edns>,
    /// A TSIG (RFC 8945) or SIG(0) (RFC 2931) record is present; it has not been verified.
    pub signed: bool,
    qname: Qname,
}

impl Query {
    /// A query for nothing, to be filled by [`Query::parse_into`].
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            id: 0,
            flags: 0,
            qtype: 0,
            qclass: 0,
            question_end: 0,
            edns: None,
            signed: false,
            qname: Qname::root(),
        }
    }

    /// Reads one message.
    ///
    /// # Errors
    /// [`QueryError`] for every message that is not a well-formed query.
    #[inline]
    pub fn parse(message: &[u8]) -> Result<Self, QueryError> {
        let mut query = Self::empty();
        query.parse_into(message)?;
        Ok(query)
    }

    /// Reads one message over `self`, which saves the hot path from moving 300 bytes. After an
    /// error `self` is a mixture and must not be used.
    ///
    /// # Errors
    /// [`QueryError`] for every message that is not a well-formed query.
    #[inline]
    pub fn parse_into(&mut self, message: &[u8]) -> Result<(), QueryError> {
        let Some(header) = message.first_chunk::<HEADER_BYTES>() else {
            return Err(QueryError::Truncated {
                offset: message.len(),
            });
        };
        let [
            id,
            flags,
            question_count,
            answer_count,
            authority_count,
            additional_count,
        ] = words(header);
        if flags & (flag::QR | flag::OPCODE) != 0 {
            return Err(refuse_flags(flags));
        }
        if question_count != 1 {
            return Err(QueryError::QuestionCount(question_count)); // RFC 9619.
        }
        if answer_count != 0 {
            return Err(QueryError::AnswerCount(answer_count));
        }
        let qname_end = HEADER_BYTES + self.qname.parse(message)?;
        let mut cursor = Cursor::new(message, qname_end);
        let [type_high, type_low, class_high, class_low] = cursor.array()?;
        self.id = id;
        self.flags = flags;
        self.qtype = u16::from_be_bytes([type_high, type_low]);
        self.qclass = u16::from_be_bytes([class_high, class_low]);
        self.question_end = question_end(qname_end);
        self.edns = None;
        self.signed = false;
        if authority_count | additional_count != 0 {
            self.parse_records(&mut cursor, authority_count, additional_count)?;
        }
        if !cursor.is_at_end() {
            return Err(QueryError::TrailingBytes {
                offset: cursor.offset(),
            });
        }
        Ok(())
    }

    /// The name asked for: wire form, lower case, root byte included.
    #[inline]
    #[must_use]
    pub fn qname(&self) -> &[u8] {
        self.qname.as_slice()
    }

    /// RD: the client wants recursion.
    #[inline]
    #[must_use]
    pub fn recursion_desired(&self) -> bool {
        self.flags & flag::RD != 0
    }

    /// CD: the client validates for itself (RFC 4035 §3.2.2).
    #[inline]
    #[must_use]
    pub fn checking_disabled(&self) -> bool {
        self.flags & flag::CD != 0
    }

    /// AD: the client understands AD in answers (RFC 6840 §5.7).
    #[inline]
    #[must_use]
    pub fn authentic_data(&self) -> bool {
        self.flags & flag::AD != 0
    }

    /// DO: the client wants DNSSEC records (RFC 3225).
    #[inline]
    #[must_use]
    pub fn dnssec_ok(&self) -> bool {
        self.edns.as_ref().is_some_and(|edns| edns.dnssec_ok)
    }

    /// The query carries the Nexus extension: its response tells of this moment.
    #[inline]
    #[must_use]
    pub fn has_extension(&self) -> bool {
        self.edns.as_ref().is_some_and(|edns| edns.nexus.is_some())
    }

    /// What of the flags an answer depends on: bit 0 RD, bit 1 CD, bit 2 DO.
    #[inline]
    #[must_use]
    pub fn key_flags(&self) -> u8 {
        u8::from(self.recursion_desired())
            | u8::from(self.checking_disabled()) << 1
            | u8::from(self.dnssec_ok()) << 2
    }

    /// Largest response in bytes: 512 without EDNS, else what client and `ceiling` both allow,
    /// but never below 512 (RFC 6891 §6.2.5).
    #[inline]
    #[must_use]
    pub fn response_limit(&self, ceiling: u16) -> u16 {
        self.edns.as_ref().map_or(PAYLOAD_BYTES_MIN, |edns| {
            edns.udp_payload_bytes.min(ceiling).max(PAYLOAD_BYTES_MIN)
        })
    }

    /// Reads a message without question that asks for nothing but a server cookie (RFC 7873 §5.4),
    /// after [`Query::parse_into`] has refused it for its question count. The result has no question:
    /// it is for the check of its cookie and for [`write_error`](crate::answer::write_error) alone.
    /// Its [`Query::has_question`] is false.
    ///
    /// # Errors
    /// [`QueryError`] for every other message.
    #[cold]
    pub fn parse_cookie_only(message: &[u8]) -> Result<Self, QueryError> {
        let mut cursor = Cursor::new(message, 0);
        let [id, flags, questions, answers, authority, additional] = words(&cursor.array()?);
        if flags & (flag::QR | flag::OPCODE) != 0 {
            return Err(refuse_flags(flags));
        }
        if questions != 0 {
            return Err(QueryError::QuestionCount(questions));
        }
        if answers != 0 {
            return Err(QueryError::AnswerCount(answers));
        }
        let mut query = Self {
            id,
            flags,
            question_end: question_end(HEADER_BYTES - QTYPE_QCLASS_BYTES),
            ..Self::empty()
        };
        query.parse_records(&mut cursor, authority, additional)?;
        if !cursor.is_at_end() {
            return Err(QueryError::TrailingBytes {
                offset: cursor.offset(),
            });
        }
        match query.edns {
            Some(edns) if edns.client_cookie.is_some() => Ok(query),
            _ => Err(QueryError::QuestionCount(0)),
        }
    }

    /// False for a query for a cookie alone ([`Query::parse_cookie_only`]).
    #[inline]
    #[must_use]
    pub fn has_question(&self) -> bool {
        usize::from(self.question_end) > HEADER_BYTES
    }

    /// The query carries a COOKIE option (RFC 7873).
    #[inline]
    #[must_use]
    pub fn has_cookie(&self) -> bool {
        self.edns
            .as_ref()
            .is_some_and(|edns| edns.client_cookie.is_some())
    }

    /// The query was checked and showed a server cookie of ours: its source address is not forged.
    #[inline]
    #[must_use]
    pub fn has_valid_cookie(&self) -> bool {
        let checked = self.edns.as_ref().and_then(|edns| edns.checked_cookie);
        checked.is_some_and(|checked| checked.is_valid)
    }

    /// Passes over authority (IXFR puts a SOA there, RFC 1995 §3) and reads additional.
    /// Bounded by the message: every record takes 11 bytes at least.
    fn parse_records(
        &mut self,
        cursor: &mut Cursor<'_>,
        authority_count: u16,
        additional_count: u16,
    ) -> Result<(), QueryError> {
        for _ in 0..authority_count {
            if cursor.record()?.rtype == code::TYPE_OPT {
                return Err(QueryError::OptSection); // RFC 6891 §6.1.1: additional only.
            }
        }
        for index in 1..=additional_count {
            let record = cursor.record()?;
            match record.rtype {
                code::TYPE_OPT if self.edns.is_some() => return Err(QueryError::OptDuplicate),
                code::TYPE_OPT => self.edns = Some(Edns::parse(&record)?),
                // RFC 8945 §5.1: one TSIG, and it comes last.
                code::TYPE_TSIG if index != additional_count => {
                    return Err(QueryError::SignaturePlace);
                }
                code::TYPE_TSIG => self.signed = true,
                // RFC 2931 §3: SIG that covers type 0.
                code::TYPE_SIG => self.signed |= record.rdata.starts_with(&[0, 0]),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The six words of a header (RFC 1035 §4.1.1).
#[inline]
pub(crate) fn words(header: &[u8; HEADER_BYTES]) -> [u16; 6] {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *header;
    [[a, b], [c, d], [e, f], [g, h], [i, j], [k, l]].map(u16::from_be_bytes)
}

/// Type and class follow the name.
#[inline]
fn question_end(qname_end: usize) -> u16 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a name has at most 255 bytes"
    )]
    let end = (qname_end + QTYPE_QCLASS_BYTES) as u16;
    end
}

/// Offset after the question of a message that may be malformed behind it; `None` if the header
/// does not announce one question or the question cannot be read.
pub(crate) fn find_question_end(message: &[u8]) -> Option<usize> {
    let header = message.first_chunk::<HEADER_BYTES>()?;
    if words(header)[2] != 1 {
        return None;
    }
    let end = HEADER_BYTES + qname::measure(message).ok()? + 4;
    (end <= message.len()).then_some(end)
}

/// Why a header word is not that of a query.
#[cold]
fn refuse_flags(flags: u16) -> QueryError {
    if flags & flag::QR != 0 {
        QueryError::Response
    } else {
        QueryError::Opcode(((flags & flag::OPCODE) >> 11) as u8)
    }
}

/// Why a message is not a well-formed query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QueryError {
    /// The message ends inside the field that starts at `offset`.
    Truncated {
        /// In bytes from the start of the message; below 12 if there is no whole header.
        offset: usize,
    },
    /// QR is set: a response, which nobody may make us answer.
    Response,
    /// An opcode other than QUERY.
    Opcode(u8),
    /// QDCOUNT is not 1 (RFC 9619).
    QuestionCount(u16),
    /// ANCOUNT is not 0.
    AnswerCount(u16),
    /// The name in the question is compressed.
    CompressedQuestion,
    /// A label in the question is of an unknown kind (RFC 6891 §5).
    LabelLength(u8),
    /// The name in the question has more than 255 bytes.
    NameLength,
    /// The owner name of a record at `offset` is malformed.
    RecordName {
        /// In bytes from the start of the message.
        offset: usize,
    },
    /// More than one OPT record (RFC 6891 §6.1.1).
    OptDuplicate,
    /// The owner of the OPT record is not the root (RFC 6891 §6.1.2).
    OptOwner,
    /// An OPT record outside of the additional section (RFC 6891 §6.1.1).
    OptSection,
    /// An EDNS option does not fit into its record.
    OptMalformed,
    /// A COOKIE option with a length that RFC 7873 §5.2.2 forbids, in bytes.
    CookieLength(u16),
    /// An EDNS version above 0 (RFC 6891 §6.1.3).
    BadVersion(u8),
    /// A TSIG record that is not the last one (RFC 8945 §5.1).
    SignaturePlace,
    /// Bytes after the last record.
    TrailingBytes {
        /// Of the first such byte, from the start of the message.
        offset: usize,
    },
}

impl QueryError {
    /// What to answer: `None` means silence (no whole header, or QR is set).
    #[must_use]
    pub fn rcode(&self) -> Option<u16> {
        match self {
            Self::Truncated { offset } if *offset < HEADER_BYTES => None,
            Self::Response => None,
            Self::Opcode(_) => Some(rcode::NOTIMP),
            Self::BadVersion(_) => Some(rcode::BADVERS),
            _ => Some(rcode::FORMERR),
        }
    }

    /// Label of the counter that this error belongs to.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Truncated { .. } => "query_truncated",
            Self::Response => "query_response",
            Self::Opcode(_) => "query_opcode",
            Self::QuestionCount(_) => "query_question_count",
            Self::AnswerCount(_) => "query_answer_count",
            Self::CompressedQuestion => "query_compressed_question",
            Self::LabelLength(_) => "query_label_length",
            Self::NameLength => "query_name_length",
            Self::RecordName { .. } => "query_record_name",
            Self::OptDuplicate => "query_opt_duplicate",
            Self::OptOwner => "query_opt_owner",
            Self::OptSection => "query_opt_section",
            Self::OptMalformed => "query_opt_malformed",
            Self::CookieLength(_) => "query_cookie_length",
            Self::BadVersion(_) => "query_bad_version",
            Self::SignaturePlace => "query_signature_place",
            Self::TrailingBytes { .. } => "query_trailing_bytes",
        }
    }
}

impl core::fmt::Display for QueryError {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(self.reason())
    }
}

impl core::error::Error for QueryError {}

impl From<CursorError> for QueryError {
    fn from(error: CursorError) -> Self {
        match error {
            CursorError::Truncated { offset } => Self::Truncated { offset },
            CursorError::Name { offset } => Self::RecordName { offset },
        }
    }
}
