//! `nexus zone show`: what the mesh has agreed on.

use std::io::Write;

use node::admin::{MeshRequest, Request, Response};

use crate::exit::Exit;
use crate::options::Options;
use crate::print;

const EXAMPLES: &str = "\
Examples:
  nexus zone show example.net
  nexus zone show example.net > example.net.zone
  nexus zone show example.net --linearizable

Without --linearizable it is what this node has, which may be a moment behind the others. With it, the node
asks a quorum first and shows every change that anybody had been told of before.";

/// Print a zone of the mesh as a zone file.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ZoneShow {
    /// The zone.
    name: String,
    /// Wait until every change is there that anyone was told of.
    #[arg(long)]
    linearizable: bool,
}

impl ZoneShow {
    /// Asks control and prints the zone.
    ///
    /// # Errors
    /// When control does not answer, or the cluster has no such zone.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let mut client = options.connect()?;
        let request = Request::Mesh(MeshRequest::ZoneShow {
            zone: self.name.clone(),
            linearizable: self.linearizable,
        });
        let Response::ZoneText(zone) = client.ask(&request)? else {
            return Err(client.mismatch().into());
        };
        if options.json {
            print::json(out, &zone)?;
        } else {
            for line in zone.text.lines() {
                writeln!(out, "{}", print::clean(line))?;
            }
        }
        Ok(Exit::Success)
    }
}
