//! `nexus cache dump`: the entries of the answer table, page by page.

use std::io::Write;

use node::admin::{CacheEntry, CachePage, Request, Response};

use crate::client::Client;
use crate::exit::Exit;
use crate::options::Options;
use crate::print::{self, Align, Table};

const EXAMPLES: &str = "\
Examples:
  nexus cache dump                      Every entry
  nexus cache dump www.example.com      All types of one name
  nexus cache dump --json | jq -r 'select(.ttl_secs == 0).name'

Workers keep copies of their own; the table here is what they fall back to.";

/// List the entries of the answer table.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CacheDump {
    /// Only this name.
    name: Option<String>,
}

impl CacheDump {
    /// Fetches page after page and prints the entries.
    ///
    /// # Errors
    /// When control does not answer or refuses the name.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let mut client = options.connect()?;
        let mut table = new_table();
        let mut cursor = 0;
        let mut entries = 0;
        loop {
            let page = self.page(&mut client, cursor)?;
            for entry in &page.entries {
                entries += 1;
                if options.json {
                    print::json(out, entry)?;
                } else {
                    add_row(&mut table, entry);
                }
            }
            match page.next_cursor {
                // A cursor that does not advance would keep us here for ever.
                Some(next) if next > cursor => cursor = next,
                Some(_) => return Err(client.mismatch().into()),
                None => break,
            }
        }
        if !options.json {
            table.write(out)?;
            let noun = if entries == 1 { "entry" } else { "entries" };
            writeln!(out, "{} {noun}", print::thousands(entries))?;
        }
        Ok(Exit::Success)
    }

    fn page(&self, client: &mut Client, cursor: u64) -> anyhow::Result<CachePage> {
        match client.ask(&Request::CacheDump {
            name: self.name.clone(),
            cursor,
        })? {
            Response::CachePage(page) => Ok(page),
            _ => Err(client.mismatch().into()),
        }
    }
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
