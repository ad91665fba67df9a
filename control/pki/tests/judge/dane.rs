//! TLSA records of all usages, selectors and matching types, and what they replace.

use ct::{Certificate, Hash};
use pki::tlsa::{Tlsa, TlsaRecord};
use pki::{Code, Evidence, Judgement, Request, Status, StepName, StepResult, Wanted};
use rcgen::date_time_ymd;
use sha2::{Digest as _, Sha512};

use crate::pki::Authority;
use crate::world::{NOW, NOW_MS, World, fault, step};

fn record(usage: u8, selector: u8, matching: u8, der: &[u8]) -> TlsaRecord {
    let certificate = Certificate::parse(der).unwrap();
    let selected = match selector {
        0 => der,
        _ => certificate.public_key().spki,
    };
    let data = match matching {
        0 => selected.to_vec(),
        1 => Hash::of(selected).0.to_vec(),
        _ => Sha512::digest(selected).to_vec(),
    };
    TlsaRecord {
        usage,
        selector,
        matching,
        data,
    }
}

fn judge(world: &World, request: &Request, records: Vec<TlsaRecord>) -> Judgement {
    let evidence = Evidence {
        tlsa: Some(Tlsa {
            is_secure: true,
            until: NOW + 300,
            records,
            ..Tlsa::default()
        }),
        ..Evidence::default()
    };
    world.judge(request, &evidence)
}

/// Of a certificate that nobody trusts, for another host, expired and not logged.
fn untrusted() -> (World, Request) {
    let world = World::new();
    let others = World::below(Authority::root("own root"), "own issuer");
    let mut params = World::leaf();
    params.not_before = date_time_ymd(2025, 12, 1);
    params.not_after = date_time_ymd(2026, 1, 2);
    let mut request = others.request(others.issuer.issue(&params));
    request.chain.push(others.root.der);
    (world, request)
}

#[test]
fn certificate_of_the_domain_needs_nothing_else() {
    let (world, mut request) = untrusted();
    request.host = Some("elsewhere.example".to_owned());
    assert!(world.fault(&request).is_some());
    for selector in 0..=1 {
        for matching in 0..=2 {
            let record = record(3, selector, matching, &request.chain[0]);
            let judgement = judge(&world, &request, vec![record.clone()]);
            assert_eq!(fault(&judgement), None, "{selector} {matching}");
            assert_eq!(
                step(&judgement, StepName::Path),
                (StepResult::Skipped, Some(Code::ReplacedByDane))
            );
            assert_eq!(step(&judgement, StepName::Dane), (StepResult::Passed, None));
            assert_eq!(judgement.verdict.good_until_unix_secs, NOW_MS / 1_000 + 300);
            let mut other = record;
            other.data[5] ^= 1;
            let judgement = judge(&world, &request, vec![other]);
            assert_eq!(
                step(&judgement, StepName::Dane),
                (StepResult::Failed, Some(Code::TlsaMismatch))
            );
        }
    }
}

#[test]
fn authority_of_the_domain_replaces_the_anchors_and_nothing_else() {
    let (world, mut request) = untrusted();
    let root = request.chain[2].clone();
    let records = |der: &[u8]| vec![record(2, 1, 1, der)];
    let expired = Some((StepName::Validity, Code::Expired));
    assert_eq!(fault(&judge(&world, &request, records(&root))), expired);
    let others = World::below(Authority::root("own root"), "own issuer");
    request.chain = vec![
        others.issuer.issue(&World::leaf()),
        others.issuer.der.clone(),
        others.root.der.clone(),
    ];
    for authority in [&others.root, &others.issuer] {
        let judgement = judge(&world, &request, records(&authority.der));
        assert_eq!(fault(&judgement), None);
        assert_eq!(
            step(&judgement, StepName::Scts),
            (StepResult::Skipped, Some(Code::NotPublic))
        );
    }
    let mut elsewhere = request.clone();
    elsewhere.host = Some("elsewhere.example".to_owned());
    assert_eq!(
        fault(&judge(&world, &elsewhere, records(&others.root.der))),
        Some((StepName::Host, Code::HostMismatch))
    );
    // RFC 7671 §5.2.2: the record itself may bring the certificate.
    request.chain.truncate(2);
    let whole = vec![record(2, 0, 0, &others.root.der)];
    assert_eq!(fault(&judge(&world, &request, whole)), None);
    // Another authority with the same name and another key.
    let impostor = World::below(Authority::root("own root"), "own issuer");
    let whole = vec![record(2, 0, 0, &impostor.root.der)];
    let judgement = judge(&world, &request, whole);
    assert_eq!(
        step(&judgement, StepName::Dane),
        (StepResult::Failed, Some(Code::TlsaMismatch))
    );
}

#[test]
fn record_with_public_validation_narrows_what_is_valid() {
    let world = World::new();
    let request = world.good();
    let root = &world.root.der;
    for (usage, der, expected) in [
        (1, &request.chain[0], None),
        (1, &request.chain[1], Some(Code::TlsaMismatch)),
        (0, &request.chain[0], Some(Code::TlsaMismatch)),
        (0, &request.chain[1], None),
        (0, root, None),
    ] {
        let judgement = judge(&world, &request, vec![record(usage, 1, 2, der)]);
        let expected = expected.map(|code| (StepName::Dane, code));
        assert_eq!(fault(&judgement), expected, "usage {usage}");
    }
    // One that matches suffices; a stranger's beside it does not matter.
    let other = World::new();
    let both = vec![record(1, 0, 1, &other.root.der), record(0, 0, 1, root)];
    assert_eq!(fault(&judge(&world, &request, both)), None);
    // It never makes valid what is not.
    let (_, untrusted) = untrusted();
    let own = vec![record(1, 0, 1, &untrusted.chain[0])];
    assert_eq!(
        fault(&judge(&world, &untrusted, own)),
        Some((StepName::Path, Code::RootNotAccepted))
    );
}

#[test]
fn records_that_are_insecure_unusable_or_missing_say_nothing() {
    let world = World::new();
    let mut request = world.good();
    let stranger = Authority::root("stranger");
    let insecure = Evidence {
        tlsa: Some(Tlsa {
            is_secure: false,
            until: NOW + 300,
            records: vec![record(3, 1, 1, &stranger.der)],
            ..Tlsa::default()
        }),
        ..Evidence::default()
    };
    let judgement = world.judge(&request, &insecure);
    assert_eq!(fault(&judgement), None);
    assert_eq!(
        step(&judgement, StepName::Dane),
        (StepResult::Skipped, Some(Code::InsecureTlsa))
    );
    let good = record(3, 1, 1, &stranger.der);
    let unusable = [
        TlsaRecord {
            usage: 4,
            ..good.clone()
        },
        TlsaRecord {
            selector: 2,
            ..good.clone()
        },
        TlsaRecord {
            matching: 3,
            ..good.clone()
        },
        TlsaRecord {
            matching: 2,
            ..good
        },
    ];
    let judgement = judge(&world, &request, unusable.to_vec());
    assert_eq!(
        step(&judgement, StepName::Dane),
        (StepResult::Skipped, Some(Code::UnusableTlsa))
    );
    request.port = Some(443);
    let judgement = world.judge(&request, &Evidence::default());
    let host = "example.com".to_owned();
    let records = Wanted::Tlsa { host, port: 443 };
    assert!(judgement.wanted.contains(&records));
    // RFC 6698 §4.1: if they cannot be had, nobody knows what they would have said.
    let mut failed = Evidence::default();
    failed.failed.insert(records.clone());
    let judgement = world.judge(&request, &failed);
    let not_fetched = Some((StepName::Dane, Code::TlsaNotFetched));
    assert_eq!(fault(&judgement), not_fetched);
    assert_eq!(judgement.verdict.status, Status::Unknown);
    assert!(!judgement.wanted.contains(&records));
    request.host = Some("192.0.2.1".to_owned());
    let judgement = world.judge(&request, &Evidence::default());
    let is_tlsa = |wanted: &Wanted| matches!(wanted, Wanted::Tlsa { .. });
    assert!(!judgement.wanted.iter().any(is_tlsa));
    let judgement = judge(&world, &request, vec![]);
    assert_eq!(
        step(&judgement, StepName::Dane),
        (StepResult::Skipped, Some(Code::NoTlsa))
    );
}

/// RFC 7671 §7.
#[test]
fn certificate_may_be_for_where_the_aliases_of_its_host_lead_if_secure_records_there_are_used() {
    let world = World::new();
    let mut request = world.good();
    request.host = Some("alias.example".to_owned());
    let mismatch = Some((StepName::Host, Code::HostMismatch));
    let (root, leaf) = (world.root.der.clone(), request.chain[0].clone());
    let with = |request: &Request, change: fn(&mut Tlsa)| {
        let mut tlsa = Tlsa {
            is_secure: true,
            until: NOW + 300,
            base_domain: Some("example.com".to_owned()),
            records: vec![record(1, 0, 1, &leaf)],
        };
        change(&mut tlsa);
        let evidence = Evidence {
            tlsa: Some(tlsa),
            ..Evidence::default()
        };
        world.judge(request, &evidence)
    };
    assert_eq!(world.fault(&request), mismatch);
    assert_eq!(fault(&with(&request, |_| {})), None);
    let changes: [fn(&mut Tlsa); 6] = [
        |tlsa| tlsa.base_domain = None,
        |tlsa| tlsa.base_domain = Some("elsewhere.example".to_owned()),
        |tlsa| tlsa.base_domain = Some("\\032".to_owned()),
        |tlsa| tlsa.is_secure = false,
        |tlsa| tlsa.records.clear(),
        |tlsa| tlsa.records[0].matching = 9,
    ];
    for change in changes {
        assert_eq!(fault(&with(&request, change)), mismatch);
    }
    // The host itself goes on to be a name that will do.
    request.host = Some("example.com".to_owned());
    let elsewhere = |tlsa: &mut Tlsa| tlsa.base_domain = Some("elsewhere.example".to_owned());
    assert_eq!(fault(&with(&request, elsewhere)), None);
    // An authority of the domain behind the alias.
    request.host = Some("alias.example".to_owned());
    request.chain.push(root.clone());
    let evidence = Evidence {
        tlsa: Some(Tlsa {
            is_secure: true,
            until: NOW + 300,
            base_domain: Some("example.com".to_owned()),
            records: vec![record(2, 0, 1, &root)],
        }),
        ..Evidence::default()
    };
    assert_eq!(fault(&world.judge(&request, &evidence)), None);
}

#[test]
fn record_data_of_fewer_than_four_octets_are_refused() {
    for bytes in 0..4 {
        assert!(TlsaRecord::parse(&[3; 4][..bytes]).is_err());
    }
    let record = TlsaRecord::parse(&[3, 1, 2, 9]).unwrap();
    let fields = (record.usage, record.selector, record.matching, record.data);
    assert_eq!(fields, (3, 1, 2, vec![9]));
}
