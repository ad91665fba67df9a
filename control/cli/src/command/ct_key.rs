//! `nexus ct key`: makes the key of a shard, and the lines that tell all nodes of it.

use std::io::Write;
use std::path::PathBuf;

use ctlog::load_or_create_shard_key;
use data_encoding::BASE64;
use serde::Serialize;

use crate::exit::Exit;
use crate::options::Options;
use crate::print;

const EXAMPLES: &str = "\
Examples:
  nexus ct key nexus2027h1.pem --shard nexus2027h1 --start 2027-01-01 --end 2027-07-01
  nexus ct key nexus2027h1.pem --json | jq -r .public_key

Put the printed lines under ct.shards of every node; key_file only where the file is. Copy the file to the nodes that
shall sign heads and take submissions, readable by the user of nexus-control alone. Who has it can sign in the log's
name: docs/ct.md says what that means.";

/// Make the private key of a shard, or read it, and print the shard's lines for ct.shards.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CtKey {
    /// PEM file of the key. Made with mode 0600 if it is not there.
    file: PathBuf,
    /// Name of the shard.
    #[arg(long, default_value = "NAME")]
    shard: String,
    /// First day on which a certificate of it may end.
    #[arg(long, default_value = "YYYY-MM-DD")]
    start: String,
    /// First day on which it may not any more.
    #[arg(long, default_value = "YYYY-MM-DD")]
    end: String,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    start: String,
    end: String,
    public_key: String,
    key_file: PathBuf,
    log_id: String,
}

impl CtKey {
    /// Reads or makes the key.
    ///
    /// # Errors
    /// When it can be neither read nor made.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let key = load_or_create_shard_key(&self.file)?;
        let file = std::path::absolute(&self.file)?;
        let shown = Shown {
            name: self.shard.clone(),
            start: self.start.clone(),
            end: self.end.clone(),
            public_key: BASE64.encode(key.spki()),
            key_file: file,
            log_id: key.id().to_string(),
        };
        if options.json {
            print::json(out, &shown)?;
            return Ok(Exit::Success);
        }
        writeln!(
            out,
            "  - name: \"{}\"  # log id {}",
            shown.name, shown.log_id
        )?;
        writeln!(out, "    start: {}", shown.start)?;
        writeln!(out, "    end: {}", shown.end)?;
        writeln!(out, "    public_key: {}", shown.public_key)?;
        writeln!(out, "    key_file: {}", shown.key_file.display())?;
        Ok(Exit::Success)
    }
}
