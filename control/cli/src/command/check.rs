//! `nexus check`: mistakes in a configuration and the files that it names, found before a restart.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use config::{Config, ConfigError, Source};
use ctlog::copy::check_endpoint;
use node::anchors::read_anchor_file;
use node::certs::Materials;
use node::ct_monitor;
use node::hints::read_hints;
use node::local_root;
use node::mesh::genesis;
use node::policy::{self, PolicyError};
use node::transfer_key;
use node::zone_file::{self, Remark};
use serde::Serialize;

use crate::exit::Exit;
use crate::options::Options;
use crate::print;

const EXAMPLES: &str = "\
Examples:
  nexus check /etc/nexus/nexus.yaml
  nexus check nexus.yaml --json | jq -r .mistakes[].message

Each mistake is one line that begins with file:line:column, as compilers write it. Zone files, the
local root, root hints, trust anchors, cookie secrets, policy zones, lists of names, authorities and
logs, and the secrets of the webhook and of object stores are read, too.
Exit status 2 when there is any.";

/// Check a configuration file and every file that it names, without starting anything.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Check {
    /// Configuration file.
    file: PathBuf,
}

/// What a check found.
#[derive(Debug, Default, Serialize)]
struct Findings {
    zones: Vec<GoodZone>,
    mistakes: Vec<Mistake>,
    /// What would be served, but was probably not meant.
    notes: Vec<Mistake>,
}

/// A zone that would load.
#[derive(Debug, Serialize)]
struct GoodZone {
    name: String,
    file: PathBuf,
    serial: u32,
    records: usize,
    signed: bool,
}

/// One mistake, and where it stands.
#[derive(Debug, Serialize)]
struct Mistake {
    file: PathBuf,
    line: Option<u64>,
    column: Option<u64>,
    key: Option<String>,
    message: String,
}

impl Check {
    /// Reads everything that the planes would read and prints what is wrong with it.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let findings = check(&self.file);
        if options.json {
            print::json(out, &findings)?;
        } else {
            write_findings(out, &self.file, &findings)?;
        }
        Ok(if findings.mistakes.is_empty() {
            Exit::Success
        } else {
            Exit::Usage
        })
    }
}

fn check(file: &Path) -> Findings {
    let mut findings = Findings::default();
    match Config::load(file) {
        Ok(config) => {
            check_hints(&config.resolver.root_hints, &mut findings);
            check_anchors(&config.resolver.trust_anchors, &mut findings);
            check_cookies(&config.resolver.cookies, &mut findings);
            check_materials(&config.ct, &mut findings);
            check_policy(file, &config, &mut findings);
            check_members(file, &config.consensus, &mut findings);
            check_ct_monitor(file, &config, &mut findings);
            check_ct_copies(file, &config.ct.copies, &mut findings);
            let local_root = config.resolver.local_root.as_ref();
            let keys = config.resolver.rpz.iter().map(|rpz| &rpz.tsig);
            let keys = keys.chain(local_root.map(|copy| &copy.tsig)).flatten();
            let keys = keys.chain(&config.tsig_keys);
            let faults = keys.filter_map(|key| transfer_key::read(key).err());
            findings.mistakes.extend(faults.map(Mistake::from));
            if let Some(file) = local_root.and_then(|copy| copy.file.as_ref()) {
                check_zone(&local_root::zone_entry(file), &mut findings);
            }
            // An agreed zone may have none.
            let zones = config.zones.iter().filter(|zone| zone.file.is_some());
            zones.for_each(|zone| check_zone(zone, &mut findings));
        }
        Err(error) => findings.mistakes.push(error.into()),
    }
    findings
}

fn check_hints(hints: &Source, findings: &mut Findings) {
    if let Source::File(file) = hints
        && let Err(error) = read_hints(file)
    {
        findings.mistakes.push(Mistake {
            file: file.clone(),
            line: error.line.map(u64::from),
            column: None,
            key: None,
            message: error.message,
        });
    }
}

fn check_anchors(anchors: &Source, findings: &mut Findings) {
    if let Source::File(file) = anchors
        && let Err(message) = read_anchor_file(file)
    {
        findings.mistakes.push(Mistake {
            file: file.clone(),
            line: None,
            column: None,
            key: Some("resolver.trust_anchors".to_owned()),
            message,
        });
    }
}

/// By what certificates are judged. A system without the public authorities' usual file is none's mistake.
fn check_materials(ct: &config::Ct, findings: &mut Findings) {
    let is_usual = ct.trust_anchors == config::Ct::default().trust_anchors;
    if let Err(error) = Materials::read(ct)
        && !(is_usual && error.path == ct.trust_anchors && !error.path.exists())
    {
        findings.mistakes.push(Mistake {
            file: error.path,
            line: None,
            column: None,
            key: Some("ct".to_owned()),
            message: error.reason,
        });
    }
}

fn check_ct_monitor(file: &Path, config: &Config, findings: &mut Findings) {
    if let Err(error) = ct_monitor::settings(config) {
        findings.mistakes.push(Mistake {
            file: file.to_owned(),
            line: None,
            column: None,
            key: Some(error.key),
            message: error.message,
        });
    }
}

fn check_ct_copies(file: &Path, copies: &[config::CtCopy], findings: &mut Findings) {
    for (index, copy) in copies.iter().enumerate() {
        if let Err(error) = check_endpoint(copy.endpoint.as_deref(), &copy.region) {
            findings.mistakes.push(Mistake {
                file: file.to_owned(),
                line: None,
                column: None,
                key: Some(format!("ct.copies[{index}]")),
                message: error.to_string(),
            });
        }
    }
    let faults = copies.iter().filter_map(|copy| copy.key().err());
    findings.mistakes.extend(faults.map(|error| Mistake {
        file: error.path,
        line: None,
        column: None,
        key: Some("ct.copies".to_owned()),
        message: error.message,
    }));
}

fn check_cookies(cookies: &config::Cookies, findings: &mut Findings) {
    if let Err(error) = cookies.secrets() {
        findings.mistakes.push(Mistake {
            file: error.path,
            line: None,
            column: None,
            key: None,
            message: error.message,
        });
    }
}

fn check_policy(file: &Path, config: &Config, findings: &mut Findings) {
    match policy::load(&config.resolver, &config.zones, (0, 0)) {
        Ok(loaded) => findings
            .notes
            .extend(loaded.notes.into_iter().map(Mistake::from)),
        Err(PolicyError::File(remark)) => findings.mistakes.push(remark.into()),
        Err(PolicyError::Key { key, message }) => findings.mistakes.push(Mistake {
            file: file.to_owned(),
            line: None,
            column: None,
            key: Some(key),
            message,
        }),
    }
}

fn check_members(file: &Path, consensus: &config::Consensus, findings: &mut Findings) {
    if !consensus.members.is_empty()
        && let Err(error) = genesis(consensus)
    {
        findings.mistakes.push(Mistake {
            file: file.to_owned(),
            line: None,
            column: None,
            key: Some("consensus.members".to_owned()),
            message: error.to_string(),
        });
    }
}

fn check_zone(zone: &config::Zone, findings: &mut Findings) {
    match zone_file::read(zone) {
        Ok(read) => {
            let remarks = read.remarks.into_iter().map(Mistake::from);
            findings.notes.extend(remarks);
            findings.zones.push(GoodZone {
                name: zone.name.clone(),
                file: zone.file.clone().unwrap_or_default(),
                serial: read.zone.serial(),
                records: read.zone.counts().records,
                signed: read.zone.is_signed(),
            });
        }
        Err(remark) => findings.mistakes.push(remark.into()),
    }
}

impl From<Remark> for Mistake {
    fn from(remark: Remark) -> Self {
        Self {
            file: remark.file,
            line: remark.position.map(|(line, _)| line.into()),
            column: remark.position.map(|(_, column)| column.into()),
            key: None,
            message: remark.message,
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.file.display())?;
        for number in [self.line, self.column].into_iter().flatten() {
            write!(out, ":{number}")?;
        }
        if let Some(key) = &self.key {
            write!(out, ": {key}")?;
        }
        write!(out, ": {}", self.message)
    }
}

impl From<ConfigError> for Mistake {
    fn from(error: ConfigError) -> Self {
        Self {
            file: error.file,
            line: error.position.map(|(line, _)| line),
            column: error.position.map(|(_, column)| column),
            key: error.key,
            message: error.message,
        }
    }
}

fn write_findings(out: &mut impl Write, file: &Path, findings: &Findings) -> io::Result<()> {
    for mistake in &findings.mistakes {
        writeln!(out, "{}", print::clean(&mistake.to_string()))?;
    }
    for note in &findings.notes {
        writeln!(out, "{} (note)", print::clean(&note.to_string()))?;
    }
    for zone in &findings.zones {
        let records = print::plural(zone.records as u64, "record");
        let signed = if zone.signed { ", signed" } else { "" };
        let serial = zone.serial;
        writeln!(
            out,
            "zone {} is good: serial {serial}, {records}{signed}",
            zone.name
        )?;
    }
    match findings.mistakes.len() as u64 {
        0 => writeln!(out, "{} is good", file.display()),
        count => writeln!(out, "{}", print::plural(count, "mistake")),
    }
}
