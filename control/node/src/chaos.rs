//! Class CHAOS: who answers here, and with what (RFC 4892).

use wire::answer::write_error;
use wire::query::Query;
use wire::{flag, rcode};

const TYPE_TXT: u16 = 16;
const TYPE_ANY: u16 = 255;
/// One character string (RFC 1035 §3.3).
const TEXT_BYTES_MAX: usize = 255;

/// The texts; an empty one is refused.
#[derive(Debug)]
pub(crate) struct Chaos {
    identity: String,
    version: String,
}

impl Chaos {
    /// `identity` for id.server and hostname.bind, `version` for version.server and version.bind.
    /// Cut to what one character string holds.
    #[must_use]
    pub(crate) fn new(mut identity: String, mut version: String) -> Self {
        for text in [&mut identity, &mut version] {
            text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        }
        Self { identity, version }
    }

    /// Writes the answer over the query and returns its length in bytes.
    pub(crate) fn answer(&self, query: &Query, buffer: &mut [u8], query_bytes: usize) -> usize {
        let text = match query.qname() {
            b"\x02id\x06server\0" | b"\x08hostname\x04bind\0" => &self.identity,
            b"\x07version\x06server\0" | b"\x07version\x04bind\0" => &self.version,
            _ => "",
        };
        let asked = matches!(query.qtype, TYPE_TXT | TYPE_ANY);
        if text.is_empty() || !asked {
            return write_error(buffer, query_bytes, Some(query), rcode::REFUSED, None);
        }
        // The question, a pointer to its name, TXT CH, TTL 0, and the text with its length.
        let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
        let mut record = vec![0xc0, 12, 0, 16, 0, 3, 0, 0, 0, 0, 0, 0, length];
        record[10..12].copy_from_slice(&(u16::from(length) + 1).to_be_bytes());
        record.extend_from_slice(text.as_bytes());
        // An error without a code is an empty answer with its OPT; the record goes in between.
        let empty_bytes = write_error(buffer, query_bytes, Some(query), 0, None);
        let question_end = usize::from(query.question_end);
        let bytes = empty_bytes + record.len();
        if bytes > buffer.len() {
            return empty_bytes;
        }
        buffer.copy_within(question_end..empty_bytes, question_end + record.len());
        buffer[question_end..question_end + record.len()].copy_from_slice(&record);
        buffer[6..8].copy_from_slice(&1_u16.to_be_bytes());
        let flags = u16::from_be_bytes([buffer[2], buffer[3]]) | flag::AA;
        buffer[2..4].copy_from_slice(&flags.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{Edns, Message, Query as Question, ResponseCode};
    use hickory_proto::rr::{DNSClass, Name, RecordType};

    use super::*;

    fn ask(name: &str, edns: bool) -> Message {
        let mut message = Message::query();
        let mut question = Question::query(Name::from_ascii(name).unwrap(), RecordType::TXT);
        question.set_query_class(DNSClass::CH);
        message.add_query(question);
        if edns {
            message.set_edns(Edns::new());
        }
        let mut buffer = message.to_vec().unwrap();
        let query_bytes = buffer.len();
        let query = Query::parse(&buffer).unwrap();
        buffer.resize(512, 0);
        let chaos = Chaos::new("box-1".into(), String::new());
        let bytes = chaos.answer(&query, &mut buffer, query_bytes);
        Message::from_vec(&buffer[..bytes]).unwrap()
    }

    #[test]
    fn identity_is_told_with_and_without_edns() {
        for edns in [false, true] {
            for name in ["id.server.", "Hostname.BIND."] {
                let answer = ask(name, edns);
                assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
                assert_eq!(answer.answers.len(), 1);
                assert_eq!(answer.answers[0].data.to_string(), "box-1");
                assert_eq!(answer.edns.is_some(), edns);
            }
        }
    }

    #[test]
    fn an_empty_text_and_another_name_are_refused() {
        for name in ["version.bind.", "authors.bind.", "."] {
            let answer = ask(name, true);
            assert_eq!(answer.metadata.response_code, ResponseCode::Refused);
            assert!(answer.answers.is_empty());
        }
    }
}
