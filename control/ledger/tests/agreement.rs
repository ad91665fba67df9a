//! Determinism: the same batches give the same replies, roots and snapshots, whoever looks in between and whoever restarts.

mod common;

use std::panic::AssertUnwindSafe;

use common::*;
use consensus::{ApplyContext, Digest, Role, Sequence, StateMachine, Wire};
use ledger::{
    AnswerBundle, AnswerItem, AnswerVote, Applications, Change, Command, Commands, CreateMode,
    Event, Ledger, Measurement, Opinion, Parameters, Question, Report, Security, ValidatedAnswers,
};
use proptest::prelude::*;

/// A command as a few small numbers, so that commands meet.
type Draft = (u8, u8, u8, u8);

const APEXES: [&[u8]; 3] = [b"\x07example\0", b"\x03one\x07example\0", b"\x05other\0"];

fn command(cluster: &Cluster, client: usize, draft: Draft) -> Command {
    let (kind, first, second, third) = draft;
    let node = cluster.ids[usize::from(first) % cluster.ids.len()];
    let apex = APEXES[usize::from(second) % 3];
    let window = (cluster.time_ms / MINUTE_MS).saturating_sub(u64::from(second % 2));
    let label = ["www", "mail", "ns", "", "a"][usize::from(third) % 5];
    let text = "@ 60 SOA ns host 7 3600 600 86400 60\n@ 60 NS ns\nns 60 A 192.0.2.1\n";
    match kind % 10 {
        0 => {
            let modes = [CreateMode::New, CreateMode::IfAbsent, CreateMode::Replace];
            create(zone_at(apex, text), modes[usize::from(first) % 3])
        }
        1 | 2 => {
            let data = [192, 0, 2, first % 8];
            let entry: Entry<'_> = match third % 4 {
                0 => (false, label, ANY, A, 0, &[]),
                1 => (false, label, NONE, A, 0, &data),
                _ => (false, label, IN, A, u32::from(first), &data),
            };
            let prerequisite = (true, "mail", ANY, A, 0, &[][..]);
            let entries = if second > 200 {
                vec![prerequisite, entry]
            } else {
                vec![entry]
            };
            update_at(apex, &entries)
        }
        3 => Command::ZoneDelete(apex.into()),
        4 => Command::Answers(answers(cluster, client, first, third)),
        5 => log_command(cluster, client, (first, second, third)),
        6 => {
            let event = Event::ALL[usize::from(third) % 5];
            Command::Report(Report {
                subject: node,
                event,
                count: u32::from(third),
                window,
            })
        }
        7 => {
            let measurement = Measurement {
                window,
                latency_us: u32::from(third) * 100,
                votes_expected: 10,
                votes_seen: u32::from(third % 11),
                ..Measurement::default()
            };
            Command::Measure(node, measurement)
        }
        8 => Command::Evidence(Box::new(evidence(&cluster.genesis, node, third.into()))),
        _ => Command::Propose(match third % 8 {
            5 => Change::CtRoots(ROOTS),
            6 => Change::CtOpen(shard("log27", 27)),
            7 => Change::CtOpen(shard("log28", 28)),
            0 => Change::Add(member(50 + first % 4, Role::Resolver)),
            1 => Change::Remove(member(50 + first % 4, Role::Resolver).id()),
            2 => Change::Alter(member(50 + first % 4, Role::Edge)),
            3 => Change::Lift(node),
            _ => Change::Parameters(Parameters {
                isolation_ms: 1000 * (1 + u64::from(first)),
                ..Parameters::default()
            }),
        }),
    }
}

fn log_command(cluster: &Cluster, client: usize, (first, second, third): (u8, u8, u8)) -> Command {
    let name = ["log27", "log28", "log29"][usize::from(first % 3)];
    match third % 5 {
        0 => Command::CtRefresh(name.into()),
        1 => Command::CtCosigner(cosigner(cluster, second, cluster.ids[client])),
        _ => {
            let certificate = certificate(second, 27 + first % 2);
            Command::CtEntries(submission(name, &[certificate]))
        }
    }
}

fn answers(cluster: &Cluster, client: usize, first: u8, third: u8) -> ValidatedAnswers {
    let item = |number: u8| AnswerItem {
        question: Question {
            name: [&[1, b'a' + number % 4][..], APEX].concat().into(),
            qtype: 1,
            qclass: 1,
        },
        digest: Digest::of(&[number]),
        records: bytes("records"),
        ttl: u32::from(number),
        security: Security::Secure,
    };
    let bundle = AnswerBundle {
        proposer: cluster.ids[client],
        time_ms: cluster.time_ms,
        items: vec![item(first), item(third)],
    };
    let digest = bundle.digest();
    let voters = cluster.ids.iter().filter(|id| **id != bundle.proposer);
    let opinions = [
        Opinion::Agree,
        Opinion::Disagree,
        Opinion::Agree,
        Opinion::NoAnswer,
    ];
    let votes = voters.zip(0_u8..).map(|(id, place)| {
        let opinion = |of: u8| opinions[usize::from(of >> (place % 4)) % 4];
        let opinions = vec![opinion(first), opinion(third)];
        AnswerVote::sign(cluster.genesis.cluster(), &Key(*id), digest, opinions)
    });
    ValidatedAnswers {
        votes: votes.collect(),
        bundle,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn replicas_agree_at_each_step_though_one_restarts_and_one_looks_seldom(
        batches in prop::collection::vec(
            (0_usize..5, 0_u64..300_000, prop::collection::vec(any::<Draft>(), 1..8)),
            1..60,
        ),
        restarts in prop::collection::vec(0_usize..60, 1..3),
    ) {
        let mut cluster = Cluster::of(5);
        let new = || Ledger::new(&cluster.genesis, Parameters::default(), Applications::default());
        let (mut steady, mut restarted, mut seldom) = (new(), new(), new());
        for (index, (client, pause_ms, drafts)) in batches.iter().enumerate() {
            cluster.time_ms += 1 + pause_ms;
            let commands = drafts.iter().map(|draft| command(&cluster, *client, *draft));
            let request = request(cluster.ids[*client], 1 + index as u64, commands.collect());
            let context = ApplyContext {
                sequence: Sequence(1 + index as u64),
                time_ms: cluster.time_ms,
            };
            if restarts.contains(&index) {
                let snapshot = restarted.snapshot();
                restarted = restarted.fresh();
                restarted.restore(&snapshot).unwrap();
            }
            let reply = steady.apply(context, &request);
            prop_assert_eq!(&restarted.apply(context, &request), &reply);
            prop_assert_eq!(&seldom.apply(context, &request), &reply);
            prop_assert_eq!(restarted.root(), steady.root());
            prop_assert_eq!(restarted.snapshot(), steady.snapshot());
            let wanted = steady.wanted_configuration(&cluster.genesis);
            prop_assert_eq!(&restarted.wanted_configuration(&cluster.genesis), &wanted);
            prop_assert!(wanted.leaders().len() > wanted.faults_max());
            prop_assert!(wanted.isolated().len() <= wanted.faults_max());
            prop_assert_eq!(wanted.isolated().len(), steady.shut_out().len());
        }
        prop_assert_eq!(seldom.root(), steady.root());
        prop_assert_eq!(seldom.snapshot(), steady.snapshot());
        // The naive root: all of the state at once, nothing kept from before.
        let mut fresh = Ledger::new(&genesis(1), Parameters::default(), Applications::default());
        fresh.restore(&steady.snapshot()).unwrap();
        prop_assert_eq!(fresh.root(), steady.root());
    }
}

/// A ledger with something of everything.
fn busy() -> Cluster {
    let mut cluster = Cluster::of(5);
    cluster.agree_on_log();
    let entries = Command::CtEntries(submission("log28", &[certificate(1, 28)]));
    cluster.one(cluster.ids[0], entries);
    for kind in [3, 0, 1, 2, 4, 5, 6, 7, 8, 9] {
        for number in [3_u8, 17, 40, 131] {
            let client = usize::from(number % 5);
            let command = command(&cluster, client, (kind, number, number, number ^ 0x55));
            cluster.one(cluster.ids[client], command);
        }
    }
    let ledger = &cluster.ledger;
    assert!(ledger.zones().next().is_some());
    assert!(ledger.proposals().next().is_some());
    assert!(ledger.ct_shards().any(|shard| shard.frontier.size() > 0));
    assert!(cluster.ids.iter().any(|id| !ledger.explain(*id).is_empty()));
    cluster
}

#[test]
fn snapshot_cut_at_any_byte_or_with_one_changed_is_refused_or_is_another_state() {
    let mut cluster = busy();
    let snapshot = cluster.ledger.snapshot();
    let root = cluster.ledger.root();
    for length in 0..snapshot.len() {
        assert!(
            cluster.ledger.restore(&snapshot[..length]).is_err(),
            "length={length}"
        );
    }
    assert_eq!(cluster.ledger.root(), root, "nothing has changed");
    let long = [&snapshot[..], &[0]].concat();
    assert!(cluster.ledger.restore(&long).is_err());
    for index in (0..snapshot.len()).step_by(3) {
        let mut other = snapshot.clone();
        other[index] ^= 1;
        if cluster.ledger.restore(&other).is_ok() {
            assert_eq!(cluster.ledger.snapshot(), other, "index={index}");
            assert_ne!(cluster.ledger.root(), root, "index={index}");
        }
    }
}

#[test]
fn any_bytes_as_commands_are_refused_or_have_one_form() {
    let corpus = busy().ledger.snapshot();
    bolero::check!().for_each(|bytes: &[u8]| {
        for bytes in [bytes, &[&corpus[..64], bytes].concat()] {
            if let Ok(commands) = Commands::from_bytes(bytes) {
                assert_eq!(commands.to_bytes(), bytes);
            }
        }
    });
}

#[test]
fn commands_with_any_byte_changed_are_refused_or_have_one_form_and_never_stop_a_ledger() {
    let cluster = Cluster::of(5);
    let all: Vec<Command> = (0..10)
        .map(|kind| command(&cluster, 1, (kind, 7, 9, 11)))
        .collect();
    let whole = Commands(all).to_bytes();
    let mut ledger = AssertUnwindSafe(Ledger::new(
        &cluster.genesis,
        Parameters::default(),
        Applications::default(),
    ));
    let mut sequence = 0;
    bolero::check!()
        .with_type::<(u16, u8, Option<u16>)>()
        .for_each(|(at, with, cut)| {
            let ledger = &mut ledger;
            let mut bytes = whole.clone();
            let length = bytes.len();
            bytes[usize::from(*at) % length] ^= with;
            bytes.truncate(cut.map_or(length, |cut| usize::from(cut) % length));
            if let Ok(commands) = Commands::from_bytes(&bytes) {
                assert_eq!(commands.to_bytes(), bytes);
            }
            let mut request = request(cluster.ids[1], 1, Vec::new());
            request.command = bytes.into();
            ledger.is_well_formed(&request);
            ledger.checks(cluster.genesis.cluster(), &request);
            sequence += 1;
            let context = ApplyContext {
                sequence: Sequence(sequence),
                time_ms: cluster.time_ms,
            };
            ledger.apply(context, &request);
        });
    ledger.root();
}

#[test]
fn any_bytes_in_a_snapshot_are_refused_or_restore_to_the_same_bytes() {
    let snapshot = busy().ledger.snapshot();
    let mut ledger = AssertUnwindSafe(Ledger::new(
        &genesis(1),
        Parameters::default(),
        Applications::default(),
    ));
    bolero::check!()
        .with_type::<(u32, Vec<u8>, bool)>()
        .for_each(|(at, with, is_whole)| {
            let ledger = &mut ledger;
            let mut bytes = snapshot.clone();
            let at = usize::try_from(*at).unwrap() % bytes.len();
            let end = bytes.len().min(at + with.len());
            bytes.splice(at..end, with.iter().copied());
            let bytes = if *is_whole { with } else { &bytes };
            if ledger.restore(bytes).is_ok() {
                assert_eq!(&ledger.snapshot(), bytes);
                ledger.root();
            }
        });
}
