//! `nexus stats`: rates, one line an interval, or all counters at once.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use node::admin::{self, Request, Response};

use crate::client::{Client, PROBE_TIMEOUT};
use crate::exit::Exit;
use crate::observe;
use crate::options::Options;
use crate::print::{self, Align, Table};
use crate::rates::Rates;

const EXAMPLES: &str = "\
Examples:
  nexus stats                         One line each second until interrupted
  nexus stats --interval 10 --count 6
  nexus stats --once                  Every counter since start
  nexus stats --json | jq .queries_per_second

p50 and p99 are the time a query spends in the worker, its wait for a batch included.";

/// Lines between two headings of the live table.
const HEADING_LINES: u64 = 20;

/// Show rates of queries, answers, misses and drops.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Stats {
    /// Print every counter since start, once.
    #[arg(long, conflicts_with_all = ["interval", "count"])]
    once: bool,
    /// Seconds between two lines.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    interval: Duration,
    /// Stop after this many lines.
    #[arg(long, value_name = "LINES")]
    count: Option<u64>,
}

impl Stats {
    /// Samples the counters and prints what they did in between.
    ///
    /// # Errors
    /// When neither plane answers, or the writer fails.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let mut source = Source {
            options,
            client: None,
        };
        let first = source.sample()?;
        if self.once {
            if options.json {
                print::json(out, &first)?;
            } else {
                write_totals(out, &first)?;
            }
            return Ok(Exit::Success);
        }
        self.run_live(&mut source, first, out)?;
        Ok(Exit::Success)
    }

    fn run_live(
        &self,
        source: &mut Source<'_>,
        mut earlier: admin::Stats,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        let mut lines = 0;
        while self.count.is_none_or(|count| lines < count) {
            thread::sleep(self.interval);
            let later = source.sample()?;
            let rates = Rates::between(&earlier, &later);
            if source.options.json {
                print::json(out, &rates)?;
            } else {
                if lines % HEADING_LINES == 0 {
                    write_heading(out)?;
                }
                write_line(out, &rates)?;
            }
            out.flush()?; // Live also into a pipe.
            earlier = later;
            lines += 1;
        }
        Ok(())
    }
}

/// Where samples come from: control, and the dataplane's memory when control is dead.
struct Source<'a> {
    options: &'a Options,
    client: Option<Client>,
}

impl Source<'_> {
    fn sample(&mut self) -> anyhow::Result<admin::Stats> {
        match self.ask_control() {
            Ok(stats) => Ok(stats),
            Err(error) => {
                self.client = None;
                // The first error is the one to tell: it is about the plane that was asked.
                observe::stats(self.options).map_err(|other| error.context(format!("{other:#}")))
            }
        }
    }

    fn ask_control(&mut self) -> anyhow::Result<admin::Stats> {
        let client = match &mut self.client {
            Some(client) => client,
            None => {
                let path = self.options.control_socket()?;
                self.client.insert(Client::connect(&path, PROBE_TIMEOUT)?)
            }
        };
        match client.ask(&Request::Stats {})? {
            Response::Stats(stats) => Ok(*stats),
            _ => Err(client.mismatch().into()),
        }
    }
}

fn write_totals(out: &mut impl Write, stats: &admin::Stats) -> io::Result<()> {
    let mut totals: BTreeMap<&str, u64> = BTreeMap::new();
    for worker in &stats.workers {
        for (name, value) in &worker.counters {
            let total = totals.entry(name).or_default();
            *total = total.saturating_add(*value);
        }
    }
    let mut table = Table::new(&[("COUNTER", Align::Left), ("TOTAL", Align::Right)]);
    for (name, value) in totals {
        table.row([name, &print::thousands(value)]);
    }
    for (name, value) in &stats.control {
        table.row([name, &print::thousands(*value)]);
    }
    table.write(out)
}

fn write_heading(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{:>12} {:>12} {:>7} {:>10} {:>9} {:>9} {:>9} {:>9}",
        "queries/s", "answers/s", "hits", "punts/s", "errors/s", "drops/s", "p50 us", "p99 us"
    )
}

fn write_line(out: &mut impl Write, rates: &Rates) -> io::Result<()> {
    let microseconds = |nanoseconds: Option<u64>| match nanoseconds {
        None => "-".to_owned(),
        Some(nanoseconds) => format!("{}.{}", nanoseconds / 1_000, nanoseconds % 1_000 / 100),
    };
    writeln!(
        out,
        "{:>12} {:>12} {:>7} {:>10} {:>9} {:>9} {:>9} {:>9}",
        print::thousands(rates.queries_per_second),
        print::thousands(rates.answers_per_second),
        rates
            .hit_percent
            .map_or("-".to_owned(), |percent| format!("{percent:.1} %")),
        print::thousands(rates.punts_per_second),
        print::thousands(rates.errors_per_second),
        print::thousands(rates.drops_per_second),
        microseconds(rates.p50_ns),
        microseconds(rates.p99_ns),
    )
}

fn interval(text: &str) -> Result<Duration, String> {
    const MIN_SECS: f64 = 0.01;
    const MAX_SECS: f64 = 86_400.0;
    let seconds: f64 = text
        .parse()
        .map_err(|_| "expected a number of seconds".to_owned())?;
    if !(MIN_SECS..=MAX_SECS).contains(&seconds) {
        return Err(format!("expected {MIN_SECS} to {MAX_SECS} seconds"));
    }
    Ok(Duration::from_secs_f64(seconds))
}
