//! `nexus zone reload`: zone files read again.

use std::io::{self, Write};

use node::admin::{Request, Response, ZoneReloaded};
use serde::Serialize;

use crate::client::RELOAD_TIMEOUT;
use crate::exit::Exit;
use crate::options::Options;
use crate::print;

const EXAMPLES: &str = "\
Examples:
  nexus zone reload example.com     One zone
  nexus zone reload                 All of them

Exit status 1 when a file was refused; the old data of that zone stay in service.";

/// Read zone files again and take what changed into service at once.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ZoneReload {
    /// The zone; all of them when left out.
    name: Option<String>,
}

impl ZoneReload {
    /// Asks control to reload and prints one zone a line.
    ///
    /// # Errors
    /// When control does not answer or knows no such zone.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        reload(
            &Request::ZoneReload {
                name: self.name.clone(),
            },
            options,
            out,
        )
    }
}

/// What a reload did beside zones: one line each with --json.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Beside {
    /// Another policy is in service.
    PolicyChanged(bool),
    /// Keys of the configuration that changed and wait for a restart.
    Pending(Vec<String>),
    /// What was refused.
    Warnings(Vec<String>),
}

/// Sends a request that reloads zones and prints what came of it.
pub(super) fn reload(
    request: &Request,
    options: &Options,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let mut client = options.connect_for(RELOAD_TIMEOUT)?;
    let Response::ZonesReloaded {
        zones,
        pending,
        policy_changed,
        warnings,
    } = client.ask(request)?
    else {
        return Err(client.mismatch().into());
    };
    let is_refused = zones.iter().any(|zone| zone.error.is_some()) || !warnings.is_empty();
    for zone in &zones {
        if options.json {
            print::json(out, zone)?;
        } else {
            writeln!(
                out,
                "{} {}",
                print::clean(&zone.name),
                print::clean(&outcome(zone))
            )?;
        }
    }
    let beside = [
        Beside::PolicyChanged(policy_changed),
        Beside::Warnings(warnings),
        Beside::Pending(pending),
    ];
    for what in beside.iter().filter(|what| what.is_news()) {
        if options.json {
            print::json(out, what)?;
        } else {
            what.write(out)?;
        }
    }
    Ok(if is_refused {
        Exit::Failure
    } else {
        Exit::Success
    })
}

impl Beside {
    fn is_news(&self) -> bool {
        match self {
            Self::PolicyChanged(changed) => *changed,
            Self::Pending(texts) | Self::Warnings(texts) => !texts.is_empty(),
        }
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::PolicyChanged(_) => writeln!(out, "policy changed"),
            Self::Warnings(warnings) => {
                let mut lines = warnings.iter();
                lines.try_for_each(|line| writeln!(out, "refused: {}", print::clean(line)))
            }
            Self::Pending(keys) => {
                let keys = keys.join(", ");
                let keys = print::clean(&keys);
                writeln!(out, "changed, but in effect only after a restart: {keys}")
            }
        }
    }
}

fn outcome(zone: &ZoneReloaded) -> String {
    match (&zone.error, zone.serial_before, zone.serial) {
        (Some(error), ..) => format!("refused: {error}"),
        (None, Some(before), Some(now)) if zone.changed => format!("serial {before} -> {now}"),
        (None, None, Some(now)) => format!("loaded, serial {now}"),
        (None, Some(_), None) => "no longer served".to_owned(),
        _ => "unchanged".to_owned(),
    }
}
