//! The events of one resolution, for people to read.

use std::net::SocketAddr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RecordType};

use super::message::{Transport, TransportError};
use super::name::WireName;

/// One step of a resolution.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceEvent {
    /// When, in the milliseconds that `step` was given.
    pub at_ms: u64,
    /// Nesting: 0 for the question itself, more for addresses of name servers.
    pub depth: u8,
    /// What happened.
    pub kind: TraceKind,
}

/// What happened in one step of a resolution.
#[derive(Clone, Debug, PartialEq)]
pub enum TraceKind {
    /// The cache held the answer, or a part of it.
    CacheHit {
        /// Owner found.
        name: Name,
        /// Type found.
        rtype: RecordType,
    },
    /// What was proven of other names answered (RFC 8198).
    Proven {
        /// Name denied, or made by a wildcard.
        name: Name,
        /// Type asked for.
        rtype: RecordType,
    },
    /// Work goes on with the servers of this zone.
    Zone {
        /// The zone.
        zone: Name,
        /// Addresses known.
        addresses: usize,
        /// Name servers without a known address.
        unresolved: usize,
        /// Whether these are configured forwarders.
        forward: bool,
    },
    /// A query left.
    Send {
        /// To whom.
        server: SocketAddr,
        /// By what.
        transport: Transport,
        /// Name in the query (it may be a part of the name asked for).
        qname: Name,
        /// Type in the query.
        qtype: RecordType,
    },
    /// A reply was accepted.
    Reply {
        /// From whom.
        server: SocketAddr,
        /// Its response code.
        rcode: ResponseCode,
        /// What it was taken for, in a word or two.
        meaning: &'static str,
        /// Milliseconds since the query.
        rtt_ms: u32,
    },
    /// An exchange failed.
    Failed {
        /// With whom.
        server: SocketAddr,
        /// How.
        reason: TransportError,
    },
    /// The server is asked again in another way.
    Again {
        /// Whom.
        server: SocketAddr,
        /// Why.
        reason: &'static str,
    },
    /// An alias was followed.
    Alias {
        /// Its owner.
        from: Name,
        /// Its target.
        to: Name,
    },
    /// The address of a name server, or DS or DNSKEY of a zone, is looked up first.
    Subquery {
        /// The name server or the zone.
        name: Name,
        /// A or AAAA, DS or DNSKEY.
        rtype: RecordType,
    },
    /// Data did not hold under the keys of their zone.
    Bogus {
        /// Which, and why.
        reason: String,
    },
    /// The resolution ended.
    Finished {
        /// With this response code.
        rcode: ResponseCode,
        /// And this reason, if it failed.
        reason: Option<String>,
    },
}

impl TraceKind {
    /// What the cache held, or made of proofs.
    pub(super) fn cache_hit(name: &WireName, rtype: RecordType, proven: bool) -> Self {
        let name = name.to_name();
        if proven {
            Self::Proven { name, rtype }
        } else {
            Self::CacheHit { name, rtype }
        }
    }
}
