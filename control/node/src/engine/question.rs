//! What the resolver is to find for a question, and whom it counts for.

use std::net::IpAddr;

use resolver::iterate::{Question, Subnet, SubnetError};
use wire::query::Query;

use crate::clients::client_of;
use crate::question::Asked;

/// What one customer gets of a provider, at least (RFC 6177 §2).
const CLIENT_IPV6_BITS: u32 = 56;

/// Who the question counts for.
pub(super) fn client(asked: &Asked) -> Option<IpAddr> {
    let address = asked.client?;
    Some(client_of(address, CLIENT_IPV6_BITS))
}

/// The network that servers may see: what the client says of itself, which may be nothing (RFC 7871
/// §7.1.2), or else its address. The command line is no client.
pub(super) fn subnet_of(asked: &Asked) -> Result<Option<Subnet>, SubnetError> {
    let says = asked.query.edns.is_some_and(|edns| edns.client_subnet);
    if says && let Some(subnet) = Subnet::of_query(&asked.message)? {
        return Ok(Some(subnet));
    }
    let client = asked.client;
    Ok(client.map(|address| Subnet::new(address, u8::MAX)))
}

/// What the resolver is to find: the name asked for, or the name that an own zone's alias leads to.
pub(super) fn question(asked: &Asked) -> Option<Question> {
    let query = &asked.query;
    let qname = asked
        .alias
        .as_ref()
        .map_or(query.qname(), |alias| &alias.target);
    let mut question = question_of(query, qname)?;
    question.trace = asked.trace;
    Some(question)
}

pub(super) fn question_of(query: &Query, qname: &[u8]) -> Option<Question> {
    let (cd, dnssec_ok) = (query.checking_disabled(), query.dnssec_ok());
    Question::from_wire(qname, query.qtype, query.qclass, cd, dnssec_ok).ok()
}
