//! `nexus ct submit`: a chain into the log, and its promise back.

use std::io::Write;
use std::path::PathBuf;

use ct::AddChainReply;

use crate::chain_file;
use crate::exit::Exit;
use crate::log_client::LogClient;
use crate::options::Options;
use crate::print;

const EXAMPLES: &str = "\
Examples:
  nexus ct submit chain.pem
  nexus ct submit chain.pem --shard nexus2027h1
  nexus ct submit precertificate.pem --json

The chain is in order, the certificate first, and leads to one of ct.roots, which may be left out. Without --shard the
shard takes it in whose window the certificate ends. The same chain gets the same timestamp again. The reply (SCT) comes
when a quorum has committed the entry and a published head covers it.";

/// Submit a certificate or precertificate with its chain.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CtSubmit {
    /// PEM file: the certificate, then those above it.
    chain: PathBuf,
    /// The shard, by its name.
    #[arg(long)]
    shard: Option<String>,
}

impl CtSubmit {
    /// Submits and prints the timestamp.
    ///
    /// # Errors
    /// When the file cannot be read, or the log does not take it.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let chain = chain_file::read(&self.chain)?;
        let mut log = LogClient::connect(options, self.shard.as_deref())?;
        let reply: AddChainReply = log.add_chain(&chain)?;
        if options.json {
            print::json(out, &reply)?;
            return Ok(Exit::Success);
        }
        let sct = ct::Sct::try_from(&reply)?;
        let place = sct.extensions.leaf_index();
        writeln!(out, "log id    {}", sct.log_id)?;
        writeln!(out, "timestamp {} ms since 1970", sct.timestamp_ms)?;
        if let Some(place) = place {
            writeln!(out, "entry     {place}")?;
        }
        Ok(Exit::Success)
    }
}
