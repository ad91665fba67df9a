//! `nexus key show`: this node's public key, ready for the configuration of all nodes.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use clap::ValueEnum;
use config::MemberRole;
use consensus::Signer as _;
use node::mesh::Identity;
use serde::Serialize;

use crate::exit::Exit;
use crate::options::Options;
use crate::print;

const EXAMPLES: &str = "\
Examples:
  nexus key show 192.0.2.1
  nexus key show 2001:db8::1 --role witness
  nexus key show --json | jq -r .key

Run it on each node, put the lines of all nodes under consensus.members, and that same text into the
configuration of every node. The secret stays in node.key_file, which is made if there is none.";

/// Print this node's public key as a line for consensus.members.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct KeyShow {
    /// Address at which other nodes reach this one.
    address: Option<IpAddr>,
    /// What this node shall do.
    #[arg(long, value_enum, default_value_t = Role::Authority)]
    role: Role,
}

/// As [`MemberRole`].
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Role {
    /// Votes and holds all data.
    Authority,
    /// Votes and holds all data; meant for nodes that resolve for clients.
    Resolver,
    /// Votes on the order and holds no data.
    Witness,
    /// Follows without a vote.
    Edge,
}

impl Role {
    /// Its word in the configuration.
    pub(super) fn word(self) -> String {
        MemberRole::from(self).word().to_owned()
    }
}

impl From<Role> for MemberRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Authority => Self::Authority,
            Role::Resolver => Self::Resolver,
            Role::Witness => Self::Witness,
            Role::Edge => Self::Edge,
        }
    }
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Shown {
    node: String,
    key: String,
    role: &'static str,
    address: Option<SocketAddr>,
}

impl KeyShow {
    /// Reads or makes the key.
    ///
    /// # Errors
    /// When the key can be neither read nor made.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let config = options.configuration()?;
        let identity = Identity::load_or_create(&config.node)?;
        let port = config.dataplane.ports.consensus;
        let shown = Shown {
            node: identity.id().to_string(),
            key: identity.public_key().to_string(),
            role: MemberRole::from(self.role).word(),
            address: self.address.map(|address| SocketAddr::new(address, port)),
        };
        if options.json {
            print::json(out, &shown)?;
            return Ok(Exit::Success);
        }
        let Shown {
            node, key, role, ..
        } = &shown;
        let address = match shown.address {
            Some(address) => address.to_string(),
            None => format!("ADDRESS:{port}"),
        };
        writeln!(
            out,
            "  - {{key: {key}, role: {role}, address: \"{address}\"}}  # node {node}"
        )?;
        Ok(Exit::Success)
    }
}
