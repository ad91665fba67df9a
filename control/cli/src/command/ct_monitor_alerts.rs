//! `nexus ct monitor alerts`: one alert a line.

use std::io::Write;
use std::thread;
use std::time::Duration;

use node::admin::{Alert, Found, FoundCertificate, Request, Response, Rule};

use super::ct_monitor::ago;
use crate::exit::Exit;
use crate::options::Options;
use crate::print;

const EXAMPLES: &str = "\
Examples:
  nexus ct monitor alerts
  nexus ct monitor alerts --follow
  nexus ct monitor alerts --from 120 --json | jq -r 'select(.found.kind == \"log\").found.evidence'

The latest alerts are kept, as many as ct.monitor.alert_bytes has room for. Each has a number, which goes
on over restarts.";

/// Between two looks for new alerts.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(500);

/// List certificates found for watched names, and what logs did wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CtMonitorAlerts {
    /// Number of the first alert to show.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    from: u64,
    /// Go on with new alerts until interrupted.
    #[arg(long)]
    follow: bool,
}

impl CtMonitorAlerts {
    /// Asks control, page by page, and prints one alert a line.
    ///
    /// # Errors
    /// When control does not answer, or follows no log.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let mut client = options.connect()?;
        let mut cursor = self.from;
        loop {
            let request = Request::CtMonitorAlerts { cursor };
            let Response::CtMonitorAlerts(page) = client.ask(&request)? else {
                return Err(client.mismatch().into());
            };
            for alert in &page.alerts {
                if options.json {
                    print::json(out, alert)?;
                } else {
                    writeln!(out, "{}", line(alert))?;
                }
            }
            let advances = page.next_cursor > cursor;
            if page.more && !advances {
                return Err(client.mismatch().into());
            }
            cursor = page.next_cursor;
            if page.more {
                continue;
            }
            if !self.follow {
                return Ok(Exit::Success);
            }
            out.flush()?; // Live also into a pipe.
            thread::sleep(FOLLOW_INTERVAL);
        }
    }
}

fn line(alert: &Alert) -> String {
    let log = &alert.log;
    let text = match &alert.found {
        Found::Certificate(found) => format!("{} in {log}", certificate(found)),
        Found::Log(found) => format!(
            "ALARM {log}: {}: {}; evidence {}",
            found.alarm, found.detail, found.evidence
        ),
    };
    let (number, when) = (alert.sequence, ago(alert.time_ms));
    format!("{number}  {when}  {}", print::clean(&text))
}

fn certificate(found: &FoundCertificate) -> String {
    let matches = found.matches.iter().map(|one| {
        let watch = &one.watch;
        match one.rule {
            Rule::Exact => one.name.clone(),
            Rule::Subdomain | Rule::Wildcard => format!("{} ({watch})", one.name),
            Rule::Homoglyph => format!("{} (looks like {watch})", one.name),
            Rule::EditDistance(1) => format!("{} (1 edit from {watch})", one.name),
            Rule::EditDistance(edits) => format!("{} ({edits} edits from {watch})", one.name),
        }
    });
    let matches: Vec<_> = matches.collect();
    let form = match found.form {
        node::admin::LoggedForm::Precertificate => "precertificate",
        node::admin::LoggedForm::Certificate => "certificate",
    };
    let again = if found.first { "" } else { ", seen before" };
    format!(
        "{}: {form} by {}, serial {}{again}, entry {}",
        matches.join(", "),
        found.issuer,
        found.serial,
        found.index
    )
}
