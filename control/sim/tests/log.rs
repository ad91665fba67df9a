//! Runs with a certificate log, about which up to f validators lie: no forked head gets a quorum, honest nodes cosign nothing
//! that was not decided, and go on publishing.

use sim::{Kind, LogReport, Options, Plan, Report, Sabotage, run};

/// Runs of all these tests together: as many as `SIM_LOG_SEEDS` says, or some hundred.
fn seeds(part: u64, parts: u64) -> impl Iterator<Item = u64> {
    let wanted = std::env::var("SIM_LOG_SEEDS").ok();
    let count = wanted.map_or(120, |count| count.parse().expect("a number of seeds"));
    (part..count).step_by(usize::try_from(parts).expect("few parts"))
}

fn run_with_log(seed: u64, kinds: &[Kind], liars: Option<usize>) -> Report {
    let plan = Plan::draw(seed, kinds, liars).with_log();
    run(&plan, Options::default())
}

/// All hold, and together they have seen what they are for.
fn assert_seeds_hold(part: u64) {
    let mut sum = Report::default();
    for seed in seeds(part, 4) {
        let report = run_with_log(seed, &Kind::ALL, None);
        assert_eq!(report.violation, None, "seed {seed}");
        assert!(
            report.log.published > 0,
            "seed {seed}: nothing was published"
        );
        sum.add(report);
    }
    let LogReport {
        heads,
        cosigned,
        published,
        forged,
        forks,
        unknown,
        malformed,
    } = sum.log;
    let all = [
        heads, cosigned, published, forged, forks, unknown, malformed,
    ];
    assert!(all.into_iter().all(|count| count > 0), "{:?}", sum.log);
    assert!(sum.crashes > 0);
}

#[test]
fn no_forked_head_gets_a_quorum_and_honest_nodes_publish_on_1_of_4() {
    assert_seeds_hold(0);
}

#[test]
fn no_forked_head_gets_a_quorum_and_honest_nodes_publish_on_2_of_4() {
    assert_seeds_hold(1);
}

#[test]
fn no_forked_head_gets_a_quorum_and_honest_nodes_publish_on_3_of_4() {
    assert_seeds_hold(2);
}

#[test]
fn no_forked_head_gets_a_quorum_and_honest_nodes_publish_on_4_of_4() {
    assert_seeds_hold(3);
}

#[test]
fn without_liars_every_head_is_published_and_nothing_looks_forged() {
    let report = run_with_log(1, &[], None);
    assert_eq!(report.violation, None);
    let log = report.log;
    assert!(log.heads > 5 && log.published >= log.heads, "{log:?}");
    assert_eq!(
        (log.forged, log.forks, log.unknown, log.malformed),
        (0, 0, 0, 0)
    );
}

#[test]
fn same_seed_gives_the_same_run_to_the_last_note() {
    let options = Options {
        trace: true,
        ..Options::default()
    };
    let plan = Plan::draw(3, &Kind::ALL, None).with_log();
    let (one, other) = (run(&plan, options), run(&plan, options));
    assert!(one.trace.iter().any(|line| line.contains("NOTE")));
    let pairs = one.trace.iter().zip(&other.trace);
    let differ: Vec<_> = pairs.filter(|(one, other)| one != other).take(1).collect();
    assert!(differ.is_empty(), "{differ:#?}");
    assert_eq!(one.trace.len(), other.trace.len());
}

/// Whether one of these runs ends with a violation that says this.
fn is_found(plans: impl Iterator<Item = Plan>, sabotage: Sabotage, words: &str) -> bool {
    let options = Options {
        sabotage,
        ..Options::default()
    };
    let violations = plans.filter_map(|plan| run(&plan, options).violation);
    violations
        .into_iter()
        .any(|violation| violation.contains(words))
}

#[test]
fn quorum_of_liars_is_found_to_fork() {
    let kinds = [Kind::Byzantine];
    let plans = (0..20).map(|seed| Plan::draw(seed, &kinds, Some(3)).with_log());
    let small = plans.filter(|plan| plan.voters == 4);
    assert!(is_found(
        small,
        Sabotage::None,
        "a quorum has cosigned a forked head"
    ));
}

#[test]
fn node_that_forgets_in_a_crash_what_it_has_cosigned_is_found() {
    let kinds = [Kind::Crash, Kind::Delay];
    let plans = (0..40).map(|seed| Plan::draw(seed, &kinds, None).with_log());
    assert!(is_found(plans, Sabotage::ForgetHeads, "and had cosigned"));
}
