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

Taken into service: `zones`; the policy under `resolver` (local data and zones, lists, policy zones,
DNS64, rebinding, views); a local root's file. Zones that are copied from primaries go on as they are.
Other keys that changed since the start are named and wait for a restart. With --json these are lines
such as {\"policy_changed\":true}, {\"warnings\":[\"…\"]}, {\"pending\":[\"resolver.allow\"]}.
Exit status 1 when a file was refused: what came from it before stays in service; with a list or a
policy zone that is all of the old configuration.";

/// Read the configuration's zones and policy and all their files again, as SIGHUP does.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Reload {}

impl Reload {
    /// Asks control to reload and prints one zone a line, then what else changed, was
    /// refused, or waits for a restart.
    ///
    /// # Errors
    /// When control does not answer or refuses its configuration.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        zone_reload::reload(&Request::Reload {}, options, out)
    }
}
