//! `nexus zone delete-records`: records go on all nodes of the mesh.

use std::io::Write;

use node::admin::{MeshRequest, Request};

use super::zone_add::words;
use super::zone_change::change;
use crate::exit::Exit;
use crate::options::Options;

const EXAMPLES: &str = "\
Examples:
  nexus zone delete-records example.net www A 192.0.2.7     This one
  nexus zone delete-records example.net www A               All of its addresses
  nexus zone delete-records example.net old                 All that the name has

Names are written as for `nexus zone add`. What is not there is passed over: the zone stays unchanged. The
SOA record and the last NS record of a zone stay in any case.";

/// Delete records of one name from a zone of the mesh.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ZoneDeleteRecords {
    /// The zone.
    zone: String,
    /// Whose records: @ for the zone itself.
    owner: String,
    /// Of this type; all of them when left out.
    #[arg(value_name = "TYPE")]
    record_type: Option<String>,
    /// The one with these data; all of the type when left out.
    #[arg(allow_hyphen_values = true)]
    data: Vec<String>,
}

impl ZoneDeleteRecords {
    /// Asks control and prints the new serial.
    ///
    /// # Errors
    /// When control does not answer, these can be no records, or the cluster refuses.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let record_type = self.record_type.clone();
        let data = record_type.as_deref().filter(|_| !self.data.is_empty());
        let request = Request::Mesh(MeshRequest::ZoneDeleteRecords {
            zone: self.zone.clone(),
            owner: self.owner.clone(),
            data: data.map(|record_type| words(record_type, &self.data)),
            record_type,
        });
        change(&request, options.connect()?, options, out)
    }
}
