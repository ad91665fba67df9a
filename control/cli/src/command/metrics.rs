//! `nexus metrics`: what the API address serves, without the address.

use std::io::Write;

use node::admin::{Request, Response};
use serde::Serialize;

use crate::exit::Exit;
use crate::options::Options;

const EXAMPLES: &str = "\
Examples:
  nexus metrics
  nexus metrics | grep dropped";

/// Print every metric in Prometheus text form.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Metrics {}

#[derive(Serialize)]
struct Text {
    text: String,
}

impl Metrics {
    /// Asks control and prints its exposition unchanged.
    ///
    /// # Errors
    /// When control does not answer.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let mut client = options.connect()?;
        let Response::Metrics { text } = client.ask(&Request::Metrics {})? else {
            return Err(client.mismatch().into());
        };
        if options.json {
            crate::print::json(out, &Text { text })?;
        } else {
            out.write_all(text.as_bytes())?;
        }
        Ok(Exit::Success)
    }
}
