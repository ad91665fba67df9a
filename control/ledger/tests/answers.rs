//! Answers with votes, entries for the certificate log, applications.

#![expect(clippy::unwrap_used, reason = "a test fails then")]

mod common;

use std::sync::Arc;

use Opinion::{Agree, Disagree, NoAnswer};
use common::*;
use consensus::{ApplyContext, Digest, NodeId, REPLY_BYTES_MAX, RestoreError, StateMachine, Wire};
use ledger::{
    ANSWER_AGE_MS_MAX, ANSWERS_MAX, APPLICATION_REPLY_BYTES_MAX, AnswerBundle, AnswerItem,
    AnswerVote, Application, Applications, BUNDLE_ITEMS_MAX, Cause, Command, Commands, Opinion,
    Outcome, Question, Reason, Security, ValidatedAnswers, Verdict,
};

fn question(label: &str) -> Question {
    let length = [u8::try_from(label.len()).unwrap()];
    Question {
        name: [&length, label.as_bytes(), APEX].concat().into(),
        qtype: 1,
        qclass: 1,
    }
}

fn item(label: &str, ttl: u32) -> AnswerItem {
    AnswerItem {
        question: question(label),
        digest: Digest::of(label.as_bytes()),
        records: bytes("records"),
        ttl,
        security: Security::Insecure,
    }
}

/// A bundle of a node, with each vote's node and opinions.
fn answers(
    cluster: &Cluster,
    proposer: usize,
    items: Vec<AnswerItem>,
    votes: &[(usize, &[Opinion])],
) -> ValidatedAnswers {
    let bundle = AnswerBundle {
        proposer: cluster.ids[proposer],
        time_ms: cluster.time_ms,
        items,
    };
    let digest = bundle.digest();
    let sign = |(node, opinions): &(usize, &[Opinion])| {
        let key = Key(cluster.ids[*node]);
        AnswerVote::sign(cluster.genesis.cluster(), &key, digest, opinions.to_vec())
    };
    let votes = votes.iter().map(sign).collect();
    ValidatedAnswers { bundle, votes }
}

#[test]
fn answer_is_validated_by_a_quorum_with_the_proposer_and_kept_until_it_expires() {
    let mut cluster = Cluster::of(4);
    let items = vec![
        item("www", 300),
        item("few", 300),
        item("bad", 300),
        item("now", 0),
    ];
    let votes: [(usize, &[Opinion]); 3] = [
        (1, &[Agree, Agree, Disagree, Agree]),
        (2, &[Agree, NoAnswer, Disagree, Agree]),
        (3, &[Disagree, NoAnswer, NoAnswer, NoAnswer]),
    ];
    let answers = answers(&cluster, 0, items, &votes);
    let outcome = cluster.one(cluster.ids[0], Command::Answers(answers));
    let verdicts = [
        Verdict::Validated,
        Verdict::Undecided,
        Verdict::Refused,
        Verdict::Validated,
    ];
    assert_eq!(outcome, Outcome::Answers(verdicts.to_vec()));
    let answer = cluster.ledger.answer(&question("www")).unwrap();
    assert_eq!((answer.digest, answer.agreed), (Digest::of(b"www"), 3));
    for label in ["few", "bad", "now"] {
        assert!(cluster.ledger.answer(&question(label)).is_none(), "{label}");
    }
    cluster.root(Applications::default());

    // The proposer is marked once; who disagrees with a quorum has a lower accuracy and no mark.
    assert_eq!(cluster.micros(0), 350_000);
    assert_eq!(
        cluster.ledger.explain(cluster.ids[0])[0].cause,
        Cause::RefusedAnswers
    );
    assert_eq!(cluster.micros(3), 500_000);
    let accuracy = |node: usize| cluster.ledger.assess(cluster.ids[node]).unwrap().accuracy;
    assert_eq!(accuracy(3).unwrap().micros(), 0);
    assert_eq!(accuracy(1).unwrap().micros(), 1_000_000);

    cluster.wait(300_000);
    assert!(cluster.ledger.answer(&question("www")).is_none());
    cluster.root(Applications::default());
}

#[test]
fn proposer_whom_a_quorum_contradicts_is_isolated_and_one_whom_fewer_do_is_not() {
    for (votes, is_isolated) in [(2, false), (3, true)] {
        let mut cluster = Cluster::of(4);
        for _ in 0..10 {
            let all: [(usize, &[Opinion]); 3] = [1, 2, 3].map(|node| (node, &[Disagree][..]));
            let answers = answers(&cluster, 0, vec![item("www", 60)], &all[..votes]);
            cluster.one(cluster.ids[0], Command::Answers(answers));
        }
        let shut_out = cluster.ledger.shut_out();
        assert_eq!(
            shut_out.contains(&cluster.ids[0]),
            is_isolated,
            "{votes} votes"
        );
        assert_eq!(cluster.micros(0) >= 250_000, !is_isolated, "{votes} votes");
    }
}

#[test]
fn answer_that_expires_first_goes_when_there_are_too_many() {
    let mut cluster = Cluster::of(1);
    let node = cluster.ids[0];
    let bundle = |cluster: &mut Cluster, numbers: std::ops::Range<usize>| {
        let items = numbers.map(|number| {
            // The third of all expires first.
            let ttl = if number == 2 { 3000 } else { 3600 };
            item(&format!("n{number}"), ttl)
        });
        let answers = answers(cluster, 0, items.collect(), &[]);
        cluster.one(node, Command::Answers(answers));
    };
    for start in (0..ANSWERS_MAX).step_by(BUNDLE_ITEMS_MAX) {
        bundle(&mut cluster, start..start + BUNDLE_ITEMS_MAX);
    }
    cluster.ledger.root();
    bundle(&mut cluster, ANSWERS_MAX..ANSWERS_MAX + 1);
    let is_there = |number: usize| {
        let question = question(&format!("n{number}"));
        cluster.ledger.answer(&question).is_some()
    };
    assert!(!is_there(2));
    assert!([0, 1, 3, ANSWERS_MAX].into_iter().all(is_there));
    cluster.root(Applications::default());
}

#[test]
fn as_many_liars_as_may_be_faulty_neither_validate_nor_slander() {
    let mut cluster = Cluster::of(4);
    // The liar proposes alone, or with votes of nodes that have none.
    let alone = answers(&cluster, 3, vec![item("www", 60)], &[]);
    let outcome = cluster.one(cluster.ids[3], Command::Answers(alone));
    assert_eq!(outcome, Outcome::Answers(vec![Verdict::Undecided]));
    let mut padded = answers(&cluster, 3, vec![item("www", 60)], &[(0, &[Agree])]);
    for stranger in 1..=20 {
        let key = Key(NodeId(u64::MAX - 20 + stranger));
        let (digest, id) = (padded.bundle.digest(), cluster.genesis.cluster());
        padded
            .votes
            .push(AnswerVote::sign(id, &key, digest, vec![Agree]));
    }
    let outcome = cluster.one(cluster.ids[3], Command::Answers(padded));
    assert_eq!(outcome, Outcome::Answers(vec![Verdict::Undecided]));
    // The liar disagrees with everything.
    let slandered = answers(&cluster, 0, vec![item("www", 60)], &[(3, &[Disagree])]);
    let outcome = cluster.one(cluster.ids[0], Command::Answers(slandered));
    assert_eq!(outcome, Outcome::Answers(vec![Verdict::Undecided]));
    assert_eq!(cluster.micros(0), 500_000);
}

#[test]
fn votes_serve_their_proposer_and_their_time_alone() {
    let mut cluster = Cluster::of(4);
    let votes: [(usize, &[Opinion]); 2] = [(1, &[Agree]), (2, &[Agree])];
    let answers = answers(&cluster, 0, vec![item("www", 60)], &votes);
    let stolen = cluster.one(cluster.ids[3], Command::Answers(answers.clone()));
    assert_eq!(stolen, Outcome::Refused(Reason::NotProposer));
    cluster.wait(ANSWER_AGE_MS_MAX + 1);
    let late = cluster.one(cluster.ids[0], Command::Answers(answers));
    assert_eq!(late, Outcome::Refused(Reason::WrongTime));
}

#[test]
fn every_vote_and_all_evidence_is_named_for_checking() {
    let cluster = Cluster::of(4);
    let votes: [(usize, &[Opinion]); 2] = [(1, &[Agree]), (2, &[Disagree])];
    let answers = answers(&cluster, 0, vec![item("www", 60)], &votes);
    let proof = evidence(&cluster.genesis, cluster.ids[3], 9);
    let commands = vec![
        Command::Answers(answers.clone()),
        Command::Evidence(Box::new(proof)),
        Command::CtEntries(submission("log27", &[])),
    ];
    let id = cluster.genesis.cluster();
    let checks = cluster
        .ledger
        .checks(id, &request(cluster.ids[0], 1, commands));
    let signers: Vec<_> = checks.iter().map(|check| check.signer).collect();
    assert_eq!(signers, [1, 2, 3, 3].map(|node| cluster.ids[node]));
    // What is signed says which bundle, which opinions, which cluster.
    let digest = answers.bundle.digest();
    let check = |vote: &AnswerVote, id, digest| vote.check(id, digest).preimage;
    let own = check(&answers.votes[0], id, digest);
    assert_ne!(own, check(&answers.votes[1], id, digest));
    assert_ne!(own, check(&answers.votes[0], id, Digest::of(b"other")));
    assert_ne!(own, check(&answers.votes[0], genesis(5).cluster(), digest));
}

/// Adds up bytes; takes none that are odd.
#[derive(Debug, Default)]
struct Sum(u64);

impl Application for Sum {
    fn is_well_formed(&self, command: &[u8]) -> bool {
        command.iter().all(|byte| byte % 2 == 0)
    }

    fn apply(&mut self, context: ApplyContext, _: NodeId, command: &[u8]) -> Vec<u8> {
        assert!(context.time_ms >= START_MS);
        self.0 += command.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        self.0.to_be_bytes().repeat(1000)
    }

    fn root(&mut self) -> Digest {
        Digest::of(&self.0.to_be_bytes())
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }

    fn fresh(&self) -> Box<dyn Application> {
        Box::new(Self::default())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        let bytes = snapshot.try_into().map_err(|_| RestoreError("sum"))?;
        self.0 = u64::from_be_bytes(bytes);
        Ok(())
    }
}

fn sums(names: &[&str]) -> Applications {
    let mut applications = Applications::default();
    for name in names {
        assert!(applications.register(name, Box::new(Sum::default())));
    }
    applications
}

fn to_sum(name: &str, command: &[u8]) -> Command {
    Command::Application {
        name: name.into(),
        bytes: Arc::from(command),
    }
}

#[test]
fn application_has_its_part_of_state_root_and_snapshot() {
    let mut cluster = Cluster::with(4, sums(&["sum"]));
    let before = cluster.root(sums(&["sum"]));
    let outcome = cluster.one(cluster.ids[0], to_sum("sum", &[2, 4]));
    let Outcome::Application(reply) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(
        reply.len(),
        APPLICATION_REPLY_BYTES_MAX,
        "a long reply is cut"
    );
    assert_eq!(reply[..8], 6_u64.to_be_bytes());
    assert_ne!(cluster.root(sums(&["sum"])), before);
    let sum = cluster.ledger.application("sum").unwrap();
    assert_eq!(sum.snapshot(), 6_u64.to_be_bytes());
    let mut fresh = cluster.ledger.fresh();
    assert_eq!(fresh.root(), before);
    assert_eq!(fresh.application("sum").unwrap().snapshot(), [0; 8]);
}

#[test]
fn command_for_an_unknown_application_or_unfit_for_it_is_not_well_formed() {
    let mut cluster = Cluster::with(4, sums(&["sum"]));
    for command in [to_sum("other", &[2]), to_sum("sum", &[1]), to_sum("", &[])] {
        let request = request(cluster.ids[0], 1, vec![add("x", 1), command]);
        assert!(!cluster.ledger.is_well_formed(&request));
        let context = ApplyContext {
            sequence: consensus::Sequence(1),
            time_ms: START_MS,
        };
        let reply = cluster.ledger.apply(context, &request);
        assert_eq!(reply, [0; 4], "nothing of it is executed");
    }
}

#[test]
fn commands_whose_replies_consensus_could_not_keep_are_not_well_formed() {
    let mut cluster = Cluster::with(4, sums(&["sum"]));
    let command = to_sum("sum", &[2]);
    let many = REPLY_BYTES_MAX / (APPLICATION_REPLY_BYTES_MAX + 5);
    let mut commands = Commands(vec![command.clone(); many]);
    assert_eq!(cluster.all(cluster.ids[0], commands.0.clone()).len(), many);
    commands.0.push(command);
    assert!(commands.reply_bytes_max() > REPLY_BYTES_MAX);
    assert!(Commands::from_bytes(&commands.to_bytes()).is_err());
}

#[test]
fn snapshot_is_refused_where_applications_differ_and_nothing_changes() {
    let mut cluster = Cluster::with(4, sums(&["one", "two"]));
    cluster.one(cluster.ids[0], to_sum("two", &[8]));
    let snapshot = cluster.ledger.snapshot();
    for names in [&["one"][..], &["one", "two", "zwei"], &["one", "zwei"], &[]] {
        let mut other = Cluster::with(4, sums(names));
        let root = other.ledger.root();
        assert!(other.ledger.restore(&snapshot).is_err(), "{names:?}");
        assert_eq!(other.ledger.root(), root);
    }
}

#[test]
fn application_is_registered_once_under_a_name_of_printable_characters() {
    let mut applications = sums(&["sum"]);
    for name in ["sum", "", "a b", "ä", &"a".repeat(33)] {
        assert!(
            !applications.register(name, Box::new(Sum::default())),
            "{name}"
        );
    }
}
