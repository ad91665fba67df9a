//! Scenarios: what servers say, what a client asks, and what it must get, as text. `docs/scenarios.md`
//! has the form. `NEXUS_SCENARIO=part-of-a-path` runs those files alone and shows what they did.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot build its scenario has failed"
)]

mod check;
mod config;
mod entry;
mod faults;
mod lines;
mod packet;
mod policy;
mod record;
mod run;
mod scenario;
mod servers;

use std::path::{Path, PathBuf};

use crate::lines::Text;
use crate::scenario::Scenario;

/// Files that are expected to fail, each with the reason: defects that wait to be mended.
const KNOWN_FAILURES: &str = include_str!("known-failures.txt");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

/// Reads one file, or says what is wrong with it.
fn read_file(name: &str) -> Result<Scenario, String> {
    let text = Text::open(&root(), name).map_err(|fault| fault.to_string())?;
    if !text.starts_with_citation() {
        return Err(format!(
            "{name}:1: a comment must come first: what the file shows, and the RFC: `; … (RFC …)`"
        ));
    }
    Scenario::parse(text).map_err(|fault| fault.to_string())
}

/// Runs a scenario with each seed; gives the report of the last run, or what was not as expected.
fn run_with_seeds(scenario: &Scenario) -> Result<String, String> {
    let mut report = String::new();
    for seed in 0..scenario.settings.seeds {
        report = run::run(scenario, seed).map_err(|failure| format!("{failure}\nseed: {seed}"))?;
    }
    Ok(report)
}

/// Runs all files of a folder, and lists all that fail.
fn run_folder(folder: &str) {
    let wanted = std::env::var("NEXUS_SCENARIO").unwrap_or_default();
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| format!("{folder}/{}", entry.unwrap().file_name().display()))
        .filter(|name| name.ends_with(".rpl"))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "{folder} has no scenarios");
    let mut wrong = Vec::new();
    for name in names.iter().filter(|name| name.contains(&wanted)) {
        let known = KNOWN_FAILURES
            .lines()
            .any(|line| line.split_whitespace().next() == Some(name.as_str()));
        // A mistake in the file is no defect that could be known.
        let scenario = match read_file(name) {
            Ok(scenario) => scenario,
            Err(mistake) => {
                wrong.push(mistake);
                continue;
            }
        };
        match run_with_seeds(&scenario) {
            Ok(report) => {
                if !wanted.is_empty() {
                    eprint!("{name}: as expected\n{report}");
                }
                if known {
                    wrong.push(format!("{name}: passes, but is in known-failures.txt"));
                }
            }
            Err(_) if known => {}
            Err(failure) => wrong.push(failure),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} scenarios failed:\n\n{}",
        wrong.len(),
        names.len(),
        wrong.join("\n\n")
    );
}

macro_rules! folders {
    ($($folder:ident),* $(,)?) => {
        const FOLDERS: &[&str] = &[$(stringify!($folder)),*];

        $(#[test]
        fn $folder() {
            run_folder(stringify!($folder));
        })*
    };
}

folders!(
    aggressive,
    aliases,
    caching,
    cookies,
    edns,
    forwarding,
    iteration,
    limits,
    minimising,
    negative,
    policy,
    prefetching,
    priming,
    stale,
    stubs,
    validation,
);

#[test]
fn every_folder_of_scenarios_is_run_and_every_known_failure_is_a_file() {
    for entry in std::fs::read_dir(root()).unwrap() {
        let (path, name) = entry
            .map(|entry| (entry.path(), entry.file_name()))
            .unwrap();
        let name = name.to_str().unwrap().to_owned();
        let is_run = !path.is_dir() || name == "shared" || FOLDERS.contains(&name.as_str());
        assert!(is_run, "{name} is a folder of scenarios that no test runs");
    }
    for line in KNOWN_FAILURES.lines().filter(|line| !line.starts_with('#')) {
        let (file, reason) = line.split_once(' ').unwrap_or((line, ""));
        assert!(root().join(file).is_file(), "{file} is no file");
        assert!(!reason.trim().is_empty(), "{file} needs a reason");
    }
}
