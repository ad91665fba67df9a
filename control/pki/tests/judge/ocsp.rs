//! OCSP responses: who may sign them, what they must be about, and for how long they hold.

use ct::Certificate;
use pki::ocsp::{OcspError, OcspResponse, OcspStatus, ResponderError, cert_id};
use pki::{Code, Evidence, FetchedOcsp, Request, StepName, StepResult, Wanted};
use rcgen::ExtendedKeyUsagePurpose::{OcspSigning, ServerAuth};

use crate::pki::{element, extension};
use crate::responder::{Answer, Responder, Status};
use crate::support::ALGORITHMS;
use crate::world::{NOW, World, fault, information, step};

fn check(
    world: &World,
    leaf: &[u8],
    response: &[u8],
    nonce: Option<&[u8]>,
) -> Result<OcspStatus, OcspError> {
    let certificate = Certificate::parse(leaf).unwrap();
    let issuer = Certificate::parse(&world.issuer.der).unwrap();
    OcspResponse::parse(response)?.check(&certificate, &issuer, nonce, NOW, ALGORITHMS)
}

#[test]
fn issuer_and_its_delegate_may_answer_and_nobody_else() {
    let world = World::new();
    let leaf = world.issuer.issue(&World::leaf());
    let ask = |responder: &Responder| {
        let response = responder.answer(&leaf, &world.issuer.der, &Answer::good());
        check(&world, &leaf, &response, None)
    };
    let good = Ok(OcspStatus::Good { until: NOW + 3_600 });
    let mut own = Responder::of(&world.issuer);
    assert_eq!(ask(&own), good);
    own.is_named_by_key = true;
    assert_eq!(ask(&own), good);
    assert_eq!(
        ask(&Responder::delegated(&world.issuer, OcspSigning, true)),
        good
    );

    let refused = |error| Err(OcspError::Responder(error));
    let server = Responder::delegated(&world.issuer, ServerAuth, true);
    assert_eq!(ask(&server), refused(ResponderError::Purpose));
    let late = Responder::delegated(&world.issuer, OcspSigning, false);
    assert_eq!(ask(&late), refused(ResponderError::Validity));
    let of_root = Responder::delegated(&world.root, OcspSigning, true);
    assert_eq!(ask(&of_root), refused(ResponderError::Issuer));
    let impostor = Responder::delegated(&World::new().issuer, OcspSigning, true);
    assert!(matches!(
        ask(&impostor),
        Err(OcspError::Responder(ResponderError::Signature(_)))
    ));
    let mut alone = Responder::delegated(&world.issuer, OcspSigning, true);
    alone.certificates.clear();
    assert_eq!(ask(&alone), refused(ResponderError::Missing));
    // Of the issuer's name, and not by its key.
    let namesake = Responder::of(&World::new().issuer);
    assert!(matches!(ask(&namesake), Err(OcspError::Signature(_))));
}

/// What is said by the issuer's answer about a certificate of its own.
fn ask(answer: &Answer, nonce: Option<&[u8]>) -> Result<OcspStatus, OcspError> {
    let world = World::new();
    let leaf = world.issuer.issue(&World::leaf());
    let response = Responder::of(&world.issuer).answer(&leaf, &world.issuer.der, answer);
    check(&world, &leaf, &response, nonce)
}

#[test]
fn response_holds_for_its_time() {
    let at = |this_update, next_update| {
        let answer = Answer {
            this_update,
            next_update,
            ..Answer::good()
        };
        ask(&answer, None)
    };
    let stale = Err(OcspError::Stale { until: NOW - 1 });
    let good = |until| Ok(OcspStatus::Good { until });
    assert_eq!(at(NOW - 10, Some(NOW)), good(NOW));
    assert_eq!(at(NOW - 10, Some(NOW - 1)), stale);
    assert_eq!(at(NOW - 10, None), good(NOW + 3_590));
    assert_eq!(at(NOW - 3_601, None), stale);
    assert!(at(NOW + 300, Some(NOW + 600)).is_ok());
    let this_update = NOW + 301;
    let future = Err(OcspError::NotYet { this_update });
    assert_eq!(at(this_update, Some(NOW + 600)), future);
}

#[test]
fn response_holds_for_its_request() {
    let good = Answer::good();
    let nonced = Answer {
        nonce: Some(vec![1; 16]),
        ..Answer::good()
    };
    assert!(ask(&nonced, Some(&[1; 16])).is_ok());
    assert!(ask(&nonced, None).is_ok());
    assert!(ask(&good, Some(&[1; 16])).is_ok());
    assert_eq!(ask(&nonced, Some(&[2; 16])), Err(OcspError::Nonce));
    let critical = Answer {
        critical: true,
        ..Answer::good()
    };
    assert!(matches!(
        ask(&critical, None),
        Err(OcspError::UnknownCritical(_))
    ));
}

#[test]
fn response_says_of_its_certificate_what_the_responder_knows() {
    let with = |status| {
        let answer = Answer {
            status,
            ..Answer::good()
        };
        ask(&answer, None)
    };
    let revoked = OcspStatus::Revoked {
        at: NOW - 60,
        reason: Some(1),
    };
    assert_eq!(with(Status::Revoked), Ok(revoked));
    assert_eq!(with(Status::Unknown), Ok(OcspStatus::Unknown));

    let world = World::new();
    let leaf = world.issuer.issue(&World::leaf());
    let mut params = World::leaf();
    params.serial_number = Some(rcgen::SerialNumber::from_slice(&[8; 16]));
    let other = world.issuer.issue(&params);
    let responder = Responder::of(&world.issuer);
    let response = responder.answer(&other, &world.issuer.der, &Answer::good());
    let checked = check(&world, &leaf, &response, None);
    assert_eq!(checked, Err(OcspError::OtherCertificate));
    for status in [1, 2, 3, 5, 6] {
        let checked = check(&world, &leaf, &[0x30, 3, 10, 1, status], None);
        assert_eq!(checked, Err(OcspError::Unsuccessful(status)));
    }
}

#[test]
fn response_with_any_bit_flipped_is_never_good() {
    let world = World::new();
    let leaf = world.issuer.issue(&World::leaf());
    let responder = Responder::delegated(&world.issuer, OcspSigning, true);
    let whole = responder.answer(&leaf, &world.issuer.der, &Answer::good());
    for place in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[place] ^= 1 << (place % 8);
        let result = check(&world, &leaf, &flipped, None);
        let is_good = matches!(result, Ok(OcspStatus::Good { .. }));
        assert!(!is_good, "octet {place} of {}: {result:?}", whole.len());
    }
    for cut in 0..whole.len() {
        assert!(check(&world, &leaf, &whole[..cut], None).is_err());
    }
}

#[test]
fn revocation_is_asked_for_until_something_is_known() {
    let world = World::new();
    let mut params = World::leaf();
    params.custom_extensions.push(information(
        &["http://ocsp.example/a", "http://ocsp.example/b"],
        &[],
    ));
    params.crl_distribution_points = vec![rcgen::CrlDistributionPoint {
        uris: vec!["http://crl.example/1".into()],
    }];
    let leaf = world.issue_logged(&params);
    let request = world.request(leaf.clone());
    let certificate = Certificate::parse(&leaf).unwrap();
    let issuer = Certificate::parse(&world.issuer.der).unwrap();
    let id = cert_id(&certificate, &issuer);
    let responder = |url: &str| Wanted::Ocsp {
        url: format!("http://ocsp.example/{url}"),
        cert_id: id.clone(),
    };
    let list = Wanted::Crl {
        url: "http://crl.example/1".into(),
    };
    let mut evidence = Evidence::default();
    let no_data = Some((StepName::Revocation, Code::NoRevocationData));
    for expected in [responder("a"), responder("b"), list] {
        let judgement = world.judge(&request, &evidence);
        assert_eq!(fault(&judgement), no_data);
        let mut wanted = judgement.wanted.into_iter();
        let next = wanted
            .find(|w| !matches!(w, Wanted::Inclusion { .. }))
            .unwrap();
        assert_eq!(next, expected);
        evidence.failed.insert(next);
    }
    let judgement = world.judge(&request, &evidence);
    assert_eq!(fault(&judgement), no_data);
    assert_eq!(judgement.verdict.status, pki::Status::Unknown);
    assert!(
        judgement
            .wanted
            .iter()
            .all(|w| matches!(w, Wanted::Inclusion { .. }))
    );

    let answer =
        |answer: &Answer| Responder::of(&world.issuer).answer(&leaf, &world.issuer.der, answer);
    let mut with = |response| {
        let nonce = None;
        evidence
            .ocsp
            .insert(id.clone(), FetchedOcsp { response, nonce });
        world.judge(&request, &evidence)
    };
    let judgement = with(answer(&Answer::good()));
    assert_eq!(
        step(&judgement, StepName::Revocation),
        (StepResult::Passed, None)
    );
    let until = judgement.verdict.good_until_unix_secs;
    assert_eq!(until, (NOW + 3_600).cast_unsigned());
    assert_eq!(judgement.used.ocsp, [id.clone()].into());
    let revoked = Answer {
        status: Status::Revoked,
        ..Answer::good()
    };
    let judgement = with(answer(&revoked));
    let is_revoked = Some((StepName::Revocation, Code::Revoked));
    assert_eq!(fault(&judgement), is_revoked);
    assert_eq!(judgement.used.ocsp, [id.clone()].into());
    // What came over plain HTTP and is wrong may be anybody's: nothing is known.
    let judgement = with(b"nonsense".to_vec());
    assert_eq!(fault(&judgement), no_data);
    assert!(judgement.used.ocsp.is_empty());
}

#[test]
fn stapled_response_that_is_wrong_fails_and_a_stale_one_says_nothing() {
    let world = World::new();
    let mut request = world.good();
    let leaf = request.chain[0].clone();
    let answer =
        |answer: &Answer| Responder::of(&world.issuer).answer(&leaf, &world.issuer.der, answer);
    request.ocsp = Some(answer(&Answer::good()));
    let judgement = world.judge(&request, &Evidence::default());
    assert_eq!(
        step(&judgement, StepName::Revocation),
        (StepResult::Passed, None)
    );
    let revoked = Answer {
        status: Status::Revoked,
        ..Answer::good()
    };
    request.ocsp = Some(answer(&revoked));
    assert_eq!(
        world.fault(&request),
        Some((StepName::Revocation, Code::Revoked))
    );
    let stale = Answer {
        next_update: Some(NOW - 1),
        ..Answer::good()
    };
    request.ocsp = Some(answer(&stale));
    assert_eq!(
        world.fault(&request),
        Some((StepName::Revocation, Code::NoRevocationData))
    );
    let impostor = Responder::of(&World::new().issuer);
    request.ocsp = Some(impostor.answer(&leaf, &world.issuer.der, &Answer::good()));
    assert_eq!(
        world.fault(&request),
        Some((StepName::Revocation, Code::BadOcspResponse))
    );
}

/// RFC 7633 §4.
#[test]
fn certificate_that_demands_a_stapled_response_is_judged_by_that_of_its_handshake() {
    let world = World::new();
    let mut params = World::leaf();
    let features = element(0x30, &[&element(2, &[&[5]])]);
    let id = [1, 3, 6, 1, 5, 5, 7, 1, 24];
    params.custom_extensions = vec![extension(&id, false, &features)];
    let mut request = world.request(world.issue_logged(&params));
    let leaf = request.chain[0].clone();
    let staple = |request: &Request| {
        let judgement = world.judge(request, &Evidence::default());
        (step(&judgement, StepName::Staple), judgement.verdict.status)
    };
    let skipped = |code| (StepResult::Skipped, Some(code));
    // A file is no handshake: nobody knows what the server staples.
    let not_given = (skipped(Code::StapleNotGiven), pki::Status::Valid);
    assert_eq!(staple(&request), not_given);
    let not_demanded = (skipped(Code::StapleNotDemanded), pki::Status::Valid);
    assert_eq!(staple(&world.good()), not_demanded);

    let responder = Responder::of(&world.issuer);
    let answer = |answer: &Answer| responder.answer(&leaf, &world.issuer.der, answer);
    request.ocsp = Some(answer(&Answer::good()));
    let passed = (StepResult::Passed, None);
    assert_eq!(staple(&request), (passed, pki::Status::Valid));
    // What says nothing of revocation does not satisfy the demand either.
    let bad = |code| {
        let failed = (StepResult::Failed, Some(code));
        (failed, pki::Status::Invalid)
    };
    for (status, next_update, code) in [
        (Status::Good, NOW - 1, Code::BadOcspResponse),
        (Status::Unknown, NOW + 60, Code::BadOcspResponse),
        (Status::Revoked, NOW + 60, Code::Revoked),
    ] {
        request.ocsp = Some(answer(&Answer {
            status,
            next_update: Some(next_update),
            ..Answer::good()
        }));
        assert_eq!(staple(&request), bad(code));
    }
    // Its responder's clock is ahead of this one.
    request.ocsp = Some(answer(&Answer {
        this_update: NOW + 3_600,
        next_update: Some(NOW + 7_200),
        ..Answer::good()
    }));
    let unknown = (StepResult::Unknown, Some(Code::NoRevocationData));
    assert_eq!(staple(&request), (unknown, pki::Status::Unknown));
    let garbage = extension(&id, false, &[0x30, 5, 1]);
    params.custom_extensions = vec![garbage];
    let request = world.request(world.issue_logged(&params));
    assert_eq!(staple(&request), bad(Code::Malformed));
}
