//! `nexus zone list`: what is served, and which file is broken.

use std::io::Write;

use node::admin::{Request, Response};

use crate::exit::Exit;
use crate::options::Options;
use crate::print::{self, Align, Table};

const EXAMPLES: &str = "\
Examples:
  nexus zone list
  nexus zone list --json | jq -r 'select(.error != null).file'

Exit status 1 when the last reload of any zone failed; its old data stay in service.";

/// List the zones served here with serial, size and state.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ZoneList {}

impl ZoneList {
    /// Asks control and prints one zone a line.
    ///
    /// # Errors
    /// When control does not answer.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let mut client = options.connect()?;
        let Response::Zones { zones } = client.ask(&Request::ZoneList {})? else {
            return Err(client.mismatch().into());
        };
        let mut table = Table::new(&[
            ("ZONE", Align::Left),
            ("SERIAL", Align::Right),
            ("RECORDS", Align::Right),
            ("SIGNED", Align::Left),
            ("LOADED", Align::Left),
            ("FILE", Align::Left),
        ]);
        for zone in &zones {
            if options.json {
                print::json(out, zone)?;
            }
            table.row([
                &zone.name,
                &zone
                    .serial
                    .map_or("-".to_owned(), |serial| serial.to_string()),
                &print::thousands(zone.records),
                if zone.signed { "yes" } else { "no" },
                &format!("{} ago", print::duration(zone.loaded_secs_ago)),
                &zone.file,
            ]);
        }
        let errors: Vec<&str> = zones
            .iter()
            .filter_map(|zone| zone.error.as_deref())
            .collect();
        if !options.json {
            table.write(out)?;
            for error in &errors {
                writeln!(out, "{}", print::clean(error))?;
            }
        }
        Ok(if errors.is_empty() {
            Exit::Success
        } else {
            Exit::Failure
        })
    }
}
