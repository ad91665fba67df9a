//! Writes the queries that leave.

use hickory_proto::rr::RecordType;

use super::cookie::SentCookie;
use super::name::WireName;
use super::random::Random;
use super::subnet::Subnet;

/// What a query says besides its question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    /// RD: the server is a forwarder.
    pub(super) recursion_desired: bool,
    /// CD: the client checks signatures itself.
    pub(super) checking_disabled: bool,
    /// UDP payload size in an OPT record with DO set; `None` leaves EDNS out.
    pub(super) edns_payload_bytes: Option<u16>,
    /// For the OPT record, if there is one.
    pub(super) cookie: Option<SentCookie>,
    /// The network of the client, to be shown; goes into the OPT record, too.
    pub(super) subnet: Option<Subnet>,
    /// Whether the name gets random upper and lower case.
    pub(super) randomise_case: bool,
}

/// A query and what its reply must match.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) id: u16,
    pub(super) message: Vec<u8>,
    /// QNAME, QTYPE and QCLASS as they were written.
    pub(super) question: Box<[u8]>,
}

/// Writes a query with a random id.
///
/// DO is always set: signatures and proofs are kept beside the data, for the clients that want
/// them and for validation.
pub(super) fn write(
    qname: &WireName,
    qtype: RecordType,
    options: Options,
    random: &mut Random,
) -> Query {
    let mut question = qname.as_bytes().to_vec();
    if options.randomise_case {
        random.randomise_case(&mut question);
    }
    question.extend_from_slice(&u16::from(qtype).to_be_bytes());
    question.extend_from_slice(&[0, 1]); // IN.

    let id = random.next_u16();
    let mut message = Vec::with_capacity(12 + question.len() + 11 + 44);
    message.extend_from_slice(&id.to_be_bytes());
    message.push(u8::from(options.recursion_desired));
    message.push(u8::from(options.checking_disabled) << 4);
    let additional_count = u8::from(options.edns_payload_bytes.is_some());
    message.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, additional_count]);
    message.extend_from_slice(&question);
    if let Some(payload_bytes) = options.edns_payload_bytes {
        message.extend_from_slice(&[0, 0, 41]);
        message.extend_from_slice(&payload_bytes.to_be_bytes());
        message.extend_from_slice(&[0, 0, 0x80, 0]); // RCODE, version, DO.
        let mut written = Vec::new();
        if let Some(cookie) = &options.cookie {
            cookie.write(&mut written);
        }
        if let Some(subnet) = &options.subnet {
            subnet.write(&mut written);
        }
        // At most one cookie and one network.
        let length = u16::try_from(written.len()).unwrap_or(u16::MAX);
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(&written);
    }
    Query {
        id,
        message,
        question: question.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::{Message, MessageType};
    use hickory_proto::rr::Name;

    fn query(options: Options) -> Message {
        let name = WireName::from_name(&Name::from_ascii("www.example.com.").unwrap());
        let query = write(&name, RecordType::AAAA, options, &mut Random::new([7; 32]));
        let message = Message::from_vec(&query.message).unwrap();
        assert_eq!(message.metadata.id, query.id);
        assert_eq!(message.metadata.message_type, MessageType::Query);
        assert_eq!(
            message.queries[0].name().to_string(),
            "www.example.com.".to_owned()
        );
        message
    }

    const PLAIN: Options = Options {
        recursion_desired: false,
        checking_disabled: false,
        edns_payload_bytes: None,
        cookie: None,
        subnet: None,
        randomise_case: false,
    };

    #[test]
    fn query_without_edns_has_a_question_and_nothing_else() {
        let message = query(PLAIN);
        assert!(message.edns.is_none());
        assert!(!message.metadata.recursion_desired);
        assert_eq!(message.queries[0].query_type(), RecordType::AAAA);
    }

    #[test]
    fn query_with_edns_offers_the_payload_and_asks_for_signatures() {
        let message = query(Options {
            edns_payload_bytes: Some(1232),
            ..PLAIN
        });
        let edns = message.edns.unwrap();
        assert_eq!((edns.max_payload(), edns.version()), (1232, 0));
        assert!(edns.flags().dnssec_ok);
    }

    #[test]
    fn query_to_a_forwarder_desires_recursion_and_keeps_cd() {
        let message = query(Options {
            recursion_desired: true,
            checking_disabled: true,
            ..PLAIN
        });
        assert!(message.metadata.recursion_desired);
        assert!(message.metadata.checking_disabled);
    }

    #[test]
    fn random_case_keeps_the_name_equal() {
        let name = WireName::from_name(&Name::from_ascii("www.example.com.").unwrap());
        let options = Options {
            randomise_case: true,
            ..PLAIN
        };
        let query = write(&name, RecordType::A, options, &mut Random::new([9; 32]));
        let written = &query.question[..name.as_bytes().len()];
        assert_ne!(written, name.as_bytes());
        assert!(written.eq_ignore_ascii_case(name.as_bytes()));
    }
}
