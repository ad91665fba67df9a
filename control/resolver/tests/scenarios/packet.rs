//! Messages that servers send, made from the packets of entries and from zones.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use resolver::iterate::Transport;
use resolver::zone::Zone;
use wire::flag;
use wire::query::Query;

use crate::entry::Packet;
use crate::record::encode;
use crate::servers::{CLIENT_COOKIE_BYTES, COOKIE, Sent};

/// Bytes of an OPT record without options.
const OPT_BYTES: usize = 11;

impl Packet {
    /// The bytes that answer a query.
    pub(crate) fn answer(&self, sent: &Sent) -> Vec<u8> {
        let query_id = sent.message.metadata.id;
        // Without `copy_id` it must be wrong, not right by chance.
        let id = if self.adjust.copy_id {
            query_id
        } else {
            query_id ^ 0x5aa5
        };
        if let Some(hex) = &self.hex {
            let mut bytes = hex.clone();
            if let ([high, low, ..], true) = (&mut bytes[..], self.adjust.copy_id) {
                [*high, *low] = id.to_be_bytes();
            }
            return bytes;
        }
        let mut message = Message::new(id, MessageType::Response, OpCode::from_u8(self.opcode));
        let has = |bit: u16| self.flags & bit != 0;
        let header = &mut message.metadata;
        if !has(flag::QR) {
            header.message_type = MessageType::Query;
        }
        header.authoritative = has(flag::AA);
        header.truncation = has(flag::TC);
        header.recursion_desired = has(flag::RD);
        header.recursion_available = has(flag::RA);
        header.authentic_data = has(flag::AD);
        header.checking_disabled = has(flag::CD);
        let [high, low] = [self.rcode >> 4, self.rcode & 15].map(|part| part.to_le_bytes()[0]);
        header.response_code = ResponseCode::from(high, low);
        let questions = if self.adjust.copy_query {
            &sent.message.queries
        } else {
            &self.questions
        };
        message.add_queries(questions.iter().cloned());
        message.answers.clone_from(&self.answer);
        message.authorities.clone_from(&self.authority);
        message.additionals.clone_from(&self.additional);
        if self.edns {
            let mut edns = Edns::new();
            edns.set_dnssec_ok(self.dnssec_ok);
            edns.set_rcode_high(high);
            for (code, data) in &self.options {
                let mut data = data.clone();
                if self.adjust.copy_client_cookie && *code == COOKIE {
                    let asked = sent.cookie().unwrap_or_default();
                    for (own, asked) in data
                        .iter_mut()
                        .zip(&asked[..CLIENT_COOKIE_BYTES.min(asked.len())])
                    {
                        *own = *asked;
                    }
                }
                edns.options_mut().insert(EdnsOption::Unknown(*code, data));
            }
            message.set_edns(edns);
        }
        encode(&message)
    }
}

/// What a server of these zones answers; REFUSED if none holds the name.
pub(crate) fn answer_from<'z>(zones: impl Iterator<Item = &'z Zone>, sent: &Sent) -> Vec<u8> {
    let Ok(query) = Query::parse(&sent.raw) else {
        return Vec::new();
    };
    let qname = query.qname().to_ascii_lowercase();
    let holds = |zone: &&Zone| {
        let is_apex = zone.apex() == qname;
        // DS of a zone is data of its parent (RFC 4035 §3.1.4.1).
        is_within(&qname, zone.apex()) && !(query.qtype == 43 && is_apex && qname.len() > 1)
    };
    let question_end = usize::from(query.question_end);
    let mut bytes = vec![0; 65_535];
    let copied = question_end.min(sent.raw.len());
    bytes[..copied].copy_from_slice(&sent.raw[..copied]);
    let opt_bytes = if query.edns.is_some() { OPT_BYTES } else { 0 };
    let limit = match sent.transport {
        Transport::Tcp => 65_535,
        Transport::Udp => usize::from(query.response_limit(u16::MAX)),
    };
    match zones.filter(holds).max_by_key(|zone| zone.apex().len()) {
        Some(zone) => {
            let outcome = zone.answer(&query, &mut bytes, limit - opt_bytes);
            bytes.truncate(outcome.total_bytes);
        }
        None => {
            bytes.truncate(copied);
            bytes[2..12].copy_from_slice(&[0x80, 5, 0, 1, 0, 0, 0, 0, 0, 0]);
        }
    }
    if query.edns.is_some() {
        let do_flag = if query.dnssec_ok() { 0x80 } else { 0 };
        bytes.extend([0, 0, 41, 0x04, 0xd0, 0, 0, do_flag, 0, 0, 0]);
        let count = u16::from_be_bytes([bytes[10], bytes[11]]) + 1;
        bytes[10..12].copy_from_slice(&count.to_be_bytes());
    }
    bytes
}

/// Whether a wire name stands at or below another.
fn is_within(name: &[u8], zone: &[u8]) -> bool {
    let mut rest = name;
    loop {
        if rest == zone {
            return true;
        }
        match rest {
            [length, tail @ ..] if *length > 0 => {
                rest = tail.get(usize::from(*length)..).unwrap_or_default();
            }
            _ => return false,
        }
    }
}
