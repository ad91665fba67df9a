//! `nexus cache`: the shared answer table and the resolver's caches.

use std::io::Write;

use super::{CacheDump, CacheFlush};
use crate::exit::Exit;
use crate::options::Options;

/// Look into the caches of both planes, or empty them.
#[derive(Debug, clap::Subcommand)]
#[expect(
    missing_docs,
    reason = "each takes the doc comment of its struct as its help"
)]
pub enum Cache {
    Dump(CacheDump),
    Flush(CacheFlush),
}

impl Cache {
    /// Runs the chosen command.
    ///
    /// # Errors
    /// As the chosen command.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        match self {
            Self::Dump(dump) => dump.run(options, out),
            Self::Flush(flush) => flush.run(options, out),
        }
    }
}
