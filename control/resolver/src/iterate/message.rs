//! What goes into [`Resolver::step`](super::Resolver::step) and what comes out.

use std::net::SocketAddr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use super::rrset::Security;
use super::subnet::Subnet;
use super::trace::TraceEvent;

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
    /// The client's network, for zones whose servers are to see it.
    pub client_subnet: Option<Subnet>,
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
            client_subnet: None,
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
            client_subnet: None,
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
    /// A question is answered elsewhere out of an answer that will soon expire: it is resolved anew if
    /// the cached answer is in the last tenth of its life. Nothing is answered.
    Refresh {
        /// What is asked there.
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

impl std::fmt::Display for TransportError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Timeout => "no reply in time",
            Self::Refused => "connection refused",
            Self::Unreachable => "unreachable",
            Self::Closed => "connection closed",
            Self::Resources => "no socket to ask it with",
        })
    }
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
    /// Close the socket of this exchange; nothing more from it is of use. Every exchange ends
    /// either with this, after its reply too, or with [`Input::Failed`], never with both.
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
    /// Whether all of it was proven by DNSSEC (AD).
    pub authentic: bool,
    /// Whether data past its TTL is served because every server failed (RFC 8767).
    pub stale: bool,
    /// Seconds for which this answer may be cached as a whole; 0 means not at all.
    pub ttl_secs: u32,
    /// For an answer made for the network of the question: the bits of it that count (SCOPE
    /// PREFIX-LENGTH, RFC 7871 §7.2.1). It is nobody else's, and `ttl_secs` is 0.
    pub subnet_scope: Option<u8>,
    /// Extended DNS errors (RFC 8914): INFO-CODE and text, the one that says most first. At most
    /// [`EXTENDED_ERRORS_MAX`].
    pub extended_errors: Vec<(u16, String)>,
    /// The steps that led here, if the question asked for them.
    pub trace: Option<Vec<TraceEvent>>,
}

/// Most extended errors of one [`Outcome`].
pub const EXTENDED_ERRORS_MAX: usize = 3;

impl Outcome {
    /// Adds an extended error behind those that are there, if there is room and none has its code.
    pub fn add_extended_error(&mut self, code: u16, text: String) {
        let is_new = self.extended_errors.iter().all(|(other, _)| *other != code);
        if is_new && self.extended_errors.len() < EXTENDED_ERRORS_MAX {
            self.extended_errors.push((code, text));
        }
    }
}

/// INFO-CODEs of RFC 8914 that an [`Outcome`] may carry.
pub mod extended_error {
    /// Something that has no code of its own; the text says what.
    pub const OTHER: u16 = 0;
    /// The zone is signed, but with no algorithm that is known here: the answer is not checked.
    pub const UNSUPPORTED_DNSKEY_ALGORITHM: u16 = 1;
    /// The zone is signed, but its DS have no digest that is known here: the answer is not checked.
    pub const UNSUPPORTED_DS_DIGEST: u16 = 2;
    /// The answer is past its TTL.
    pub const STALE_ANSWER: u16 = 3;
    /// The operator has put another answer in the place of the real one.
    pub const FORGED_ANSWER: u16 = 4;
    /// The answer does not hold under the keys of its zone.
    pub const DNSSEC_BOGUS: u16 = 6;
    /// The signatures are past their period.
    pub const SIGNATURE_EXPIRED: u16 = 7;
    /// The period of the signatures has not begun.
    pub const SIGNATURE_NOT_YET_VALID: u16 = 8;
    /// No DNSKEY made the signature, or none is named by the parent.
    pub const DNSKEY_MISSING: u16 = 9;
    /// A zone that signs has given data without signatures.
    pub const RRSIGS_MISSING: u16 = 10;
    /// The keys that fit are no zone keys.
    pub const NO_ZONE_KEY: u16 = 11;
    /// A denial without proof.
    pub const NSEC_MISSING: u16 = 12;
    /// The failure was remembered, not found anew.
    pub const CACHED_ERROR: u16 = 13;
    /// The operator blocks the name.
    pub const BLOCKED: u16 = 15;
    /// Somebody else has the operator block the name.
    pub const CENSORED: u16 = 16;
    /// The client has asked for the name to be blocked.
    pub const FILTERED: u16 = 17;
    /// The client may not ask here.
    pub const PROHIBITED: u16 = 18;
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
    /// The period of the signatures ends before it begins.
    pub const SIGNATURE_EXPIRED_BEFORE_VALID: u16 = 25;
    /// The zone asks for more NSEC3 iterations than are done for it: the answer is not checked
    /// (RFC 9276 §3.2).
    pub const UNSUPPORTED_NSEC3_ITERATIONS: u16 = 27;

    /// Whether a failure of this code is one of validation: it is said each time, and nothing may be
    /// made in its place.
    pub(crate) fn is_of_dnssec(code: u16) -> bool {
        matches!(
            code,
            DNSSEC_BOGUS..=NSEC_MISSING | SIGNATURE_EXPIRED_BEFORE_VALID
        )
    }
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

/// Which cache a [`CacheLine`] is from, and what it is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheOrigin {
    /// The RRset cache; answers clients.
    Answer,
    /// The RRset cache; finds servers and trust.
    Helper,
    /// The RRset cache; the servers of the closest zone around the name.
    Delegation,
    /// The failure cache (RFC 9520).
    Failure,
    /// The index of proven denials and wildcards (RFC 8198).
    Proven,
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
    /// Whether this says that there is nothing.
    pub negative: bool,
    /// Trust.
    pub trust: Trust,
    /// Seconds left; 0 when it is kept only to be served stale.
    pub ttl_secs: u32,
    /// The records, signatures included; empty for a negative entry.
    pub records: Vec<Record>,
    /// What validation has found out.
    pub security: Security,
    /// Which cache it is from, and what it is good for.
    pub origin: CacheOrigin,
    /// Why the question failed, if it did.
    pub reason: Option<String>,
}
