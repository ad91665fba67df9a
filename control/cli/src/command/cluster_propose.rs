//! `nexus cluster propose`: changes of members, which take more nodes than may lie.

use std::io::Write;
use std::net::SocketAddr;

use node::admin::{MemberChange, MeshRequest, Request, Response};

use super::key_show::Role;
use crate::exit::Exit;
use crate::options::Options;
use crate::print;

const EXAMPLES: &str = "\
Examples:
  nexus cluster propose remove 3f2a
  nexus cluster propose lift 3f2a
  nexus cluster proposals               What waits, and the command that supports it

A change is made once f + 1 nodes ask for the same, f being how many may be faulty: two of four, three of
seven. So run the same command at so many nodes, within the time that `nexus cluster proposals` shows.
A change that would not leave a safe cluster is refused.";

const ADD_EXAMPLES: &str = "\
Examples:
  nexus cluster propose add 4cb5abf6ad79fbf5abbccafcc269d85cd2651ed4b885b5869f241aedf0a5ba29 192.0.2.5:4853

The key is what `nexus key show` prints at the new node. Start that node with the consensus.members of the
others, which are those with which the cluster began: it learns from them who the members are today.

The key of a member that was removed, or that got another, is not taken again.";

const REMOVE_EXAMPLES: &str = "\
Examples:
  nexus cluster propose remove 3f2a     As much of the id as no other node has";

const ALTER_EXAMPLES: &str = "\
Examples:
  nexus cluster propose alter 3f2a --address 192.0.2.9:4853
  nexus cluster propose alter 3f2a --role edge

A witness becomes another role, or another role a witness, only by being removed and added under a new key.";

const REPLACE_KEY_EXAMPLES: &str = "\
Examples:
  nexus cluster propose replace-key 3f2a 4cb5abf6ad79fbf5abbccafcc269d85cd2651ed4b885b5869f241aedf0a5ba29

For a key that may be known to others, and for a node that has lost its consensus/log. The standing stays
with the node, whose id changes with the key.";

const LIFT_EXAMPLES: &str = "\
Examples:
  nexus cluster propose lift 3f2a

First see why it was isolated: nexus peers show 3f2a. No node lifts its own isolation.";

/// Ask, in the name of this node, for a change of members. It takes several nodes to make it.
#[derive(Clone, Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum ClusterPropose {
    /// Let a node in.
    #[command(after_help = ADD_EXAMPLES)]
    Add {
        /// Its public key (nexus key show).
        key: String,
        /// Where it listens to other nodes.
        address: SocketAddr,
        /// What it shall do.
        #[arg(long, value_enum, default_value_t = Role::Authority)]
        role: Role,
    },
    /// Take a node out.
    #[command(after_help = REMOVE_EXAMPLES)]
    Remove {
        /// Its id, or as much of the beginning as no other node has.
        #[arg(value_name = "ID")]
        node: String,
    },
    /// Give a node another role or address.
    #[command(after_help = ALTER_EXAMPLES)]
    Alter {
        /// Its id, or as much of the beginning as no other node has.
        #[arg(value_name = "ID")]
        node: String,
        /// The new role.
        #[arg(long, value_enum, required_unless_present = "address")]
        role: Option<Role>,
        /// Where it listens from now on.
        #[arg(long)]
        address: Option<SocketAddr>,
    },
    /// Give a node another key.
    #[command(after_help = REPLACE_KEY_EXAMPLES)]
    ReplaceKey {
        /// Its id, or as much of the beginning as no other node has.
        #[arg(value_name = "ID")]
        node: String,
        /// Its new public key.
        key: String,
    },
    /// End a node's isolation before its time.
    #[command(after_help = LIFT_EXAMPLES)]
    Lift {
        /// Its id, or as much of the beginning as no other node has.
        #[arg(value_name = "ID")]
        node: String,
    },
}

impl ClusterPropose {
    /// Asks control and prints who supports it.
    ///
    /// # Errors
    /// When control does not answer, or the cluster refuses.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let wanted = self.wanted();
        let mut client = options.connect()?;
        let request = Request::Mesh(MeshRequest::Propose { wanted });
        let Response::Proposed(proposed) = client.ask(&request)? else {
            return Err(client.mismatch().into());
        };
        if options.json {
            print::json(out, &proposed)?;
            return Ok(Exit::Success);
        }
        let change = print::clean(&proposed.change);
        match (proposed.supporters, proposed.wanted) {
            (Some(supporters), Some(wanted)) => {
                writeln!(
                    out,
                    "{change}: {supporters} of {wanted} nodes have asked for it"
                )?;
                writeln!(out, "run the same command at another node to support it")?;
            }
            _ => writeln!(out, "{change}: done")?,
        }
        Ok(Exit::Success)
    }

    fn wanted(&self) -> MemberChange {
        match self.clone() {
            Self::Add { key, address, role } => MemberChange::Add {
                key,
                role: role.word(),
                address,
            },
            Self::Remove { node } => MemberChange::Remove { node },
            Self::Alter {
                node,
                role,
                address,
            } => MemberChange::Alter {
                node,
                role: role.map(Role::word),
                address,
            },
            Self::ReplaceKey { node, key } => MemberChange::ReplaceKey { node, key },
            Self::Lift { node } => MemberChange::Lift { node },
        }
    }
}
