//! [`Answer`]: what a resolver found, without what may differ between two that found the same.

use std::fmt;
use std::sync::Arc;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, Record, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};
use ring::digest::{SHA256, digest};

use crate::iterate::{Outcome, Question};

/// Most bytes of an answer's encoded form; larger ones are not agreed on.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Most records of an answer.
pub const RECORDS_MAX: usize = 1024;

/// RFC 1035 §2.3.4.
const NAME_BYTES_MAX: usize = 255;
const LABEL_BYTES_MAX: u8 = 63;
/// So that no other digest can be taken for that of an answer.
const TAG: &[u8] = b"nexus answer 1\0";

/// A question as nodes name it to each other: the name in wire form, lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The name.
    pub name: Arc<[u8]>,
    /// Number of the type.
    pub qtype: u16,
    /// Number of the class.
    pub qclass: u16,
}

impl Key {
    /// That of a question.
    #[must_use]
    pub fn of(question: &Question) -> Self {
        Self {
            name: wire_name(&question.qname).into(),
            qtype: question.qtype.into(),
            qclass: question.qclass.into(),
        }
    }

    /// The plain question. `None` if the name is none.
    #[must_use]
    pub fn question(&self) -> Option<Question> {
        Question::from_wire(&self.name, self.qtype, self.qclass, false, false).ok()
    }
}

/// One record without its TTL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    /// In wire form, lower case.
    pub(super) owner: Box<[u8]>,
    pub(super) rtype: u16,
    /// In canonical form (RFC 4034 §6.2), names lower case.
    pub(super) rdata: Box<[u8]>,
}

/// What a resolver found: no TTLs, no order, no upper case, no signatures, nothing beside what was asked
/// for and the aliases that lead there; of a denial, whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub(super) rcode: u16,
    /// Owner of the SOA of a denial, if there was one.
    pub(super) zone: Option<Box<[u8]>>,
    /// Sorted, each once.
    pub(super) parts: Vec<Part>,
}

/// Why bytes are no [`Answer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerError {
    /// They end early, or go on behind the end.
    Length,
    /// There is more of this than allowed.
    TooMany(&'static str),
    /// A name is none, or not in lower case.
    Name,
    /// Records are not in order, or one is there twice.
    Order,
}

impl fmt::Display for AnswerError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => out.write_str("the bytes are not those of one answer"),
            Self::TooMany(what) => write!(out, "more {what} than allowed"),
            Self::Name => out.write_str("a name that is none, or not in lower case"),
            Self::Order => out.write_str("records out of order"),
        }
    }
}

impl std::error::Error for AnswerError {}

impl Answer {
    /// What was found. `None` for what cannot be agreed on: failures, answers for one client's network, and
    /// those that are too large.
    #[must_use]
    pub fn of(question: &Question, outcome: &Outcome) -> Option<Self> {
        let is_answer = matches!(
            outcome.rcode,
            ResponseCode::NoError | ResponseCode::NXDomain
        );
        if !is_answer || outcome.subnet_scope.is_some() {
            return None;
        }
        let wanted = |record: &&Record| {
            let rtype = record.record_type();
            rtype == question.qtype
                || rtype == RecordType::CNAME
                || question.qtype == RecordType::ANY
        };
        let parts: Option<Vec<_>> = outcome.answers.iter().filter(wanted).map(part).collect();
        let mut parts = parts?;
        parts.sort_unstable();
        parts.dedup();
        let has_data = parts.iter().any(|part| part.rtype == question.qtype.into());
        let mut authority = outcome.authority.iter();
        let soa = authority.find(|record| record.record_type() == RecordType::SOA);
        let answer = Self {
            rcode: outcome.rcode.into(),
            zone: soa
                .filter(|_| !has_data)
                .map(|soa| wire_name(&soa.name).into()),
            parts,
        };
        let is_bounded =
            answer.parts.len() <= RECORDS_MAX && answer.encoded_bytes() <= ANSWER_BYTES_MAX;
        is_bounded.then_some(answer)
    }

    /// The names that have records in it, in wire form, lower case.
    pub fn owners(&self) -> impl Iterator<Item = &[u8]> {
        let parts = self.parts.chunk_by(|one, next| one.owner == next.owner);
        parts.filter_map(|parts| Some(&*parts.first()?.owner))
    }

    /// SHA-256 of question and answer.
    #[must_use]
    pub fn digest(&self, key: &Key) -> [u8; 32] {
        digest_of(key, &self.encode())
    }

    fn encoded_bytes(&self) -> usize {
        let parts = self.parts.iter();
        let parts: usize = parts
            .map(|part| part.owner.len() + 4 + part.rdata.len())
            .sum();
        5 + self.zone.as_ref().map_or(0, |zone| zone.len()) + parts
    }

    /// The bytes that travel.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.encoded_bytes());
        out.extend(self.rcode.to_be_bytes());
        out.push(u8::from(self.zone.is_some()));
        out.extend(self.zone.iter().flatten());
        out.extend(length(self.parts.len()));
        for part in &self.parts {
            out.extend(&part.owner);
            out.extend(part.rtype.to_be_bytes());
            out.extend(length(part.rdata.len()));
            out.extend(&part.rdata);
        }
        out
    }

    /// Reads what [`encode`](Self::encode) gave, and nothing else: equal answers, equal bytes.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, AnswerError> {
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err(AnswerError::TooMany("bytes"));
        }
        let mut from = Reader(bytes);
        let rcode = from.u16()?;
        let zone = match from.take(1)? {
            [0] => None,
            [1] => Some(from.name()?.into()),
            _ => return Err(AnswerError::Length),
        };
        let count = usize::from(from.u16()?);
        if count > RECORDS_MAX {
            return Err(AnswerError::TooMany("records"));
        }
        let mut parts: Vec<Part> = Vec::with_capacity(count);
        for _ in 0..count {
            let owner = from.name()?.into();
            let rtype = from.u16()?;
            let rdata_bytes = usize::from(from.u16()?);
            let rdata = from.take(rdata_bytes)?.into();
            let part = Part {
                owner,
                rtype,
                rdata,
            };
            if parts.last().is_some_and(|last| *last >= part) {
                return Err(AnswerError::Order);
            }
            parts.push(part);
        }
        match from.0 {
            [] => Ok(Self { rcode, zone, parts }),
            _ => Err(AnswerError::Length),
        }
    }
}

/// SHA-256 of a question and the encoded form of an answer.
fn digest_of(key: &Key, encoded: &[u8]) -> [u8; 32] {
    let mut bytes = Vec::with_capacity(TAG.len() + key.name.len() + 4 + encoded.len());
    bytes.extend(TAG);
    bytes.extend(&*key.name);
    bytes.extend(key.qtype.to_be_bytes());
    bytes.extend(key.qclass.to_be_bytes());
    bytes.extend(encoded);
    let digest = digest(&SHA256, &bytes);
    digest.as_ref().try_into().unwrap_or([0; 32]) // SHA-256 has 32 bytes.
}

fn length(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes() // Bounded by `of` and by RDLENGTH.
}

fn part(record: &Record) -> Option<Part> {
    let mut rdata = Vec::new();
    let mut encoder = BinEncoder::new(&mut rdata);
    encoder.set_canonical_form(true);
    encoder.set_name_encoding(NameEncoding::UncompressedLowercase);
    record.data.emit(&mut encoder).ok()?;
    Some(Part {
        owner: wire_name(&record.name).into(),
        rtype: record.record_type().into(),
        rdata: rdata.into(),
    })
}

/// Wire form, lower case.
pub(super) fn wire_name(name: &Name) -> Vec<u8> {
    let mut wire = Vec::with_capacity(name.len() + 1);
    for label in name {
        wire.push(u8::try_from(label.len()).unwrap_or(0));
        wire.extend_from_slice(label);
    }
    wire.push(0);
    wire.make_ascii_lowercase();
    wire
}

/// The bytes that are left.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], AnswerError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(AnswerError::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, AnswerError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(AnswerError::Length)?;
        self.0 = rest;
        Ok(u16::from_be_bytes(*taken))
    }

    fn name(&mut self) -> Result<&'a [u8], AnswerError> {
        let mut bytes = 0;
        loop {
            let label = *self.0.get(bytes).ok_or(AnswerError::Length)?;
            bytes += 1 + usize::from(label);
            if label > LABEL_BYTES_MAX || bytes > NAME_BYTES_MAX {
                return Err(AnswerError::Name);
            }
            if label == 0 {
                break;
            }
        }
        let name = self.take(bytes)?;
        // Length bytes are below the letters.
        match name.iter().any(u8::is_ascii_uppercase) {
            true => Err(AnswerError::Name),
            false => Ok(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_bytes_are_they_are_one_answer_or_none() {
        bolero::check!().for_each(|bytes: &[u8]| {
            if let Ok(answer) = Answer::decode(bytes) {
                assert_eq!(answer.encode(), bytes);
            }
        });
    }

    #[test]
    fn answer_cut_at_every_byte_is_an_error() {
        let part = |last| Part {
            owner: b"\x03www\x07example\0".as_slice().into(),
            rtype: 1,
            rdata: [192, 0, 2, last].into(),
        };
        let answer = Answer {
            rcode: 0,
            zone: Some(b"\x07example\0".as_slice().into()),
            parts: vec![part(1), part(2)],
        };
        let bytes = answer.encode();
        assert_eq!(Answer::decode(&bytes), Ok(answer.clone()));
        for end in 0..bytes.len() {
            assert!(Answer::decode(&bytes[..end]).is_err(), "{end}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(Answer::decode(&longer), Err(AnswerError::Length));
        for parts in [vec![part(2), part(1)], vec![part(1), part(1)]] {
            let unsorted = Answer {
                parts,
                ..answer.clone()
            };
            let read = Answer::decode(&unsorted.encode());
            assert_eq!(read, Err(AnswerError::Order));
        }
        let upper = Answer {
            zone: Some(b"\x07Example\0".as_slice().into()),
            ..answer
        };
        assert_eq!(Answer::decode(&upper.encode()), Err(AnswerError::Name));
    }
}
