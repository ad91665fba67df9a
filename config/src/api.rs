//! `api`: metrics over HTTP, and the command line's unix socket.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Metrics over HTTP, and the command line's socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// Address of `/metrics` and `/health`. There is no login: keep it local or firewalled.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Unix socket of the command line.
    pub socket: PathBuf,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 8053),
            socket: "/run/nexus/control.sock".into(),
        }
    }
}
