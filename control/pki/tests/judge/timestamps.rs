//! Timestamps by all three ways, and what is said of those that do not hold.

use ct::{Sct, SignedEntry, encode_sct_list};
use pki::{Code, Context, Evidence, StepName, StepResult, validate};

use crate::responder::{Answer, Responder};
use crate::support::list::{LISTED_MS, log_id};
use crate::world::{NOW_MS, World, fault, sct, step};

/// What is said of a certificate with these timestamps.
fn embedded(scts: impl Fn(&SignedEntry<'_>) -> Vec<Sct>) -> Option<(StepName, Code)> {
    let world = World::new();
    let leaf = world.issue_with(&World::leaf(), scts);
    world.fault(&world.request(leaf))
}

fn scts(code: Code) -> Option<(StepName, Code)> {
    Some((StepName::Scts, code))
}

#[test]
fn timestamp_that_does_not_hold_has_its_own_code() {
    let good = |entry: &SignedEntry<'_>| sct(1, LISTED_MS, entry);
    let other = SignedEntry::Certificate(b"another certificate");
    assert_eq!(embedded(|e| vec![good(e), sct(3, LISTED_MS, e)]), None);
    let code = embedded(|e| vec![good(e), sct(9, LISTED_MS, e)]);
    assert_eq!(code, scts(Code::SctOfUnknownLog));
    let code = embedded(|e| vec![good(e), sct(3, LISTED_MS, &other)]);
    assert_eq!(code, scts(Code::SctSignature));
    let of_another_log = |e: &SignedEntry<'_>| Sct {
        log_id: log_id(3),
        ..sct(4, LISTED_MS, e)
    };
    let code = embedded(|e| vec![good(e), of_another_log(e)]);
    assert_eq!(code, scts(Code::SctSignature));
    let code = embedded(|e| vec![good(e), sct(3, NOW_MS + 1, e)]);
    assert_eq!(code, scts(Code::SctFuture));
    let code = embedded(|e| vec![good(e), sct(2, LISTED_MS, e)]);
    assert_eq!(code, scts(Code::SctPolicy));
    // A bad one beside enough good ones does no harm.
    let code = embedded(|e| vec![sct(9, LISTED_MS, e), good(e), sct(3, LISTED_MS, e)]);
    assert_eq!(code, None);
}

#[test]
fn certificate_without_timestamps_is_not_logged() {
    let world = World::new();
    let request = world.request(world.issuer.issue(&World::leaf()));
    assert_eq!(world.fault(&request), scts(Code::NoScts));
    let mut params = World::leaf();
    params.custom_extensions.push(crate::pki::sct_list(b"x"));
    let request = world.request(world.issuer.issue(&params));
    assert_eq!(world.fault(&request), scts(Code::MalformedSct));
}

#[test]
fn timestamps_come_by_the_handshake_or_by_ocsp_too() {
    let world = World::new();
    let leaf = world.issuer.issue(&World::leaf());
    let entry = SignedEntry::Certificate(&leaf);
    let one = |seed| encode_sct_list(&[sct(seed, LISTED_MS, &entry)]).unwrap();
    let responder = Responder::of(&world.issuer);
    let answer = Answer {
        sct_list: Some(one(3)),
        ..Answer::good()
    };
    let stapled = responder.answer(&leaf, &world.issuer.der, &answer);
    let mut request = world.request(leaf.clone());
    request.sct_list = Some(one(1));
    assert_eq!(world.fault(&request), scts(Code::SctPolicy));
    request.ocsp = Some(stapled);
    assert_eq!(world.fault(&request), None);
    request.sct_list = None;
    assert_eq!(world.fault(&request), scts(Code::SctPolicy));
    request.sct_list = Some(b"xx".to_vec());
    assert_eq!(world.fault(&request), scts(Code::MalformedSct));
}

#[test]
fn without_logs_or_with_an_old_list_nothing_is_known() {
    let world = World::new();
    let request = world.good();
    let evidence = Evidence::default();
    let context = Context {
        anchors: &world.anchors,
        logs: None,
        policy: ct::ChromePolicy::default(),
        now_ms: NOW_MS,
        clock_ns: &|| 0,
        evidence: &evidence,
    };
    let judgement = validate(&request, &context);
    assert_eq!(fault(&judgement), scts(Code::NoLogList));
    assert_eq!(judgement.verdict.status, pki::Status::Unknown);
    let soon = NOW_MS / 1_000 + pki::UNKNOWN_SECS;
    assert_eq!(judgement.verdict.good_until_unix_secs, soon);
    let later = LISTED_MS + ct::LOG_LIST_AGE_MAX_MS + 1;
    let judgement = world.judge_at(&request, &evidence, later);
    assert_eq!(
        step(&judgement, StepName::Scts),
        (StepResult::Unknown, Some(Code::OldLogList))
    );
}
