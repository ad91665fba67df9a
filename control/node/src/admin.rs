//! The admin protocol between `nexus` and `nexus-control`: one JSON object a line, over a unix socket.
//!
//! A client writes a [`Request`], the server writes one [`Reply`], and so on until the client
//! hangs up. Everything here is types and framing: no socket, no clock. Each number names its
//! unit. A request with an unknown field is refused; a client ignores fields it does not know,
//! so that an older `nexus` reads a newer control plane.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

mod certificates;
mod cluster;
mod copies;
mod ct;
mod observe;
mod trust;

pub use certificates::CertificateChain;
pub use cluster::{
    ClusterStatus, MemberChange, MemberStatus, MemberWord, MeshRequest, PeerAssessment, PeerDetail,
    PeerEvent, PeerIndicator, PhaseStatus, ProposalStatus, Proposed, StoreStatus,
    ZONE_TEXT_BYTES_MAX, ZoneChanged, ZoneText,
};
pub use copies::{CopyPurpose, CopyStatus};
pub use ct::{CtCopyStatus, CtReply, CtShardStatus, CtStatus};
pub use monitor::{
    AlarmKind, Alert, AlertPage, CertificateUsage, Found, FoundAlarm, FoundCertificate, FoundHead,
    FoundMatch, LogStatus, LoggedForm, LoggedForms, MonitorStatus, Rule, Validation, WebhookStatus,
};
pub use observe::{SILENT_AFTER_MS, is_silent};
pub use trust::{NegativeAnchorStatus, TrustAnchorStatus};

/// Where `nexus-control` listens unless told otherwise.
pub const SOCKET_PATH: &str = "/run/nexus/control.sock";
/// Longest request line in bytes, newline included: a zone's text, each byte of which may take two.
pub const REQUEST_BYTES_MAX: usize = 2 * ZONE_TEXT_BYTES_MAX + 4096;
/// Longest reply line in bytes, newline included. What a reply says of one zone takes some 300
/// bytes with usual names, so that 100,000 zones fit: more than a configuration file has room for.
pub const REPLY_BYTES_MAX: usize = 32 << 20;
/// Most entries in one page of a cache dump; the client asks again with the page's cursor.
pub const CACHE_PAGE_ENTRIES_MAX: usize = 512;

/// What a client may ask. On the wire: `{"request":"lookup","name":"example.com.","type":"A"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// State of both planes: [`Response::Status`].
    Status {},
    /// All counters, not yet turned into rates: [`Response::Stats`].
    Stats {},
    /// Resolve one question as for a client with recursion: [`Response::Lookup`].
    Lookup {
        /// Name in presentation form; a missing last dot is added.
        name: String,
        /// Record type by mnemonic or as `TYPE<number>` (RFC 3597 §5).
        #[serde(rename = "type")]
        record_type: String,
        /// Whether to report each step taken.
        #[serde(default)]
        trace: bool,
    },
    /// One page of the answer table that both planes share: [`Response::CachePage`].
    CacheDump {
        /// Only entries of exactly this name.
        #[serde(default)]
        name: Option<String>,
        /// 0 at first, then [`CachePage::next_cursor`] of the page before.
        #[serde(default)]
        cursor: u64,
    },
    /// One page of what the resolver's caches hold for a name: [`Response::ResolverPage`].
    ResolverDump {
        /// The name.
        name: String,
        /// Whether names below `name` count too.
        #[serde(default)]
        subtree: bool,
        /// 0 at first, then [`ResolverPage::next_cursor`] of the page before.
        #[serde(default)]
        cursor: u64,
    },
    /// Forget answers in the table, in every worker and in the resolver: [`Response::CacheFlushed`].
    CacheFlush {
        /// The name to forget; everything when absent.
        #[serde(default)]
        name: Option<String>,
        /// Whether names below `name` go too.
        #[serde(default)]
        subtree: bool,
    },
    /// Let a zone count as unsigned for a while, with all below it (RFC 7646):
    /// [`Response::NegativeAnchorChanged`].
    NegativeAnchorAdd {
        /// The zone; a missing last dot is added.
        zone: String,
        /// Seconds until it ends, at most a week.
        lifetime_secs: u64,
        /// Why, for people.
        #[serde(default)]
        reason: String,
    },
    /// End that before its time: [`Response::NegativeAnchorChanged`].
    NegativeAnchorRemove {
        /// The zone; a missing last dot is added.
        zone: String,
    },
    /// All of these: [`Response::NegativeAnchors`].
    NegativeAnchorList {},
    /// The keys from which trust starts: [`Response::TrustAnchors`].
    TrustAnchorList {},
    /// The zones served: [`Response::Zones`].
    ZoneList {},
    /// Read zone files again: [`Response::ZonesReloaded`].
    ZoneReload {
        /// One zone; all of them when absent.
        #[serde(default)]
        name: Option<String>,
    },
    /// Read the zones and the policy of the configuration, every file that these name and the local
    /// root again, as SIGHUP does: [`Response::ZonesReloaded`].
    Reload {},
    /// Every metric in Prometheus text form: [`Response::Metrics`].
    Metrics {},
    /// How far the certificate log is here: [`Response::CtStatus`].
    CtStatus {},
    /// A call of the certificate log's HTTP interface: [`Response::Ct`].
    CtCall {
        /// Path and query, as in `/api/v1/ct/get-sth`.
        path: String,
        /// What is posted; without it the call is a GET.
        #[serde(default)]
        body: Option<String>,
    },
    /// Judge a certificate: [`Response::CertificateVerdict`].
    CertificateValidate(CertificateChain),
    /// What the monitor of Certificate Transparency follows: [`Response::CtMonitorStatus`].
    CtMonitorStatus {},
    /// One page of its alerts: [`Response::CtMonitorAlerts`].
    CtMonitorAlerts {
        /// 0 at first, then [`AlertPage::next_cursor`] of the page before.
        #[serde(default)]
        cursor: u64,
    },
    /// What it saw of certificates: [`Response::CtCertificates`].
    CtCertificates {
        /// Only those for this name or one below it.
        #[serde(default)]
        name: Option<String>,
    },
    /// What concerns the cluster.
    Mesh(MeshRequest),
}

/// What comes back on one line: `{"ok":{…}}` or `{"error":{…}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The request was carried out.
    Ok(Response),
    /// It was not.
    Error(Failure),
}

/// The answer to a [`Request`]. On the wire: `{"kind":"status",…}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Response {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Stats`].
    Stats(Box<Stats>),
    /// To [`Request::Lookup`].
    Lookup(Box<Lookup>),
    /// To [`Request::CacheDump`].
    CachePage(CachePage),
    /// To [`Request::ResolverDump`].
    ResolverPage(ResolverPage),
    /// To [`Request::CacheFlush`].
    CacheFlushed {
        /// Answers removed from the memory of control and from the shared table; workers count theirs
        /// later.
        entries: u64,
        /// Record sets and failures removed from the resolver's cache.
        #[serde(default)]
        records: u64,
    },
    /// To [`Request::NegativeAnchorAdd`] and [`Request::NegativeAnchorRemove`].
    NegativeAnchorChanged {
        /// The zone with the last dot.
        zone: String,
        /// Answers removed from the shared table; workers count theirs later.
        entries: u64,
        /// Record sets and failures removed from the resolver's cache.
        records: u64,
        /// What the change lacks all the same: it may not survive a restart.
        warning: Option<String>,
    },
    /// To [`Request::NegativeAnchorList`].
    NegativeAnchors {
        /// Sorted by name.
        anchors: Vec<NegativeAnchorStatus>,
    },
    /// To [`Request::TrustAnchorList`].
    TrustAnchors {
        /// Sorted by zone.
        anchors: Vec<TrustAnchorStatus>,
    },
    /// To [`Request::ZoneList`].
    Zones {
        /// Sorted by name.
        zones: Vec<ZoneStatus>,
    },
    /// To [`Request::ZoneReload`] and [`Request::Reload`].
    ZonesReloaded {
        /// One line for each zone that was read, and for each that is served no longer.
        zones: Vec<ZoneReloaded>,
        /// Keys of the configuration, dotted, that changed since the start and take effect at the
        /// next one.
        #[serde(default)]
        pending: Vec<String>,
        /// Whether the policy in service is another than before.
        #[serde(default)]
        policy_changed: bool,
        /// What was refused beside zones; what was in service before stays.
        #[serde(default)]
        warnings: Vec<String>,
    },
    /// To [`Request::Metrics`].
    Metrics {
        /// Prometheus text exposition.
        text: String,
    },
    /// To [`Request::CtStatus`].
    CtStatus(Box<CtStatus>),
    /// To [`Request::CtCall`].
    Ct(CtReply),
    /// To [`Request::CertificateValidate`].
    CertificateVerdict(Box<pki::Verdict>),
    /// To [`Request::CtMonitorStatus`].
    CtMonitorStatus(Box<MonitorStatus>),
    /// To [`Request::CtMonitorAlerts`].
    CtMonitorAlerts(AlertPage),
    /// To [`Request::CtCertificates`].
    CtCertificates {
        /// Latest first; no more than [`monitor::FOUND_CERTIFICATES_MAX`].
        certificates: Vec<CertificateUsage>,
    },
    /// To [`MeshRequest::ClusterStatus`].
    ClusterStatus(Box<ClusterStatus>),
    /// To [`MeshRequest::PeerList`].
    Peers {
        /// By id.
        peers: Vec<PeerAssessment>,
    },
    /// To [`MeshRequest::PeerShow`].
    Peer(Box<PeerDetail>),
    /// To requests that change a zone of the cluster.
    ZoneChanged(ZoneChanged),
    /// To [`MeshRequest::ZoneShow`].
    ZoneText(ZoneText),
    /// To [`MeshRequest::Propose`].
    Proposed(Proposed),
    /// To [`MeshRequest::ProposalList`].
    Proposals {
        /// In no order.
        proposals: Vec<ProposalStatus>,
    },
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// For programs.
    pub code: FailureCode,
    /// For people: one line, no trailing dot.
    pub message: String,
}

impl Failure {
    /// A failure with this code and text.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// Kinds of [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// Not a request, or a name or type in it cannot be read.
    BadRequest,
    /// No such zone or node.
    NotFound,
    /// A file could not be read or parsed; the old data stay in service.
    Invalid,
    /// The dataplane is not attached, this node has no part in a cluster, or the server is stopping.
    Unavailable,
    /// No answer within the server's own limit.
    Timeout,
    /// Our mistake.
    Internal,
}

/// Both planes as control sees them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The process that answers.
    pub control: ControlStatus,
    /// Absent when control has no region of a dataplane attached.
    pub dataplane: Option<DataplaneStatus>,
}

/// State of `nexus-control`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlStatus {
    /// Version of the program.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime_secs: u64,
    /// Addresses with kernel sockets for UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// Whether control reads UDP queries from kernel sockets: in socket mode while no worker does,
    /// otherwise always, since what is not steered to a worker comes there.
    pub serving_udp: bool,
    /// Zones in service.
    pub zones: u64,
    /// How other names are resolved.
    pub resolver: ResolverStatus,
    /// Zones that are copied from primaries.
    #[serde(default)]
    pub copies: Vec<CopyStatus>,
}

/// How names outside our zones are answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResolverStatus {
    /// Forwarding or recursion.
    pub mode: ResolverMode,
    /// Questions being resolved now.
    pub queries_in_flight: u64,
    /// Configured upstreams in order, those of stub zones last.
    pub upstreams: Vec<UpstreamStatus>,
}

/// The two ways to resolve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResolverMode {
    /// Ask configured upstreams.
    Forward,
    /// Start at the root servers.
    Recurse,
}

/// One server of a forwarder or a stub zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpstreamStatus {
    /// The zone that it is configured for.
    pub zone: String,
    /// Where queries go.
    pub address: SocketAddr,
    /// Whether it answers: false after several questions in a row without a reply.
    pub healthy: bool,
    /// Smoothed round trip in microseconds, once measured.
    pub round_trip_us: Option<u64>,
}

/// State of `nexus-dataplane`, read from the shared region by control or by `nexus` itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataplaneStatus {
    /// Process id.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime_secs: u64,
    /// Whether any worker's heartbeat is recent.
    pub running: bool,
    /// `zero-copy`, `copy` or `socket`.
    pub mode: String,
    /// Why this mode was taken: what `auto` tried before and what came of it.
    pub reason: String,
    /// Network interface; empty in socket mode.
    pub interface: String,
    /// One for each worker, by index.
    pub workers: Vec<WorkerStatus>,
}

/// State of one worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Index of the worker; in AF_XDP modes also its place among the queues.
    pub index: u32,
    /// Whether its heartbeat is recent.
    pub running: bool,
    /// Milliseconds since its last heartbeat.
    pub heartbeat_age_ms: u64,
    /// Queries taken since start.
    pub queries: u64,
    /// Answers sent from caches since start.
    pub hits: u64,
    /// Queries handed to control since start.
    pub punts: u64,
}

/// Counters at one moment. Rates are differences between two of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Milliseconds of CLOCK_MONOTONIC when the counters were read.
    pub taken_at_ms: u64,
    /// One block for each worker; empty without a dataplane.
    pub workers: Vec<WorkerStats>,
    /// Control's own counters by metric name; empty when control is dead.
    pub control: BTreeMap<String, u64>,
}

/// Counters of one worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerStats {
    /// Index of the worker.
    pub index: u32,
    /// By the names of `exchange`'s counter table.
    pub counters: BTreeMap<String, u64>,
    /// Buckets of the latency histogram that are not empty, by rising bound.
    pub latency: Vec<LatencyBucket>,
}

/// One bucket of a latency histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyBucket {
    /// Exclusive upper bound in nanoseconds.
    pub below_ns: u64,
    /// Answers in this bucket alone.
    pub count: u64,
}

/// A resolved question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    /// RCODE by mnemonic: `NOERROR`, `NXDOMAIN`, …
    pub rcode: String,
    /// Header flags that are set, in wire order: `qr`, `aa`, `tc`, `rd`, `ra`, `ad`, `cd`.
    pub flags: Vec<String>,
    /// RFC 8914 INFO-CODE when the answer carries one.
    pub extended_error: Option<u16>,
    /// All of them, that one first.
    #[serde(default)]
    pub extended_errors: Vec<u16>,
    /// Where the answer came from.
    pub source: LookupSource,
    /// Microseconds from request to answer.
    pub elapsed_us: u64,
    /// Answer section.
    pub answer: Vec<RecordText>,
    /// Authority section.
    pub authority: Vec<RecordText>,
    /// Additional section without OPT.
    pub additional: Vec<RecordText>,
    /// Steps in order; empty unless asked for.
    pub trace: Vec<TraceStep>,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LookupSource {
    /// A zone served here.
    Zone,
    /// The resolver's cache.
    Cache,
    /// An upstream.
    Forward,
    /// Authoritative servers, from the root down.
    Recurse,
    /// The policy: local data, a policy zone, a list.
    Policy,
}

/// One record in presentation form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordText {
    /// Owner name with the last dot.
    pub name: String,
    /// Time to live in seconds.
    pub ttl_secs: u32,
    /// `IN`, …
    pub class: String,
    /// Mnemonic of the type.
    #[serde(rename = "type")]
    pub record_type: String,
    /// RDATA in presentation form.
    pub data: String,
}

/// One step of a traced lookup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceStep {
    /// Microseconds after the request.
    pub at_us: u64,
    /// What was done: `query 192.0.2.1 example.com. NS`, …
    pub text: String,
}

/// One page of the answer table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachePage {
    /// At most [`CACHE_PAGE_ENTRIES_MAX`].
    pub entries: Vec<CacheEntry>,
    /// Where to go on; absent on the last page.
    pub next_cursor: Option<u64>,
}

/// One entry of the answer table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheEntry {
    /// Name asked for.
    pub name: String,
    /// Type asked for.
    #[serde(rename = "type")]
    pub record_type: String,
    /// Class asked for.
    pub class: String,
    /// Query flags of the key that are set: `rd`, `cd`, `do`.
    pub flags: Vec<String>,
    /// RCODE of the answer by mnemonic.
    pub rcode: String,
    /// Records in the answer section.
    pub answers: u16,
    /// Seconds it may still be served fresh; 0 when expired.
    pub ttl_secs: u32,
    /// Seconds since it was stored.
    pub age_secs: u32,
    /// Zone number; 0 for resolved data.
    pub zone: u32,
    /// Whether a later zone change made it dead.
    pub dead: bool,
    /// Bytes it takes in the table.
    pub bytes: u32,
}

/// One page of what the resolver's caches hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolverPage {
    /// In no order.
    pub entries: Vec<ResolverEntry>,
    /// Where to go on; absent on the last page.
    pub next_cursor: Option<u64>,
}

/// One entry of the resolver's caches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolverEntry {
    /// Owner of the records; the name denied, or that failed.
    pub name: String,
    /// Type; `ANY` for a name that does not exist.
    #[serde(rename = "type")]
    pub record_type: String,
    /// What it is good for: `answer`, `helper` (finds servers and trust), `delegation` (the servers of
    /// the closest zone around), `failure` (RFC 9520), `proven` (answers for other names, RFC 8198).
    pub origin: String,
    /// RCODE by mnemonic.
    pub rcode: String,
    /// Whether it says that there is nothing.
    pub negative: bool,
    /// Section and kind of the reply that it came in; empty for a failure.
    pub trust: String,
    /// What validation found: `unchecked`, `insecure` or `secure`; empty for a failure.
    pub security: String,
    /// Seconds left; 0 when it is kept only to be served stale.
    pub ttl_secs: u32,
    /// Why the question failed.
    #[serde(default)]
    pub reason: Option<String>,
    /// The records, signatures included.
    pub records: Vec<RecordText>,
}

/// One served zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneStatus {
    /// Apex with the last dot.
    pub name: String,
    /// Zone file.
    pub file: String,
    /// SOA serial; absent when the zone never loaded.
    pub serial: Option<u32>,
    /// Records of all types.
    pub records: u64,
    /// Generation number in the shared region.
    pub generation: u32,
    /// Whether it carries DNSSEC records.
    pub signed: bool,
    /// Seconds since the data in service were read.
    pub loaded_secs_ago: u64,
    /// Why the last reload failed: `file:line:column: …`.
    pub error: Option<String>,
}

/// What came of reading one zone file again, or of a zone that left the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneReloaded {
    /// Apex with the last dot.
    pub name: String,
    /// SOA serial in service before.
    pub serial_before: Option<u32>,
    /// SOA serial in service now; absent when the zone is not served.
    pub serial: Option<u32>,
    /// Whether the data differ, so that the generation was bumped.
    pub changed: bool,
    /// Why the file was refused: `file:line:column: …`; the old data stay.
    pub error: Option<String>,
}

/// A line that is not a message of this protocol.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// No newline within the limit.
    #[error("line longer than {bytes_max} bytes")]
    TooLong {
        /// The limit in bytes.
        bytes_max: usize,
    },
    /// Not JSON, or not of the expected shape.
    #[error("not a message of the admin protocol: {0}")]
    Malformed(serde_json::Error),
}

impl Request {
    /// Reads one line, with or without its newline.
    pub fn decode(line: &[u8]) -> Result<Self, LineError> {
        decode(line, REQUEST_BYTES_MAX)
    }

    /// Writes one line with its newline.
    pub fn encode(&self) -> Result<Vec<u8>, LineError> {
        encode(self, REQUEST_BYTES_MAX)
    }
}

impl Reply {
    /// Reads one line, with or without its newline.
    pub fn decode(line: &[u8]) -> Result<Self, LineError> {
        decode(line, REPLY_BYTES_MAX)
    }

    /// Writes one line with its newline.
    pub fn encode(&self) -> Result<Vec<u8>, LineError> {
        encode(self, REPLY_BYTES_MAX)
    }
}

impl From<Result<Response, Failure>> for Reply {
    fn from(result: Result<Response, Failure>) -> Self {
        match result {
            Ok(response) => Self::Ok(response),
            Err(failure) => Self::Error(failure),
        }
    }
}

impl From<Reply> for Result<Response, Failure> {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Ok(response) => Ok(response),
            Reply::Error(failure) => Err(failure),
        }
    }
}

/// Cuts a byte stream into lines, and refuses a line that outgrows its limit.
#[derive(Debug)]
pub struct Lines {
    buffer: Vec<u8>,
    /// Bytes of `buffer` known to hold no newline, so that a long line is scanned once.
    scanned: usize,
    bytes_max: usize,
}

impl Lines {
    /// A cutter for lines of at most `bytes_max` bytes, newline included.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            buffer: Vec::new(),
            scanned: 0,
            bytes_max,
        }
    }

    /// Takes bytes as they arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole line without its newline; `None` until more bytes arrive.
    ///
    /// After [`LineError::TooLong`] the stream cannot be followed any more: hang up.
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, LineError> {
        let window = self.buffer.iter().take(self.bytes_max);
        let mut unscanned = window.enumerate().skip(self.scanned);
        let Some((newline, _)) = unscanned.find(|&(_, &byte)| byte == b'\n') else {
            self.scanned = self.buffer.len().min(self.bytes_max);
            if self.buffer.len() >= self.bytes_max {
                return Err(LineError::TooLong {
                    bytes_max: self.bytes_max,
                });
            }
            return Ok(None);
        };
        self.scanned = 0;
        let rest = self.buffer.split_off(newline + 1);
        let mut line = std::mem::replace(&mut self.buffer, rest);
        line.truncate(newline);
        Ok(Some(line))
    }
}

fn decode<'a, T: Deserialize<'a>>(line: &'a [u8], bytes_max: usize) -> Result<T, LineError> {
    if line.len() > bytes_max {
        return Err(LineError::TooLong { bytes_max });
    }
    serde_json::from_slice(line).map_err(LineError::Malformed)
}

fn encode(message: &impl Serialize, bytes_max: usize) -> Result<Vec<u8>, LineError> {
    let mut line = serde_json::to_vec(message).map_err(LineError::Malformed)?; // JSON escapes newlines: one message is one line.
    line.push(b'\n');
    if line.len() > bytes_max {
        return Err(LineError::TooLong { bytes_max });
    }
    Ok(line)
}

#[cfg(test)]
mod tests;
