//! `nexus ct`: the certificate log of the cluster, and the monitor of logs.

use std::io::Write;

use super::{CtCheckpoint, CtKey, CtMonitor, CtProof, CtStatus, CtSubmit, CtValidate};
use crate::exit::Exit;
use crate::options::Options;

/// Certificate Transparency: the cluster's log, certificates, and the logs of others.
#[derive(Debug, clap::Subcommand)]
#[expect(
    missing_docs,
    reason = "each takes the doc comment of its struct as its help"
)]
pub enum Ct {
    Status(CtStatus),
    Submit(CtSubmit),
    Proof(CtProof),
    Checkpoint(CtCheckpoint),
    Validate(CtValidate),
    Key(CtKey),
    Monitor(CtMonitor),
}

impl Ct {
    /// Runs the chosen command.
    ///
    /// # Errors
    /// As the chosen command.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        match self {
            Self::Status(status) => status.run(options, out),
            Self::Submit(submit) => submit.run(options, out),
            Self::Proof(proof) => proof.run(options, out),
            Self::Checkpoint(checkpoint) => checkpoint.run(options, out),
            Self::Validate(validate) => validate.run(options, out),
            Self::Key(key) => key.run(options, out),
            Self::Monitor(monitor) => monitor.run(options, out),
        }
    }
}
