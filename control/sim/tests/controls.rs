//! Negative controls: what is broken on purpose must be found, or the judges are blind.

use sim::{Kind, Options, Plan, Sabotage, run};

/// The first violation within these seeds that mentions the word.
fn find(
    seeds: std::ops::Range<u64>,
    kinds: &[Kind],
    liars: Option<usize>,
    sabotage: Sabotage,
    word: &str,
) -> Option<(u64, String)> {
    let options = Options {
        sabotage,
        ..Options::default()
    };
    seeds
        .filter_map(|seed| {
            let report = run(&Plan::draw(seed, kinds, liars), options);
            Some((seed, report.violation?))
        })
        .find(|(_, violation)| violation.contains(word))
}

#[test]
fn more_twins_than_bearable_are_found_to_fork() {
    let kinds = [Kind::Byzantine, Kind::Delay, Kind::Partition];
    let found = find(0..40, &kinds, Some(2), Sabotage::None, "fork");
    assert!(found.is_some());
}

#[test]
fn node_that_speaks_before_its_disk_is_found_to_contradict_itself() {
    let kinds = [Kind::Crash, Kind::Disk, Kind::Delay, Kind::Loss];
    let found = find(0..60, &kinds, None, Sabotage::SendBeforeDurable, "honest");
    assert!(found.is_some());
}

#[test]
fn node_that_forgets_its_promises_in_a_crash_is_found() {
    let kinds = [Kind::Crash, Kind::Delay, Kind::Loss];
    let found = find(0..60, &kinds, None, Sabotage::ForgetPromises, "honest");
    assert!(found.is_some());
}

#[test]
fn nodes_that_hide_their_locks_are_found_to_fork() {
    let kinds = [Kind::Crash, Kind::Delay, Kind::Loss, Kind::Partition];
    let found = find(0..600, &kinds, None, Sabotage::HideLocks, "fork");
    assert!(found.is_some());
}

#[test]
fn node_that_checks_no_signatures_is_found_to_execute_what_nobody_asked_for() {
    let kinds = [Kind::Byzantine];
    let found = find(0..60, &kinds, None, Sabotage::TrustSignatures, "never made");
    assert!(found.is_some());
}

#[test]
fn node_that_executes_wrongly_is_found() {
    let found = find(0..5, &[], None, Sabotage::BrokenMachine, "fork");
    assert!(found.is_some());
}
