//! `nexus trust`: the keys from which trust in signatures starts.

use std::io::Write;

use super::TrustList;
use crate::exit::Exit;
use crate::options::Options;

/// Look at the keys from which trust in signatures starts.
#[derive(Debug, clap::Subcommand)]
#[expect(
    missing_docs,
    reason = "each takes the doc comment of its struct as its help"
)]
pub enum Trust {
    List(TrustList),
}

impl Trust {
    /// Runs the chosen command.
    ///
    /// # Errors
    /// As the chosen command.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        match self {
            Self::List(list) => list.run(options, out),
        }
    }
}
