//! `nexus check`: mistakes in a configuration and its zone files, before a restart finds them.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use config::{Config, ConfigError};
use serde::Serialize;

use crate::exit::Exit;
use crate::options::Options;
use crate::print;

const EXAMPLES: &str = "\
Examples:
  nexus check /etc/nexus/nexus.yaml
  nexus check nexus.yaml --json | jq -r .mistakes[].message

Each mistake is one line that begins with file:line:column, as compilers write it.
Exit status 2 when there is any.";

/// Check a configuration file and every zone file that it names, without starting anything.
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
}

/// A zone that would load.
#[derive(Debug, Serialize)]
struct GoodZone {
    name: String,
    file: PathBuf,
    records: u64,
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
        Ok(_) => {}
        Err(error) => findings.mistakes.push(error.into()),
    }
    findings
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
        let mut line = mistake.file.display().to_string();
        for number in [mistake.line, mistake.column].into_iter().flatten() {
            line.push_str(&format!(":{number}"));
        }
        if let Some(key) = &mistake.key {
            line.push_str(&format!(": {key}"));
        }
        line.push_str(&format!(": {}", mistake.message));
        writeln!(out, "{}", print::clean(&line))?;
    }
    for zone in &findings.zones {
        let records = print::plural(zone.records, "record");
        writeln!(out, "zone {} is good: {records}", print::clean(&zone.name))?;
    }
    match findings.mistakes.len() as u64 {
        0 => writeln!(out, "{} is good", file.display()),
        count => writeln!(out, "{}", print::plural(count, "mistake")),
    }
}
