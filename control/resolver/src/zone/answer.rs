//! From a question to a complete response (RFC 1034 §4.3.2 with RFC 2308, 4035, 4592, 5155, 6672, 8482 and 9471).
//!
//! Allocates nothing. Writes no OPT: the caller adds it behind, and says by `limit` how much room it leaves.

use wire::query::Query;
use wire::{flag, rcode};

use super::compose::write_header;
use super::data::Zone;
use super::name::{NameBuffer, is_at_or_below};
use super::resolve::Work;

/// What was answered, and how much of it must be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// What kind of answer it is.
    pub kind: Kind,
    /// Second header word as written: QR, AA, TC, RD, CD and RCODE. RA and AD are the caller's to add.
    pub flags: u16,
    /// ANCOUNT, NSCOUNT and ARCOUNT as written.
    pub counts: [u16; 3],
    /// Length of the message up to the last record that must be sent, in bytes: answer, authority, and of a referral the glue that
    /// RFC 9471 requires. The rest may be left out without TC.
    pub required_bytes: usize,
    /// Of ARCOUNT, the records inside `required_bytes`.
    pub required_additional: u16,
    /// Length of the whole message in bytes, without OPT.
    pub total_bytes: usize,
    /// Where an alias leads out of our authority, lower-case: outside of the zone or below a delegation. A recursive caller goes on
    /// from there.
    pub target: Option<NameBuffer>,
}

/// Kinds of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Records of the type asked for.
    Answer,
    /// The name exists, the type does not (RFC 2308 §2.2); perhaps at the end of a chain of aliases.
    NoData,
    /// The name does not exist (RFC 2308 §2.1); perhaps at the end of a chain of aliases.
    NameError,
    /// The zone delegates this name; not an authoritative answer.
    Referral,
    /// Only aliases, which lead elsewhere (see [`Outcome::target`]), in a circle, or on for too long.
    Alias,
    /// A DNAME makes the name longer than 255 bytes (YXDOMAIN, RFC 6672 §2.2).
    NameTooLong,
    /// A query that is not answered from a zone: AXFR, IXFR, meta types, or a name outside of the zone.
    Refused,
    /// Does not fit into the limit: TC is set and there are no records.
    Truncated,
}

impl Zone {
    /// Writes the response to `query`, whose qname lies at or below the apex.
    ///
    /// `message` starts with header and question of the query as the client sent them, and is the capacity. The response takes
    /// `limit` bytes at most; additional records that do not fit are left out, and if more does not fit, TC is set and no record sent
    /// (RFC 2181 §9). Id and question are kept. The class is not looked at: the caller sends class IN alone.
    ///
    /// # Panics
    /// When `message` is shorter than the question: the caller's mistake.
    pub fn answer(&self, query: &Query, message: &mut [u8], limit: usize) -> Outcome {
        let question_end = usize::from(query.question_end);
        assert!(question_end <= message.len());
        let capacity = message.len().min(limit).max(question_end);
        let (message, _) = message.split_at_mut(capacity);
        let (end, composed) = if is_at_or_below(query.qname(), self.apex()) {
            Work::new(self, query, message).finish()
        } else {
            let end = End::of(Kind::Refused, rcode::REFUSED);
            (end, Composed::empty(question_end))
        };
        let mut flags = flag::QR | query.flags & (flag::RD | flag::CD) | end.rcode;
        let composed = if end.kind == Kind::Truncated {
            flags |= flag::TC;
            Composed::empty(question_end)
        } else {
            composed
        };
        if end.authoritative {
            flags |= flag::AA;
        }
        write_header(message, flags, 1, composed.counts);
        Outcome {
            kind: end.kind,
            flags,
            counts: composed.counts,
            required_bytes: composed.required_bytes,
            required_additional: composed.required_additional,
            total_bytes: composed.total_bytes,
            target: end.target,
        }
    }
}

/// How the work ended.
pub(super) struct End {
    pub(super) kind: Kind,
    pub(super) rcode: u16,
    pub(super) authoritative: bool,
    pub(super) target: Option<NameBuffer>,
}

impl End {
    pub(super) fn of(kind: Kind, rcode: u16) -> Self {
        Self {
            kind,
            rcode,
            authoritative: !matches!(kind, Kind::Refused | Kind::Referral),
            target: None,
        }
    }
}

/// Lengths and counts of what was written.
pub(super) struct Composed {
    pub(super) counts: [u16; 3],
    pub(super) required_bytes: usize,
    pub(super) required_additional: u16,
    pub(super) total_bytes: usize,
}

impl Composed {
    fn empty(question_end: usize) -> Self {
        Self {
            counts: [0; 3],
            required_bytes: question_end,
            required_additional: 0,
            total_bytes: question_end,
        }
    }
}
