//! What all commands that change a zone of the mesh print.

use std::io::Write;

use node::admin::{Request, Response, ZoneChanged};

use crate::client::Client;
use crate::exit::Exit;
use crate::options::Options;
use crate::print;

/// Sends a request that changes a zone and prints the serial that came of it.
pub(super) fn change(
    request: &Request,
    mut client: Client,
    options: &Options,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let Response::ZoneChanged(changed) = client.ask(request)? else {
        return Err(client.mismatch().into());
    };
    if options.json {
        print::json(out, &changed)?;
    } else {
        writeln!(out, "{} {}", print::clean(&changed.zone), outcome(&changed))?;
    }
    Ok(Exit::Success)
}

fn outcome(changed: &ZoneChanged) -> String {
    match (changed.serial_before, changed.serial) {
        (_, None) => "removed".to_owned(),
        (None, Some(serial)) => format!("created, serial {serial}"),
        (Some(before), Some(serial)) if before == serial => format!("unchanged, serial {serial}"),
        (Some(before), Some(serial)) => format!("changed, serial {before} -> {serial}"),
    }
}
