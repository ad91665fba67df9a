//! `nexus migrate`: a configuration of ours from an `unbound.conf`, and what could not be taken over.

mod access;
mod anchors;
mod date;
mod dnstap;
mod filters;
mod lists;
mod local;
mod mapper;
mod options;
mod report;
mod routes;
mod rpz;
mod source;
mod statement;
mod table;
mod views;
mod yaml;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use config::Config;

use crate::exit::Exit;
use crate::options::Options;
use crate::print;
use mapper::Mapper;

const EXAMPLES: &str = "\
Examples:
  nexus migrate /etc/unbound/unbound.conf
  nexus migrate /etc/unbound/unbound.conf --output /etc/nexus/nexus.yaml --force
  nexus migrate unbound.conf --json | jq '.entries[] | select(.outcome == \"lost\")'

The new file is written even if something is missing in it, and the report says what. Trust anchors
go into trust-anchors.zone beside it, thousands of blocked names into lists. Then run `nexus check`
on it.
Exit status 0 if clients will see no difference, 1 if some get other answers or none, or if nothing
could be written.";

/// Name of the file of trust anchors, beside the configuration.
const ANCHORS: &str = "trust-anchors.zone";

/// Make a configuration from that of Unbound, and say what could not be taken over.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Migrate {
    /// Configuration file of Unbound; what it includes is read, too.
    file: PathBuf,
    /// File to write.
    #[arg(long, value_name = "PATH", default_value = "nexus.yaml")]
    output: PathBuf,
    /// Replace files that exist.
    #[arg(long)]
    force: bool,
}

impl Migrate {
    /// Writes the new configuration, and the report to `out`.
    ///
    /// # Errors
    /// When the file is no `unbound.conf`, or the new one exists or cannot be written.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let anchors = self.output.with_file_name(ANCHORS);
        if !self.force {
            for file in [&self.output, &anchors] {
                let exists = file.try_exists()?;
                anyhow::ensure!(!exists, "{} exists; --force replaces it", file.display());
            }
        }
        let clauses = source::read(&self.file)?;
        let mut mapper = Mapper::new(&self.file, &clauses);
        mapper.take(&clauses);
        let folder = self.output.parent().unwrap_or(Path::new(""));
        for list in mapper.lists.iter().filter(|_| !self.force) {
            let file = folder.join(list.file);
            let exists = file.try_exists()?;
            anyhow::ensure!(!exists, "{} exists; --force replaces it", file.display());
        }
        mapper
            .write_lists(folder)
            .with_context(|| folder.display().to_string())?;
        mapper
            .write_anchors(&anchors, ANCHORS)
            .with_context(|| anchors.display().to_string())?;
        let text = self.text(&mapper.config)?;
        write(&self.output, &text).with_context(|| self.output.display().to_string())?;
        let mut report = mapper.report;
        report.written.push(self.output.display().to_string());
        if options.json {
            print::json(out, &report)?;
        } else {
            report.write(out)?;
        }
        Ok(match report.has_losses() {
            true => Exit::Failure,
            false => Exit::Success,
        })
    }

    /// The text of the new file, which reads as what it was made from, and is not too long to be read.
    fn text(&self, config: &Config) -> anyhow::Result<String> {
        let text = format!(
            "# Made by `nexus migrate` from {}.\n# Keys that are not here have their defaults.\n{}",
            print::clean(&self.file.display().to_string()),
            yaml::to_yaml(config)?
        );
        let read = Config::parse(&text, &self.output)?;
        anyhow::ensure!(read == *config, "the new file does not say what it should");
        anyhow::ensure!(
            text.len() as u64 <= config::CONFIG_BYTES_MAX,
            "the new file would have {} bytes; expected at most {}; put blocked names into a list for \
             resolver.block_lists",
            print::thousands(text.len() as u64),
            print::thousands(config::CONFIG_BYTES_MAX)
        );
        Ok(text)
    }
}

/// Writes a file that only its owner and group may read: it may have a secret.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o640)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
