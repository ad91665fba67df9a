//! From the resolver's outcome to a response in wire form.

use hickory_proto::ProtoError;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{DNSClass, Name, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use resolver::iterate::Outcome;

use wire::answer::EXTENDED_TEXT_BYTES_MAX;

use crate::question::{Asked, Resolved};

/// EXTENDED-ERROR (RFC 8914 §2).
const OPTION_EXTENDED_ERROR: u16 = 15;

/// TC in the third byte of a message (RFC 1035 §4.1.1).
const TC: u8 = 0x02;

/// Makes one whole response of `outcome`, behind the alias records of an own zone if there are any.
/// What cannot be written (it never should) becomes SERVFAIL.
pub(crate) fn compose(asked: &Asked, outcome: Outcome, from_cache: bool) -> Resolved {
    let (ttl_secs, subnet_scope) = (outcome.ttl_secs, outcome.subnet_scope);
    let trace = outcome.trace.clone().unwrap_or_default();
    let extended_errors = outcome.extended_errors.clone();
    match message(asked, outcome).and_then(|message| message.to_vec()) {
        Ok(message) => Resolved {
            message,
            ttl_secs,
            from_cache,
            extended_errors,
            subnet_scope,
            extension: None,
            trace,
        },
        Err(error) => {
            tracing::error!(%error, "a resolved answer cannot be written");
            failure(asked, ResponseCode::ServFail, None)
        }
    }
}

/// A response that is truncated to nothing, so that the client comes by TCP.
pub(crate) fn truncated(asked: &Asked) -> Resolved {
    let mut resolved = failure(asked, ResponseCode::NoError, None);
    if let Some(flags) = resolved.message.get_mut(2) {
        *flags |= TC;
    }
    resolved
}

/// What goes to nobody.
pub(crate) fn silence() -> Resolved {
    Resolved {
        message: Vec::new(),
        ttl_secs: 0,
        subnet_scope: None,
        extension: None,
        from_cache: false,
        extended_errors: Vec::new(),
        trace: Vec::new(),
    }
}

/// A response without records, never cached.
pub(crate) fn failure(asked: &Asked, rcode: ResponseCode, extended_error: Option<u16>) -> Resolved {
    let mut message = Message::new(0, MessageType::Response, OpCode::Query);
    message.metadata.response_code = rcode;
    message.metadata.recursion_available = true;
    if let Ok(question) = question(asked) {
        message.add_query(question);
    }
    if let Some(code) = extended_error {
        set_extended_error(&mut message, code, "");
    }
    let extended_errors = extended_error.map(|code| (code, String::new()));
    Resolved {
        message: message.to_vec().unwrap_or_default(),
        ttl_secs: 0,
        from_cache: false,
        extended_errors: extended_errors.into_iter().collect(),
        subnet_scope: None,
        extension: None,
        trace: Vec::new(),
    }
}

fn message(asked: &Asked, outcome: Outcome) -> Result<Message, ProtoError> {
    let mut message = Message::new(0, MessageType::Response, OpCode::Query);
    message.add_query(question(asked)?);
    message.metadata.response_code = outcome.rcode;
    message.metadata.recursion_available = true;
    message.metadata.authentic_data = outcome.authentic;
    if let Some(alias) = &asked.alias {
        // AA belongs to the first name of the chain (RFC 1035 §4.1.1), and that is ours.
        message.metadata.authoritative = true;
        message.metadata.authentic_data = false;
        message.insert_answers(Message::from_vec(&alias.response)?.answers);
    }
    message.answers.extend(outcome.answers);
    message.insert_authorities(outcome.authority);
    message.insert_additionals(outcome.additional);
    let rcode_high = u16::from(outcome.rcode) >> 4;
    if let Some((code, text)) = outcome.extended_errors.first() {
        set_extended_error(&mut message, *code, text);
    } else if rcode_high != 0 {
        message.set_edns(Edns::new());
    }
    if let Some(edns) = &mut message.edns {
        edns.set_rcode_high(u8::try_from(rcode_high).unwrap_or(0));
    }
    Ok(message)
}

/// The first code and its text. It is what workers and the table keep, whose entries have room for
/// one: it says most, and further ones must not push records out. `finish.rs` puts those behind it
/// for the client that asked.
///
/// They speak of the name and its servers and so are the same for every client.
fn set_extended_error(message: &mut Message, code: u16, text: &str) {
    let mut option = code.to_be_bytes().to_vec();
    option.extend(text.bytes().take(EXTENDED_TEXT_BYTES_MAX));
    let mut edns = Edns::new();
    edns.options_mut()
        .insert(EdnsOption::Unknown(OPTION_EXTENDED_ERROR, option));
    message.set_edns(edns);
}

fn question(asked: &Asked) -> Result<Query, ProtoError> {
    let name = Name::read(&mut BinDecoder::new(asked.query.qname()))?;
    let mut question = Query::query(name, RecordType::from(asked.query.qtype));
    question.set_query_class(DNSClass::from(asked.query.qclass));
    Ok(question)
}
