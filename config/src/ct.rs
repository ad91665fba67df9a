//! `ct`: Certificate Transparency: the log of the cluster, and by what certificates are judged.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CtMonitor;
use crate::cert_watch::{Enforce, Watch, WatchLibraries};
use crate::ct_copy::{self, CtCopy};
use crate::ct_shard::{self, CtShard};
use crate::ct_witness::{self, CtWitness, CtWitnessedLog};
use crate::error::Problem;
use crate::network::Networks;
use crate::number::number;
use crate::validation::Validation;

/// Certificate Transparency: the log that the cluster runs, and by what certificates are judged.
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
    /// Object stores that get a copy of what is public, for readers.
    pub copies: Vec<CtCopy>,
    /// The log's folder; relative to `node.data_dir`. Any web server may serve `public` in it; `state` is secret.
    pub folder: PathBuf,
    /// Heads are published at most so often, in milliseconds.
    #[schemars(range(min = 1, max = 60_000))]
    #[serde(deserialize_with = "number::<1, 60000, _, _>")]
    pub publish_interval_ms: u32,
    /// The newest head goes into the folder at most so often, in milliseconds: how far other web servers may be behind.
    #[schemars(range(min = 1, max = 60_000))]
    #[serde(deserialize_with = "number::<1, 60000, _, _>")]
    pub folder_interval_ms: u32,
    /// An idle shard gets a new head so often, in seconds.
    #[schemars(range(min = 1, max = 3600))]
    #[serde(deserialize_with = "number::<1, 3600, _, _>")]
    pub refresh_secs: u32,
    /// URLs of other logs to watch, as `monitor.log_list` has them.
    pub ct_log_endpoints: Vec<String>,
    /// Certificates (PEM) of public authorities. What they issue for servers must have been logged. Read again at SIGHUP, as
    /// are the next two.
    pub trust_anchors: PathBuf,
    /// Certificates (PEM) of the operator's own authorities, which need not log what they issue.
    pub private_anchors: Option<PathBuf>,
    /// The logs whose timestamps count, as browsers have them (JSON, version 3). Left out: whether a certificate was
    /// logged is unknown.
    pub log_list: Option<PathBuf>,
    /// How to find out whether a certificate was taken back.
    pub revocation: Revocation,
    /// Whether a verdict on a certificate waits for the agreement of other nodes, as answers do (`resolver.validation`).
    /// Without it, it is `unknown`.
    pub validation: Validation,
    /// Who follows logs and tells of certificates for watched names.
    pub monitor: CtMonitor,
    /// What nexus-certwatch does about a bad certificate that a program on this host is shown.
    pub enforce: Enforce,
    /// Folder of the cgroup (version 2) whose programs are watched, with all below it. Left out: the
    /// root, hence all of the host.
    pub watch_cgroup: Option<PathBuf>,
    /// Copies of libssl and libcrypto in which certificates are seen.
    pub watch_libraries: WatchLibraries,
    /// How certificates are watched.
    pub watch: Watch,
}

/// How to find out whether a certificate was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Revocation {
    /// Whether to ask where the certificate says, over plain HTTP: responders, lists, and issuers that a chain lacks.
    pub fetch: bool,
    /// For one answer, from the look-up of its server's name on.
    #[serde(deserialize_with = "number::<100, 30000, _, _>")]
    #[schemars(range(min = 100, max = 30_000))]
    pub timeout_ms: u32,
    /// Where nothing is asked, whatever a certificate says: networks, `private`, `loopback`.
    pub refuse: Networks,
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
            copies: Vec::new(),
            folder: "ct".into(),
            publish_interval_ms: 25,
            folder_interval_ms: 1_000,
            refresh_secs: 10,
            ct_log_endpoints: Vec::new(),
            trust_anchors: "/etc/ssl/certs/ca-certificates.crt".into(),
            private_anchors: None,
            log_list: None,
            revocation: Revocation::default(),
            validation: Validation::Off,
            monitor: CtMonitor::default(),
            enforce: Enforce::Off,
            watch_cgroup: None,
            watch_libraries: WatchLibraries::Auto,
            watch: Watch::default(),
        }
    }
}

impl Default for Revocation {
    fn default() -> Self {
        Self {
            fetch: true,
            timeout_ms: 3_000,
            refuse: Networks::local(),
        }
    }
}

impl Ct {
    pub(crate) fn resolve_relative_to(&mut self, folder: &Path) {
        let keys = self
            .shards
            .iter_mut()
            .filter_map(|shard| shard.key_file.as_mut());
        let judging = [&mut self.private_anchors, &mut self.log_list];
        let judging = judging.into_iter().flatten();
        let judging = judging.chain([&mut self.trust_anchors]);
        for file in keys.chain(&mut self.roots).chain(judging) {
            *file = folder.join(&*file);
        }
        let copies = self.copies.iter_mut();
        copies.for_each(|copy| copy.resolve_relative_to(folder));
    }

    /// What one key alone cannot say.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        ct_shard::check(&self.shards)?;
        ct_witness::check(&self.witnesses, &self.witnessed_logs)?;
        ct_copy::check(&self.copies)?;
        let Some(log_id) = &self.log_id else {
            let idle = [
                ("ct.shards", self.shards.is_empty()),
                ("ct.listen", self.listen.is_none()),
                ("ct.witnesses", self.witnesses.is_empty()),
                ("ct.witnessed_logs", self.witnessed_logs.is_empty()),
                ("ct.copies", self.copies.is_empty()),
            ];
            let idle = idle.into_iter().find(|(_, is_left_out)| !is_left_out);
            return idle.map_or(Ok(()), |(key, _)| {
                Err(Problem::new(
                    key,
                    "without log_id it does nothing; expected log_id beside it",
                ))
            });
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
