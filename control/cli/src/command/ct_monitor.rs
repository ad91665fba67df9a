//! `nexus ct monitor`: logs that are followed, and what is found in them.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{CtMonitorAlerts, CtMonitorCertificates, CtMonitorStatus};
use crate::exit::Exit;
use crate::options::Options;
use crate::print;

/// See which logs are followed, what was found for watched names, and what a log did wrong.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = CtMonitorStatus::EXAMPLES)]
pub struct CtMonitor {
    #[command(subcommand)]
    which: Option<Which>,
}

#[derive(Debug, clap::Subcommand)]
enum Which {
    Status(CtMonitorStatus),
    Alerts(CtMonitorAlerts),
    Certificates(CtMonitorCertificates),
}

impl CtMonitor {
    /// Runs the chosen command; the status, if none is chosen.
    ///
    /// # Errors
    /// As the chosen command.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        match &self.which {
            Some(Which::Status(status)) => status.run(options, out),
            Some(Which::Alerts(alerts)) => alerts.run(options, out),
            Some(Which::Certificates(certificates)) => certificates.run(options, out),
            None => CtMonitorStatus {}.run(options, out),
        }
    }
}

/// `3 min ago`, of milliseconds since 1970.
pub(super) fn ago(time_ms: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let secs = now.unwrap_or_default().as_secs();
    format!(
        "{} ago",
        print::duration(secs.saturating_sub(time_ms / 1_000))
    )
}
