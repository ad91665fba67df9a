//! `nexus lookup`: one question, resolved by control as for a client.

use std::io::{self, Write};

use node::admin::{self, LookupSource, RecordText, Request, Response};

use crate::exit::Exit;
use crate::options::Options;
use crate::print::{self, Align, Table};

const EXAMPLES: &str = "\
Examples:
  nexus lookup www.example.com              A records
  nexus lookup example.com MX
  nexus lookup example.com TYPE65           A type by its number, RFC 3597
  nexus lookup www.example.com --trace      Each step shown
  nexus lookup example.com NS --json | jq -r '.answer[].data'

Exit status 1 when the answer is neither NOERROR nor NXDOMAIN.";

/// Resolve a name through control's zones, cache and resolver.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Lookup {
    /// Name to ask for; a missing last dot is added.
    name: String,
    /// Record type by mnemonic, or by number as in TYPE65.
    #[arg(value_name = "TYPE", default_value = "A")]
    record_type: String,
    /// Print each step; what the resolver's cache knows takes one.
    #[arg(long)]
    trace: bool,
}

impl Lookup {
    /// Asks control and prints the sections of the answer.
    ///
    /// # Errors
    /// When control does not answer or refuses the name or type.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let request = Request::Lookup {
            name: self.name.clone(),
            record_type: self.record_type.clone(),
            trace: self.trace,
        };
        let mut client = options.connect()?;
        let Response::Lookup(answer) = client.ask(&request)? else {
            return Err(client.mismatch().into());
        };
        if options.json {
            print::json(out, &answer)?;
        } else {
            write_answer(out, &answer)?;
        }
        let is_answer = matches!(answer.rcode.as_str(), "NOERROR" | "NXDOMAIN");
        Ok(if is_answer {
            Exit::Success
        } else {
            Exit::Failure
        })
    }
}

fn write_answer(out: &mut impl Write, answer: &admin::Lookup) -> io::Result<()> {
    for step in &answer.trace {
        writeln!(
            out,
            "; {:>9} us  {}",
            print::thousands(step.at_us),
            print::clean(&step.text)
        )?;
    }
    let source = match answer.source {
        LookupSource::Zone => "a zone served here",
        LookupSource::Cache => "the resolver's cache",
        LookupSource::Forward => "an upstream",
        LookupSource::Recurse => "authoritative servers",
        LookupSource::Policy => "the policy",
    };
    write!(
        out,
        "; {}, flags {}, from {source}, {} us",
        print::clean(&answer.rcode),
        print::clean(&answer.flags.join(" ")),
        print::thousands(answer.elapsed_us)
    )?;
    let mut codes: Vec<String> = answer
        .extended_errors
        .iter()
        .map(ToString::to_string)
        .collect();
    if codes.is_empty() {
        codes.extend(answer.extended_error.map(|code| code.to_string())); // An older control.
    }
    if !codes.is_empty() {
        write!(out, ", extended error {}", codes.join(" "))?; // RFC 8914.
    }
    writeln!(out)?;
    let sections = [
        ("answer", &answer.answer),
        ("authority", &answer.authority),
        ("additional", &answer.additional),
    ];
    for (name, records) in sections {
        write_section(out, name, records)?;
    }
    Ok(())
}

fn write_section(out: &mut impl Write, name: &str, records: &[RecordText]) -> io::Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&[
        ("", Align::Left),
        ("", Align::Right),
        ("", Align::Left),
        ("", Align::Left),
        ("", Align::Left),
    ]);
    for record in records {
        table.row([
            &record.name,
            &record.ttl_secs.to_string(),
            &record.class,
            &record.record_type,
            &record.data,
        ]);
    }
    writeln!(out, "; {name}")?;
    table.write_rows(out)
}
