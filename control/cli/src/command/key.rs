//! `nexus key`: the key that makes this node a member of a cluster.

use std::io::Write;

use super::KeyShow;
use crate::exit::Exit;
use crate::options::Options;

/// Look at the key by which other nodes know this one.
#[derive(Debug, clap::Subcommand)]
#[expect(
    missing_docs,
    reason = "each takes the doc comment of its struct as its help"
)]
pub enum Key {
    Show(KeyShow),
}

impl Key {
    /// Runs the chosen command.
    ///
    /// # Errors
    /// As the chosen command.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        match self {
            Self::Show(show) => show.run(options, out),
        }
    }
}
