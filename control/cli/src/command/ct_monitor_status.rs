//! `nexus ct monitor status`: one log a line.

use std::io::{self, Write};

use node::admin::{LogStatus, MonitorStatus, Request, Response};

use super::ct_monitor::ago;
use crate::exit::Exit;
use crate::options::Options;
use crate::print::{self, Align, Table};

/// Show how far each log was read, and whether alerts are delivered.
#[derive(Debug, clap::Args)]
#[command(after_help = Self::EXAMPLES)]
pub struct CtMonitorStatus {}

impl CtMonitorStatus {
    pub(super) const EXAMPLES: &str = "\
Examples:
  nexus ct monitor
  nexus ct monitor alerts --follow      Each alert as it comes
  nexus ct monitor status --json | jq '.logs[] | select(.alarms > 0)'

BEHIND are entries that the log has signed and that were not read yet. ALARMS are misdeeds: two signed
heads of one size, a head that does not continue the one before or that went back, entries that are not
of the signed tree. Their evidence is in the folder of ct.monitor.state_dir. Exit status 1 if there was
one, or if a log is not followed.";

    /// Asks control and prints the status. A log that is not followed, or that misbehaved, makes the exit status 1.
    ///
    /// # Errors
    /// When control does not answer, or follows no log.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let mut client = options.connect()?;
        let Response::CtMonitorStatus(status) = client.ask(&Request::CtMonitorStatus {})? else {
            return Err(client.mismatch().into());
        };
        if options.json {
            print::json(out, &status)?;
        } else {
            write(out, &status)?;
        }
        let is_bad = |log: &LogStatus| log.stopped.is_some() || log.alarms > 0;
        Ok(if status.logs.iter().any(is_bad) {
            Exit::Failure
        } else {
            Exit::Success
        })
    }
}

fn write(out: &mut impl Write, status: &MonitorStatus) -> io::Result<()> {
    let mut table = Table::new(&[
        ("LOG", Align::Left),
        ("SIZE", Align::Right),
        ("BEHIND", Align::Right),
        ("READ", Align::Right),
        ("UNREADABLE", Align::Right),
        ("ALERTS", Align::Right),
        ("ALARMS", Align::Right),
        ("REPLIED", Align::Left),
        ("REMARKS", Align::Left),
    ]);
    for log in &status.logs {
        table.row([
            &log.name,
            &print::thousands(log.size),
            &print::thousands(log.size.saturating_sub(log.read)),
            &print::thousands(log.entries),
            &print::thousands(log.unreadable_entries),
            &print::thousands(log.alerts),
            &print::thousands(log.alarms),
            &log.replied_ms.map_or("never".to_owned(), ago),
            &remarks(log),
        ]);
    }
    table.write(out)?;
    writeln!(out)?;
    writeln!(
        out,
        "watched       {}",
        print::plural(status.watches, "domain")
    )?;
    let kept = print::thousands(status.alerts_kept);
    let alerts = print::plural(status.alerts, "alert");
    writeln!(out, "found         {alerts}, of which {kept} are kept")?;
    let evicted = print::thousands(status.certificates_evicted);
    let certificates = print::plural(status.certificates, "certificate");
    writeln!(out, "seen          {certificates}, {evicted} forgotten")?;
    if status.alert_write_failures > 0 {
        let failures = print::plural(status.alert_write_failures, "failure");
        writeln!(out, "alerts' file  {failures} to write it")?;
    }
    let Some(webhook) = &status.webhook else {
        return writeln!(out, "webhook       none");
    };
    let (pending, delivered, dropped) = (webhook.pending, webhook.delivered, webhook.dropped);
    let host = print::clean(&webhook.host);
    writeln!(
        out,
        "webhook       {host}: {pending} pending, {delivered} delivered, {dropped} dropped"
    )?;
    match &webhook.last_failure {
        Some(failure) => writeln!(out, "              {}", print::clean(failure)),
        None => Ok(()),
    }
}

fn remarks(log: &LogStatus) -> String {
    let stopped = log
        .stopped
        .as_ref()
        .map(|why| format!("not followed: {why}"));
    let alarm = log.last_alarm.clone();
    let times = log.failures_in_a_row;
    let failure = log.last_failure.as_ref();
    let failure =
        failure.map(|failure| format!("{} in a row: {failure}", print::plural(times, "failure")));
    let remarks: Vec<String> = [stopped, alarm, failure].into_iter().flatten().collect();
    remarks.join("; ")
}
