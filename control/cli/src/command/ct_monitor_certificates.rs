//! `nexus ct monitor certificates`: what was seen of certificates, one a line.

use std::io::Write;

use node::admin::{CertificateUsage, LoggedForms, Request, Response, Validation};

use super::ct_monitor::ago;
use crate::exit::Exit;
use crate::options::Options;
use crate::print::{Align, Table, json};

const EXAMPLES: &str = "\
Examples:
  nexus ct monitor certificates
  nexus ct monitor certificates example.com
  nexus ct monitor certificates --json | jq -r 'select(.ct_status == \"certificate\").serial'

Only what was seen since control started, for as many certificates as ct.monitor.certificates_max; the
256 that were seen last are shown. CT says what is logged of a certificate: that it was to be issued
(pre), that it was issued (final), or both. SCTS are the timestamps in the issued certificate.";

/// List certificates seen in logs, with issuer, validation, and what of them is logged.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CtMonitorCertificates {
    /// Only those for this name or one below it.
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

impl CtMonitorCertificates {
    /// Asks control and prints one certificate a line.
    ///
    /// # Errors
    /// When control does not answer, or follows no log.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let mut client = options.connect()?;
        let name = self.name.clone();
        let request = Request::CtCertificates { name };
        let Response::CtCertificates { certificates } = client.ask(&request)? else {
            return Err(client.mismatch().into());
        };
        let mut table = Table::new(&[
            ("NAMES", Align::Left),
            ("ISSUER", Align::Left),
            ("SERIAL", Align::Left),
            ("VALIDATION", Align::Left),
            ("CT", Align::Left),
            ("SCTS", Align::Right),
            ("ENTRIES", Align::Right),
            ("LOGS", Align::Right),
            ("FIRST SEEN", Align::Left),
            ("LAST SEEN", Align::Left),
        ]);
        for certificate in &certificates {
            if options.json {
                json(out, certificate)?;
            }
            let scts = certificate.embedded_scts;
            table.row([
                &names(certificate),
                &certificate.issuer,
                &certificate.serial,
                validation(certificate.validation),
                status(certificate.ct_status),
                &scts.map_or("-".to_owned(), |scts| scts.to_string()),
                &certificate.entries.to_string(),
                &certificate.logs.len().to_string(),
                &ago(certificate.first_seen_ms),
                &ago(certificate.last_seen_ms),
            ]);
        }
        if !options.json {
            table.write(out)?;
        }
        Ok(Exit::Success)
    }
}

/// The first two, and how many more there are.
fn names(certificate: &CertificateUsage) -> String {
    let shown: Vec<&str> = certificate
        .names
        .iter()
        .take(2)
        .map(String::as_str)
        .collect();
    let more = certificate.names_total.saturating_sub(shown.len() as u64);
    match more {
        0 => shown.join(" "),
        more => format!("{} +{more}", shown.join(" ")),
    }
}

fn validation(validation: Option<Validation>) -> &'static str {
    match validation {
        Some(Validation::Dv) => "DV",
        Some(Validation::Ov) => "OV",
        Some(Validation::Iv) => "IV",
        Some(Validation::Ev) => "EV",
        None => "-",
    }
}

fn status(status: LoggedForms) -> &'static str {
    match status {
        LoggedForms::Precertificate => "pre",
        LoggedForms::Certificate => "final",
        LoggedForms::Both => "both",
    }
}
