//! `nexus nta`: zones that count as unsigned for a while (RFC 7646).

use std::io::Write;

use super::{NtaAdd, NtaDel, NtaList};
use crate::exit::Exit;
use crate::options::Options;

/// Let zones whose signatures are broken count as unsigned for a while (RFC 7646).
#[derive(Debug, clap::Subcommand)]
#[expect(
    missing_docs,
    reason = "each takes the doc comment of its struct as its help"
)]
pub enum Nta {
    Add(NtaAdd),
    Del(NtaDel),
    List(NtaList),
}

impl Nta {
    /// Runs the chosen command.
    ///
    /// # Errors
    /// As the chosen command.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        match self {
            Self::Add(add) => add.run(options, out),
            Self::Del(del) => del.run(options, out),
            Self::List(list) => list.run(options, out),
        }
    }
}
