//! `ct`: the Certificate Transparency log. Read and checked; nothing acts on it yet.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Certificate Transparency log. Read and checked, not yet acting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ct {
    /// Name of the log, part of every signed note. Left out: this node runs no log.
    pub log_id: Option<String>,
    /// Temporal shards.
    pub shards: Vec<String>,
    /// URLs of other logs to watch.
    pub ct_log_endpoints: Vec<String>,
}
