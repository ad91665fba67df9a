//! What the admin protocol says of the certificate log.

use serde::{Deserialize, Serialize};

/// What the log's HTTP interface says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CtReply {
    /// Of HTTP.
    pub status: u16,
    /// JSON, or a signed note.
    pub body: String,
}

/// This node's part in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CtStatus {
    /// Name of the log.
    pub name: String,
    /// Nodes that cosign its heads.
    pub cosigners: Vec<String>,
    /// How many of them a head needs.
    pub quorum: usize,
    /// In the order of their windows.
    pub shards: Vec<CtShardStatus>,
    /// Of each shard in each object store.
    pub copies: Vec<CtCopyStatus>,
    /// What keeps this node, or the log, from its part; in words.
    pub problems: Vec<String>,
}

/// A shard as this node has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CtShardStatus {
    /// Its name.
    pub name: String,
    /// SHA-256 of its key, in base64.
    pub log_id: String,
    /// First day on which a certificate of it may end, as YYYY-MM-DD.
    pub start: String,
    /// First day on which it may not any more.
    pub end: String,
    /// Whether it takes nothing any more.
    pub is_closed: bool,
    /// Whether this node has its private key.
    pub has_key: bool,
    /// Entries on which the members have agreed.
    pub agreed_size: u64,
    /// Entries of the head that this node has published last.
    pub published_size: Option<u64>,
    /// Seconds since the time of that head.
    pub published_secs_ago: Option<u64>,
}

/// A copy of a shard, as this node keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CtCopyStatus {
    /// Where: URL of the prefix, and of the store.
    pub place: String,
    /// Name of the shard.
    pub shard: String,
    /// Entries that readers see there.
    pub size: Option<u64>,
    /// Entries that are published here and not there.
    pub behind_entries: u64,
    /// How much older its head is than the published one.
    pub behind_secs: Option<u64>,
    /// Why it does not get further.
    pub fault: Option<String>,
}
