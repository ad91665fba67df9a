//! What the operator chooses: forwarders, hints, families, limits.

use std::net::{IpAddr, SocketAddr};

use hickory_proto::rr::Name;

use super::hints::root_hints;

/// Everything that [`Resolver::new`](super::Resolver::new) needs to know, with a default for each.
#[derive(Clone, Debug)]
pub struct Config {
    /// Zones whose names go to chosen servers instead of the tree; the longest match wins.
    pub forward: Vec<Forward>,
    /// Zones whose authoritative servers are given here, whatever the tree says of them.
    pub stub: Vec<Stub>,
    /// Which zones' servers see the networks of clients.
    pub client_subnet: ClientSubnet,
    /// Where trust starts; `None` validates nothing.
    pub validation: Option<Validation>,
    /// Whether trust anchors follow their zones through a change of keys (RFC 5011).
    pub trust_anchor_roll_over: bool,
    /// Names and addresses of the root servers; [`root_hints`] is the built-in list.
    pub root_hints: Vec<(Name, Vec<IpAddr>)>,
    /// Bounds of work and of memory.
    pub limits: Limits,
    /// Bytes that the RRset cache may hold, keys and bookkeeping included.
    pub cache_bytes_max: usize,
    /// Shortest time, in seconds, for which a positive RRset is kept.
    pub ttl_min_secs: u32,
    /// Longest time, in seconds, for which a positive RRset is kept (RFC 8767 §4 advises a week).
    pub ttl_max_secs: u32,
    /// Longest time, in seconds, for which a negative answer is kept (RFC 2308 §5: one to three hours).
    pub negative_ttl_max_secs: u32,
    /// Seconds after its expiry for which an RRset may still be served if every server fails
    /// (RFC 8767); 0 turns stale answers off.
    pub stale_max_secs: u32,
    /// Milliseconds after which a client gets what is past its TTL though servers may still answer
    /// (RFC 8767 §5: 1.8 s); 0: only when they have failed.
    pub stale_client_timeout_ms: u32,
    /// TTL of records past theirs, in seconds (RFC 8767 §4: 30).
    pub stale_ttl_secs: u32,
    /// UDP payload size offered by EDNS (RFC 6891 §6.2.5), in bytes.
    pub edns_payload_bytes: u16,
    /// How much of a name each server sees (RFC 9156).
    pub qname_minimisation: QnameMinimisation,
    /// Whether NSEC and NSEC3 records that validation has proven answer for the names that they
    /// cover, and wildcards for the names that they make (RFC 8198).
    pub aggressive_nsec: bool,
    /// Whether names that clients ask for are resolved anew in the last tenth of their TTL.
    pub prefetch: bool,
    /// Whether query names carry random upper and lower case, as more bits that a forger must guess.
    pub case_randomisation: bool,
    /// Whether queries carry DNS cookies (RFC 7873).
    pub upstream_cookies: bool,
    /// Whether authoritative servers are asked over IPv4.
    pub use_ipv4: bool,
    /// Whether authoritative servers are asked over IPv6.
    pub use_ipv6: bool,
    /// Port of authoritative servers; forwarders carry their own.
    pub port: u16,
    /// Whether loopback addresses that come out of the DNS may be asked. Off outside tests: a zone
    /// could otherwise make the resolver ask itself.
    pub ask_loopback: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            forward: Vec::new(),
            stub: Vec::new(),
            client_subnet: ClientSubnet::default(),
            validation: None,
            trust_anchor_roll_over: false,
            root_hints: root_hints(),
            limits: Limits::default(),
            cache_bytes_max: 64 << 20,
            ttl_min_secs: 0,
            ttl_max_secs: 86_400,
            negative_ttl_max_secs: 3_600,
            stale_max_secs: 86_400,
            stale_client_timeout_ms: 1_800,
            stale_ttl_secs: 30,
            edns_payload_bytes: 1232,
            qname_minimisation: QnameMinimisation::Relaxed,
            aggressive_nsec: true,
            prefetch: true,
            case_randomisation: true,
            upstream_cookies: true,
            use_ipv4: true,
            use_ipv6: true,
            port: 53,
            ask_loopback: false,
        }
    }
}

/// A zone whose names are asked of chosen recursive servers.
#[derive(Clone, Debug)]
pub struct Forward {
    /// The zone and everything below it; the root forwards all names.
    pub zone: Name,
    /// Servers, equal in rank; the fastest that answers is preferred. Empty: names of this zone are
    /// resolved iteratively, an exception to a forwarder above it.
    pub servers: Vec<SocketAddr>,
    /// Whether names are resolved iteratively when every server of the list fails.
    pub fallback: bool,
}

/// A zone whose authoritative servers are known without a delegation. Of routes of any kind, the
/// longest match wins.
#[derive(Clone, Debug)]
pub struct Stub {
    /// The zone. Delegations inside are followed; DS of its apex is asked of its parent.
    pub zone: Name,
    /// Its servers, equal in rank; asked without RD.
    pub servers: Vec<SocketAddr>,
    /// Whether these are asked for the zone's NS RRset, which then counts instead.
    pub prime: bool,
}

/// Which zones' servers see the networks of clients (RFC 7871).
#[derive(Clone, Debug)]
pub struct ClientSubnet {
    /// The zones, with all below them.
    pub zones: Vec<Name>,
    /// Bits of an IPv4 address that they see.
    pub ipv4_bits: u8,
    /// Bits of an IPv6 address that they see.
    pub ipv6_bits: u8,
}

impl Default for ClientSubnet {
    /// No zone, and the lengths that RFC 7871 §11.1 advises.
    fn default() -> Self {
        Self {
            zones: Vec::new(),
            ipv4_bits: 24,
            ipv6_bits: 56,
        }
    }
}

/// Where trust in signatures starts and ends.
#[derive(Clone, Debug)]
pub struct Validation {
    /// Keys of zones, from which all trust comes; see [`root_anchors`](super::root_anchors).
    pub anchors: Vec<TrustAnchor>,
    /// Zones that count as unsigned, with all below them (RFC 7646).
    pub negative: Vec<Name>,
}

/// The keys of one zone that are trusted without proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustAnchor {
    /// The zone.
    pub zone: Name,
    /// RDATA of a DS record for one of its keys (RFC 4034 §5.1).
    pub ds: Vec<u8>,
}

/// How much of a name each server sees (RFC 9156).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QnameMinimisation {
    /// Every server sees the whole name.
    Off,
    /// One label more than the zone at a time; the whole name when a server answers that badly.
    #[default]
    Relaxed,
    /// One label more than the zone at a time; NXDOMAIN for a part is NXDOMAIN for the name.
    Strict,
}

/// Bounds of the work for one question and of the memory for all of them.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Questions that wait for an answer at once; more are answered SERVFAIL.
    pub tickets_max: usize,
    /// Resolutions of questions under way at once. There may be an eighth more with sub-resolutions,
    /// so that those find places when questions have taken all of theirs.
    pub tasks_max: usize,
    /// Messages in flight at once.
    pub exchanges_max: usize,
    /// Servers whose round-trip time and faults are remembered.
    pub servers_max: usize,
    /// Failed questions that are remembered (RFC 9520).
    pub failures_max: usize,
    /// Milliseconds after which a question is answered SERVFAIL (or with stale data).
    pub wall_ms_max: u32,
    /// Messages sent for one question, those of its sub-resolutions included.
    pub sends_max: u32,
    /// Sub-resolutions (addresses of name servers) started for one question.
    pub subqueries_max: u32,
    /// Sub-resolutions started for the servers of one delegation (NXNSAttack).
    pub subqueries_zone_max: usize,
    /// How deep sub-resolutions may nest.
    pub depth_max: u8,
    /// Aliases (CNAME, DNAME) followed for one question.
    pub aliases_max: u8,
    /// Delegations followed for one question.
    pub referrals_max: u8,
    /// Name servers of one delegation that are considered; the rest are ignored (NXNSAttack).
    pub nameservers_max: usize,
    /// Addresses of one delegation that are considered.
    pub addresses_max: usize,
    /// Sub-resolutions that one resolution has under way at once (NXNSAttack).
    pub subqueries_parallel_max: usize,
    /// Messages to one server for one step of one resolution.
    pub attempts_max: u8,
    /// Wrong replies after which an exchange gives up UDP for TCP.
    pub mismatches_max: u16,
    /// Records of one RRset that are kept; a larger RRset makes its reply invalid.
    pub rrset_records_max: usize,
    /// Signature checks for one question, its chain of trust included (KeyTrap).
    pub signatures_max: u32,
    /// Of those, checks that fail: sound zones cost none, but for keys that share a tag.
    pub bad_signatures_max: u32,
    /// Names hashed for NSEC3 proofs for one question.
    pub hashes_max: u32,
    /// Zones whose keys, or their absence, are remembered; one counts for each KiB of its keys.
    pub zones_max: usize,
    /// Events that one trace keeps.
    pub trace_events_max: usize,
}

impl Limits {
    /// Resolutions under way at once, sub-resolutions included.
    pub(super) fn places_max(&self) -> usize {
        self.tasks_max.saturating_add(self.tasks_max / 8)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tickets_max: 65_536,
            tasks_max: 16_384,
            exchanges_max: 8_192,
            servers_max: 16_384,
            failures_max: 16_384,
            wall_ms_max: 5_000,
            sends_max: 100,
            subqueries_max: 24,
            subqueries_zone_max: 8,
            depth_max: 6,
            aliases_max: 12,
            referrals_max: 32,
            nameservers_max: 16,
            addresses_max: 32,
            subqueries_parallel_max: 2,
            attempts_max: 3,
            mismatches_max: 16,
            rrset_records_max: 512,
            signatures_max: 96,
            bad_signatures_max: 16,
            hashes_max: 128,
            zones_max: 16_384,
            trace_events_max: 256,
        }
    }
}
