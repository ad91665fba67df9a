//! `nexus zone`: the zones served with authority.

use std::io::Write;

use super::{ZoneList, ZoneReload};
use crate::exit::Exit;
use crate::options::Options;

/// List the zones served here, or read their files again.
#[derive(Debug, clap::Subcommand)]
#[expect(
    missing_docs,
    reason = "each takes the doc comment of its struct as its help"
)]
pub enum Zone {
    List(ZoneList),
    Reload(ZoneReload),
}

impl Zone {
    /// Runs the chosen command.
    ///
    /// # Errors
    /// As the chosen command.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        match self {
            Self::List(list) => list.run(options, out),
            Self::Reload(reload) => reload.run(options, out),
        }
    }
}
