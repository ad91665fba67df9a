//! Tests of who waits for agreement, who does not, and what is remembered of it.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::*;

const TIMEOUT_MS: u64 = 2_000;
const QUESTIONS: usize = 8;

fn question() -> Question {
    Question::new(Name::from_ascii("a.example.").unwrap(), RecordType::A)
}

fn outcome(last: u8) -> Outcome {
    let record = Record::from_rdata(question().qname, 60, RData::A(A::new(192, 0, 2, last)));
    Outcome {
        answers: vec![record],
        ttl_secs: 60,
        ..Outcome::empty(ResponseCode::NoError)
    }
}

fn agreeing() -> Agreeing<u8> {
    Agreeing::new(TIMEOUT_MS, QUESTIONS)
}

/// The proposal with which a round of this mode begins.
fn begin(agreeing: &mut Agreeing<u8>, now_ms: u64, mode: Mode, last: u8) -> Proposal {
    let judgement = agreeing.judge(now_ms, mode, &question(), &outcome(last), 0);
    let (Judgement::Wait(_, Some(proposal)) | Judgement::GiveAndPropose(proposal)) = judgement
    else {
        panic!("{judgement:?}")
    };
    agreeing.begin(now_ms, proposal.key.clone());
    proposal
}

#[test]
fn questions_of_one_name_wait_for_one_round_and_the_next_has_the_answer_until_its_ttl() {
    let mut agreeing = agreeing();
    let proposal = begin(&mut agreeing, 0, Mode::Quorum, 1);
    let key = proposal.key.clone();
    assert_eq!(agreeing.wait(&key, 1), None);
    let second = agreeing.judge(1, Mode::Quorum, &question(), &outcome(1), 0);
    assert!(matches!(second, Judgement::Wait(_, None)), "{second:?}");
    assert_eq!(agreeing.wait(&key, 2), None);
    assert_eq!(agreeing.waiting(), 2);
    assert_eq!(agreeing.decide(500, &proposal, Verdict::Agreed), [1, 2]);
    assert_eq!(agreeing.waiting(), 0);
    for (now_ms, left_secs) in [(500, 60), (10_500, 50), (60_499, 1)] {
        let after = agreeing.judge(now_ms, Mode::Quorum, &question(), &outcome(1), 0);
        let is_given = matches!(after, Judgement::Give(secs) if secs == left_secs);
        assert!(is_given, "{now_ms}: {after:?}");
        assert!(agreeing.is_agreed(now_ms, &key, &proposal.digest));
    }
    assert!(!agreeing.is_agreed(60_500, &key, &proposal.digest));
    begin(&mut agreeing, 60_500, Mode::Quorum, 1);
}

#[test]
fn another_answer_than_the_agreed_one_needs_a_round_of_its_own_and_not_for_ever() {
    let mut agreeing = agreeing();
    let proposal = begin(&mut agreeing, 0, Mode::Quorum, 1);
    agreeing.decide(0, &proposal, Verdict::Agreed);
    let other = begin(&mut agreeing, 1, Mode::Quorum, 2);
    assert_ne!(other.digest, proposal.digest);
    agreeing.decide(1, &other, Verdict::Agreed);
    let last = agreeing.judge(2, Mode::Quorum, &question(), &outcome(3), ROUNDS_MAX);
    assert!(matches!(last, Judgement::Fail(_)), "{last:?}");
}

#[test]
fn refused_answer_fails_a_while_where_agreement_is_wanted_and_is_kept_nowhere_else() {
    let mut agreeing = agreeing();
    let proposal = begin(&mut agreeing, 0, Mode::Optimistic, 1);
    agreeing.decide(0, &proposal, Verdict::Refused);
    let strict = agreeing.judge(1, Mode::Quorum, &question(), &outcome(1), 0);
    assert!(matches!(strict, Judgement::Fail(REFUSED)), "{strict:?}");
    let mild = agreeing.judge(1, Mode::Optimistic, &question(), &outcome(1), 0);
    assert!(matches!(mild, Judgement::Give(0)), "{mild:?}");
    begin(&mut agreeing, 1, Mode::Quorum, 2);
    let mut agreeing = self::agreeing();
    let proposal = begin(&mut agreeing, 0, Mode::Quorum, 1);
    agreeing.decide(0, &proposal, Verdict::Refused);
    begin(&mut agreeing, REFUSED_MS, Mode::Quorum, 1);
}

#[test]
fn optimistic_answers_are_given_and_proposed_once() {
    let mut agreeing = agreeing();
    let proposal = begin(&mut agreeing, 0, Mode::Optimistic, 1);
    let second = agreeing.judge(1, Mode::Optimistic, &question(), &outcome(1), 0);
    assert!(matches!(second, Judgement::Give(u32::MAX)), "{second:?}");
    agreeing.decide(1, &proposal, Verdict::Undecided);
    let third = agreeing.judge(2, Mode::Optimistic, &question(), &outcome(1), 0);
    assert!(matches!(third, Judgement::Give(u32::MAX)), "{third:?}");
}

#[test]
fn round_ends_in_time_and_only_its_own() {
    let mut agreeing = agreeing();
    let proposal = begin(&mut agreeing, 0, Mode::Quorum, 1);
    agreeing.wait(&proposal.key, 1);
    agreeing.decide(10, &proposal, Verdict::Undecided);
    let later = begin(&mut agreeing, 1_500, Mode::Quorum, 1);
    agreeing.wait(&later.key, 2);
    assert_eq!(agreeing.expire(TIMEOUT_MS), [0; 0]);
    assert_eq!(agreeing.expire(1_500 + TIMEOUT_MS), [2]);
    assert_eq!(agreeing.deadline_ms(), None);
    assert_eq!(agreeing.wait(&later.key, 3), Some(3), "there is no round");
}

#[test]
fn stale_answers_are_given_if_they_were_agreed_on_once() {
    let mut agreeing = agreeing();
    let stale = Outcome {
        stale: true,
        ..outcome(1)
    };
    let before = agreeing.judge(0, Mode::Quorum, &question(), &stale, 0);
    assert!(matches!(before, Judgement::Fail(UNDECIDED)), "{before:?}");
    let proposal = begin(&mut agreeing, 0, Mode::Quorum, 1);
    agreeing.decide(0, &proposal, Verdict::Agreed);
    let after = agreeing.judge(90_000, Mode::Quorum, &question(), &stale, 0);
    assert!(matches!(after, Judgement::Give(0)), "{after:?}");
}

#[test]
fn no_more_wait_than_there_is_room_for() {
    let mut agreeing = agreeing();
    let proposal = begin(&mut agreeing, 0, Mode::Quorum, 1);
    for number in 0..4 {
        agreeing.wait(&proposal.key, number);
    }
    let judgement = agreeing.judge(0, Mode::Quorum, &question(), &outcome(1), 0);
    assert!(matches!(judgement, Judgement::Fail(BUSY)), "{judgement:?}");
}
