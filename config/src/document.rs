//! The whole document: reading it, and the checks that concern more than one key.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::{
    Api, ConfigError, Consensus, Cores, Ct, Dataplane, Dnstap, Queues, Resolver, Tsig, Zone,
};

/// Where both processes look when no path is given.
pub const DEFAULT_PATH: &str = "/etc/nexus/nexus.yaml";

/// Longest configuration file that is read, in bytes.
pub const CONFIG_BYTES_MAX: u64 = 4 << 20;

/// Addresses to listen on at most: each worker has a socket for each in one ring.
const LISTEN_MAX: usize = 64;

/// Configuration of nexus-dataplane and nexus-control.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where this node keeps its state, and who it is.
    pub node: Node,
    /// The packet path: interface, queues, cores, memory.
    pub dataplane: Dataplane,
    /// Who may ask, and how questions are resolved.
    pub resolver: Resolver,
    /// Zones answered with authority.
    pub zones: Vec<Zone>,
    /// Secrets shared with clients and secondaries: for updates, transfers and what is told of changes (RFC 8945).
    pub tsig_keys: Vec<Tsig>,
    /// Agreement between nodes. Without members this node stands alone.
    pub consensus: Consensus,
    /// Certificate Transparency: the log that the cluster runs, and by what certificates are judged.
    pub ct: Ct,
    /// Metrics over HTTP, and the command line's socket.
    pub api: Api,
    /// A log of queries and responses, off by default.
    pub dnstap: Dnstap,
}

/// Where this node keeps its state, and who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// Folder of everything that must survive a restart.
    pub data_dir: PathBuf,
    /// Ed25519 key of the node; relative to `data_dir`. Made at the first start that
    /// needs one.
    pub key_file: PathBuf,
    /// User that the dataplane drops to after set-up, and that may take over its memory and
    /// sockets. A user that does not exist on this machine is ignored, and the log says so.
    pub user: String,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            data_dir: "/var/lib/nexus".into(),
            key_file: "node.key".into(),
            user: "nexus".to_owned(),
        }
    }
}

impl Config {
    /// Reads and checks `path`. Relative zone and hint files become relative to its folder.
    ///
    /// # Errors
    /// [`ConfigError`] with file, line, key and what was expected.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = read(path).map_err(|message| ConfigError::of_file(path, message))?;
        let mut config = Self::parse(&text, path)?;
        if let Some(folder) = path.parent() {
            config.resolve_relative_to(folder);
        }
        Ok(config)
    }

    /// Reads `path` if given, else [`DEFAULT_PATH`] if that exists, else takes every default.
    ///
    /// # Errors
    /// As [`Config::load`]; a path that was given must exist.
    pub fn load_or_default(path: Option<&Path>) -> Result<Self, ConfigError> {
        match path {
            Some(path) => Self::load(path),
            None if Path::new(DEFAULT_PATH).exists() => Self::load(Path::new(DEFAULT_PATH)),
            None => Ok(Self::default()),
        }
    }

    /// Parses and checks one document; `path` is only quoted in errors. File names inside stay as
    /// written.
    ///
    /// # Errors
    /// [`ConfigError`] with file, line, key and what was expected.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config: Self = serde_saphyr::from_str(text)
            .map_err(|error| ConfigError::of_yaml(path, text, error.without_snippet()))?;
        config
            .check()
            .map_err(|problem| ConfigError::of_problem(path, text, problem))?;
        Ok(config)
    }

    /// The checks that one key alone cannot make.
    fn check(&self) -> Result<(), Problem> {
        self.check_dataplane()?;
        let ttl = &self.resolver.ttl;
        if ttl.min_secs > ttl.max_secs {
            return Err(Problem::new(
                "resolver.ttl.min_secs",
                format!(
                    "{} is above max_secs {}; expected at most that",
                    ttl.min_secs, ttl.max_secs
                ),
            ));
        }
        if self.resolver.listen.is_empty() {
            return Err(Problem::new(
                "resolver.listen",
                "expected at least one address",
            ));
        }
        let count = self.resolver.listen.len();
        if count > LISTEN_MAX {
            return Err(Problem::new(
                "resolver.listen",
                format!("{count} addresses; expected at most {LISTEN_MAX}"),
            ));
        }
        unique("resolver.listen", &self.resolver.listen)?;
        let tcp = &self.resolver.tcp;
        if tcp.connections_per_client_max > tcp.connections_max {
            return Err(Problem::new(
                "resolver.tcp.connections_per_client_max",
                format!(
                    "expected at most connections_max, which is {}",
                    tcp.connections_max
                ),
            ));
        }
        self.check_cookies()?;
        self.consensus.check()?;
        self.ct.check()?;
        if self.ct.log_id.is_some() && self.consensus.members.is_empty() {
            return Err(Problem::new(
                "ct.log_id",
                "the log is a cluster's; expected consensus.members, be it this node alone",
            ));
        }
        self.resolver.check_policy()?;
        crate::validation::check(self)?;
        crate::route::check(&self.resolver)?;
        if self.dnstap.socket.is_some() && self.dnstap.file.is_some() {
            return Err(Problem::new(
                "dnstap.file",
                "expected either a socket or a file, not both",
            ));
        }
        crate::ct_monitor::check(&self.ct)?;
        self.check_zones()?;
        Ok(())
    }

    fn check_zones(&self) -> Result<(), Problem> {
        let mut keys = BTreeSet::new();
        for (index, key) in self.tsig_keys.iter().enumerate() {
            if !keys.insert(&*key.name) {
                return Err(Problem::new(
                    format!("tsig_keys[{index}].name"),
                    format!("key {} is listed twice; expected it once", key.name),
                ));
            }
        }
        let mut names = BTreeSet::new();
        for (index, zone) in self.zones.iter().enumerate() {
            if !names.insert(&zone.name) {
                return Err(Problem::new(
                    format!("zones[{index}].name"),
                    format!(
                        "zone {} is listed twice; expected one entry a zone",
                        zone.name
                    ),
                ));
            }
            zone.check(&format!("zones[{index}]"), &keys)?;
        }
        if self.zones.len() >= self.dataplane.zones_max as usize {
            return Err(Problem::new(
                "zones",
                format!(
                    "{} zones; expected fewer than dataplane.zones_max, which is {}",
                    self.zones.len(),
                    self.dataplane.zones_max
                ),
            ));
        }
        Ok(())
    }

    fn check_cookies(&self) -> Result<(), Problem> {
        let cookies = &self.resolver.cookies;
        if cookies.require && !cookies.enabled {
            return Err(Problem::new(
                "resolver.cookies.require",
                "nobody could meet this while enabled is false; expected enabled: true",
            ));
        }
        if cookies.previous_secret.is_some() && cookies.secret.is_none() {
            return Err(Problem::new(
                "resolver.cookies.previous_secret",
                "expected a secret beside it",
            ));
        }
        Ok(())
    }

    fn check_dataplane(&self) -> Result<(), Problem> {
        let dataplane = &self.dataplane;
        let ports = &dataplane.ports;
        if ports.consensus == ports.dns {
            return Err(Problem::new(
                "dataplane.ports.consensus",
                "expected another port than dns",
            ));
        }
        if ports.doq == ports.dns || ports.doq == ports.consensus {
            return Err(Problem::new(
                "dataplane.ports.doq",
                "expected another port than dns and consensus",
            ));
        }
        if let Queues::List(queues) = &dataplane.queues {
            unique("dataplane.queues", queues)?;
        }
        if let Cores::List(cores) = &dataplane.cores {
            unique("dataplane.cores", cores)?;
        }
        if let (Queues::List(queues), Cores::List(cores)) = (&dataplane.queues, &dataplane.cores)
            && queues.len() != cores.len()
        {
            return Err(Problem::new(
                "dataplane.cores",
                format!(
                    "{} cores for {} queues; expected one core a queue",
                    cores.len(),
                    queues.len()
                ),
            ));
        }
        Ok(())
    }

    fn resolve_relative_to(&mut self, folder: &Path) {
        let keys = self.tsig_keys.iter_mut().map(|key| &mut key.secret_file);
        let zones = self.zones.iter_mut().filter_map(|zone| zone.file.as_mut());
        for file in zones.chain(keys) {
            *file = folder.join(&*file);
        }
        for source in [
            &mut self.resolver.root_hints,
            &mut self.resolver.trust_anchors,
        ] {
            if let crate::Source::File(file) = source {
                *file = folder.join(&*file);
            }
        }
        self.resolver.resolve_policy_relative_to(folder);
        self.ct.resolve_relative_to(folder);
        self.ct.monitor.resolve_relative_to(folder);
        if let Some(copy) = &mut self.resolver.local_root {
            let secret = copy.tsig.as_mut().map(|tsig| &mut tsig.secret_file);
            for file in copy.file.iter_mut().chain(secret) {
                *file = folder.join(&*file);
            }
        }
        let cookies = &mut self.resolver.cookies;
        let secrets = [&mut cookies.secret, &mut cookies.previous_secret];
        for secret in secrets.into_iter().flatten() {
            if let crate::CookieSecret::File(file) = secret {
                *file = folder.join(&*file);
            }
        }
    }
}

/// The JSON schema of the configuration file, generated from the types.
#[must_use]
pub fn json_schema() -> schemars::Schema {
    schemars::schema_for!(Config)
}

pub(crate) fn unique<T: PartialEq + std::fmt::Display>(
    key: &str,
    items: &[T],
) -> Result<(), Problem> {
    for (index, item) in items.iter().enumerate() {
        if items.iter().take(index).any(|earlier| earlier == item) {
            return Err(Problem::new(
                format!("{key}[{index}]"),
                format!("{item} is listed twice; expected it once"),
            ));
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| format!("cannot be opened: {error}"))?;
    let mut text = String::new();
    file.take(CONFIG_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > CONFIG_BYTES_MAX {
        return Err(format!("is longer than {CONFIG_BYTES_MAX} bytes"));
    }
    Ok(text)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
