//! `nexus reload`: what SIGHUP does, with an answer.

use std::io::Write;

use node::admin::Request;

use super::zone_reload;
use crate::exit::Exit;
use crate::options::Options;

const EXAMPLES: &str = "\
Examples:
  nexus check /etc/nexus/nexus.yaml && nexus reload
  nexus reload --json

Only `zones` is taken into service: zones that came, changed or went. Other keys that changed since
the start are named, with --json as {\"pending\": [\"resolver.allow\"]}, and wait for a restart.
Exit status 1 when a file was refused; the old data of that zone stay in service.";

/// Read the zones of the configuration and every zone file again, as SIGHUP does.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Reload {}

impl Reload {
    /// Asks control to reload and prints one zone a line, then what waits for a restart.
    ///
    /// # Errors
    /// When control does not answer or refuses its configuration.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        zone_reload::reload(&Request::Reload {}, options, out)
    }
}
