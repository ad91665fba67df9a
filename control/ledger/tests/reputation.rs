//! Scores, isolation, leaders, assessments: what liars cannot do, and what evidence does.

mod common;

use common::*;
use consensus::NodeId;
use ledger::{
    Applications, Cause, Change, Class, Command, Event, Indicator, MARKS_MAX, Outcome, PLACES_MAX,
    Parameters, Reason, Report, Score,
};

fn convict(cluster: &mut Cluster, node: usize, sequence: u64) -> Outcome {
    let evidence = evidence(&cluster.genesis, cluster.ids[node], sequence);
    let sender = cluster.ids[(node + 1) % cluster.ids.len()];
    cluster.one(sender, Command::Evidence(Box::new(evidence)))
}

#[test]
fn report_of_as_many_as_may_be_faulty_changes_no_score() {
    let mut cluster = Cluster::of(4);
    let pending = Outcome::Pending {
        supporters: 1,
        wanted: 2,
    };
    assert_eq!(cluster.report(0, 3, Event::Contradiction, 2), pending);
    assert_eq!(
        cluster.report(0, 3, Event::Contradiction, 2),
        Outcome::Known
    );
    assert_eq!(cluster.micros(3), 500_000);
    assert!(cluster.ledger.explain(cluster.ids[3]).is_empty());
    // In the next window the first report is still there to be joined, in the one after it is not.
    cluster.time_ms = (cluster.time_ms / MINUTE_MS + 3) * MINUTE_MS;
    assert_eq!(cluster.report(1, 3, Event::Contradiction, 2), pending);
    assert_eq!(cluster.micros(3), 500_000);
    assert_eq!(
        cluster.report(1, 2, Event::Contradiction, 0),
        Outcome::Known
    );
    cluster.root(Applications::default());
}

#[test]
fn each_event_has_its_weight_when_enough_report_it() {
    for (event, micros) in [
        (Event::Consensus, 510_000),
        (Event::InvalidSignature, 400_000),
        (Event::TimingViolation, 450_000),
        (Event::Contradiction, 350_000),
        (Event::Partition, 480_000),
    ] {
        let mut cluster = Cluster::of(4);
        cluster.report(0, 3, event, 1);
        assert_eq!(cluster.report(1, 3, event, 1), Outcome::Done);
        assert_eq!(cluster.micros(3), micros, "{event:?}");
        let marks = cluster.ledger.explain(cluster.ids[3]);
        assert_eq!(marks.len(), 1);
        assert_eq!(
            (marks[0].cause, marks[0].count),
            (Cause::Reported(event), 1)
        );
        assert_eq!(marks[0].change, i64::from(micros) - 500_000);
        assert_eq!(marks[0].reporters, cluster.ids[..2]);
        let average = Score::from_micros((500_000 * 95 + micros * 5) / 100);
        assert_eq!(
            cluster.ledger.assess(cluster.ids[3]).unwrap().average,
            average
        );
        cluster.root(Applications::default());
    }
}

#[test]
fn count_that_matters_is_the_one_that_an_honest_reporter_reaches() {
    let mut cluster = Cluster::of(7);
    cluster.report(0, 6, Event::Consensus, 10);
    cluster.report(1, 6, Event::Consensus, 9);
    assert_eq!(cluster.micros(6), 500_000, "two of seven may be faulty");
    cluster.report(2, 6, Event::Consensus, 1);
    assert_eq!(cluster.micros(6), 510_000);
    cluster.report(3, 6, Event::Consensus, 4);
    assert_eq!(cluster.micros(6), 540_000);
    cluster.report(4, 6, Event::Consensus, 2);
    assert_eq!(cluster.micros(6), 540_000);
}

#[test]
fn reports_about_oneself_strangers_and_other_times_are_refused() {
    let mut cluster = Cluster::of(4);
    assert_eq!(
        cluster.report(0, 0, Event::Consensus, 1),
        Outcome::Refused(Reason::OwnSubject)
    );
    let window = cluster.ledger.window();
    for (subject, window, reason) in [
        (NodeId(1), window, Reason::NoSuchNode),
        (cluster.ids[1], window + 1, Reason::WrongTime),
        (cluster.ids[1], window - 2, Reason::WrongTime),
        (cluster.ids[1], u64::MAX, Reason::WrongTime),
    ] {
        let report = Report {
            subject,
            event: Event::Consensus,
            count: 1,
            window,
        };
        let outcome = cluster.one(cluster.ids[0], Command::Report(report));
        assert_eq!(outcome, Outcome::Refused(reason));
    }
}

#[test]
fn evidence_counts_at_once_and_once_a_place() {
    let mut cluster = Cluster::of(4);
    assert_eq!(convict(&mut cluster, 2, 50), Outcome::Done);
    assert_eq!(cluster.micros(2), 350_000);
    assert_eq!(convict(&mut cluster, 2, 50), Outcome::Known);
    assert_eq!(cluster.micros(2), 350_000);
    assert_eq!(convict(&mut cluster, 2, 51), Outcome::Done);
    assert_eq!(cluster.micros(2), 200_000);
    let causes: Vec<_> = cluster
        .ledger
        .explain(cluster.ids[2])
        .iter()
        .map(|m| m.cause)
        .collect();
    assert!(matches!(
        causes[0],
        Cause::Evidence(consensus::Sequence(50))
    ));
    assert!(matches!(causes[1], Cause::Isolated(_)));
    let stranger = evidence(&cluster.genesis, NodeId(5), 50);
    let outcome = cluster.one(cluster.ids[0], Command::Evidence(Box::new(stranger)));
    assert_eq!(outcome, Outcome::Refused(Reason::NoSuchNode));
    cluster.root(Applications::default());
}

#[test]
fn places_of_contradictions_are_bounded_and_old_ones_never_count_again() {
    let mut cluster = Cluster::of(4);
    let many = PLACES_MAX as u64 + 10;
    for sequence in 1000..1000 + many {
        assert_eq!(convict(&mut cluster, 2, sequence), Outcome::Done);
    }
    for sequence in 1000..1000 + many {
        assert_eq!(convict(&mut cluster, 2, sequence), Outcome::Known);
    }
    assert_eq!(cluster.ledger.explain(cluster.ids[2]).len(), MARKS_MAX);
    cluster.root(Applications::default());
}

#[test]
fn who_contradicts_itself_is_shut_out_for_a_time_and_then_forgiven() {
    let mut cluster = Cluster::of(4);
    let culprit = cluster.ids[0];
    convict(&mut cluster, 0, 5);
    assert_eq!(cluster.ledger.shut_out(), [culprit]);
    let wanted = cluster.wanted();
    assert_eq!(wanted.isolated(), [culprit]);
    assert_eq!(wanted.leaders(), &cluster.ids[1..]);
    assert_eq!(wanted.voters_count(), 4, "it still counts in n");

    // It may not act, speak of others, or lift its own isolation.
    let refused = Outcome::Refused(Reason::Isolated);
    assert_eq!(cluster.one(culprit, add("x", 1)), refused);
    assert_eq!(cluster.report(0, 1, Event::Partition, 1), refused);
    assert_eq!(cluster.propose(0, &Change::Lift(culprit)), refused);

    cluster.wait(HOUR_MS - 100);
    assert_eq!(cluster.ledger.shut_out(), [culprit]);
    cluster.wait(100);
    assert!(cluster.ledger.shut_out().is_empty());
    assert!(cluster.wanted().isolated().is_empty());
    assert_eq!(convict(&mut cluster, 0, 5), Outcome::Known);
    assert_eq!(
        convict(&mut cluster, 0, 6),
        Outcome::Known,
        "of before its isolation ended"
    );
    assert_eq!(convict(&mut cluster, 0, 1_000_000), Outcome::Done);
    cluster.root(Applications::default());
}

#[test]
fn operators_lift_an_isolation_by_more_nodes_than_may_be_faulty() {
    let mut cluster = Cluster::of(4);
    for sequence in 5..15 {
        convict(&mut cluster, 3, sequence);
    }
    assert_eq!(cluster.micros(3), 0);
    let lift = Change::Lift(cluster.ids[3]);
    cluster.propose(0, &lift);
    assert_eq!(cluster.ledger.shut_out(), [cluster.ids[3]]);
    assert_eq!(cluster.propose(1, &lift), Outcome::Done);
    assert!(cluster.ledger.shut_out().is_empty());
    assert_eq!(cluster.micros(3), 300_000, "on probation");
    let last = cluster.ledger.explain(cluster.ids[3]).last().unwrap().cause;
    assert_eq!(last, Cause::Lifted);
    cluster.root(Applications::default());
}

#[test]
fn no_more_are_shut_out_than_may_be_faulty_and_those_are_the_worst() {
    for voters in [1, 2, 3] {
        let mut cluster = Cluster::of(voters);
        convict(&mut cluster, 0, 5);
        assert!(cluster.ledger.shut_out().is_empty(), "{voters} voters");
        assert!(
            cluster.wanted().is_like(&cluster.genesis),
            "{voters} voters"
        );
    }
    let mut cluster = Cluster::of(7);
    for node in 0..5 {
        convict(&mut cluster, node, 5);
    }
    convict(&mut cluster, 3, 6);
    convict(&mut cluster, 4, 6);
    let mut worst = cluster.ledger.shut_out();
    worst.sort_unstable();
    assert_eq!(worst, cluster.ids[3..5]);
    assert_eq!(cluster.wanted().isolated(), worst);
    assert_eq!(cluster.wanted().leaders().len(), 5);
}

#[test]
fn low_score_isolates_by_reports_but_silence_never_does() {
    let mut cluster = Cluster::of(4);
    for _ in 0..20 {
        cluster.time_ms += MINUTE_MS;
        for reporter in [0, 1, 2] {
            cluster.report(reporter, 3, Event::Partition, 5);
        }
    }
    assert!(
        (250_000..260_000).contains(&cluster.micros(3)),
        "{}",
        cluster.micros(3)
    );
    assert!(cluster.ledger.shut_out().is_empty());
    for reporter in [0, 1] {
        cluster.report(reporter, 3, Event::InvalidSignature, 1);
    }
    assert_eq!(cluster.ledger.shut_out(), [cluster.ids[3]]);
    cluster.root(Applications::default());
}

#[test]
fn poor_nodes_lead_last_and_the_order_does_not_flap() {
    let mut cluster = Cluster::of(4);
    assert!(cluster.wanted().is_like(&cluster.genesis));
    for reporter in [1, 2] {
        cluster.report(reporter, 0, Event::TimingViolation, 3);
    }
    assert_eq!(cluster.micros(0), 350_000);
    assert!(
        cluster.wanted().is_like(&cluster.genesis),
        "not below the threshold yet"
    );
    for reporter in [1, 2] {
        cluster.report(reporter, 0, Event::Partition, 1);
    }
    let order = [1, 2, 3, 0].map(|index| cluster.ids[index]);
    assert_eq!(cluster.wanted().leaders(), order);
    assert_eq!(
        cluster.ledger.assess(cluster.ids[0]).unwrap().class,
        Class::Poor
    );
    for reporter in [1, 2] {
        cluster.report(reporter, 0, Event::Consensus, 5);
    }
    assert_eq!(cluster.micros(0), 380_000);
    assert_eq!(
        cluster.wanted().leaders(),
        order,
        "it takes more than the same step back"
    );
    // Time makes it sound again, after 400 minutes or so.
    cluster.wait(3 * HOUR_MS);
    assert_eq!(cluster.wanted().leaders(), order);
    cluster.wait(5 * HOUR_MS);
    assert_eq!(cluster.wanted().leaders(), cluster.ids);
    cluster.root(Applications::default());
}

#[test]
fn assessment_shows_a_slow_node_though_others_lie_about_themselves() {
    let mut cluster = Cluster::of(7);
    for minute in 0..20_u32 {
        cluster.time_ms += MINUTE_MS;
        for subject in 0..7 {
            for reporter in (0..7).filter(|reporter| *reporter != subject) {
                // Node 6 is slow; nodes 4 and 5 say that it is fast and all others are slow.
                let is_liar = reporter == 4 || reporter == 5;
                let latency_us = match (subject == 6) != is_liar {
                    true => 50_000,
                    false => 2000 + minute % 5 * 100,
                };
                let outcome = cluster.measure(reporter, subject, latency_us);
                assert_eq!(outcome, Outcome::Done);
            }
        }
    }
    assert_eq!(cluster.measure(0, 1, 5), Outcome::Known, "one a window");
    for node in 0..7 {
        let known = cluster.ledger.assess(cluster.ids[node]).unwrap();
        let is_slow = known
            .indicators
            .iter()
            .any(|i| matches!(i, Indicator::Slow { .. }));
        assert_eq!(is_slow, node == 6, "{known:?}");
        assert_eq!(known.confidence, Score::MAX);
        assert_eq!(known.participation, Some(Score::from_micros(980_000)));
        assert_eq!(known.signatures, Some(Score::MAX));
        assert_eq!(known.uptime, Some(Score::MAX));
    }
    cluster.root(Applications::default());
}

#[test]
fn little_known_node_is_called_unsure() {
    let mut cluster = Cluster::of(4);
    cluster.measure(0, 1, 100);
    let known = cluster.ledger.assess(cluster.ids[1]).unwrap();
    assert!(
        matches!(known.indicators[..], [Indicator::Unsure(_)]),
        "{known:?}"
    );
    assert!(cluster.ledger.assess(NodeId(1)).is_none());
}

#[test]
fn trust_follows_reports_and_the_trusted_set_those_in_good_standing() {
    let mut cluster = Cluster::of(4);
    let ids = cluster.ids.clone();
    for _ in 0..3 {
        cluster.time_ms += MINUTE_MS;
        for reporter in 0..4 {
            for subject in (0..4).filter(|subject| *subject != reporter) {
                // Node 3 slanders all others; they see it take part, and sign badly.
                let event = match (reporter, subject) {
                    (3, _) | (_, 3) => Event::InvalidSignature,
                    _ => Event::Consensus,
                };
                cluster.report(reporter, subject, event, 1);
            }
        }
    }
    assert!(cluster.ledger.trust(ids[0], ids[1]) > Score::NEUTRAL);
    assert!(cluster.ledger.trust(ids[3], ids[0]) < Score::NEUTRAL);
    assert!(cluster.ledger.trust_of_all(ids[3]) < Score::NEUTRAL);
    assert!(cluster.ledger.trust_of_all(ids[0]) > cluster.ledger.trust_of_all(ids[3]));
    let minimum = Score::from_micros(400_000);
    assert_eq!(cluster.ledger.trusted(minimum), ids[..3]);
    assert!(cluster.ledger.trusted(Score::MAX).is_empty());
    cluster.root(Applications::default());
    // Nothing said is forgotten in the end.
    cluster.wait(24 * 30 * HOUR_MS);
    assert_eq!(cluster.ledger.trust(ids[3], ids[0]), Score::NEUTRAL);
    cluster.root(Applications::default());
}

#[test]
fn fast_path_and_patience_are_for_those_in_good_standing() {
    let mut cluster = Cluster::of(4);
    let leader = cluster.ids[0];
    assert!(cluster.ledger.is_fast_path_promising());
    assert_eq!(cluster.ledger.patience_percent(leader), 100);
    for reporter in [1, 2] {
        cluster.report(reporter, 0, Event::TimingViolation, 4);
    }
    assert!(!cluster.ledger.is_fast_path_promising());
    assert_eq!(cluster.ledger.patience_percent(leader), 50);

    // Who is seldom there keeps everybody's consent from coming in time.
    let mut cluster = Cluster::of(4);
    let measurement = ledger::Measurement {
        window: cluster.time_ms / MINUTE_MS,
        votes_expected: 10,
        votes_seen: 8,
        ..ledger::Measurement::default()
    };
    cluster.wait(1);
    for reporter in [1, 2, 3] {
        let measure = Command::Measure(cluster.ids[0], measurement);
        assert_eq!(cluster.one(cluster.ids[reporter], measure), Outcome::Done);
    }
    assert!(!cluster.ledger.is_fast_path_promising());
    assert_eq!(cluster.ledger.patience_percent(cluster.ids[0]), 100);
}

/// How a node fares that contradicts now and then, as the others see it minute by minute.
struct Life {
    cluster: Cluster,
    liar: usize,
    minute: u64,
    lowest: u32,
}

impl Life {
    /// Node 3 of four, with a score that it has had time to earn.
    fn at(micros: u32) -> Self {
        let mut life = Self {
            cluster: Cluster::of(4),
            liar: 3,
            minute: 0,
            lowest: micros,
        };
        // So that a minute of the test is a window.
        life.cluster.time_ms = START_MS / MINUTE_MS * MINUTE_MS;
        while life.cluster.micros(3) != micros {
            let is_low = life.cluster.micros(3) < micros;
            life.pass(&[match is_low {
                true => (Event::Consensus, 10),
                false => (Event::Partition, 5),
            }]);
        }
        life.lowest = life.cluster.micros(3);
        life
    }

    /// A minute in which all others see this, and say so at its end. Contradictions are said at once.
    fn pass(&mut self, seen: &[(Event, u32)]) {
        let contradicts = |(event, _): &&(Event, u32)| *event == Event::Contradiction;
        let (at_once, later): (Vec<_>, Vec<_>) = seen.iter().partition(contradicts);
        self.say(0, &at_once);
        self.minute += 1;
        self.cluster.time_ms = (self.cluster.time_ms / MINUTE_MS + 1) * MINUTE_MS;
        self.say(1, &later);
        self.lowest = self.lowest.min(self.cluster.micros(self.liar));
    }

    fn say(&mut self, windows_ago: u64, events: &[(Event, u32)]) {
        for (event, count) in events {
            for reporter in (0..4).filter(|node| *node != self.liar) {
                let report = Report {
                    subject: self.cluster.ids[self.liar],
                    event: *event,
                    count: *count,
                    window: (self.cluster.time_ms + 1) / MINUTE_MS - windows_ago,
                };
                let reporter = self.cluster.ids[reporter];
                self.cluster.one(reporter, Command::Report(report));
            }
        }
    }

    /// The minute, from the first contradiction, in which it is shut out, if it contradicts every so many of them.
    fn shut_out_when_lying_every(&mut self, minutes: u64) -> Option<u64> {
        let begun = self.minute;
        while self.minute < begun + 24 * 60 {
            let passed = self.minute - begun;
            let lie = (Event::Contradiction, 1);
            let all = [(Event::Consensus, 10), lie];
            self.pass(&all[..1 + usize::from(passed.is_multiple_of(minutes))]);
            if !self.cluster.ledger.shut_out().is_empty() {
                return Some(passed + 1);
            }
        }
        None
    }
}

/// The table in docs/ledger.md, "Reputation": minutes between contradictions, then the minute in which a node is shut out
/// that stood at the best, at neutral, and at the lowest that silence leads to.
#[test]
fn who_contradicts_again_and_again_is_shut_out_in_time_and_who_does_seldom_is_not() {
    let expected = [
        (1, Some(6), Some(3), Some(3)),
        (2, Some(11), Some(5), Some(3)),
        (5, Some(26), Some(11), Some(6)),
        (10, Some(51), Some(21), Some(11)),
        (15, None, None, None),
        (60, None, None, None),
    ];
    let found = expected.map(|(minutes, ..)| {
        let [best, neutral, low] = [1_000_000, 500_000, 250_000].map(|micros| {
            let mut life = Life::at(micros);
            let minute = life.shut_out_when_lying_every(minutes);
            life.cluster.root(Applications::default());
            minute
        });
        (minutes, best, neutral, low)
    });
    assert_eq!(found, expected);
}

#[test]
fn honest_node_is_not_shut_out_though_it_is_cut_off_restarts_and_is_wrong_once_an_hour() {
    let mut life = Life::at(500_000);
    for minute in 0..24 * 60_u64 {
        // Half of the day its network comes and goes, or it is started again, several times a minute.
        let mut seen = match minute / 30 % 2 {
            0 => vec![(Event::Partition, 5)],
            _ => vec![(Event::Consensus, 10)],
        };
        if minute % 60 == 29 {
            seen.push((Event::Contradiction, 1));
        }
        life.pass(&seen);
        assert!(life.cluster.ledger.shut_out().is_empty(), "minute {minute}");
    }
    assert!(life.lowest >= 250_000, "{}", life.lowest);
}

#[test]
fn one_wrong_answer_that_is_seen_in_two_windows_isolates_nobody() {
    let mut cluster = Cluster::of(7);
    for _ in 0..20 {
        cluster.time_ms += MINUTE_MS;
        for reporter in [0, 1, 2] {
            cluster.report(reporter, 6, Event::Partition, 5);
        }
    }
    for reporters in [[0, 1, 2], [3, 4, 5]] {
        for reporter in reporters {
            cluster.report(reporter, 6, Event::Contradiction, 1);
        }
        cluster.time_ms += MINUTE_MS;
    }
    assert!(cluster.ledger.shut_out().is_empty());
    for reporter in [0, 1, 2] {
        cluster.report(reporter, 6, Event::Contradiction, 1);
    }
    assert_eq!(
        cluster.ledger.shut_out(),
        [cluster.ids[6]],
        "a third is none"
    );
}

#[test]
fn as_many_reporters_as_may_be_faulty_neither_isolate_nor_take_what_a_node_earns() {
    let mut cluster = Cluster::of(7);
    for minute in 1..=30 {
        cluster.time_ms += MINUTE_MS;
        for liar in [0, 1] {
            for event in Event::ALL {
                cluster.report(liar, 6, event, event.count_max());
            }
        }
        for honest in [2, 3, 4, 5] {
            cluster.report(honest, 6, Event::Consensus, 1);
        }
        assert!(cluster.micros(6) > 500_000, "minute {minute}");
    }
    assert!(cluster.ledger.shut_out().is_empty());
}

#[test]
fn threshold_so_high_that_one_contradiction_reaches_it_isolates_by_one() {
    let mut cluster = Cluster::of(4);
    let change = Change::Parameters(Parameters {
        isolation_below: Score::from_micros(400_000),
        ..Parameters::default()
    });
    cluster.propose(0, &change);
    assert_eq!(cluster.propose(1, &change), Outcome::Done);
    for reporter in [0, 1] {
        cluster.report(reporter, 3, Event::Contradiction, 1);
    }
    assert_eq!(cluster.ledger.shut_out(), [cluster.ids[3]]);
}
