//! `nexus zone remove`: the mesh serves a zone no more.

use std::io::Write;

use node::admin::{MeshRequest, Request};

use super::zone_change::change;
use crate::exit::Exit;
use crate::options::Options;

const EXAMPLES: &str = "\
Examples:
  nexus zone show example.net > example.net.zone && nexus zone remove example.net

All nodes forget it. Names in it are then answered from elsewhere, or with SERVFAIL where a configuration still
lists it with `agreed: true`; one that gives it a file brings it back at the next start.";

/// Take a zone from the mesh, with all its records.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ZoneRemove {
    /// The zone.
    name: String,
}

impl ZoneRemove {
    /// Asks control and prints what came of it.
    ///
    /// # Errors
    /// When control does not answer, or the cluster has no such zone.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let request = Request::Mesh(MeshRequest::ZoneRemove {
            zone: self.name.clone(),
        });
        change(&request, options.connect()?, options, out)
    }
}
