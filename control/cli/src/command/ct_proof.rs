//! `nexus ct proof`: that a certificate is in the log, checked here.

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;

use crate::chain_file;
use crate::exit::Exit;
use crate::log_client::LogClient;
use crate::options::Options;
use crate::print;

const EXAMPLES: &str = "\
Examples:
  nexus ct proof chain.pem
  nexus ct proof chain.pem --json | jq .audit_path

The chain is in order, the certificate or precertificate first, and leads to one of the roots that the log accepts, which may be
left out. It is submitted, which changes nothing if the log has it. Its timestamp's signature, the head's signature, and the
proof that leads from the entry to the head are checked by this command, with the shard's key of ct.shards.";

/// Prove that a certificate is in the log.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CtProof {
    /// PEM file: the certificate, then those above it.
    chain: PathBuf,
    /// The shard, by its name.
    #[arg(long)]
    shard: Option<String>,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Shown {
    leaf_index: u64,
    leaf_hash: String,
    tree_size: u64,
    root: String,
    audit_path: Vec<String>,
}

impl CtProof {
    /// Fetches the proof and checks it.
    ///
    /// # Errors
    /// When the log does not answer, or what it answers does not hold.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let chain = chain_file::read(&self.chain)?;
        let mut log = LogClient::connect(options, self.shard.as_deref())?;
        let proven = log.prove(&chain)?;
        let shown = Shown {
            leaf_index: proven.leaf_index,
            leaf_hash: proven.leaf_hash.to_string(),
            tree_size: proven.head.size,
            root: proven.head.root.to_string(),
            audit_path: proven.audit_path.iter().map(ToString::to_string).collect(),
        };
        if options.json {
            print::json(out, &shown)?;
            return Ok(Exit::Success);
        }
        writeln!(
            out,
            "entry {} of {}: proven",
            shown.leaf_index, shown.tree_size
        )?;
        writeln!(out, "leaf  {}", shown.leaf_hash)?;
        for hash in &shown.audit_path {
            writeln!(out, "      {hash}")?;
        }
        writeln!(out, "root  {}", shown.root)?;
        Ok(Exit::Success)
    }
}
