//! `sim`: runs simulated clusters from seeds, shows and shrinks what fails, judges histories.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context as _;
use clap::Parser;
use sim::linear::{self, Operation};
use sim::{Kind, Options, Plan, Report, run, shrink};

/// Runs whole clusters of replicas in one thread each, with faults, and judges every step.
///
/// A seed decides everything: the size of the cluster, its settings, what goes wrong and when. Each
/// run has two parts: faults first, then peace, in which all that honest clients want must be done.
/// Exit status 1 says that a judge found something; its seed is printed.
///
///   sim --seeds 0..1000                 a thousand runs
///   sim --seed 42 --trace               one run, every message
///   sim --seed 42 --shrink              the fewest faults with which it still fails
///   sim --seeds 0..100 --faults crash,torn,disk
///   sim --seeds 0..100 --log            real certificate logs, and liars about their heads
///   sim --seeds 0..50 --liars 2         more liars than it must withstand: a fork is found
///   sim check-history history.jsonl     judges what clients of a real cluster saw
#[derive(Debug, Parser)]
#[command(name = "sim", version, verbatim_doc_comment)]
struct Arguments {
    /// One run.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Many runs, `first..end`, by all processors.
    #[arg(long, value_parser = parse_range)]
    seeds: Option<Range<u64>>,
    /// Only these faults: loss, duplicate, delay, clog, partition, crash, torn, disk, clock, byzantine,
    /// membership; or `none`.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "all",
        value_name = "FAULTS"
    )]
    faults: Vec<String>,
    /// Exactly so many Byzantine nodes; if more than the cluster must withstand, all of them Twins.
    #[arg(long)]
    liars: Option<usize>,
    /// With a certificate log on all voters, about which liars lie as well.
    #[arg(long)]
    log: bool,
    /// Print what happens.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// If it fails, find the fewest faults with which it still does.
    #[arg(long, requires = "seed")]
    shrink: bool,
    /// Print the sums as JSON.
    #[arg(long)]
    json: bool,
    /// Use so many threads.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    threads: usize,
    #[command(subcommand)]
    command: Option<Subcommand>,
}

#[derive(Debug, clap::Subcommand)]
enum Subcommand {
    /// Judges whether a history of register operations is linearizable.
    ///
    /// The file has one JSON object a line: {"process":"n1/3","op":"write","key":"a","value":"17",
    /// "call":1000,"return":2000}. `op` is `read` or `write`, times are of one clock, `return` is null
    /// if nobody knows whether the operation took place. No two writes of a key have the same value.
    CheckHistory {
        /// The history.
        file: PathBuf,
    },
}

fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let expected = || format!("`{text}` is no range; expected FIRST..END, for example 0..100");
    let (first, end) = text.split_once("..").ok_or_else(expected)?;
    let number = |part: &str| part.parse::<u64>().map_err(|_| expected());
    Ok(number(first)?..number(end)?)
}

fn parse_kinds(names: &[String]) -> anyhow::Result<Vec<Kind>> {
    let mut kinds = BTreeSet::new();
    for name in names {
        match name.as_str() {
            "all" => kinds.extend(Kind::ALL),
            "none" => {}
            name => {
                kinds.insert(name.parse::<Kind>().map_err(anyhow::Error::msg)?);
            }
        }
    }
    Ok(kinds.into_iter().collect())
}

/// Runs a plan. A panic is a violation like any other.
fn run_guarded(plan: &Plan, options: Options) -> Report {
    catch_unwind(AssertUnwindSafe(|| run(plan, options))).unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<String>().cloned();
        let text = text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Report {
            seeds: 1,
            violation: Some(format!("panic: {}", text.unwrap_or_default())),
            ..Report::default()
        }
    })
}

/// The words of a violation without names and numbers, so that shrinking does not drift to another one.
fn sort_of(report: &Report) -> Option<String> {
    let text = report.violation.as_ref()?;
    let line = text.lines().next().unwrap_or_default();
    let is_plain = |word: &&str| !word.chars().any(|letter| letter.is_ascii_digit());
    let words: Vec<_> = line.split(' ').filter(is_plain).take(4).collect();
    Some(words.join(" "))
}

impl Arguments {
    fn run(&self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        if let Some(Subcommand::CheckHistory { file }) = &self.command {
            return check_history(file, out);
        }
        let kinds = parse_kinds(&self.faults)?;
        match (self.seed, &self.seeds) {
            (Some(seed), _) => self.run_one(&self.draw(seed, &kinds), out),
            (None, Some(seeds)) => self.run_many(seeds.clone(), &kinds, out),
            (None, None) => {
                anyhow::bail!("nothing to do: give --seed N or --seeds A..B, see --help")
            }
        }
    }

    fn draw(&self, seed: u64, kinds: &[Kind]) -> Plan {
        let plan = Plan::draw(seed, kinds, self.liars);
        if self.log { plan.with_log() } else { plan }
    }

    fn run_one(&self, plan: &Plan, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let mut options = Options {
            trace: self.trace && !self.shrink,
            ..Options::default()
        };
        let mut report = run_guarded(plan, options);
        let mut plan = plan.clone();
        if self.shrink && report.violation.is_some() {
            let sort = sort_of(&report);
            plan = shrink(&plan, |smaller| {
                sort_of(&run_guarded(smaller, options)) == sort
            });
            options.trace = self.trace;
            report = run_guarded(&plan, options);
        }
        for line in &report.trace {
            writeln!(out, "{line}")?;
        }
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        } else {
            writeln!(out, "{plan}")?;
            summarize(&report, out)?;
        }
        let failed = print_violation(plan.seed, &report, out)?;
        Ok(if failed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }

    fn run_many(
        &self,
        seeds: Range<u64>,
        kinds: &[Kind],
        out: &mut impl Write,
    ) -> anyhow::Result<ExitCode> {
        let available = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if self.threads == 0 {
            available
        } else {
            self.threads
        };
        let (next, sum) = (AtomicU64::new(seeds.start), Mutex::new(Report::default()));
        let (failures, begin) = (Mutex::new(Vec::new()), Instant::now());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= seeds.end {
                            return;
                        }
                        let plan = self.draw(seed, kinds);
                        let report = run_guarded(&plan, Options::default());
                        progress(seed, &seeds);
                        if report.violation.is_some()
                            && let Ok(mut failures) = failures.lock()
                        {
                            failures.push((seed, report.clone()));
                        }
                        if let Ok(mut sum) = sum.lock() {
                            sum.add(report);
                        }
                    }
                });
            }
        });
        let sum = sum.into_inner().unwrap_or_default();
        let mut failures = failures.into_inner().unwrap_or_default();
        failures.sort_by_key(|(seed, _)| *seed);
        for (seed, report) in &failures {
            print_violation(*seed, report, out)?;
        }
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&sum)?)?;
        } else {
            summarize(&sum, out)?;
        }
        let cost = begin.elapsed().as_secs_f64() * 1000.0 / (sum.seeds.max(1) as f64);
        writeln!(
            out,
            "{} of {} seeds failed; {cost:.1} ms a seed with {threads} threads",
            failures.len(),
            sum.seeds
        )?;
        Ok(if failures.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn progress(seed: u64, seeds: &Range<u64>) {
    if seed > seeds.start && (seed - seeds.start).is_multiple_of(500) {
        eprintln!("{} of {}", seed - seeds.start, seeds.end - seeds.start);
    }
}

fn summarize(report: &Report, out: &mut impl Write) -> anyhow::Result<()> {
    let seconds = report.simulated_us / 1_000_000;
    writeln!(
        out,
        "simulated: {seconds} s, {} steps, {} messages",
        report.steps, report.delivered
    )?;
    writeln!(
        out,
        "committed: {} batches, {} requests, {} reads; by nodes: {} fast, {} slow",
        report.batches, report.requests, report.reads, report.fast_commits, report.slow_commits
    )?;
    writeln!(
        out,
        "views: {} wanted, {} entered, highest {}; highest epoch {}; {} times catching up",
        report.views_wanted,
        report.views_entered,
        report.view_max,
        report.epoch_max,
        report.transfers
    )?;
    let faults = report
        .faults
        .iter()
        .map(|(name, count)| format!("{name} {count}"));
    writeln!(out, "faults: {}", faults.collect::<Vec<_>>().join(", "))?;
    writeln!(
        out,
        "dropped: {} malformed, {} badly signed, {} of no use; evidence {} times",
        report.malformed, report.bad_signatures, report.useless, report.evidence
    )?;
    let log = report.log;
    if log.heads > 0 {
        writeln!(
            out,
            "log: {} heads, {} cosignatures sent, published {} times; liars forged {} notes: {} of another tree, {} not of \
             their signer, {} malformed",
            log.heads,
            log.cosigned,
            log.published,
            log.forged,
            log.forks,
            log.unknown,
            log.malformed
        )?;
    }
    Ok(())
}

fn print_violation(seed: u64, report: &Report, out: &mut impl Write) -> anyhow::Result<bool> {
    if let Some(violation) = &report.violation {
        writeln!(out, "VIOLATION with seed {seed}: {violation}")?;
    }
    Ok(report.violation.is_some())
}

fn check_history(file: &PathBuf, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let lines = File::open(file).with_context(|| format!("{}", file.display()))?;
    let mut history: Vec<Operation> = Vec::new();
    for (number, line) in BufReader::new(lines).lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let place = || format!("{}:{}", file.display(), number + 1);
        history.push(serde_json::from_str(&line).with_context(place)?);
    }
    match linear::check(&history) {
        Ok(()) => {
            writeln!(out, "{} operations: linearizable", history.len())?;
            Ok(ExitCode::SUCCESS)
        }
        Err(violation) => {
            writeln!(out, "NOT linearizable: {violation}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    arguments
        .run(&mut std::io::stdout().lock())
        .unwrap_or_else(|error| {
            eprintln!("sim: {error:#}");
            ExitCode::from(2)
        })
}
