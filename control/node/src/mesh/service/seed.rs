//! The first contents of configured zones, on their way into the ledger.

use std::time::Duration;

use ledger::{Command, CreateMode, Outcome, commands_of};
use resolver::zone::ZoneContents;
use wire::rcode;

use super::Mesh;
use crate::mesh::driver::SubmitError;
use crate::zone_file;

/// Between two tries to put the first contents of a zone into the ledger.
const SEED_RETRY: Duration = Duration::from_secs(1);

impl Mesh {
    /// Puts the first contents of configured zones into the ledger, where it does not have the zones.
    /// Several nodes may do so at once.
    pub(super) async fn seed(self, zones: Vec<config::Zone>) {
        let with_file = zones.into_iter().filter(|zone| zone.file.is_some());
        for zone in with_file {
            let contents = match zone_file::read(&zone) {
                Ok(read) => ZoneContents::from_zone(&read.zone),
                Err(remark) => {
                    tracing::error!(zone = zone.name, "first contents: {remark}");
                    continue;
                }
            };
            let commands = match commands_of(&contents, CreateMode::IfAbsent) {
                Ok(commands) => commands,
                Err(error) => {
                    tracing::error!(zone = zone.name, %error, "first contents");
                    continue;
                }
            };
            for command in commands {
                if !self.insist(&zone.name, &command).await {
                    break;
                }
            }
        }
    }

    /// Until the command is executed. False: it is refused, and so would be those behind it.
    async fn insist(&self, zone: &str, command: &Command) -> bool {
        loop {
            match self.submit(command).await {
                Ok(Outcome::Zone { rcode: 0, serial }) => {
                    tracing::info!(zone, serial, "agreed");
                    return true;
                }
                // Another node has brought this part, or the zone has gone on since.
                Ok(Outcome::Zone {
                    rcode: rcode::NXRRSET,
                    ..
                }) => return true,
                Ok(outcome) => {
                    tracing::error!(zone, ?outcome, "first contents are refused");
                    return false;
                }
                Err(SubmitError::Oversized { bytes }) => {
                    tracing::error!(zone, bytes, "first contents are too large");
                    return false;
                }
                Err(error) => {
                    tracing::debug!(zone, %error, "first contents");
                    tokio::time::sleep(SEED_RETRY).await;
                }
            }
        }
    }
}
