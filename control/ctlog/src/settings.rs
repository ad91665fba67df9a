//! [`Settings`]: what a node's log needs to start.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ct::KeyName;

use crate::outside::Mesh;
use crate::spec::ShardSpec;

/// Of one node.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the log, below which cosigners have theirs: `<name>/<node>`.
    pub name: KeyName,
    /// Of this node, as in [`crate::Decided::Validators`].
    pub node: String,
    /// All shards.
    pub shards: Vec<ShardSettings>,
    /// What clients may read, `<folder>/<shard>/…`: any web server may serve it. Made if it is not there.
    pub folder: PathBuf,
    /// What nobody else may read: the cosigner's key, what was signed, issuers, indices. Made if it is not there.
    pub state_folder: PathBuf,
    /// Heads of a shard are published at most once in this time.
    pub publish_gap: Duration,
    /// The newest of them goes into the folder at most once in this time, for other web servers.
    pub folder_gap: Duration,
    /// How long partial tiles stay when the full one is there.
    pub partial_keep: Duration,
    /// The way to other nodes.
    pub mesh: Arc<dyn Mesh>,
    /// Runs what the mesh fetches. It must outlive the log.
    pub runtime: tokio::runtime::Handle,
}

/// One shard at this node.
#[derive(Debug, Clone)]
pub struct ShardSettings {
    /// What all nodes know.
    pub spec: ShardSpec,
    /// Its private key, on P-256, in PKCS #8 or SEC 1, PEM or DER. None: this node cosigns and
    /// publishes nothing new; a checkpoint that it has from before is still served.
    pub key_file: Option<PathBuf>,
}

impl Settings {
    /// How often heads are published, if nothing else is said: a submission waits half of it in the mean.
    pub const PUBLISH_GAP: Duration = Duration::from_millis(25);
    /// How far the folder may be behind, if nothing else is said.
    pub const FOLDER_GAP: Duration = Duration::from_secs(1);
    /// How long partial tiles stay, if nothing else is said. Readers of a head need seconds; what is gone again before the
    /// kernel writes it costs no disk.
    pub const PARTIAL_KEEP: Duration = Duration::from_secs(20);
}
