//! Builds zones and queries, and takes replies apart with hickory-proto.

use hickory_proto::op::Message;
use hickory_proto::rr::Record;
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};
use resolver::zone::{
    Kind, Note, Outcome, Zone, ZoneError, rdata_to_text, type_from_text, type_to_text,
};
use wire::query::Query;

/// The wire name of the zone that most tests use.
pub(crate) const EXAMPLE: &[u8] = b"\x07example\0";

/// A zone with one of everything.
pub(crate) const PLAIN: &str = include_str!("data/plain.zone");
pub(crate) const NSEC: &str = include_str!("data/nsec.zone");
pub(crate) const NSEC3: &str = include_str!("data/nsec3.zone");
pub(crate) const OPTOUT: &str = include_str!("data/optout.zone");

const SOA: &str = "@ 3600 SOA ns hostmaster 1 7200 900 1209600 300\n";

/// Reads a whole zone `example.` that includes no other file.
pub(crate) fn try_read(text: &str) -> Result<(Zone, Vec<Note>), ZoneError> {
    Zone::read(EXAMPLE, text.as_bytes(), "test.zone", &mut |_, path| {
        Err(format!("no {path}"))
    })
}

pub(crate) fn read(text: &str) -> Zone {
    try_read(text).expect("a zone without faults").0
}

/// A zone of these records and a SOA and NS record at the apex.
pub(crate) fn small(records: &str) -> Zone {
    read(&format!("{}{records}", small_head()))
}

/// What [`small`] puts in front: two lines.
pub(crate) fn small_head() -> String {
    format!("{SOA}@ 3600 NS ns.elsewhere.\n")
}

/// A reply with each section as sorted lines of `owner ttl type data`.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) rcode: u16,
    pub(crate) aa: bool,
    pub(crate) tc: bool,
    pub(crate) answer: Vec<String>,
    pub(crate) authority: Vec<String>,
    pub(crate) additional: Vec<String>,
    pub(crate) outcome: Outcome,
    pub(crate) message: Vec<u8>,
}

impl Reply {
    pub(crate) fn kind(&self) -> Kind {
        self.outcome.kind
    }
}

/// Asks for `name` (presentation form, absolute) without EDNS over a stream, where everything fits.
pub(crate) fn ask(zone: &Zone, name: &str, qtype: &str) -> Reply {
    ask_with(zone, name, qtype, false, 65_535)
}

/// Asks with DO.
pub(crate) fn ask_signed(zone: &Zone, name: &str, qtype: &str) -> Reply {
    ask_with(zone, name, qtype, true, 65_535)
}

pub(crate) fn ask_with(
    zone: &Zone,
    name: &str,
    qtype: &str,
    dnssec_ok: bool,
    limit: usize,
) -> Reply {
    let query = query_bytes(
        &wire_name(name),
        type_from_text(qtype).expect("a type"),
        dnssec_ok,
    );
    let reply = ask_bytes(zone, &query, limit);
    assert_eq!(reply.outcome.flags & 0x0100, 0x0100, "RD is copied");
    reply
}

/// Sends a query and holds the reply to what is true of all replies.
pub(crate) fn ask_bytes(zone: &Zone, query_message: &[u8], limit: usize) -> Reply {
    let query = Query::parse(query_message).expect("a query");
    let question_end = usize::from(query.question_end);
    let mut buffer = vec![0xa5; 65_535];
    buffer[..query_message.len()].copy_from_slice(query_message);
    let outcome = zone.answer(&query, &mut buffer, limit);
    assert!(outcome.required_bytes <= outcome.total_bytes);
    assert!(
        outcome.total_bytes <= limit.max(question_end),
        "{} over {limit}",
        outcome.total_bytes
    );
    let touched_max = limit.max(query_message.len()).min(buffer.len());
    let beyond = buffer[touched_max..].iter().take(300);
    assert!(
        beyond.copied().all(|byte| byte == 0xa5),
        "nothing behind the limit is touched"
    );
    buffer.truncate(outcome.total_bytes);
    assert_eq!(buffer[..2], query_message[..2], "the id is kept");
    assert_eq!(
        buffer[12..question_end],
        query_message[12..question_end],
        "the question is kept"
    );
    let mut offsets = [0; 8_192];
    let dissected =
        wire::answer::dissect(&buffer, &mut offsets).expect("a message that the workers take");
    assert_eq!(dissected.counts, outcome.counts);
    reply(buffer, outcome)
}

fn reply(buffer: Vec<u8>, outcome: Outcome) -> Reply {
    let message = Message::from_vec(&buffer).expect("a message that hickory reads");
    assert_eq!(message.queries.len(), 1);
    Reply {
        rcode: u16::from(message.metadata.response_code),
        aa: message.metadata.authoritative,
        tc: message.metadata.truncation,
        answer: lines(&message.answers),
        authority: lines(&message.authorities),
        additional: lines(&message.additionals),
        outcome,
        message: buffer,
    }
}

/// Records as sorted lines, names of owners in lower case.
pub(crate) fn lines(records: &[Record]) -> Vec<String> {
    let mut lines: Vec<String> = records.iter().map(line).collect();
    lines.sort();
    lines
}

fn line(record: &Record) -> String {
    let mut data = Vec::new();
    let mut encoder = BinEncoder::new(&mut data);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    record
        .data
        .emit(&mut encoder)
        .expect("data that can be written");
    let rtype = u16::from(record.record_type());
    let owner = record.name.to_lowercase().to_ascii();
    let mut text = rdata_to_text(rtype, &data);
    if [2, 5, 6, 12, 15].contains(&rtype) {
        // Names that are compressed show the case of the question.
        text.make_ascii_lowercase();
    }
    format!("{owner} {} {} {text}", record.ttl, type_to_text(rtype))
}

/// The wire form of an absolute name in presentation form, its case kept.
pub(crate) fn wire_name(name: &str) -> Vec<u8> {
    let text = format!("{name} 0 NS {name}\n");
    let records = resolver::zone::read_zone_file(text.as_bytes(), "name", b"\0", &mut |_, _| {
        Err(String::new())
    });
    let lower = records
        .expect("a name")
        .iter()
        .next()
        .expect("a record")
        .owner
        .to_vec();
    // Escapes aside, the case is put back label by label from the text.
    let mut wire = lower;
    if !name.contains('\\') {
        let mut at = 0;
        for byte in name.bytes() {
            if byte == b'.' {
                at += usize::from(name != ".");
                continue;
            }
            let start = at + 1;
            wire[start] = byte;
            at += 1;
        }
    }
    wire
}

/// A query with RD; with DO it has an OPT record.
pub(crate) fn query_bytes(qname: &[u8], qtype: u16, dnssec_ok: bool) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(dnssec_ok)];
    message.extend_from_slice(qname);
    message.extend_from_slice(&qtype.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    if dnssec_ok {
        message.extend_from_slice(&[0, 0, 41, 16, 0, 0, 0, 0x80, 0, 0, 0]);
    }
    message
}
