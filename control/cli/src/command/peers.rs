//! `nexus peers`: what the nodes know of each other.

use std::io::Write;

use super::{PeersList, PeersShow};
use crate::exit::Exit;
use crate::options::Options;

/// See what the nodes of the mesh know of each other, and why.
///
/// Scores never count votes. They order who leads, and decide whether agreement by all is worth a try.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = PeersList::EXAMPLES)]
pub struct Peers {
    #[command(subcommand)]
    which: Option<Which>,
}

#[derive(Debug, clap::Subcommand)]
enum Which {
    List(PeersList),
    Show(PeersShow),
}

impl Peers {
    /// Runs the chosen command; the list, if none is chosen.
    ///
    /// # Errors
    /// As the chosen command.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        match &self.which {
            Some(Which::List(list)) => list.run(options, out),
            Some(Which::Show(show)) => show.run(options, out),
            None => PeersList {}.run(options, out),
        }
    }
}
