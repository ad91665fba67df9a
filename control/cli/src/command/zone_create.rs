//! `nexus zone create`: a zone for all nodes of the mesh.

use std::io::Write;
use std::path::{Path, PathBuf};

use node::admin::{MeshRequest, Request, ZONE_TEXT_BYTES_MAX};
use node::zone_text;

use super::zone_change::change;
use crate::client::RELOAD_TIMEOUT;
use crate::exit::Exit;
use crate::options::Options;

const EXAMPLES: &str = "\
Examples:
  nexus zone create example.net example.net.zone
  nexus zone create example.net example.net.zone --replace
  nexus zone create example.net example.net.zone && nexus zone show example.net

All nodes serve it from then on, with no word of it in their configuration. Who may copy it or change it by
UPDATE (RFC 2136), an entry under zones with `agreed: true` says. To be done once, at any node.
With --replace the serial becomes that of the file, if that is newer, else the next one.

Exit status 1 if the file has a fault or the cluster refuses; then nothing has changed.";

/// Give the mesh a zone: agreed on by its nodes, then served by all of them.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ZoneCreate {
    /// The zone.
    name: String,
    /// Zone file; files that it includes are read here, too.
    file: PathBuf,
    /// Put these records in the place of those that the zone has.
    #[arg(long)]
    replace: bool,
}

impl ZoneCreate {
    /// Reads the file, asks control, prints the serial.
    ///
    /// # Errors
    /// When the file is no good, control does not answer, or the cluster refuses.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let text = read(&self.name, &self.file)?;
        let request = Request::Mesh(MeshRequest::ZoneCreate {
            zone: self.name.clone(),
            text,
            replace: self.replace,
        });
        // A large zone comes in many parts.
        change(&request, options.connect_for(RELOAD_TIMEOUT)?, options, out)
    }
}

/// One record a line, with nothing left to include.
fn read(name: &str, file: &Path) -> anyhow::Result<String> {
    let zone = config::Zone {
        name: name.trim_end_matches('.').to_ascii_lowercase() + ".",
        file: Some(file.to_owned()),
        ..config::Zone::default()
    };
    let text = zone_text::read(&zone).map_err(|remark| anyhow::anyhow!("{remark}"))?;
    anyhow::ensure!(
        text.len() <= ZONE_TEXT_BYTES_MAX,
        "{}: more than {} MiB of records; give it to one node as the file of an agreed zone (zones[].file)",
        file.display(),
        ZONE_TEXT_BYTES_MAX >> 20
    );
    Ok(text)
}
