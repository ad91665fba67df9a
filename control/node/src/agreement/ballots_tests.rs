//! Tests of ballots: what a voter looks up, and what it says.

use consensus::Signer as _;
use hickory_proto::rr::RecordType;

use super::*;
use crate::agreement::rounds::question;
use crate::agreement::tests::{answer, claim, configuration, identities, key};
use crate::mesh::Identity;

const NOW: (u64, u64) = (1_000_000, 1_700_000_000_000);

fn item(number: u8, last: u8) -> AnswerItem {
    let (key, answer) = (key(number), answer(number, last));
    AnswerItem {
        question: question(&key),
        digest: Digest(answer.digest(&key)),
        records: answer.encode().into(),
        ttl: 60,
        security: Security::Indeterminate,
    }
}

fn found(number: u8, last: u8) -> Found {
    Found {
        answer: Some(answer(number, last)),
        is_secure: false,
        vantage: Vantage::Exact,
    }
}

/// That a certificate is valid.
fn claim_item(number: u8) -> AnswerItem {
    let proposal = claim(number, Status::Valid);
    AnswerItem {
        question: question(&proposal.key),
        digest: Digest(proposal.digest),
        records: proposal.records,
        ttl: proposal.ttl_secs,
        security: Security::Indeterminate,
    }
}

struct Bench {
    ballots: Ballots,
    configuration: Configuration,
    proposer: NodeId,
}

impl Bench {
    fn new() -> Self {
        let identities = identities(4);
        Self {
            ballots: Ballots::default(),
            configuration: configuration(&identities),
            proposer: identities.first().map(Identity::id).unwrap(),
        }
    }

    fn bundle(&self, items: Vec<AnswerItem>) -> AnswerBundle {
        AnswerBundle {
            proposer: self.proposer,
            time_ms: NOW.1,
            items,
        }
    }

    /// Of names alone.
    fn offer(&mut self, bundle: &AnswerBundle) -> Result<(Vec<Inquiry>, Option<Ballot>), Turned> {
        let (inquiries, ballot) = self.offer_any(bundle)?;
        assert_eq!(inquiries.certificates, []);
        Ok((inquiries.names, ballot))
    }

    fn offer_any(&mut self, bundle: &AnswerBundle) -> Result<(Inquiries, Option<Ballot>), Turned> {
        self.ballots
            .on_bundle(NOW, self.proposer, bundle, &self.configuration)
    }
}

use Opinion::{Agree, Disagree, NoAnswer};

#[test]
fn each_item_is_looked_up_here_and_one_vote_says_what_came_of_all() {
    let mut bench = Bench::new();
    let bundle = bench.bundle(vec![item(0, 1), item(1, 1), item(2, 1)]);
    let (inquiries, ballot) = bench.offer(&bundle).unwrap();
    assert_eq!(ballot, None);
    let keys: Vec<_> = inquiries
        .iter()
        .map(|inquiry| inquiry.key.clone())
        .collect();
    assert_eq!(keys, [key(0), key(1), key(2)]);
    let token = |index: usize| inquiries[index].token;
    assert_eq!(bench.ballots.on_found(token(2), &found(2, 9)), None);
    assert_eq!(bench.ballots.on_found(token(0), &found(0, 1)), None);
    assert_eq!(bench.ballots.on_found(token(0), &found(0, 9)), None, "once");
    let nothing = Found {
        answer: None,
        ..found(1, 1)
    };
    let ballot = bench.ballots.on_found(token(1), &nothing).unwrap();
    assert_eq!(ballot.opinions, [Agree, NoAnswer, Disagree]);
    assert_eq!(ballot.bundle, bundle.digest());
    assert!(ballot.contradicts);
    assert_eq!(bench.ballots.deadline_us(), None);
}

#[test]
fn vote_does_not_wait_for_slow_answers_and_forgets_them() {
    let mut bench = Bench::new();
    let bundle = bench.bundle(vec![item(0, 1), item(1, 1)]);
    let (inquiries, _) = bench.offer(&bundle).unwrap();
    bench.ballots.on_found(inquiries[0].token, &found(0, 1));
    let due_us = bench.ballots.deadline_us().unwrap();
    assert!(bench.ballots.tick(due_us - 1).is_empty());
    let votes = bench.ballots.tick(due_us);
    assert_eq!(votes[0].opinions, [Agree, NoAnswer]);
    assert!(!votes[0].contradicts);
    assert!(bench.ballots.inquiries.is_empty());
    assert_eq!(
        bench.ballots.on_found(inquiries[1].token, &found(1, 1)),
        None
    );
}

#[test]
fn item_that_is_not_what_it_says_is_refused_without_a_look() {
    let mut bench = Bench::new();
    let long = AnswerItem {
        ttl: ANSWER_TTL_SECONDS_MAX + 1,
        ..item(0, 1)
    };
    let other = AnswerItem {
        digest: Digest([7; 32]),
        ..item(0, 1)
    };
    let broken = AnswerItem {
        records: [1, 2, 3].as_slice().into(),
        ..item(0, 1)
    };
    let (inquiries, ballot) = bench
        .offer(&bench.bundle(vec![long, other, broken]))
        .map(|(inquiries, ballot)| (inquiries, ballot.unwrap()))
        .unwrap();
    assert!(inquiries.is_empty());
    assert_eq!(ballot.opinions, [Disagree; 3]);
    assert!(ballot.contradicts);
}

#[test]
fn difference_of_place_is_none_where_it_is_allowed_and_no_word_makes_an_answer_secure() {
    let judged = |item: AnswerItem, found: Found| {
        let mut bench = Bench::new();
        let bundle = bench.bundle(vec![item]);
        let (inquiries, _) = bench.offer(&bundle).unwrap();
        let ballot = bench.ballots.on_found(inquiries[0].token, &found).unwrap();
        (ballot.opinions[0], ballot.contradicts)
    };
    let near = Found {
        vantage: Vantage::Network,
        ..found(0, 2)
    };
    assert_eq!(judged(item(0, 1), near), (Agree, false));
    let elsewhere = Found {
        vantage: Vantage::Network,
        ..found(0, 130)
    };
    // Its last byte makes another network.
    assert_eq!(judged(item(0, 1), elsewhere), (Disagree, false));
    let claim = AnswerItem {
        security: Security::Secure,
        ..item(0, 1)
    };
    assert_eq!(judged(claim.clone(), found(0, 1)), (Disagree, true));
    let secure = Found {
        is_secure: true,
        ..found(0, 1)
    };
    assert_eq!(judged(claim, secure), (Agree, false));
    assert_eq!(key(0).qtype, u16::from(RecordType::A));
}

#[test]
fn bundles_of_others_than_their_sender_of_another_time_and_without_items_are_turned_away() {
    let mut bench = Bench::new();
    let good = bench.bundle(vec![item(0, 1)]);
    let foreign = AnswerBundle {
        proposer: NodeId(7),
        ..good.clone()
    };
    assert_eq!(bench.offer(&foreign).unwrap_err(), Turned::NotSender);
    let stranger = bench
        .ballots
        .on_bundle(NOW, NodeId(7), &foreign, &bench.configuration);
    assert_eq!(stranger.unwrap_err(), Turned::NotSender);
    let old = AnswerBundle {
        time_ms: NOW.1 - ANSWER_AGE_MS_MAX - 1,
        ..good.clone()
    };
    assert_eq!(bench.offer(&old).unwrap_err(), Turned::OtherTime);
    let empty = bench.bundle(Vec::new());
    assert_eq!(bench.offer(&empty).unwrap_err(), Turned::Empty);
    assert!(bench.offer(&good).is_ok());
}

#[test]
fn proposer_that_asks_for_too_much_is_turned_away_and_others_are_not() {
    let mut bench = Bench::new();
    let bundle = bench.bundle((0..20).map(|number| item(number, 1)).collect());
    let taken = (0..).take_while(|_| bench.offer(&bundle).is_ok()).count();
    assert_eq!(taken as u64, NAMES.burst / 20);
    let other = bench.configuration.ids().find(|id| *id != bench.proposer);
    let other = other.unwrap();
    let bundle = AnswerBundle {
        proposer: other,
        ..bundle
    };
    let result = bench
        .ballots
        .on_bundle(NOW, other, &bundle, &bench.configuration);
    assert!(result.is_ok());
}

#[test]
fn many_that_ask_for_too_much_leave_something_to_everybody_else() {
    let identities = identities(16);
    let configuration = configuration(&identities);
    let mut ballots = Ballots::default();
    let items: Vec<_> = (0..20).map(|number| item(number, 1)).collect();
    let mut offer = |proposer, items: &[AnswerItem]| {
        let bundle = AnswerBundle {
            proposer,
            time_ms: NOW.1,
            items: items.to_vec(),
        };
        let result = ballots.on_bundle(NOW, proposer, &bundle, &configuration);
        result.is_ok()
    };
    let (honest, others) = identities.split_last().unwrap();
    for liar in others.iter().take(9) {
        let taken = (0..).take_while(|_| offer(liar.id(), &items)).count();
        assert!(taken > 0);
    }
    assert!(offer(honest.id(), &items[..1]));
}

#[test]
fn certificate_is_judged_here_and_a_difference_contradicts_nobody() {
    let mut bench = Bench::new();
    let mut items: Vec<_> = (0..4).map(claim_item).collect();
    items.push(item(0, 1));
    let bundle = bench.bundle(items);
    let (inquiries, ballot) = bench.offer_any(&bundle).unwrap();
    assert_eq!((ballot, inquiries.names.len()), (None, 1));
    let asked = &inquiries.certificates;
    let chains: Vec<_> = asked.iter().map(|one| one.request.chain.clone()).collect();
    assert_eq!(chains, [0, 1, 2, 3].map(|number| vec![vec![number]]));
    let owns = [
        Some(Status::Valid),
        Some(Status::Invalid),
        Some(Status::Unknown),
        None,
    ];
    for (inquiry, own) in asked.iter().zip(owns) {
        assert_eq!(bench.ballots.on_judged(inquiry.token, own), None);
    }
    let last = inquiries.names[0].token;
    let ballot = bench.ballots.on_found(last, &found(0, 1)).unwrap();
    let opinions = [Agree, Disagree, NoAnswer, NoAnswer, Agree];
    assert_eq!(
        (ballot.opinions.as_slice(), ballot.contradicts),
        (&opinions[..], false)
    );
}

#[test]
fn claim_in_the_place_of_another_and_an_answer_among_claims_are_refused_without_a_look() {
    let mut bench = Bench::new();
    let (one, other) = (claim_item(1), claim_item(2));
    let bundle = bench.bundle(vec![
        AnswerItem {
            question: other.question.clone(),
            ..one.clone()
        },
        AnswerItem {
            digest: other.digest,
            ..one.clone()
        },
        AnswerItem {
            records: item(0, 1).records,
            ..one.clone()
        },
        AnswerItem {
            records: one.records,
            ..item(0, 1)
        },
        AnswerItem {
            security: Security::Secure,
            ..claim_item(1)
        },
        AnswerItem {
            ttl: CLAIM_TTL_SECS_MAX + 1,
            ..claim_item(1)
        },
    ]);
    let (inquiries, ballot) = bench.offer_any(&bundle).unwrap();
    assert_eq!(inquiries, Inquiries::default());
    let ballot = ballot.unwrap();
    assert_eq!(
        (ballot.opinions, ballot.contradicts),
        (vec![Disagree; 6], true)
    );
}

#[test]
fn word_of_the_resolver_on_a_certificate_counts_for_nothing_nor_the_other_way_round() {
    let mut bench = Bench::new();
    let bundle = bench.bundle(vec![claim_item(1), item(0, 1)]);
    let (inquiries, _) = bench.offer_any(&bundle).unwrap();
    let (certificate, name) = (inquiries.certificates[0].token, inquiries.names[0].token);
    assert_eq!(bench.ballots.on_found(certificate, &found(0, 1)), None);
    let ballot = bench.ballots.on_judged(name, Some(Status::Valid)).unwrap();
    assert_eq!(ballot.opinions, [NoAnswer, NoAnswer]);
}

#[test]
fn too_many_certificates_are_turned_away_and_names_beside_them_are_not() {
    let mut bench = Bench::new();
    let bundle = bench.bundle((0..50).map(claim_item).collect());
    let taken = (0..)
        .take_while(|_| bench.offer_any(&bundle).is_ok())
        .count();
    assert_eq!(taken as u64, CERTIFICATES.burst / 50);
    assert_eq!(bench.offer_any(&bundle).unwrap_err(), Turned::TooMany);
    let names = bench.bundle(vec![item(0, 1)]);
    assert!(bench.offer_any(&names).is_ok());
}
