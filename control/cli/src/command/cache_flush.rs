//! `nexus cache flush`: answers forgotten on purpose.

use std::io::Write;

use node::admin::{Request, Response};
use serde::Serialize;

use crate::exit::Exit;
use crate::options::Options;
use crate::print;

const EXAMPLES: &str = "\
Examples:
  nexus cache flush www.example.com             One name, all types
  nexus cache flush example.com --subtree       A name and all below it
  nexus cache flush                             Everything";

/// Forget answers in the table, in every worker's cache, and in the resolver's.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CacheFlush {
    /// The name to forget; everything when left out.
    name: Option<String>,
    /// Forget the names below it, too.
    #[arg(long, requires = "name")]
    subtree: bool,
}

#[derive(Serialize)]
struct Flushed {
    entries: u64,
    records: u64,
}

impl CacheFlush {
    /// Asks control to forget and prints how much went from the table and from the resolver's cache.
    ///
    /// # Errors
    /// When control does not answer or refuses the name.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let mut client = options.connect()?;
        let request = Request::CacheFlush {
            name: self.name.clone(),
            subtree: self.subtree,
        };
        let Response::CacheFlushed { entries, records } = client.ask(&request)? else {
            return Err(client.mismatch().into());
        };
        if options.json {
            print::json(out, &Flushed { entries, records })?;
        } else {
            let answers = print::plural(entries, "answer");
            let sets = print::plural(records, "record set");
            writeln!(
                out,
                "removed {answers} from the table, {sets} from the resolver's cache"
            )?;
        }
        Ok(Exit::Success)
    }
}
