//! What goes into [`Resolver::step`](super::Resolver::step) and what comes out.

use std::net::SocketAddr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

/// A question of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Name asked for; case does not matter.
    pub qname: Name,
    /// Type asked for.
    pub qtype: RecordType,
    /// Class asked for; only IN is resolved.
    pub qclass: DNSClass,
    /// CD: the client checks signatures itself (RFC 4035 §3.2.2).
    pub checking_disabled: bool,
    /// DO: the client wants signatures and proofs (RFC 3225).
    pub dnssec_ok: bool,
    /// Whether the outcome carries the steps of the resolution.
    pub trace: bool,
}

/// Why bytes are no question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// The name is not one uncompressed domain name in wire form.
    #[error("the question name of {bytes} bytes is not an uncompressed domain name")]
    Name {
        /// Length of the name offered.
        bytes: usize,
    },
}

impl Question {
    /// A plain question of class IN: no CD, no DO, no trace.
    #[must_use]
    pub fn new(qname: Name, qtype: RecordType) -> Self {
        Self {
            qname,
            qtype,
            qclass: DNSClass::IN,
            checking_disabled: false,
            dnssec_ok: false,
            trace: false,
        }
    }

    /// Reads an uncompressed name in wire form (final root byte included), as `wire::query` gives it.
    ///
    /// # Errors
    /// [`QuestionError::Name`] if `qname` is not exactly one such name.
    pub fn from_wire(
        qname: &[u8],
        qtype: u16,
        qclass: u16,
        checking_disabled: bool,
        dnssec_ok: bool,
    ) -> Result<Self, QuestionError> {
        let error = QuestionError::Name { bytes: qname.len() };
        let mut decoder = BinDecoder::new(qname);
        let name = Name::read(&mut decoder).map_err(|_| error)?;
        if !decoder.is_empty() {
            return Err(error);
        }
        let (qtype, qclass) = (RecordType::from(qtype), DNSClass::from(qclass));
        Ok(Self {
            qname: name,
            qtype,
            qclass,
            checking_disabled,
            dnssec_ok,
            trace: false,
        })
    }
}

/// What can happen to the resolver.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A client asks; exactly one [`Effect::Done`] with this ticket follows, in this step or a later one.
    Ask {
        /// Chosen by the shell, unique among the questions that wait.
        ticket: u64,
        /// What is asked.
        question: Question,
    },
    /// A message arrived on the socket of an exchange. Late and forged ones are harmless.
    Reply {
        /// The exchange whose socket received it.
        exchange: u64,
        /// Source address of the datagram, or peer of the connection.
        from: SocketAddr,
        /// The DNS message, without the TCP length.
        message: &'a [u8],
    },
    /// An exchange ended without a reply.
    Failed {
        /// The exchange that ended.
        exchange: u64,
        /// What the kernel said.
        reason: TransportError,
    },
    /// Time has passed; due at [`Resolver::next_deadline`](super::Resolver::next_deadline).
    Tick,
}

/// How an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportError {
    /// Nothing came within `timeout_ms`.
    Timeout,
    /// The port is closed (ICMP port unreachable, or RST to a TCP connection).
    Refused,
    /// No route, or the network or host is unreachable.
    Unreachable,
    /// The TCP connection ended before a whole message.
    Closed,
    /// The shell has no socket, port or memory for it.
    Resources,
}

/// What carries an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// One datagram from a socket with an unpredictable source port, connected to the server.
    Udp,
    /// A TCP connection; the shell adds the two-byte length (RFC 1035 §4.2.2).
    Tcp,
}

/// What the shell must do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send `message` and report each message that comes back, or how it failed.
    Send {
        /// Names this exchange in later inputs; never reused.
        exchange: u64,
        /// Where to.
        server: SocketAddr,
        /// By what.
        transport: Transport,
        /// The DNS message, without the TCP length.
        message: Vec<u8>,
        /// Milliseconds to wait. The resolver gives up by itself at a [`Input::Tick`] past it, so a
        /// shell without timers of its own needs only to tick in time.
        timeout_ms: u32,
    },
    /// Close the socket of this exchange; nothing more from it is of use.
    Cancel {
        /// The exchange to end.
        exchange: u64,
    },
    /// Answer the client.
    Done {
        /// The ticket of the question.
        ticket: u64,
        /// What to answer.
        outcome: Outcome,
    },
}

/// The answer to a question. RRSIG, NSEC and NSEC3 are only there if the question had DO set.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Response code.
    pub rcode: ResponseCode,
    /// Answer section: aliases first, in order. TTLs are what remains, in seconds.
    pub answers: Vec<Record>,
    /// Authority section: SOA of a negative answer, and proofs.
    pub authority: Vec<Record>,
    /// Additional section.
    pub additional: Vec<Record>,
    /// Always false: what comes from here is never our own zone data.
    pub authoritative: bool,
    /// Whether all of it was proven by DNSSEC (AD). False until validation exists.
    pub authentic: bool,
    /// Whether data past its TTL is served because every server failed (RFC 8767).
    pub stale: bool,
    /// Seconds for which this answer may be cached as a whole; 0 means not at all.
    pub ttl_secs: u32,
    /// Extended DNS error (RFC 8914): INFO-CODE and text.
    pub extended_error: Option<(u16, String)>,
    /// The steps that led here, if the question asked for them.
    pub trace: Option<Vec<TraceEvent>>,
}

/// INFO-CODEs of RFC 8914 that an [`Outcome`] may carry.
pub mod extended_error {
    /// Something that has no code of its own; the text says what.
    pub const OTHER: u16 = 0;
    /// The answer is past its TTL.
    pub const STALE_ANSWER: u16 = 3;
    /// The failure was remembered, not found anew.
    pub const CACHED_ERROR: u16 = 13;
    /// The NXDOMAIN is past its TTL.
    pub const STALE_NXDOMAIN: u16 = 19;
    /// The type, class or operation is not supported.
    pub const NOT_SUPPORTED: u16 = 21;
    /// Every authority was unreachable or of no use.
    pub const NO_REACHABLE_AUTHORITY: u16 = 22;
    /// The network failed between here and the authorities.
    pub const NETWORK_ERROR: u16 = 23;
    /// A server answered with nonsense.
    pub const INVALID_DATA: u16 = 24;
}

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
    /// An alias was followed.
    Alias {
        /// Its owner.
        from: Name,
        /// Its target.
        to: Name,
    },
    /// The address of a name server is looked up first.
    Subquery {
        /// The name server.
        name: Name,
        /// A or AAAA.
        rtype: RecordType,
    },
    /// The resolution ended.
    Finished {
        /// With this response code.
        rcode: ResponseCode,
        /// And this reason, if it failed.
        reason: Option<String>,
    },
}

/// How far data may be believed, least first (RFC 2181 §5.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// Glue and other additional data: good for finding servers, never for answers.
    Additional,
    /// NS of a referral: good for finding servers, never for answers.
    Referral,
    /// Answer section of a reply without AA, as forwarders give it.
    Answer,
    /// Authority section of a reply with AA.
    AuthoritativeAuthority,
    /// Answer section of a reply with AA.
    AuthoritativeAnswer,
}

/// One line of [`Resolver::dump`](super::Resolver::dump).
#[derive(Clone, Debug, PartialEq)]
pub struct CacheLine {
    /// Owner.
    pub name: Name,
    /// Type; the type denied for a negative entry, `ANY` for NXDOMAIN.
    pub rtype: RecordType,
    /// `NoError` for data and NODATA, `NXDomain` for a name that does not exist.
    pub rcode: ResponseCode,
    /// Trust.
    pub trust: Trust,
    /// Seconds left; 0 when it is kept only to be served stale.
    pub ttl_secs: u32,
    /// The records, signatures included; empty for a negative entry.
    pub records: Vec<Record>,
}

/// Counters since the start, and gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Questions asked.
    pub questions: u64,
    /// Questions answered from the cache at once.
    pub cache_hits: u64,
    /// Questions that joined a resolution under way.
    pub coalesced: u64,
    /// Questions turned away since a table was full.
    pub rejected: u64,
    /// Answers with data past its TTL.
    pub stale_answers: u64,
    /// Questions that ended in SERVFAIL.
    pub failures: u64,
    /// Questions answered from the failure cache.
    pub cached_failures: u64,
    /// Messages sent over UDP.
    pub sends_udp: u64,
    /// Messages sent over TCP.
    pub sends_tcp: u64,
    /// Replies accepted.
    pub replies: u64,
    /// Replies to no exchange: late, or made up.
    pub replies_unknown: u64,
    /// Replies from another address than the one asked.
    pub mismatches_address: u64,
    /// Replies with another id.
    pub mismatches_id: u64,
    /// Replies to another question.
    pub mismatches_question: u64,
    /// Replies whose name came back in other case.
    pub mismatches_case: u64,
    /// Replies that could not be read.
    pub malformed: u64,
    /// Exchanges without a reply in time.
    pub timeouts: u64,
    /// Exchanges that failed in another way.
    pub transport_errors: u64,
    /// Replies with TC over UDP.
    pub truncated: u64,
    /// Replies of servers that do not serve the zone.
    pub lame: u64,
    /// Queries repeated without EDNS.
    pub edns_fallbacks: u64,
    /// Queries repeated with the whole name (RFC 9156 §3).
    pub minimisation_fallbacks: u64,
    /// Sub-resolutions started.
    pub subqueries: u64,
    /// Resolutions stopped by a limit of work.
    pub limited: u64,
    /// RRsets put into the cache.
    pub cache_insertions: u64,
    /// RRsets removed for room.
    pub cache_evictions: u64,
    /// Gauge: questions that wait.
    pub tickets: u64,
    /// Gauge: resolutions under way.
    pub tasks: u64,
    /// Gauge: messages in flight.
    pub exchanges: u64,
    /// Gauge: servers remembered.
    pub servers: u64,
    /// Gauge: RRsets cached.
    pub cache_entries: u64,
    /// Gauge: bytes the cache holds.
    pub cache_bytes: u64,
    /// Gauge: failures remembered.
    pub failures_cached: u64,
}
