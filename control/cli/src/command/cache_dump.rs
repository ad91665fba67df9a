//! `nexus cache dump`: the entries of the answer table and of the resolver's caches, page by page.

use std::io::Write;

use node::admin::{CacheEntry, CachePage, Failure, FailureCode, Request, Response};

use super::resolver_dump;

use crate::client::Client;
use crate::exit::Exit;
use crate::options::Options;
use crate::print::{self, Align, Table};

const EXAMPLES: &str = "\
Examples:
  nexus cache dump                      Every entry
  nexus cache dump www.example.com      All types of one name, and what the resolver knows of it
  nexus cache dump example.com --subtree     The same for a name and all below it
  nexus cache dump --json | jq -r 'select(.ttl_secs == 0).name'

Workers keep copies of their own; the table here is what they fall back to. For a name, what the
resolver holds comes after it: records and denials with how far they are believed, the delegation
that leads there, failures, and proofs that answer for other names (RFC 8198).";

/// List the entries of the answer table; for a name, of the resolver's caches too.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CacheDump {
    /// Only this name.
    name: Option<String>,
    /// The names below it, too.
    #[arg(long, requires = "name")]
    subtree: bool,
}

impl CacheDump {
    /// Fetches page after page and prints the entries.
    ///
    /// # Errors
    /// When control does not answer or refuses the name.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let mut client = options.connect()?;
        let Some(name) = &self.name else {
            self.dump_table(options, &mut client, out)?;
            return Ok(Exit::Success);
        };
        match self.dump_table(options, &mut client, out) {
            // Without a dataplane there is no table, and the resolver knows things all the same.
            Err(error) if is_unavailable(&error) => {}
            other => {
                other?;
                if !options.json {
                    writeln!(out)?;
                }
            }
        }
        resolver_dump::run((name, self.subtree), options, &mut client, out)?;
        Ok(Exit::Success)
    }

    fn dump_table(
        &self,
        options: &Options,
        client: &mut Client,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        let mut table = new_table();
        let mut entries = 0;
        client.page_by_page(|client, cursor| {
            let page = self.page(client, cursor)?;
            for entry in page.entries.iter().filter(|entry| self.wants(&entry.name)) {
                entries += 1;
                if options.json {
                    print::json(out, entry)?;
                } else {
                    add_row(&mut table, entry);
                }
            }
            Ok(page.next_cursor)
        })?;
        if !options.json {
            table.write(out)?;
            let noun = if entries == 1 { "entry" } else { "entries" };
            writeln!(out, "{} {noun}", print::thousands(entries))?;
        }
        Ok(())
    }

    /// Control filters by the whole name; what lies below it is found here.
    fn wants(&self, found: &str) -> bool {
        let Some(name) = self.name.as_deref().filter(|_| self.subtree) else {
            return true;
        };
        let (found, name) = (found.to_ascii_lowercase(), name.to_ascii_lowercase());
        let (found, name) = (found.trim_end_matches('.'), name.trim_end_matches('.'));
        let above = found.strip_suffix(name);
        // An escaped dot is a part of its label.
        name.is_empty()
            || above.is_some_and(|above| {
                above.is_empty() || (above.ends_with('.') && !above.ends_with("\\."))
            })
    }

    fn page(&self, client: &mut Client, cursor: u64) -> anyhow::Result<CachePage> {
        match client.ask(&Request::CacheDump {
            name: self.name.clone().filter(|_| !self.subtree),
            cursor,
        })? {
            Response::CachePage(page) => Ok(page),
            _ => Err(client.mismatch().into()),
        }
    }
}

fn is_unavailable(error: &anyhow::Error) -> bool {
    let failure = error.downcast_ref::<Failure>();
    failure.is_some_and(|failure| failure.code == FailureCode::Unavailable)
}

fn new_table() -> Table {
    Table::new(&[
        ("NAME", Align::Left),
        ("CLASS", Align::Left),
        ("TYPE", Align::Left),
        ("FLAGS", Align::Left),
        ("RCODE", Align::Left),
        ("ANSWERS", Align::Right),
        ("TTL", Align::Right),
        ("AGE", Align::Right),
        ("ZONE", Align::Right),
        ("BYTES", Align::Right),
        ("STATE", Align::Left),
    ])
}

fn add_row(table: &mut Table, entry: &CacheEntry) {
    let state = match (entry.dead, entry.ttl_secs) {
        (true, _) => "dead", // Its zone has changed since.
        (false, 0) => "stale",
        (false, _) => "fresh",
    };
    table.row([
        &entry.name,
        &entry.class,
        &entry.record_type,
        &entry.flags.join(","),
        &entry.rcode,
        &entry.answers.to_string(),
        &entry.ttl_secs.to_string(),
        &entry.age_secs.to_string(),
        &entry.zone.to_string(),
        &entry.bytes.to_string(),
        state,
    ]);
}
