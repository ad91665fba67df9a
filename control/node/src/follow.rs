//! Follows an alias out of one own zone into the next, as far as there are zones of ours
//! (RFC 1034 §4.3.2 step 3a: back to the choice of a zone, with the new name).
//!
//! A zone answers from its own data alone; here the answers of several are joined into one. Rare
//! enough that it may allocate.

use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use resolver::zone::Kind;
use wire::query::Query;
use wire::{HEADER_BYTES, UDP_PAYLOAD_BYTES_MAX};

use crate::zones::{ServedZone, ZoneTable};

/// Zones that one answer may go on into. What needs more ends there, as in a circle.
const HOPS_MAX: usize = 16;
const TYPE_OPT: u8 = 41;

/// An alias with what other zones of ours have behind it.
#[derive(Debug)]
pub(crate) struct Followed {
    /// The whole response in wire form, without OPT.
    pub response: Vec<u8>,
    /// Where it leads out of our authority, in wire form: into no zone of ours, or below a
    /// delegation.
    pub target: Option<Vec<u8>>,
}

/// Goes on from `first`, the response of `served` to `query`, which ends in an alias to `target`.
/// `None` if that leads into no other zone of ours.
pub(crate) fn follow(
    zones: &ZoneTable,
    served: &ServedZone,
    query: &Query,
    first: &[u8],
    target: &[u8],
) -> Option<Followed> {
    let (mut number, mut target) = (served.number, Some(target.to_vec()));
    let mut joined: Option<Message> = None;
    for hops in 0.. {
        let next = target.as_deref().and_then(|name| {
            let next = zones.find(name, query.qtype)?;
            // A zone that sends us to itself delegates the name: no authority is left to ask.
            (next.number != number).then_some((next, name))
        });
        let Some((next, name)) = next else { break };
        let whole = match &mut joined {
            Some(whole) => whole,
            None => joined.insert(Message::from_vec(first).ok()?),
        };
        target = match Part::of(next, query, name) {
            Some(part) if hops < HOPS_MAX && !is_circle(whole, &part.name) => {
                number = next.number;
                part.append_to(whole)
            }
            _ => None,
        };
    }
    let mut whole = joined?;
    whole.edns = None; // Each client gets its own.
    let response = whole.to_vec().ok()?;
    Some(Followed { response, target })
}

/// Whether the aliases have come by this name already.
fn is_circle(whole: &Message, name: &Name) -> bool {
    let mut answers = whole.answers.iter();
    answers.any(|record| record.record_type() == RecordType::CNAME && record.name == *name)
}

/// What one more zone says.
struct Part {
    name: Name,
    message: Message,
    /// Where it leads out of that zone's authority.
    target: Option<Vec<u8>>,
}

impl Part {
    /// The answer of `served` for `name` (wire form, lower case), else as for `query`.
    fn of(served: &ServedZone, query: &Query, name: &[u8]) -> Option<Self> {
        let question = question(query, name);
        let mut buffer = vec![0; usize::from(u16::MAX)];
        buffer[..question.len()].copy_from_slice(&question);
        let limit = buffer.len();
        let query = Query::parse(&question).ok()?;
        let outcome = served.zone.answer(&query, &mut buffer, limit);
        let leads = outcome.target.map(|target| target.as_bytes().to_vec());
        let delegated = (outcome.kind == Kind::Referral).then(|| name.to_vec());
        Some(Self {
            name: Name::read(&mut BinDecoder::new(name)).ok()?,
            message: Message::from_vec(&buffer[..outcome.total_bytes]).ok()?,
            target: leads.or(delegated),
        })
    }

    /// Goes behind what there is; returns where it leads. AA belongs to the first name of a chain
    /// (RFC 1035 §4.1.1), the response code to the last (RFC 6604 §3). Of the authority section
    /// before only the proofs stay, which say that a wildcard was right.
    fn append_to(self, whole: &mut Message) -> Option<Vec<u8>> {
        let metadata = self.message.metadata;
        whole.metadata.response_code = metadata.response_code;
        whole.metadata.truncation |= metadata.truncation;
        whole.answers.extend(self.message.answers);
        whole.authorities.retain(is_proof);
        whole.authorities.extend(self.message.authorities);
        whole.additionals = self.message.additionals;
        self.target
    }
}

/// A query for `name` with type, class and DO of `query`.
fn question(query: &Query, name: &[u8]) -> Vec<u8> {
    let mut message = vec![0; HEADER_BYTES];
    message[5] = 1; // QDCOUNT.
    message[11] = 1; // ARCOUNT.
    message.extend_from_slice(name);
    message.extend_from_slice(&query.qtype.to_be_bytes());
    message.extend_from_slice(&query.qclass.to_be_bytes());
    message.extend_from_slice(&opt(query.dnssec_ok()));
    message
}

/// OPT without options (RFC 6891 §6.1.2).
fn opt(dnssec_ok: bool) -> [u8; 11] {
    let [high, low] = UDP_PAYLOAD_BYTES_MAX.to_be_bytes();
    let dnssec_ok = u8::from(dnssec_ok) << 7;
    [0, 0, TYPE_OPT, high, low, 0, 0, dnssec_ok, 0, 0, 0]
}

/// NSEC, NSEC3, and the signatures over them.
fn is_proof(record: &Record) -> bool {
    let proves = |rtype| matches!(rtype, RecordType::NSEC | RecordType::NSEC3);
    match &record.data {
        RData::Unknown {
            code: RecordType::RRSIG,
            rdata,
        } => {
            let covered = rdata.anything.first_chunk::<2>();
            covered.is_some_and(|covered| proves(u16::from_be_bytes(*covered).into()))
        }
        _ => proves(record.record_type()),
    }
}
