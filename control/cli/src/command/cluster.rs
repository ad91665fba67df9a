//! `nexus cluster`: this node's part in its mesh.

use std::io::Write;

use super::ClusterStatus;
use crate::exit::Exit;
use crate::options::Options;

/// See how the nodes of the mesh stand together.
#[derive(Debug, clap::Subcommand)]
#[expect(
    missing_docs,
    reason = "each takes the doc comment of its struct as its help"
)]
pub enum Cluster {
    Status(ClusterStatus),
}

impl Cluster {
    /// Runs the chosen command.
    ///
    /// # Errors
    /// As the chosen command.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        match self {
            Self::Status(status) => status.run(options, out),
        }
    }
}
