//! Tests of rounds: what counts, what is ordered, what is proposed again.

use consensus::{Signature, Signer as _};

use super::*;
use crate::agreement::tests::{configuration, identities, proposal};
use crate::mesh::Identity;

const TIMEOUT_US: u64 = 2_000_000;

struct Bench {
    ids: Vec<NodeId>,
    rounds: Rounds,
    effects: Vec<Effect>,
    now_us: u64,
}

impl Bench {
    fn new(voters: u8) -> Self {
        let identities = identities(voters);
        let configuration = configuration(&identities);
        let ids: Vec<_> = identities.iter().map(Identity::id).collect();
        Self {
            rounds: Rounds::new(ids[0], configuration, TIMEOUT_US),
            ids,
            effects: Vec::new(),
            now_us: 1_000_000,
        }
    }

    fn propose(&mut self, numbers: &[u8]) {
        for number in numbers {
            let proposal = proposal(*number);
            self.rounds
                .propose(self.now_us, proposal, &mut self.effects);
        }
    }

    /// Lets time pass and gives the bundles that go out.
    fn wait(&mut self, us: u64) -> Vec<AnswerBundle> {
        self.now_us += us;
        self.rounds
            .tick(self.now_us, self.now_us / 1_000, &mut self.effects);
        let (sent, rest) = std::mem::take(&mut self.effects)
            .into_iter()
            .partition(|effect| matches!(effect, Effect::Broadcast(_)));
        self.effects = rest;
        let sent: Vec<Effect> = sent;
        let bundle = |effect| match effect {
            Effect::Broadcast(bundle) => bundle,
            other => panic!("{other:?}"),
        };
        sent.into_iter().map(bundle).collect()
    }

    fn vote(&mut self, voter: usize, bundle: &AnswerBundle, opinions: &[Opinion]) {
        let vote = AnswerVote {
            signer: self.ids[voter],
            opinions: opinions.to_vec(),
            signature: Signature([0; 64]), // Checked before.
        };
        let digest = bundle.digest();
        self.rounds
            .on_vote(self.now_us, digest, vote, &mut self.effects);
    }

    /// The verdicts so far, by number of the proposal.
    fn verdicts(&mut self) -> Vec<(u8, Verdict)> {
        let mut verdicts = Vec::new();
        self.effects.retain(|effect| match effect {
            Effect::Decided(decided) => {
                let decided = decided.iter();
                let number = |proposal: &Proposal| proposal.key.name[1] - b'a';
                verdicts.extend(decided.map(|(proposal, verdict)| (number(proposal), *verdict)));
                false
            }
            _ => true,
        });
        verdicts
    }

    fn ordered(&mut self) -> Option<(u64, ValidatedAnswers)> {
        let at = |effect: &Effect| matches!(effect, Effect::Order(..));
        let at = self.effects.iter().position(at)?;
        match self.effects.remove(at) {
            Effect::Order(order, answers) => Some((order, answers)),
            other => panic!("{other:?}"),
        }
    }
}

use Opinion::{Agree, Disagree, NoAnswer};

#[test]
fn answers_of_one_moment_travel_together_and_a_quorum_sends_them_into_the_order() {
    let mut bench = Bench::new(4);
    bench.propose(&[0, 1]);
    assert!(bench.wait(BUNDLE_WAIT_US - 1).is_empty());
    let bundles = bench.wait(1);
    assert_eq!(bundles.len(), 1);
    let bundle = &bundles[0];
    assert_eq!(bundle.items.len(), 2);
    bench.vote(1, bundle, &[Agree, Agree]);
    assert!(bench.ordered().is_none(), "two of four are no quorum");
    bench.vote(1, bundle, &[Agree, Agree]);
    assert!(bench.ordered().is_none(), "a voter counts once");
    bench.vote(2, bundle, &[Agree, Agree]);
    let (order, answers) = bench.ordered().unwrap();
    assert_eq!(answers.votes.len(), 2);
    assert!(bench.verdicts().is_empty(), "not before it is committed");
    let validated = [ledger::Verdict::Validated; 2];
    let now_us = bench.now_us;
    let effects = &mut bench.effects;
    bench
        .rounds
        .on_ordered(now_us, order, Some(&validated), effects);
    assert_eq!(
        bench.verdicts(),
        [(0, Verdict::Agreed), (1, Verdict::Agreed)]
    );
    assert_eq!(bench.rounds.under_way, 0);
}

#[test]
fn one_liar_neither_makes_nor_breaks_agreement() {
    let mut bench = Bench::new(4);
    bench.propose(&[0]);
    let bundle = &bench.wait(BUNDLE_WAIT_US)[0];
    bench.vote(1, bundle, &[Disagree]);
    assert!(bench.verdicts().is_empty());
    bench.vote(2, bundle, &[Agree]);
    bench.vote(3, bundle, &[Agree]);
    assert!(bench.ordered().is_some());
}

#[test]
fn who_lies_is_outvoted_and_nothing_goes_into_the_order() {
    let mut bench = Bench::new(4);
    bench.propose(&[0]);
    let bundle = &bench.wait(BUNDLE_WAIT_US)[0];
    bench.vote(1, bundle, &[Disagree]);
    bench.vote(2, bundle, &[Disagree]);
    assert_eq!(bench.verdicts(), [(0, Verdict::Refused)]);
    assert!(bench.ordered().is_none());
    assert_eq!(bench.rounds.under_way, 0);
}

#[test]
fn what_others_refuse_is_left_out_and_the_rest_goes_again_at_once() {
    let mut bench = Bench::new(4);
    bench.propose(&[0, 1]);
    let bundle = &bench.wait(BUNDLE_WAIT_US)[0];
    bench.vote(1, bundle, &[Agree, Disagree]);
    bench.vote(2, bundle, &[Agree, Disagree]);
    assert_eq!(bench.verdicts(), [(1, Verdict::Refused)]);
    let again = bench.wait(0);
    assert_eq!(again[0].items, bundle.items[..1]);
    bench.vote(2, &again[0], &[Agree]);
    bench.vote(3, &again[0], &[Agree]);
    assert_eq!(bench.ordered().unwrap().1.bundle.items.len(), 1);
}

#[test]
fn slow_answer_keeps_nobody_waiting_and_is_proposed_again_until_its_time_is_up() {
    let mut bench = Bench::new(4);
    bench.propose(&[0, 1]);
    let bundle = &bench.wait(BUNDLE_WAIT_US)[0];
    for voter in 1..4 {
        bench.vote(voter, bundle, &[Agree, NoAnswer]);
    }
    let (order, _) = bench.ordered().unwrap();
    let verdicts = [ledger::Verdict::Validated, ledger::Verdict::Undecided];
    let (now_us, effects) = (bench.now_us, &mut bench.effects);
    bench
        .rounds
        .on_ordered(now_us, order, Some(&verdicts), effects);
    assert_eq!(bench.verdicts(), [(0, Verdict::Agreed)]);
    assert!(bench.wait(AGAIN_US - 1).is_empty());
    let again = bench.wait(1);
    assert_eq!(again[0].items, bundle.items[1..]);
    // Nobody ever says anything: it ends all the same.
    for _ in 0..20 {
        bench.wait(VOTES_WAIT_US);
    }
    assert_eq!(bench.verdicts(), [(1, Verdict::Undecided)]);
    assert_eq!(bench.rounds.deadline_us(), None);
    assert_eq!(bench.rounds.under_way, 0);
}

#[test]
fn what_is_slow_for_all_is_asked_of_them_ever_less_often() {
    let mut bench = Bench::new(4);
    bench.propose(&[0]);
    let mut proposed_us = Vec::new();
    let begun_us = bench.now_us;
    while bench.now_us < begun_us + TIMEOUT_US {
        let Some(bundle) = bench.wait(1_000).pop() else {
            continue;
        };
        proposed_us.push(bench.now_us - begun_us);
        bench.wait(super::super::ballots::VOTE_WAIT_US);
        for voter in 1..4 {
            bench.vote(voter, &bundle, &[NoAnswer]);
        }
    }
    let rests = proposed_us.windows(2).map(|pair| pair[1] - pair[0]);
    let rests: Vec<_> = rests.map(|us| us / 10_000 * 10 - 100).collect();
    assert_eq!(rests, [40, 80, 160, 320, 320, 320]);
}

#[test]
fn bundles_grow_while_others_are_voted_on_and_wait_no_longer_than_they_may() {
    let mut bench = Bench::new(4);
    let mut first = Vec::new();
    for number in 0..VOTING_BUSY {
        bench.propose(&[u8::try_from(number).unwrap()]);
        first.extend(bench.wait(BUNDLE_WAIT_US));
    }
    assert_eq!(first.len(), VOTING_BUSY);
    bench.propose(&[10]);
    assert!(bench.wait(BUNDLE_WAIT_BUSY_US - 1).is_empty());
    bench.propose(&[11]);
    assert_eq!(bench.wait(1)[0].items.len(), 2);
    // With a round less than that it goes as soon as without any.
    bench.propose(&[12]);
    assert!(bench.wait(BUNDLE_WAIT_US).is_empty());
    for bundle in &first {
        bench.vote(1, bundle, &[Agree]);
        bench.vote(2, bundle, &[Agree]);
    }
    assert_eq!(bench.wait(0)[0].items.len(), 1);
}

#[test]
fn order_that_never_answers_decides_nothing_in_the_end() {
    let mut bench = Bench::new(1);
    bench.propose(&[0]);
    bench.wait(BUNDLE_WAIT_US);
    assert!(bench.ordered().is_some(), "alone one is a quorum");
    bench.wait(ORDER_WAIT_US);
    assert_eq!(bench.verdicts(), [(0, Verdict::Undecided)]);
}

#[test]
fn votes_of_strangers_of_the_isolated_and_of_another_length_do_not_count() {
    let mut bench = Bench::new(4);
    let isolated = vec![bench.ids[1]];
    let configuration = bench.rounds.configuration().clone();
    let leaders = configuration.leaders().to_vec();
    let configuration = configuration.with_leaders(
        leaders
            .into_iter()
            .filter(|id| !isolated.contains(id))
            .collect(),
        isolated,
    );
    bench.rounds.set_configuration(configuration.unwrap());
    bench.propose(&[0]);
    let bundle = &bench.wait(BUNDLE_WAIT_US)[0];
    bench.ids.push(NodeId(7));
    bench.vote(4, bundle, &[Agree]);
    bench.vote(1, bundle, &[Agree]);
    bench.vote(2, bundle, &[Agree, Agree]);
    bench.vote(2, bundle, &[Agree]);
    assert!(bench.ordered().is_none());
    bench.vote(3, bundle, &[Agree]);
    assert!(bench.ordered().is_some());
}

#[test]
fn many_answers_go_in_bundles_of_bounded_size_and_too_many_are_turned_away() {
    let mut bench = Bench::new(4);
    bench.propose(&[0; ITEMS_MAX + 1]);
    let sizes: Vec<_> = bench.wait(0).iter().map(|b| b.items.len()).collect();
    assert_eq!(sizes, [ITEMS_MAX, 1]);
    bench.propose(&[1; UNDER_WAY_MAX - ITEMS_MAX]);
    assert_eq!(bench.verdicts(), [(1, Verdict::Undecided)]);
}
