//! The second half of `nexus cache dump NAME`: what the resolver's caches hold for it.

use std::io::Write;

use node::admin::{Request, ResolverEntry, ResolverPage, Response};

use crate::client::Client;
use crate::options::Options;
use crate::print::{self, Align, Table};

/// Fetches page after page and prints the entries, each followed by its records.
///
/// # Errors
/// When control does not answer or refuses the name.
pub(super) fn run(
    (name, subtree): (&str, bool),
    options: &Options,
    client: &mut Client,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut count = 0;
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("TYPE", Align::Left),
        ("KIND", Align::Left),
        ("RCODE", Align::Left),
        ("TRUST", Align::Left),
        ("DNSSEC", Align::Left),
        ("TTL", Align::Right),
        ("DATA", Align::Left),
    ]);
    client.page_by_page(|client, cursor| {
        let page = page(client, name, subtree, cursor)?;
        for entry in &page.entries {
            count += 1;
            if options.json {
                print::json(out, entry)?;
            } else {
                add_rows(&mut table, entry);
            }
        }
        Ok(page.next_cursor)
    })?;
    if !options.json {
        table.write(out)?;
        let noun = if count == 1 { "entry" } else { "entries" };
        writeln!(out, "{} {noun} of the resolver", print::thousands(count))?;
    }
    Ok(())
}

fn page(
    client: &mut Client,
    name: &str,
    subtree: bool,
    cursor: u64,
) -> anyhow::Result<ResolverPage> {
    match client.ask(&Request::ResolverDump {
        name: name.to_owned(),
        subtree,
        cursor,
    })? {
        Response::ResolverPage(page) => Ok(page),
        _ => Err(client.mismatch().into()),
    }
}

/// A row an entry, with its first record, and one for each further record.
fn add_rows(table: &mut Table, entry: &ResolverEntry) {
    let none = match &entry.reason {
        Some(reason) => reason.clone(),
        None if entry.rcode == "NXDOMAIN" => "no such name".to_owned(),
        None => "no such data".to_owned(),
    };
    let record = |record: &node::admin::RecordText| match record.record_type == entry.record_type {
        true => record.data.clone(),
        false => format!("{} {}", record.record_type, record.data),
    };
    let mut records = entry.records.iter().map(record);
    let ttl = match entry.ttl_secs {
        0 => "stale".to_owned(),
        secs => secs.to_string(),
    };
    table.row([
        &entry.name,
        &entry.record_type,
        &entry.origin,
        &entry.rcode,
        &entry.trust,
        &entry.security,
        &ttl,
        &records.next().unwrap_or(none),
    ]);
    for data in records {
        table.row(["", "", "", "", "", "", "", &data]);
    }
}
