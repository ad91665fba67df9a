//! `nexus nta del`: a zone is validated again.

use std::io::Write;

use node::admin::{Request, Response};
use serde::Serialize;

use crate::exit::Exit;
use crate::options::Options;
use crate::print;

const EXAMPLES: &str = "\
Examples:
  nexus nta del example.com";

/// Validate a zone again before its negative trust anchor ends by itself.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct NtaDel {
    /// The zone.
    zone: String,
}

#[derive(Serialize)]
struct Changed {
    zone: String,
    entries: u64,
    records: u64,
    warning: Option<String>,
}

impl NtaDel {
    /// Asks control to remove it and prints what was forgotten.
    ///
    /// # Errors
    /// When control does not answer, or knows no such anchor.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let request = Request::NegativeAnchorRemove {
            zone: self.zone.clone(),
        };
        change(&request, "is validated again", options, out)
    }
}

/// Sends a change of negative trust anchors and prints what came of it.
pub(super) fn change(
    request: &Request,
    done: &str,
    options: &Options,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let mut client = options.connect()?;
    let Response::NegativeAnchorChanged {
        zone,
        entries,
        records,
        warning,
    } = client.ask(request)?
    else {
        return Err(client.mismatch().into());
    };
    let exit = if warning.is_none() {
        Exit::Success
    } else {
        Exit::Failure
    };
    let changed = Changed {
        zone,
        entries,
        records,
        warning,
    };
    if options.json {
        print::json(out, &changed)?;
        return Ok(exit);
    }
    let zone = print::clean(&changed.zone);
    let answers = print::plural(entries, "answer");
    let sets = print::plural(records, "record set");
    writeln!(
        out,
        "{zone} {done}; removed {answers} from the table, {sets} from the resolver's cache"
    )?;
    if let Some(warning) = &changed.warning {
        writeln!(out, "{}", print::clean(warning))?;
    }
    Ok(exit)
}
