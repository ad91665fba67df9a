//! [`Faces`]: the shards as clients see them, and what goes for all of them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ct::Roots;
use tokio::sync::watch;

use super::clients::Places;
use super::listing::MMD_S;
use super::meter::Meter;
use super::refusal::Refusal;
use super::rfc6962::RootsReply;
use crate::witness::{Outsiders, Witness};
use crate::{Published, Sequencer, ShardReader, Validators};

/// What consensus has agreed on beside entries.
#[derive(Debug, Clone, Default)]
pub struct Agreed {
    /// Where chains may end.
    pub roots: Arc<Roots>,
    /// Who cosigns.
    pub validators: Arc<Validators>,
    /// Names of the shards that take nothing any more.
    pub closed: BTreeSet<Arc<str>>,
}

/// Who runs the log, for its log list.
#[derive(Debug, Clone)]
pub struct Operator {
    /// Name.
    pub name: String,
    /// Addresses for complaints.
    pub email: Vec<String>,
}

/// How clients reach the origins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear: in a laboratory, or where no reverse proxy stands before the log.
    Http,
    /// By a reverse proxy.
    Https,
}

/// How much clients may ask for.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at the same time; further ones wait in the kernel.
    pub connections_max: usize,
    /// For a whole request, from the opening of the connection or the answer before. Longer than `submission_timeout`.
    pub patience: Duration,
    /// Of a request, in bytes.
    pub body_bytes_max: usize,
    /// Certificates of a chain.
    pub certificates_max: usize,
    /// Submissions in flight of all clients.
    pub submissions_max: usize,
    /// Submissions in flight of one client: an IPv4 address, or an IPv6 network of 64 bits.
    pub submissions_of_client_max: usize,
    /// From a submission that passed its checks to its timestamp.
    pub submission_timeout: Duration,
    /// Of the head that an open shard shows. When this node has no newer one, another may, which a reverse proxy asks then. More
    /// than an idle shard waits for a head.
    pub head_age_max: Duration,
    /// Reverse proxies: of a connection from one, the client is the last address of `X-Forwarded-For`.
    pub proxies: Vec<IpAddr>,
}

/// All that the server needs.
#[derive(Debug)]
pub struct Faces {
    /// In the order of their windows.
    pub(super) shards: Vec<ShardReader>,
    pub(super) agreed: watch::Receiver<Arc<Agreed>>,
    pub(super) sequencer: Arc<dyn Sequencer>,
    pub(super) operator: Operator,
    pub(super) scheme: Scheme,
    pub(super) limits: Limits,
    pub(super) places: Places,
    pub(super) witness: Option<Arc<Witness>>,
    pub(super) outsiders: Option<Outsiders>,
    pub(super) meter: Meter,
    pub(super) roots_reply: RootsReply,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            patience: Duration::from_secs(30),
            body_bytes_max: 512 << 10,
            certificates_max: 10,
            submissions_max: 1024,
            submissions_of_client_max: 256,
            submission_timeout: Duration::from_secs(10),
            head_age_max: Duration::from_secs(MMD_S.into()),
            proxies: Vec::new(),
        }
    }
}

impl Scheme {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The newest published head of a shard.
pub(super) fn published(face: &ShardReader) -> Result<Arc<Published>, Refusal> {
    let published = face.watch().borrow().clone();
    published.ok_or_else(|| Refusal::busy("this node has published no head yet"))
}

impl Faces {
    /// Of these shards.
    #[must_use]
    pub fn new(
        mut shards: Vec<ShardReader>,
        agreed: watch::Receiver<Arc<Agreed>>,
        sequencer: Arc<dyn Sequencer>,
        operator: Operator,
    ) -> Self {
        shards.sort_by_key(|face| face.spec().window.start);
        let limits = Limits::default();
        Self {
            shards,
            agreed,
            sequencer,
            operator,
            scheme: Scheme::Https,
            places: Places::new(&limits),
            limits,
            witness: None,
            outsiders: None,
            meter: Meter::default(),
            roots_reply: RootsReply::default(),
        }
    }

    /// With other limits than the default.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.places = Places::new(&limits);
        self.limits = limits;
        self
    }

    /// Reached in this way; by default, `https`.
    #[must_use]
    pub fn with_scheme(mut self, scheme: Scheme) -> Self {
        self.scheme = scheme;
        self
    }

    /// Also a witness of other logs.
    #[must_use]
    pub fn with_witness(mut self, witness: Arc<Witness>) -> Self {
        self.witness = Some(witness);
        self
    }

    /// With outside witnesses, whose newest checkpoint is shown beside that of the log.
    #[must_use]
    pub fn with_outsiders(mut self, outsiders: Outsiders) -> Self {
        self.outsiders = Some(outsiders);
        self
    }

    /// What is counted of calls, to be registered as a collector.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.meter.clone()
    }

    /// The shard of this name.
    pub(super) fn shard(&self, name: &str) -> Result<ShardReader, Refusal> {
        let mut shards = self.shards.iter();
        let face = shards.find(|face| face.spec().window.name == name);
        face.cloned()
            .ok_or_else(|| Refusal::not_found(format_args!("there is no shard {name:?}")))
    }

    /// Whether a shard takes nothing any more.
    pub(super) fn is_closed(&self, face: &ShardReader) -> bool {
        let agreed = self.agreed.borrow();
        agreed.closed.contains(face.spec().window.name.as_str())
    }

    /// The open shard whose window a time is in, in seconds since 1970.
    pub(super) fn shard_of(&self, time_s: i64) -> Option<ShardReader> {
        let mut shards = self.shards.iter();
        let face = shards.find(|face| has(face, time_s) && !self.is_closed(face));
        face.cloned()
    }

    /// The open shard whose window the present is in; if there is none, the last that is open; if there is none, the last.
    pub(super) fn current(&self) -> Result<ShardReader, Refusal> {
        let mut from_last = self.shards.iter().rev();
        let last_open = from_last.find(|face| !self.is_closed(face));
        self.shard_of(now_s())
            .or_else(|| last_open.or(self.shards.last()).cloned())
            .ok_or_else(|| Refusal::not_found("there is no shard"))
    }

    /// The newest published head of a shard, which is old only if the shard is closed.
    pub(super) fn newest(&self, face: &ShardReader) -> Result<Arc<Published>, Refusal> {
        let newest = published(face)?;
        let time = UNIX_EPOCH + Duration::from_millis(newest.signed.head.timestamp_ms);
        let age = SystemTime::now().duration_since(time).unwrap_or_default();
        if age > self.limits.head_age_max && !self.is_closed(face) {
            let reason = format_args!("the newest head of this node is {} s old", age.as_secs());
            return Err(Refusal::busy(reason));
        }
        Ok(newest)
    }

    /// Before `ct/v1/`, `checkpoint` and `tile/` of a shard.
    pub(super) fn url(&self, face: &ShardReader) -> String {
        format!("{}://{}/", self.scheme.as_str(), face.spec().origin)
    }
}

/// Whether a time is in the window of a shard, in seconds since 1970.
pub(super) fn has(face: &ShardReader, time_s: i64) -> bool {
    let window = &face.spec().window;
    (window.start..window.end).contains(&time_s)
}

/// Seconds since 1970.
pub(super) fn now_s() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}
