//! `nexus cluster`: this node's part in its mesh.

use std::io::Write;

use super::{ClusterProposals, ClusterPropose, ClusterStatus};
use crate::exit::Exit;
use crate::options::Options;

/// See how the nodes of the mesh stand together, and change who they are.
#[derive(Debug, clap::Subcommand)]
#[expect(
    missing_docs,
    reason = "each takes the doc comment of its struct as its help"
)]
pub enum Cluster {
    Status(ClusterStatus),
    #[command(subcommand)]
    Propose(ClusterPropose),
    Proposals(ClusterProposals),
}

impl Cluster {
    /// Runs the chosen command.
    ///
    /// # Errors
    /// As the chosen command.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        match self {
            Self::Status(status) => status.run(options, out),
            Self::Propose(propose) => propose.run(options, out),
            Self::Proposals(proposals) => proposals.run(options, out),
        }
    }
}
