//! What is asked of a node's part in its cluster, and what is shown of it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// What concerns the cluster. On the wire: `{"request":"mesh","ask":"cluster_status"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum MeshRequest {
    /// Where this node and the others stand: [`super::Response::ClusterStatus`].
    ClusterStatus {},
    /// What the ledger knows of each member: [`super::Response::Peers`].
    PeerList {},
    /// The same of one, with the events behind its score: [`super::Response::Peer`].
    PeerShow {
        /// Its id, or as much of its beginning as no other has.
        node: String,
    },
    /// Give the cluster a zone: [`super::Response::ZoneChanged`].
    ZoneCreate {
        /// Apex; a missing last dot is added.
        zone: String,
        /// Master file, at most [`ZONE_TEXT_BYTES_MAX`] bytes; it includes no other.
        text: String,
        /// Whether its records take the place of those that are there.
        #[serde(default)]
        replace: bool,
    },
    /// What the cluster holds of a zone: [`super::Response::ZoneText`].
    ZoneShow {
        /// Apex; a missing last dot is added.
        zone: String,
        /// Whether to wait until every change is there that anyone was told of.
        #[serde(default)]
        linearizable: bool,
    },
    /// Add a record: [`super::Response::ZoneChanged`].
    ZoneAdd {
        /// Apex; a missing last dot is added.
        zone: String,
        /// As in a master file: `@`, relative to the zone, or with the last dot.
        owner: String,
        /// Of the whole set from then on.
        ttl_secs: u32,
        /// Mnemonic, or `TYPE<number>`.
        #[serde(rename = "type")]
        record_type: String,
        /// As in a master file.
        data: String,
    },
    /// Delete records of a name: [`super::Response::ZoneChanged`].
    ZoneDeleteRecords {
        /// Apex; a missing last dot is added.
        zone: String,
        /// As in a master file.
        owner: String,
        /// Of this type; all of them when absent.
        #[serde(default, rename = "type")]
        record_type: Option<String>,
        /// The one with these data; all of the type when absent.
        #[serde(default)]
        data: Option<String>,
    },
    /// Take a zone from the cluster: [`super::Response::ZoneChanged`].
    ZoneRemove {
        /// Apex; a missing last dot is added.
        zone: String,
    },
    /// Ask for a change of members in this node's name: [`super::Response::Proposed`].
    Propose {
        /// Which.
        wanted: MemberChange,
    },
    /// Changes that wait for support: [`super::Response::Proposals`].
    ProposalList {},
}

/// Where a node stands in its cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// This node.
    pub node: String,
    /// What it does; absent if it is no member.
    pub role: Option<String>,
    /// The cluster.
    pub cluster: String,
    /// Number of the set of members in force.
    pub epoch: u64,
    /// View, or the one that this node wants.
    pub view: u64,
    /// Whether that view has not begun.
    pub is_changing: bool,
    /// Who leads it.
    pub primary: String,
    /// Last batch executed here.
    pub executed: u64,
    /// Last stable checkpoint here.
    pub stable: u64,
    /// Highest batch that a member claims to have executed.
    pub highest_claimed: u64,
    /// Batches that a member claims to have executed and this node has not.
    pub lag: u64,
    /// Whether this node fetches what others have committed.
    pub is_catching_up: bool,
    /// Requests of all nodes known here and not executed.
    pub pending: u64,
    /// Requests of this node on their way.
    pub lanes_busy: u64,
    /// Wishes at this node that wait for a lane.
    pub waiting: u64,
    /// What is on the disk.
    pub store: StoreStatus,
    /// Why this node takes no part any more.
    pub failure: Option<String>,
    /// Nodes with a vote.
    pub voters: u64,
    /// How many of them it takes.
    pub quorum: u64,
    /// How many of them can be heard here, this node included.
    pub answering: u64,
    /// What is wrong, in words; each is a reason for exit status 1.
    pub problems: Vec<String>,
    /// By id.
    pub members: Vec<MemberStatus>,
    /// How long each phase takes; those that have happened.
    pub phases: Vec<PhaseStatus>,
    /// This node's clock, milliseconds since 1970.
    pub now_ms: u64,
}

/// What is on a node's disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// First and last batch that members which are behind can be given.
    pub history: Option<(u64, u64)>,
    /// Bytes of them.
    pub history_bytes: u64,
    /// The last snapshot.
    pub snapshot: Option<u64>,
}

/// One member as this node sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Which.
    pub node: String,
    /// Whether it is the one that answers.
    pub is_self: bool,
    /// What it does.
    pub role: String,
    /// Where it listens to other nodes.
    pub address: SocketAddr,
    /// Whether there is a connection; true of the node itself.
    pub connected: bool,
    /// Round trip in microseconds.
    pub round_trip_us: Option<u64>,
    /// What it last said of itself.
    pub said: Option<MemberWord>,
    /// Its score in the ledger, from 0 to 1.
    pub score: Option<f64>,
    /// Until when it is isolated, milliseconds since 1970.
    pub isolated_until_ms: Option<u64>,
    /// Whether its traffic is dropped.
    pub shut_out: bool,
}

/// What a member says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberWord {
    /// Its epoch.
    pub epoch: u64,
    /// Its view, or the one that it wants.
    pub view: u64,
    /// Whether that view has not begun.
    pub is_changing: bool,
    /// Last batch executed.
    pub executed: u64,
    /// Last stable checkpoint.
    pub stable: u64,
    /// Batches that any member claims to have executed and this one does not.
    pub lag: u64,
}

/// How long a phase of agreement takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseStatus {
    /// Which.
    pub phase: String,
    /// `fast`: by everybody's consent; `slow`: by a quorum's commits; absent where it makes no difference.
    pub path: Option<String>,
    /// How often.
    pub count: u64,
    /// Microseconds: half were faster.
    pub median_us: u64,
    /// Microseconds: 99 of 100 were faster.
    pub p99_us: u64,
    /// Microseconds: none was slower.
    pub max_us: u64,
}

/// What the ledger knows of a member. Shares and scores are from 0 to 1, absent where nothing was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerAssessment {
    /// Which.
    pub node: String,
    /// Whether it is the one that answers.
    pub is_self: bool,
    /// What it does.
    pub role: String,
    /// Where it listens to other nodes.
    pub address: SocketAddr,
    /// Its score now; it decays toward 0.5.
    pub score: f64,
    /// The long-term average.
    pub average: f64,
    /// What the other voters together think of it.
    pub trust: f64,
    /// `sound` or `poor`: poor ones lead behind all sound ones.
    pub class: String,
    /// Until when it is isolated, milliseconds since 1970.
    pub isolated_until_ms: Option<u64>,
    /// Whether its traffic is dropped.
    pub shut_out: bool,
    /// Median time to its votes, microseconds.
    pub latency_us: Option<u32>,
    /// Share of batches on which it voted.
    pub participation: Option<f64>,
    /// Share of time in which it could be reached.
    pub uptime: Option<f64>,
    /// Share of its signatures that held.
    pub signatures: Option<f64>,
    /// Share of answers on which it agreed with a quorum.
    pub accuracy: Option<f64>,
    /// How sure all of this is.
    pub confidence: f64,
    /// What stands out.
    pub indicators: Vec<PeerIndicator>,
}

/// Something that stands out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerIndicator {
    /// `slow`, `absent`, `bad_signatures`, `unreachable`, `deviant`, `contradicted`, `poor` or `unsure`.
    pub kind: String,
    /// For people.
    pub text: String,
}

/// A member and the events behind its score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerDetail {
    /// What is known of it.
    #[serde(flatten)]
    pub assessment: PeerAssessment,
    /// The last of them, oldest first.
    pub events: Vec<PeerEvent>,
    /// This node's clock, milliseconds since 1970.
    pub now_ms: u64,
}

/// One of the events behind a score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerEvent {
    /// The ledger's time, milliseconds since 1970.
    pub time_ms: u64,
    /// `consensus`, `invalid_signature`, `timing_violation`, `contradiction`, `partition`, `evidence`,
    /// `refused_answers`, `isolated`, `released` or `lifted`.
    pub kind: String,
    /// For people.
    pub text: String,
    /// How often.
    pub count: u32,
    /// What it did to the score.
    pub change: f64,
    /// The score after.
    pub score: f64,
    /// Some of those who reported it.
    pub reporters: Vec<String>,
}

/// Longest text of a zone in a request, in bytes. A larger one comes from its file (`zones[].file`).
pub const ZONE_TEXT_BYTES_MAX: usize = 8 << 20;

/// A zone that the cluster has changed, or was asked to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneChanged {
    /// Apex with the last dot.
    pub zone: String,
    /// Serial at this node before; absent if there was no such zone.
    pub serial_before: Option<u32>,
    /// Serial that the cluster has agreed on; absent if the zone is gone.
    pub serial: Option<u32>,
}

/// What the cluster holds of a zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneText {
    /// Apex with the last dot.
    pub zone: String,
    /// SOA serial.
    pub serial: u32,
    /// Records.
    pub records: u64,
    /// Master file, one record a line.
    pub text: String,
}

/// What no single node may do. Nodes are named by their id, or as much of its beginning as no other has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub enum MemberChange {
    /// A member comes.
    Add {
        /// Its public key, 64 hexadecimal digits.
        key: String,
        /// What it shall do.
        role: String,
        /// Where it listens to other nodes.
        address: SocketAddr,
    },
    /// A member goes.
    Remove {
        /// Which.
        node: String,
    },
    /// A member gets another role or address.
    Alter {
        /// Which.
        node: String,
        /// The new role; as it is when absent.
        #[serde(default)]
        role: Option<String>,
        /// The new address; as it is when absent.
        #[serde(default)]
        address: Option<SocketAddr>,
    },
    /// A member has another key, and so another id, from now on.
    ReplaceKey {
        /// Which.
        node: String,
        /// Its new public key, 64 hexadecimal digits.
        key: String,
    },
    /// A member's isolation ends now.
    Lift {
        /// Which.
        node: String,
    },
}

/// What came of asking for a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposed {
    /// What was asked for, in words.
    pub change: String,
    /// Whether it is made.
    pub done: bool,
    /// Nodes that have asked for it so far; absent once it is made.
    pub supporters: Option<u32>,
    /// How many it takes; absent once it is made.
    pub wanted: Option<u32>,
}

/// A change that waits for support.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalStatus {
    /// What is asked for, in words.
    pub change: String,
    /// The command by which another node supports it.
    pub command: String,
    /// Who asked first.
    pub opener: String,
    /// Seconds of the cluster's time since then.
    pub opened_secs_ago: u64,
    /// Seconds of the cluster's time until it is forgotten.
    pub expires_in_secs: u64,
    /// Who have asked.
    pub supporters: Vec<String>,
    /// How many it takes.
    pub wanted: u32,
}
