//! Writes what the resolver found over the query that asked for it.

use resolver::iterate::Subnet;
use wire::answer::{
    Age, append_client_subnet, append_extended_error, append_nexus, dissect, write_answer,
    write_error,
};
use wire::query::Query;
use wire::{UDP_PAYLOAD_BYTES_MAX, flag, rcode};

use crate::question::Finished;
use crate::responder::Via;

/// TTL offsets of the most records that fit a message: eleven bytes each at least.
const TTL_OFFSETS_BYTES: usize = 2 * 65_536 / 11;

/// Flags that an answer must have as they were found, to be good for other clients too.
const FLAGS_SHARED: u16 = flag::TC | flag::AD | flag::RCODE;

/// What was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    /// Length of the message.
    pub(crate) bytes: usize,
    /// All of it is there, as for any client: no TC, no record or reason left out, AD as it was found.
    pub(crate) whole: bool,
}

/// Scratch for taking answers apart.
#[derive(Debug)]
pub(crate) struct Finisher {
    ttl_offsets: Box<[u8]>,
}

impl Default for Finisher {
    fn default() -> Self {
        Self {
            ttl_offsets: vec![0; TTL_OFFSETS_BYTES].into_boxed_slice(),
        }
    }
}

impl Finisher {
    /// Writes the answer for this client into `out`, which has room for the query at least.
    pub(crate) fn write(&mut self, finished: &Finished, out: &mut [u8], via: Via) -> Written {
        let asked = &finished.asked;
        let query_bytes = asked.message.len();
        out[..query_bytes].copy_from_slice(&asked.message);
        let resolved = &finished.resolved;
        let mut written = self.write_over(&asked.query, query_bytes, &resolved.message, out, via);
        for (code, text) in resolved.extended_errors.iter().skip(1) {
            let limit = limit_of(&asked.query, via);
            written.bytes =
                append_extended_error(out, written.bytes, limit, *code, text.as_bytes());
        }
        if let Some(data) = &resolved.extension {
            let limit = limit_of(&asked.query, via);
            written.bytes = append_nexus(out, written.bytes, limit, data);
        }
        // RFC 7871 §7.2.1: what the client said of its network, to a client that did.
        let says = asked.query.edns.is_some_and(|edns| edns.client_subnet);
        if let Some(scope_bits) = resolved.subnet_scope.filter(|_| says)
            && let Ok(Some(subnet)) = Subnet::of_query(&asked.message)
        {
            let limit = limit_of(&asked.query, via);
            let data = subnet.to_option(scope_bits);
            written.bytes = append_client_subnet(out, written.bytes, limit, &data);
        }
        written
    }

    /// Writes a whole response over the query at the front of `out`.
    pub(crate) fn write_over(
        &mut self,
        query: &Query,
        query_bytes: usize,
        response: &[u8],
        out: &mut [u8],
        via: Via,
    ) -> Written {
        let limit = limit_of(query, via);
        match dissect(response, &mut self.ttl_offsets) {
            Ok(dissected) => {
                let answer = dissected.answer(response, &self.ttl_offsets);
                let bytes = write_answer(out, query, &answer, Age::Fresh(0), limit);
                let additional = u16::from_be_bytes([out[10], out[11]]);
                let opt = u16::from(query.edns.is_some());
                // A client that does not know AD gets none (RFC 6840 §5.7), others must.
                let changed = (u16::from_be_bytes([out[2], out[3]]) ^ answer.flags) & FLAGS_SHARED;
                let silent = answer.extended_error.is_some() && query.edns.is_none();
                Written {
                    bytes,
                    whole: changed == 0
                        && !silent
                        && additional == answer.counts[2].saturating_add(opt),
                }
            }
            Err(error) => {
                tracing::error!(%error, "an answer cannot be read back");
                let bytes = write_error(out, query_bytes, Some(query), rcode::SERVFAIL, None);
                Written {
                    bytes,
                    whole: false,
                }
            }
        }
    }
}

/// Longest answer to this query, in bytes.
pub(crate) fn limit_of(query: &Query, via: Via) -> u16 {
    match via {
        Via::Udp => query.response_limit(UDP_PAYLOAD_BYTES_MAX),
        Via::Tcp => u16::MAX,
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query as Question, ResponseCode};
    use hickory_proto::rr::rdata::opt::EdnsOption;
    use hickory_proto::rr::{Name, RecordType};

    use super::*;

    const NAME: &str = "www.example.";

    /// What was written for a client, and whether it is good for others.
    fn finish(response: &Message, edns: bool, authentic_data: bool) -> (Message, bool) {
        let mut query = Message::new(7, MessageType::Query, OpCode::Query);
        query.add_query(Question::query(
            Name::from_ascii(NAME).unwrap(),
            RecordType::A,
        ));
        query.metadata.authentic_data = authentic_data;
        if edns {
            query.set_edns(Edns::new());
        }
        let query = query.to_vec().unwrap();
        let mut out = vec![0; 512];
        out[..query.len()].copy_from_slice(&query);
        let parsed = Query::parse(&query).unwrap();
        let response = response.to_vec().unwrap();
        let mut finisher = Finisher::default();
        let written = finisher.write_over(&parsed, query.len(), &response, &mut out, Via::Udp);
        let message = Message::from_vec(&out[..written.bytes]).unwrap();
        (message, written.whole)
    }

    fn response(rcode: ResponseCode) -> Message {
        let mut response = Message::new(0, MessageType::Response, OpCode::Query);
        response.add_query(Question::query(
            Name::from_ascii(NAME).unwrap(),
            RecordType::A,
        ));
        response.metadata.response_code = rcode;
        response
    }

    #[test]
    fn an_authentic_answer_for_a_client_without_ad_is_not_for_the_others() {
        let mut response = response(ResponseCode::NXDomain);
        assert!(finish(&response, true, false).1);
        response.metadata.authentic_data = true;
        let (sent, whole) = finish(&response, true, false);
        assert_eq!((sent.metadata.authentic_data, whole), (false, false));
        let (sent, whole) = finish(&response, true, true);
        assert_eq!((sent.metadata.authentic_data, whole), (true, true));
    }

    #[test]
    fn a_failure_for_a_client_without_edns_has_no_reason_and_is_not_for_the_others() {
        let mut response = response(ResponseCode::ServFail);
        assert!(finish(&response, false, false).1);
        let mut edns = Edns::new();
        edns.options_mut()
            .insert(EdnsOption::Unknown(15, vec![0, 6]));
        response.set_edns(edns);
        assert!(!finish(&response, false, false).1);
        assert!(finish(&response, true, false).1);
    }
}
