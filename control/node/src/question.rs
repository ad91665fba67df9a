//! A client's query on its way to the resolver and back.

use std::net::IpAddr;

use resolver::iterate::TraceEvent;
use resolver::zone::TsigSigner;
use tokio::sync::mpsc;
use wire::query::Query;

use crate::dnstap::Tapped;
use crate::front::FrontOrigin;
use crate::responder::Via;
use crate::signing;

/// A query that zones and policy did not answer.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The query as parsed.
    pub query: Query,
    /// Whose places it takes; `None` for the command line, which is no client.
    pub client: Option<IpAddr>,
    /// The query's own bytes: id, spelling of the name, EDNS.
    pub message: Box<[u8]>,
    /// A whole response from an own zone that ends in an alias out of it. The question to resolve
    /// is then `target`, and the resolver's records go behind these.
    pub alias: Option<Alias>,
    /// Answer from the cache or not at all (a query without RD).
    pub cache_only: bool,
    /// Report every step.
    pub trace: bool,
    /// Other nodes have no word on the answer: whoever asks believes DNSSEC alone.
    pub is_own_word: bool,
    /// Generation of resolved data when the query came, so that an answer that was overtaken by a
    /// change is born dead.
    pub generation: u32,
    /// The same for what the front thread keeps.
    pub epoch: u32,
    /// Signs the answer, if the query was signed.
    pub signer: Option<Box<TsigSigner>>,
    /// Set if the query log has it: the answer goes there, too.
    pub tapped: Option<Tapped>,
    /// Where the answer goes.
    pub origin: Origin,
}

impl Asked {
    /// Signs the answer of `bytes` at the front of `buffer`, if the query was signed. Returns its length.
    pub(crate) fn sign(&self, buffer: &mut [u8], bytes: usize, via: Via) -> usize {
        match &self.signer {
            Some(signer) => signing::sign(signer, buffer, bytes, Some(&self.query), via),
            None => bytes,
        }
    }
}

/// The part of an answer that an own zone gave.
#[derive(Debug)]
pub(crate) struct Alias {
    /// The zone's response in wire form.
    pub response: Vec<u8>,
    /// Name to go on with, in wire form.
    pub target: Vec<u8>,
}

/// Where an answer goes.
#[derive(Debug)]
pub(crate) enum Origin {
    /// To the front thread: a worker's punt or a datagram.
    Front(FrontOrigin),
    /// To a TCP connection or the command line. There is always room: each holds back further
    /// questions until there is.
    Channel(mpsc::Sender<Box<Finished>>),
}

/// A query with what the resolver made of it.
#[derive(Debug)]
pub(crate) struct Finished {
    /// What was asked.
    pub asked: Asked,
    /// What came of it.
    pub resolved: Resolved,
}

impl Finished {
    /// Whether others may get this answer too. Behind an own zone's alias stand resolved data, which
    /// are not for everybody, and the alias itself is: such an answer is made anew for each client.
    pub(crate) fn is_for_all(&self) -> bool {
        self.resolved.ttl_secs > 0 && !self.asked.cache_only && self.asked.alias.is_none()
    }
}

/// The resolver's answer in wire form.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// A whole response to the question, id 0, an OPT record last if it carries an extended error.
    /// Empty if the policy has nobody answered.
    pub message: Vec<u8>,
    /// Seconds for which it may be cached as a whole; 0 means not at all.
    pub ttl_secs: u32,
    /// No server was asked for it.
    pub from_cache: bool,
    /// Every extended error (RFC 8914), the one in `message` first.
    pub extended_errors: Vec<(u16, String)>,
    /// Of an answer made for the client's network: the bits of that which count.
    pub subnet_scope: Option<u8>,
    /// What the Nexus extension says, for a client that sent it.
    pub extension: Option<[u8; 16]>,
    /// The steps, if they were asked for.
    pub trace: Vec<TraceEvent>,
}
