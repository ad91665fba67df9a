//! Chains that are right, in whatever order and by whichever anchors, and what is said of them.

use pki::{Anchors, Code, Evidence, Purpose, Status, StepName, StepResult, Verdict, Wanted};
use rcgen::ExtendedKeyUsagePurpose;

use crate::pki::Authority;
use crate::world::{NOW_MS, World, fault, information, step};

#[test]
fn logged_certificate_is_valid_and_each_step_says_so() {
    let world = World::new();
    let request = world.good();
    let judgement = world.judge(&request, &Evidence::default());
    let verdict = &judgement.verdict;
    assert_eq!((verdict.status, &verdict.reason), (Status::Valid, &None));
    assert_eq!(
        verdict.fingerprint,
        ct::Hash::of(&request.chain[0]).to_string()
    );
    assert_eq!(verdict.host.as_deref(), Some("example.com"));
    use StepResult::{Passed, Skipped};
    let results: Vec<_> = verdict.steps.iter().map(|s| (s.step, s.result)).collect();
    let expected = [
        (StepName::Parse, Passed),
        (StepName::Path, Passed),
        (StepName::Validity, Passed),
        (StepName::Host, Passed),
        (StepName::Constraints, Passed),
        (StepName::Strength, Passed),
        (StepName::Scts, Passed),
        (StepName::Inclusion, Skipped),
        (StepName::Revocation, Skipped),
        (StepName::Staple, Skipped),
        (StepName::Dane, Skipped),
    ];
    assert_eq!(results, expected);
    // The clock moves by one microsecond each time it is read.
    assert!(verdict.steps.iter().all(|step| step.micros == 1));
    assert_eq!(verdict.total_micros, 23);
    assert_eq!(verdict.good_until_unix_secs, NOW_MS / 1_000 + 86_400);
    let inclusion = |wanted: &Wanted| matches!(wanted, Wanted::Inclusion { .. });
    assert_eq!(judgement.wanted.iter().filter(|w| inclusion(w)).count(), 2);
}

#[test]
fn verdict_is_read_from_json_as_it_was_written_and_its_form_stays() {
    let world = World::new();
    let mut request = world.good();
    request.host = Some("example.net".to_owned());
    let verdict = world.judge(&request, &Evidence::default()).verdict;
    let json = serde_json::to_value(&verdict).unwrap();
    assert_eq!(
        serde_json::from_value::<Verdict>(json.clone()).unwrap(),
        verdict
    );
    assert_eq!(json["status"], "invalid");
    assert_eq!(json["reason"], "host_mismatch: example.net");
    let step = serde_json::json!(
        {"step": "host", "result": "failed", "reason": "host_mismatch: example.net", "micros": 1}
    );
    assert_eq!(json["steps"][3], step);
    let keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
    let mut expected = [
        "fingerprint",
        "status",
        "reason",
        "host",
        "good_until_unix_secs",
        "total_micros",
        "steps",
    ];
    expected.sort_unstable();
    assert_eq!(keys, expected);
}

#[test]
fn chain_is_taken_in_any_order_with_strangers_and_with_its_root() {
    let mut world = World::new();
    let middle = world.issuer.der.clone();
    world.issuer = world.issuer.authority("lower");
    let mut request = world.good();
    // Before and between them: the root, a stranger, and another authority with the name of one that is needed.
    request.chain.insert(1, World::new().issuer.der);
    request.chain.insert(1, Authority::root("stranger").der);
    request.chain.insert(1, world.root.der.clone());
    request.chain.insert(1, middle);
    assert_eq!(world.fault(&request), None);
    request.chain[2..].reverse();
    assert_eq!(world.fault(&request), None);
}

#[test]
fn issuer_that_was_fetched_completes_the_path() {
    let world = World::new();
    let mut params = World::leaf();
    params
        .custom_extensions
        .push(information(&[], &["http://ca.example/issuer.der"]));
    let mut request = world.request(world.issue_logged(&params));
    request.chain.truncate(1);
    let judgement = world.judge(&request, &Evidence::default());
    assert_eq!(
        fault(&judgement),
        Some((StepName::Path, Code::RootNotAccepted))
    );
    let url = "http://ca.example/issuer.der".to_owned();
    let issuer = Wanted::Issuer { url: url.clone() };
    assert!(judgement.wanted.contains(&issuer));
    let mut evidence = Evidence::default();
    evidence.failed.insert(issuer);
    assert_eq!(world.judge(&request, &evidence).wanted, []);
    let evidence = Evidence {
        issuers: [(url.clone(), world.issuer.der.clone())].into(),
        ..Evidence::default()
    };
    let mut beside = evidence.clone();
    let stranger = Authority::root("stranger").der;
    beside.issuers.insert("http://other/".to_owned(), stranger);
    for evidence in [evidence, beside] {
        let judgement = world.judge(&request, &evidence);
        assert_eq!(fault(&judgement), None);
        assert_eq!(judgement.used.issuers, [url.clone()].into());
    }
    // One that does not help is not wanted again.
    let stranger = Evidence {
        issuers: [(url, Authority::root("stranger").der)].into(),
        ..Evidence::default()
    };
    let judgement = world.judge(&request, &stranger);
    assert_eq!(
        fault(&judgement),
        Some((StepName::Path, Code::RootNotAccepted))
    );
    assert_eq!(judgement.wanted, []);
    assert!(judgement.used.issuers.is_empty());
}

#[test]
fn one_certificate_has_its_issuer_fetched_from_a_few_places_only() {
    let world = World::new();
    let urls: Vec<_> = (0..900)
        .map(|at| format!("http://ca.example/{at}"))
        .collect();
    let urls: Vec<_> = urls.iter().map(String::as_str).collect();
    let mut params = World::leaf();
    params.custom_extensions.push(information(&[], &urls));
    let mut request = world.request(world.issuer.issue(&params));
    request.chain.truncate(1);
    let mut evidence = Evidence::default();
    let wanted = world.judge(&request, &evidence).wanted;
    let first = urls.iter().take(3).map(|url| Wanted::Issuer {
        url: (*url).to_owned(),
    });
    assert_eq!(wanted, first.collect::<Vec<_>>());
    evidence.failed.extend(wanted);
    assert_eq!(world.judge(&request, &evidence).wanted, []);
}

#[test]
fn private_authority_needs_no_log_and_may_issue_for_long() {
    let mut world = World::new();
    let mut params = World::leaf();
    params.not_before = rcgen::date_time_ymd(2025, 1, 1);
    params.not_after = rcgen::date_time_ymd(2028, 1, 1);
    let request = world.request(world.issuer.issue(&params));
    assert_eq!(
        world.fault(&request),
        Some((StepName::Constraints, Code::Lifetime))
    );
    world.anchors = Anchors::default();
    world.anchors.add(&world.root.der, false).unwrap();
    let judgement = world.judge(&request, &Evidence::default());
    assert_eq!(fault(&judgement), None);
    assert_eq!(
        step(&judgement, StepName::Scts),
        (StepResult::Skipped, Some(Code::NotPublic))
    );
}

#[test]
fn client_is_judged_by_its_own_purpose() {
    let world = World::new();
    let mut params = World::leaf();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let mut request = world.request(world.issuer.issue(&params));
    request.host = None;
    assert_eq!(
        world.fault(&request),
        Some((StepName::Path, Code::WrongPurpose))
    );
    request.purpose = Purpose::Client;
    assert_eq!(world.fault(&request), None);
}
