//! Octets of others: whatever they are, judging them ends with a verdict or an error, and never makes valid what is not.

#![expect(clippy::unwrap_used, reason = "a sample that cannot be made must fail")]

#[path = "../../ct/tests/certificates/pki.rs"]
mod pki;
#[path = "judge/responder.rs"]
mod responder;
#[path = "../../ct/tests/support/mod.rs"]
mod support;
#[path = "judge/world.rs"]
mod world;

use std::panic::AssertUnwindSafe;

use ::pki::ocsp::OcspResponse;
use ::pki::tlsa::{Tlsa, TlsaRecord};
use ::pki::{Evidence, Status, Verdict, crl::Crl};
use ct::Certificate;
use responder::{Answer, Responder};
use support::{ALGORITHMS, damage};
use world::{NOW, World};

/// Random octets, and this sample with some of its octets changed by them.
fn inputs(sample: &[u8], noise: &[u8]) -> [Vec<u8>; 2] {
    [noise.to_vec(), damage(sample, noise)]
}

#[test]
fn response_is_refused_or_checked_without_end() {
    let world = AssertUnwindSafe(World::new());
    let leaf = world.issuer.issue(&World::leaf());
    let sample = Responder::of(&world.issuer).answer(&leaf, &world.issuer.der, &Answer::good());
    let certificate = Certificate::parse(&leaf).unwrap();
    let issuer = Certificate::parse(&world.issuer.der).unwrap();
    bolero::check!().for_each(|noise: &[u8]| {
        for bytes in inputs(&sample, noise) {
            let Ok(response) = OcspResponse::parse(&bytes) else {
                continue;
            };
            let checked = response.check(&certificate, &issuer, None, NOW, ALGORITHMS);
            assert!(checked.is_err() || bytes == sample);
        }
    });
}

#[test]
fn request_with_any_octets_has_a_verdict_and_is_valid_only_unchanged() {
    let world = AssertUnwindSafe(World::new());
    let sample = world.good();
    bolero::check!().for_each(|noise: &[u8]| {
        for (place, changed) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let mut request = sample.clone();
            request.chain[place] = inputs(&sample.chain[place], noise)[changed].clone();
            if place == 1 {
                request.sct_list = Some(noise.to_vec());
                request.host = Some(String::from_utf8_lossy(noise).into_owned());
            }
            let verdict = world.judge(&request, &Evidence::default()).verdict;
            let is_whole = request.chain == sample.chain;
            assert!(verdict.status != Status::Valid || is_whole);
            assert_eq!(verdict.steps.len(), 11);
            let json = serde_json::to_string(&verdict).unwrap();
            assert_eq!(serde_json::from_str::<Verdict>(&json).unwrap(), verdict);
        }
    });
}

#[test]
fn revocation_list_is_refused_or_says_nothing_once_changed() {
    let world = AssertUnwindSafe(World::new());
    let list = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2026, 1, 25),
        next_update: rcgen::date_time_ymd(2026, 2, 5),
        crl_number: rcgen::SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let authority = rcgen::Issuer::from_params(&world.issuer.params, &world.issuer.key);
    let sample = list.signed_by(&authority).unwrap().der().to_vec();
    let leaf = world.issuer.issue(&World::leaf());
    let certificate = Certificate::parse(&leaf).unwrap();
    let issuer = Certificate::parse(&world.issuer.der).unwrap();
    bolero::check!().for_each(|noise: &[u8]| {
        for bytes in inputs(&sample, noise) {
            let is_whole = bytes == sample;
            let Ok(list) = Crl::parse(bytes) else {
                continue;
            };
            assert_eq!(list.check(&certificate, &issuer, NOW).is_ok(), is_whole);
        }
    });
}

#[test]
fn record_with_any_octets_allows_only_what_it_names() {
    let world = AssertUnwindSafe(World::new());
    let request = world.good();
    let hash = ct::Hash::of(&request.chain[0]).0;
    let sample = [&[3, 0, 1][..], &hash].concat();
    bolero::check!().for_each(|noise: &[u8]| {
        for bytes in inputs(&sample, noise) {
            let Ok(record) = TlsaRecord::parse(&bytes) else {
                continue;
            };
            let is_usable = record.is_usable();
            let evidence = Evidence {
                tlsa: Some(Tlsa {
                    is_secure: true,
                    until: NOW + 60,
                    records: vec![record],
                    ..Tlsa::default()
                }),
                ..Evidence::default()
            };
            let status = world.judge(&request, &evidence).verdict.status;
            let names_it = bytes == sample || bytes == [&[1, 0, 1][..], &hash].concat();
            assert_eq!(status == Status::Valid, names_it || !is_usable);
        }
    });
}
