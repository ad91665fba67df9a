//! `nexus ct checkpoint`: the newest signed head of a shard, and who has cosigned it.

use std::io::Write;

use anyhow::Context;
use ct::{Note, WitnessPolicy};
use serde::Serialize;

use crate::exit::Exit;
use crate::log_client::LogClient;
use crate::options::Options;
use crate::print;

const EXAMPLES: &str = "\
Examples:
  nexus ct checkpoint
  nexus ct checkpoint nexus2027h1 --verify
  nexus ct checkpoint nexus2027h1 > checkpoint

With --verify the note is held against the policy that this node serves, and the names of the cosigners are printed: exit
status 1 if they are no quorum. Whoever does not trust this node keeps the policy from before, or from another node.";

/// Print the newest signed head of a shard.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CtCheckpoint {
    /// The shard; the only one when left out.
    shard: Option<String>,
    /// Check that a quorum has cosigned it.
    #[arg(long)]
    verify: bool,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Shown {
    note: String,
    /// Absent if it was not asked for.
    cosigners: Option<Vec<String>>,
}

impl CtCheckpoint {
    /// Fetches the checkpoint and prints it.
    ///
    /// # Errors
    /// When there is none, or it does not hold.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let mut log = LogClient::connect(options, self.shard.as_deref())?;
        let shard = log.shard_name()?;
        let note = log.get(&format!("/{shard}/checkpoint"))?;
        let cosigners = match self.verify {
            true => Some(verify(&note, &log.get(&format!("/{shard}/policy"))?)?),
            false => None,
        };
        let shown = Shown { note, cosigners };
        if options.json {
            print::json(out, &shown)?;
            return Ok(Exit::Success);
        }
        write!(out, "{}", shown.note)?;
        for name in shown.cosigners.iter().flatten() {
            writeln!(out, "cosigned by {}", print::clean(name))?;
        }
        Ok(Exit::Success)
    }
}

fn verify(note: &str, policy: &str) -> anyhow::Result<Vec<String>> {
    let note = Note::parse(note.as_bytes()).context("checkpoint")?;
    let policy = WitnessPolicy::parse(policy).context("policy")?;
    let cosigners = policy.check_quorum(&note, webpki::ALL_VERIFICATION_ALGS)?;
    Ok(cosigners.iter().map(|by| by.name.to_owned()).collect())
}
