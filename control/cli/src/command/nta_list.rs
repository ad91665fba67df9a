//! `nexus nta list`: zones that count as unsigned, until when, and why.

use std::io::Write;

use node::admin::{Request, Response};

use crate::exit::Exit;
use crate::options::Options;
use crate::print::{self, Align, Table};

const EXAMPLES: &str = "\
Examples:
  nexus nta list
  nexus nta list --json | jq -r .zone";

/// List the zones that count as unsigned on purpose, with all below them.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct NtaList {}

impl NtaList {
    /// Asks control and prints one zone a line.
    ///
    /// # Errors
    /// When control does not answer.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let mut client = options.connect()?;
        let Response::NegativeAnchors { anchors } = client.ask(&Request::NegativeAnchorList {})?
        else {
            return Err(client.mismatch().into());
        };
        let mut table = Table::new(&[
            ("ZONE", Align::Left),
            ("ENDS", Align::Left),
            ("REASON", Align::Left),
        ]);
        for anchor in &anchors {
            if options.json {
                print::json(out, anchor)?;
            }
            let ends = match anchor.left_secs {
                Some(secs) if !anchor.permanent => format!("in {}", print::duration(secs)),
                _ => "never (configured)".to_owned(),
            };
            table.row([&anchor.zone, &ends, &anchor.reason]);
        }
        if !options.json {
            table.write(out)?;
        }
        Ok(Exit::Success)
    }
}
