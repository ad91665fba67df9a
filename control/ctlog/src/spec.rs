//! [`ShardSpec`]: one temporal shard, which is a log of its own with its own key.

use ct::{KeyName, LogKey, Shard};

/// What all nodes know of a shard.
#[derive(Debug, Clone)]
pub struct ShardSpec {
    /// Its name, a step of its paths, and the certificates that it takes.
    pub window: Shard,
    /// Submission prefix without scheme and trailing slash (static-ct-api, "Checkpoints"): the name of the log in notes.
    pub origin: KeyName,
    /// The log's public key.
    pub key: LogKey,
}
