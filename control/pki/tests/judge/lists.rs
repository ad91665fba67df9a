//! Revocation lists, whole and in parts.

use std::sync::Arc;

use pki::crl::{Crl, CrlError};
use pki::{Code, Evidence, Request, StepName, StepResult};
use rcgen::{
    CertificateRevocationListParams, CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope,
    KeyIdMethod, RevokedCertParams, SerialNumber, date_time_ymd,
};

use crate::pki::Authority;
use crate::responder::{Answer, Responder};
use crate::world::{World, fault, step};

const URL: &str = "http://crl.example/1";

fn point(url: &str) -> CrlDistributionPoint {
    CrlDistributionPoint {
        uris: vec![url.into()],
    }
}

fn list(serials: &[u8]) -> CertificateRevocationListParams {
    let revoked_certs = serials.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from_slice(&[*serial; 16]),
        revocation_time: date_time_ymd(2026, 1, 20),
        reason_code: None,
        invalidity_date: None,
    });
    CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 25),
        next_update: date_time_ymd(2026, 2, 5),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: revoked_certs.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    }
}

fn sign(authority: &Authority, list: &CertificateRevocationListParams) -> Vec<u8> {
    let issuer = rcgen::Issuer::from_params(&authority.params, &authority.key);
    list.signed_by(&issuer).unwrap().der().to_vec()
}

/// A certificate that names a list.
fn named() -> (World, Request) {
    let world = World::new();
    let mut params = World::leaf();
    params.crl_distribution_points = vec![point(URL)];
    let request = world.request(world.issue_logged(&params));
    (world, request)
}

fn judge(world: &World, request: &Request, list: Vec<u8>) -> Option<(StepName, Code)> {
    let mut evidence = Evidence::default();
    let list = Arc::new(Crl::parse(list).unwrap());
    evidence.crls.insert(URL.to_owned(), list);
    let judgement = world.judge(request, &evidence);
    // The second time the signature is remembered.
    assert_eq!(fault(&world.judge(request, &evidence)), fault(&judgement));
    // Worth keeping is what its issuer has signed and what speaks of the certificate.
    let is_used = judgement.used.crls.contains(URL);
    assert_eq!(is_used, fault(&judgement) != NOTHING);
    fault(&judgement)
}

const NOTHING: Option<(StepName, Code)> = Some((StepName::Revocation, Code::NoRevocationData));

#[test]
fn certificate_on_the_list_is_revoked_and_another_is_not() {
    let (world, request) = named();
    let revoked = Some((StepName::Revocation, Code::Revoked));
    let issuer = &world.issuer;
    assert_eq!(judge(&world, &request, sign(issuer, &list(&[7]))), revoked);
    assert_eq!(judge(&world, &request, sign(issuer, &list(&[6, 8]))), None);
    assert_eq!(judge(&world, &request, sign(issuer, &list(&[]))), None);
    let mut evidence = Evidence::default();
    let other = Crl::parse(sign(issuer, &list(&[7]))).unwrap();
    evidence.other_crls.push(Arc::new(other));
    let judgement = world.judge(&request, &evidence);
    assert_eq!(fault(&judgement), revoked);
    // Which certificate it is decides whether others who show the same leaf are concerned.
    let reason = judgement.verdict.reason.as_ref().unwrap();
    assert!(
        reason.detail.starts_with("certificate 0: at "),
        "{reason:?}"
    );
    let mut stapled = request.clone();
    let responder = Responder::of(issuer);
    stapled.ocsp = Some(responder.answer(&request.chain[0], &issuer.der, &Answer::good()));
    assert_eq!(fault(&world.judge(&stapled, &evidence)), revoked);
    // One that is not about the authority above says nothing against it.
    let good = Crl::parse(sign(issuer, &list(&[8]))).unwrap();
    evidence.other_crls = vec![Arc::new(good)];
    assert_eq!(fault(&world.judge(&request, &evidence)), None);
    let judgement = world.judge(&world.good(), &Evidence::default());
    assert_eq!(
        step(&judgement, StepName::Revocation),
        (StepResult::Skipped, Some(Code::NoRevocationSource))
    );
}

#[test]
fn list_of_another_time_issuer_or_key_says_nothing() {
    let (world, request) = named();
    let mut old = list(&[]);
    old.next_update = date_time_ymd(2026, 1, 30);
    assert_eq!(judge(&world, &request, sign(&world.issuer, &old)), NOTHING);
    let mut future = list(&[]);
    future.this_update = date_time_ymd(2026, 2, 1);
    assert_eq!(
        judge(&world, &request, sign(&world.issuer, &future)),
        NOTHING
    );
    assert_eq!(
        judge(&world, &request, sign(&world.root, &list(&[7]))),
        NOTHING
    );
    let namesake = World::new().issuer;
    assert_eq!(
        judge(&world, &request, sign(&namesake, &list(&[7]))),
        NOTHING
    );
}

#[test]
fn part_of_a_list_speaks_for_its_own_certificates_only() {
    let (world, request) = named();
    for (url, scope, expected) in [
        (URL, None, None),
        (URL, Some(CrlScope::UserCertsOnly), None),
        (URL, Some(CrlScope::CaCertsOnly), NOTHING),
        ("http://crl.example/2", None, NOTHING),
    ] {
        let mut part = list(&[]);
        part.issuing_distribution_point = Some(CrlIssuingDistributionPoint {
            distribution_point: point(url),
            scope,
        });
        assert_eq!(
            judge(&world, &request, sign(&world.issuer, &part)),
            expected
        );
    }
}

#[test]
fn list_that_is_cut_or_has_no_end_is_refused() {
    let (world, _) = named();
    let whole = sign(&world.issuer, &list(&[7]));
    for cut in 0..whole.len() {
        assert!(Crl::parse(whole[..cut].to_vec()).is_err());
    }
    // The second of the two times becomes the empty list of entries' beginning.
    let name = crate::pki::element(0x30, &[]);
    let algorithm = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    let begin = crate::pki::element(0x17, &[b"260125000000Z"]);
    let tbs = crate::pki::element(0x30, &[&[2, 1, 1], &algorithm, &name, &begin]);
    let endless = crate::pki::element(0x30, &[&tbs, &algorithm, &[3, 1, 0]]);
    assert_eq!(Crl::parse(endless).unwrap_err(), CrlError::NoNextUpdate);
}
