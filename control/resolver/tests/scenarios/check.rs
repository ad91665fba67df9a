//! Holds an answer against the entry that says what it must be.

use std::fmt::Write as _;

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::Record;
use resolver::iterate::Outcome;
use wire::flag;

use crate::entry::{Entry, Match, Packet};
use crate::record::encode;

const FLAGS: [(u16, &str); 7] = [
    (flag::QR, "QR"),
    (flag::AA, "AA"),
    (flag::TC, "TC"),
    (flag::RD, "RD"),
    (flag::RA, "RA"),
    (flag::AD, "AD"),
    (flag::CD, "CD"),
];

/// What the client gets.
pub(crate) struct Answer {
    packet: Packet,
    extended_errors: Vec<(u16, String)>,
}

impl Answer {
    /// Makes the message of an outcome, as a server does (RFC 6840 §5.8 on AD).
    pub(crate) fn new(asked: &Packet, outcome: &Outcome) -> Self {
        let mut flags = flag::QR | flag::RA | asked.flags & (flag::RD | flag::CD);
        if outcome.authentic && (asked.dnssec_ok || asked.flags & flag::AD != 0) {
            flags |= flag::AD;
        }
        if outcome.authoritative {
            flags |= flag::AA;
        }
        let packet = Packet {
            flags,
            rcode: u16::from(outcome.rcode),
            edns: asked.edns,
            dnssec_ok: asked.dnssec_ok,
            questions: asked.questions.clone(),
            answer: decoded(&outcome.answers),
            authority: decoded(&outcome.authority),
            additional: decoded(&outcome.additional),
            ..Packet::default()
        };
        Self {
            packet,
            extended_errors: outcome.extended_errors.clone(),
        }
    }

    /// What differs from what is wanted; empty if nothing does.
    pub(crate) fn differences(&self, entry: &Entry) -> Vec<&'static str> {
        let checks = self.header_checks(entry).into_iter();
        let checks = checks.chain(self.section_checks(entry));
        let differing = checks.filter(|(_, counts, equal)| *counts && !equal);
        differing.map(|(what, ..)| what).collect()
    }

    /// What, whether it counts, and whether it is as wanted: header, question, EDNS.
    fn header_checks(&self, entry: &Entry) -> [(&'static str, bool, bool); 8] {
        let (own, wanted) = (&self.packet, entry.packet());
        let wants = |what| entry.wants(Match::All) || entry.wants(what);
        let (asked, expected) = (own.questions.first(), wanted.questions.first());
        let same_name = asked.map(Query::name) == expected.map(Query::name);
        let same_type = asked.map(Query::query_type) == expected.map(Query::query_type);
        let codes = || self.extended_errors.iter().map(|(code, _)| *code);
        let extended = entry.matches.iter().all(|wanted| match wanted {
            Match::ExtendedError(Some(code)) => codes().any(|own| own == *code),
            Match::ExtendedError(None) => codes().next().is_some(),
            Match::NoExtendedError => codes().next().is_none(),
            _ => true,
        });
        [
            ("opcode", wants(Match::Opcode), own.opcode == wanted.opcode),
            ("flags", wants(Match::Flags), own.flags == wanted.flags),
            ("rcode", wants(Match::Rcode), own.rcode == wanted.rcode),
            (
                "DO",
                wants(Match::DnssecOk),
                own.dnssec_ok == wanted.dnssec_ok,
            ),
            ("question", wants(Match::Question), asked == expected),
            ("qname", entry.wants(Match::Qname), same_name),
            ("qtype", entry.wants(Match::Qtype), same_type),
            ("extended error", true, extended),
        ]
    }

    /// The same for the sections.
    fn section_checks(&self, entry: &Entry) -> [(&'static str, bool, bool); 4] {
        let (own, wanted) = (&self.packet, entry.packet());
        let wants = |what| entry.wants(Match::All) || entry.wants(what);
        let ttl = entry.wants(Match::Ttl);
        let same = |own: &[Record], wanted: &[Record]| equal(own, wanted, ttl);
        let mut pairs = own.answer.iter().zip(&wanted.answer);
        let in_order = pairs.all(|(own, wanted)| one_equal(own, wanted, ttl))
            && own.answer.len() == wanted.answer.len();
        [
            (
                "answer section",
                wants(Match::Answer),
                same(&own.answer, &wanted.answer),
            ),
            (
                "authority section",
                wants(Match::Authority),
                same(&own.authority, &wanted.authority),
            ),
            (
                "additional section",
                wants(Match::Additional),
                same(&own.additional, &wanted.additional),
            ),
            (
                "order of the answer section",
                entry.wants(Match::Ordered),
                in_order,
            ),
        ]
    }
}

/// Records as they look after a way over the network, so that equal ones are equal.
fn decoded(records: &[Record]) -> Vec<Record> {
    let mut message = Message::new(0, MessageType::Response, OpCode::Query);
    message.answers = records.to_vec();
    Message::from_vec(&encode(&message))
        .map_or_else(|_| records.to_vec(), |message| message.answers)
}

fn one_equal(a: &Record, b: &Record, ttl: bool) -> bool {
    a.name == b.name && a.dns_class == b.dns_class && a.data == b.data && (!ttl || a.ttl == b.ttl)
}

/// Whether two sections have the same records, in any order.
fn equal(own: &[Record], wanted: &[Record], ttl: bool) -> bool {
    let mut left: Vec<&Record> = wanted.iter().collect();
    let found = own.iter().all(|record| {
        let at = left.iter().position(|other| one_equal(record, other, ttl));
        at.map(|at| left.swap_remove(at)).is_some()
    });
    found && left.is_empty()
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&show(&self.packet))?;
        for (code, text) in &self.extended_errors {
            writeln!(f, "    extended error {code}: {text}")?;
        }
        Ok(())
    }
}

/// A message for people.
pub(crate) fn show(packet: &Packet) -> String {
    let mut out = String::from("   ");
    for (_, name) in FLAGS.iter().filter(|(bit, _)| packet.flags & bit != 0) {
        let _ = write!(out, " {name}");
    }
    if packet.dnssec_ok {
        out.push_str(" DO");
    }
    let [high, low] = [packet.rcode >> 4, packet.rcode & 15].map(|part| part.to_le_bytes()[0]);
    let rcode = hickory_proto::op::ResponseCode::from(high, low);
    let _ = writeln!(out, " {rcode:?}");
    for query in &packet.questions {
        let _ = writeln!(out, "    question    {query}");
    }
    for (section, records) in [
        ("answer", &packet.answer),
        ("authority", &packet.authority),
        ("additional", &packet.additional),
    ] {
        for record in records {
            let _ = writeln!(out, "    {section:<11} {record}");
        }
    }
    out
}
