//! `nexus zone`: the zones served with authority.

use std::io::Write;

use super::{ZoneAdd, ZoneCreate, ZoneDeleteRecords, ZoneList, ZoneReload, ZoneRemove, ZoneShow};
use crate::exit::Exit;
use crate::options::Options;

/// List the zones served here, read their files again, or change those that the mesh agrees on.
#[derive(Debug, clap::Subcommand)]
#[expect(
    missing_docs,
    reason = "each takes the doc comment of its struct as its help"
)]
pub enum Zone {
    List(ZoneList),
    Reload(ZoneReload),
    Create(ZoneCreate),
    Show(ZoneShow),
    Add(ZoneAdd),
    DeleteRecords(ZoneDeleteRecords),
    Remove(ZoneRemove),
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
            Self::Create(create) => create.run(options, out),
            Self::Show(show) => show.run(options, out),
            Self::Add(add) => add.run(options, out),
            Self::DeleteRecords(delete) => delete.run(options, out),
            Self::Remove(remove) => remove.run(options, out),
        }
    }
}
