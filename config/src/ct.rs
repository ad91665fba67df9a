//! `ct`: the Certificate Transparency log of the cluster.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ct_shard::{self, CtShard};
use crate::ct_witness::{self, CtWitness, CtWitnessedLog};
use crate::error::Problem;
use crate::number::number;

/// Certificate Transparency: the log that the cluster runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ct {
    /// Name of the log: where its shards are below, without scheme. The same on all nodes. Left out: there is none.
    pub log_id: Option<String>,
    /// Temporal shards.
    pub shards: Vec<CtShard>,
    /// PEM file of the roots to which submitted chains must lead, the same on all nodes; relative to the configuration.
    pub roots: Option<PathBuf>,
    /// Where submissions are taken and the log is read, over HTTP. Left out: not at this node.
    pub listen: Option<SocketAddr>,
    /// Whether clients reach the log by https, through a server with TLS before `listen`. It stands in the URLs of the log list.
    pub https: bool,
    /// Addresses of such servers: of their connections the client is the last address of X-Forwarded-For.
    pub proxies: Vec<IpAddr>,
    /// Addresses for complaints, for the log list.
    pub email: Vec<String>,
    /// Witnesses outside of the cluster, which are shown our heads.
    pub witnesses: Vec<CtWitness>,
    /// Logs outside of the cluster whose heads this node cosigns.
    pub witnessed_logs: Vec<CtWitnessedLog>,
    /// The log's folder; relative to `node.data_dir`. Any web server may serve `public` in it; `state` is secret.
    pub folder: PathBuf,
    /// Heads are published at most so often, in milliseconds.
    #[schemars(range(min = 1, max = 60_000))]
    #[serde(deserialize_with = "number::<1, 60000, _, _>")]
    pub publish_interval_ms: u32,
    /// An idle shard gets a new head so often, in seconds.
    #[schemars(range(min = 1, max = 3600))]
    #[serde(deserialize_with = "number::<1, 3600, _, _>")]
    pub refresh_secs: u32,
    /// URLs of other logs to watch.
    pub ct_log_endpoints: Vec<String>,
}

impl Default for Ct {
    fn default() -> Self {
        Self {
            log_id: None,
            shards: Vec::new(),
            roots: None,
            listen: None,
            https: true,
            proxies: Vec::new(),
            email: Vec::new(),
            witnesses: Vec::new(),
            witnessed_logs: Vec::new(),
            folder: "ct".into(),
            publish_interval_ms: 25,
            refresh_secs: 10,
            ct_log_endpoints: Vec::new(),
        }
    }
}

impl Ct {
    pub(crate) fn resolve_relative_to(&mut self, folder: &Path) {
        let keys = self
            .shards
            .iter_mut()
            .filter_map(|shard| shard.key_file.as_mut());
        for file in keys.chain(&mut self.roots) {
            *file = folder.join(&*file);
        }
    }

    /// What one key alone cannot say.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        ct_shard::check(&self.shards)?;
        ct_witness::check(&self.witnesses, &self.witnessed_logs)?;
        let Some(log_id) = &self.log_id else {
            return match self.shards.is_empty() {
                true => Ok(()),
                false => Err(Problem::new("ct.shards", "expected log_id beside them")),
            };
        };
        let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'+';
        let is_name = !log_id.is_empty() && log_id.len() <= 255 && log_id.bytes().all(is_plain);
        if !is_name || log_id.contains("://") || log_id.ends_with('/') {
            let message = format!(
                "`{log_id}`: expected a host and perhaps a path, as in ct.example.org/logs"
            );
            return Err(Problem::new("ct.log_id", message));
        }
        if self.roots.is_none() {
            return Err(Problem::new(
                "ct.log_id",
                "expected roots beside it: a PEM file",
            ));
        }
        Ok(())
    }
}
