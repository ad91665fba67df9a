//! What is shown of zones that are copied from other servers.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// One zone that is copied from primaries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyStatus {
    /// Apex with the last dot.
    pub zone: String,
    /// What it is for.
    pub purpose: CopyPurpose,
    /// Servers that it is copied from, in the order in which they are asked.
    pub primaries: Vec<SocketAddr>,
    /// SOA serial in service; absent before the first transfer and after the zone has expired.
    pub serial: Option<u32>,
    /// Records in service.
    pub records: u64,
    /// Seconds since a primary has last sent or confirmed it; absent if none ever has.
    pub confirmed_secs_ago: Option<u64>,
    /// Questions to a primary that gave nothing, since the start.
    pub failures: u64,
    /// The last of them, unless a primary has answered since.
    pub error: Option<String>,
}

/// What a copied zone is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyPurpose {
    /// Rules of policy.
    PolicyZone,
    /// The root, beside the root servers (RFC 8806).
    LocalRoot,
}

impl CopyPurpose {
    /// For people, metrics and names of folders.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::PolicyZone => "rpz",
            Self::LocalRoot => "local_root",
        }
    }
}
