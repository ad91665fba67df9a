//! Everything that can be wrong with a chain: each has its own step and code.

use pki::{CHAIN_BYTES_MAX, CHAIN_CERTIFICATES_MAX, Code, Evidence, Request, StepName};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, GeneralSubtree, IsCa, KeyUsagePurpose,
    NameConstraints, date_time_ymd,
};

use crate::pki::{Authority, POISON, authority, extension, leaf_with, overwrite};
use crate::world::{NOW, NOW_MS, World, fault};

fn logged(change: impl Fn(&mut CertificateParams)) -> (World, Request) {
    let world = World::new();
    let mut params = World::leaf();
    change(&mut params);
    let request = world.request(world.issue_logged(&params));
    (world, request)
}

#[test]
fn time_outside_the_validity_is_named_by_whose_it_is() {
    let (world, request) = logged(|_| {});
    let evidence = Evidence::default();
    let at = |now_ms| fault(&world.judge_at(&request, &evidence, now_ms));
    let (begin, end) = (1_767_225_600_000, 1_774_396_800_000);
    let expired = Some((StepName::Validity, Code::Expired));
    assert_eq!(at(end + 1_000), expired);
    assert_ne!(at(end), expired);
    assert_eq!(
        at(begin - 1_000),
        Some((StepName::Validity, Code::NotYetValid))
    );
    assert_eq!(at(begin), None);

    let mut params = authority("issuer");
    params.not_after = date_time_ymd(2026, 1, 15);
    let mut world = world;
    world.issuer = world
        .root
        .authority_by(params, &rcgen::PKCS_ECDSA_P256_SHA256);
    let (_, fault) = world.fault(&world.good()).unwrap();
    assert_eq!(fault, Code::AuthorityExpired);
}

#[test]
fn chain_of_other_authorities_is_named_by_where_it_breaks() {
    let (world, mut request) = logged(|_| {});
    let others = World::below(Authority::root("other root"), "other issuer");
    assert_eq!(
        others.fault(&request),
        Some((StepName::Path, Code::RootNotAccepted))
    );
    request.chain[1] = others.issuer.der;
    assert_eq!(
        world.fault(&request),
        Some((StepName::Path, Code::WrongIssuer))
    );
    // The same names, other keys.
    request.chain[1] = World::new().issuer.der;
    let (step, code) = world.fault(&request).unwrap();
    assert_eq!((step, code), (StepName::Path, Code::BadSignature));
}

#[test]
fn signature_that_was_changed_is_bad() {
    let (world, mut request) = logged(|_| {});
    *request.chain[0].last_mut().unwrap() ^= 1;
    assert_eq!(
        world.fault(&request),
        Some((StepName::Path, Code::BadSignature))
    );
}

#[test]
fn poison_anywhere_is_refused_critical_or_not() {
    let world = World::new();
    for is_critical in [true, false] {
        let misplaced = extension(&POISON, is_critical, &[5, 0]);
        let mut params = World::leaf();
        params.custom_extensions.push(misplaced.clone());
        let request = world.request(world.issuer.issue(&params));
        let expected = Some((StepName::Parse, Code::Poison));
        assert_eq!(world.fault(&request), expected);
        let mut params = authority("issuer");
        params.custom_extensions.push(misplaced);
        let mut world = World::new();
        world.issuer = world
            .root
            .authority_by(params, &rcgen::PKCS_ECDSA_P256_SHA256);
        assert_eq!(
            world.fault(&world.request(world.issuer.issue(&leaf_with([])))),
            expected
        );
    }
    let (world, request) = logged(|params| {
        params
            .custom_extensions
            .push(extension(&[1, 2, 3], true, &[5, 0]))
    });
    assert_eq!(
        world.fault(&request),
        Some((StepName::Path, Code::UnknownCritical))
    );
}

#[test]
fn octets_that_are_no_certificate_are_named_by_what_is_wrong() {
    let (world, request) = logged(|_| {});
    let whole = request.chain[0].clone();
    let parse = |der: Vec<u8>| {
        let mut request = request.clone();
        request.chain[0] = der;
        world.fault(&request)
    };
    for cut in [whole.len() - 1, whole.len() / 2, 1] {
        let expected = Some((StepName::Parse, Code::Truncated));
        assert_eq!(parse(whole[..cut].to_vec()), expected, "{cut}");
    }
    assert_eq!(
        parse([&whole[..], &[0]].concat()),
        Some((StepName::Parse, Code::Malformed))
    );
    // The key usage becomes a second list of alternative names.
    let mut twice = whole;
    assert_eq!(
        overwrite(&mut twice, &[0x55, 0x1d, 0x0f], &[0x55, 0x1d, 0x11]),
        1
    );
    assert_eq!(
        parse(twice),
        Some((StepName::Parse, Code::DuplicateExtension))
    );
}

#[test]
fn chain_that_is_empty_or_huge_is_refused_before_it_is_read() {
    let (world, mut request) = logged(|_| {});
    let issuer = request.chain[1].clone();
    request.chain.resize(CHAIN_CERTIFICATES_MAX, issuer.clone());
    assert_eq!(world.fault(&request), None);
    request.chain.push(issuer);
    assert_eq!(
        world.fault(&request),
        Some((StepName::Parse, Code::TooManyCertificates))
    );
    request.chain.truncate(2);
    request.chain.push(vec![0; CHAIN_BYTES_MAX]);
    assert_eq!(
        world.fault(&request),
        Some((StepName::Parse, Code::TooManyBytes))
    );
    request.chain.clear();
    assert_eq!(
        world.fault(&request),
        Some((StepName::Parse, Code::EmptyChain))
    );
}

#[test]
fn host_must_be_one_and_must_be_named() {
    let (world, mut request) = logged(|_| {});
    for (host, expected) in [
        ("example.com", None),
        ("EXAMPLE.com", None),
        ("www.example.org", None),
        ("192.0.2.1", None),
        ("2001:db8::1", None),
        ("www.example.com", Some(Code::HostMismatch)),
        ("192.0.2.2", Some(Code::HostMismatch)),
        ("exa mple", Some(Code::BadHost)),
        ("", Some(Code::BadHost)),
    ] {
        request.host = Some(host.to_owned());
        let expected = expected.map(|code| (StepName::Host, code));
        assert_eq!(world.fault(&request), expected, "{host}");
    }
}

#[test]
fn authority_that_may_not_issue_this_is_named_by_the_rule() {
    let issue = |params: CertificateParams| {
        let mut world = World::new();
        let below = &rcgen::PKCS_ECDSA_P256_SHA256;
        world.issuer = world.root.authority_by(params, below);
        let request = world.good();
        world.fault(&request)
    };
    let mut names = authority("issuer");
    names.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("example.net".into()),
            GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])),
        ],
        excluded_subtrees: vec![],
    });
    assert_eq!(issue(names), Some((StepName::Path, Code::NameConstraints)));
    let mut no_authority = authority("issuer");
    no_authority.is_ca = IsCa::ExplicitNoCa;
    assert_eq!(
        issue(no_authority),
        Some((StepName::Path, Code::NotAuthority))
    );
    let mut usage = authority("issuer");
    usage.key_usages = vec![KeyUsagePurpose::CrlSign];
    assert_eq!(
        issue(usage),
        Some((StepName::Constraints, Code::WrongUsage))
    );
    let mut purpose = authority("issuer");
    purpose.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::CodeSigning];
    assert_eq!(issue(purpose), Some((StepName::Path, Code::WrongPurpose)));

    // Two authorities below one that allows none below it.
    let mut world = World::new();
    let mut narrow = authority("narrow");
    narrow.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let narrow = world
        .root
        .authority_by(narrow, &rcgen::PKCS_ECDSA_P256_SHA256);
    world.issuer = narrow.authority("issuer");
    let mut request = world.good();
    request.chain.push(narrow.der);
    assert_eq!(
        world.fault(&request),
        Some((StepName::Path, Code::PathLength))
    );
}

#[test]
fn certificate_that_breaks_the_baseline_requirements_is_named_by_the_rule() {
    let (world, request) =
        logged(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert_eq!(
        world.fault(&request),
        Some((StepName::Path, Code::AuthorityAsLeaf))
    );
    let (world, request) = logged(|params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    assert_eq!(
        world.fault(&request),
        Some((StepName::Path, Code::WrongPurpose))
    );
    let (world, request) = logged(|params| params.extended_key_usages.clear());
    assert_eq!(
        world.fault(&request),
        Some((StepName::Constraints, Code::WrongPurpose))
    );
    let (world, request) = logged(|params| {
        params.serial_number = Some(rcgen::SerialNumber::from_slice(&[7; 21]));
    });
    assert_eq!(
        world.fault(&request).map(|(_, code)| code),
        Some(Code::BaselineRequirements)
    );
}

#[test]
fn verdicts_hold_as_long_as_what_they_rest_on() {
    let (world, request) = logged(|params| {
        params.not_after = date_time_ymd(2026, 1, 31).replace_hour(12).unwrap();
    });
    let valid = world.judge(&request, &Evidence::default()).verdict;
    let end = NOW + 43_200;
    assert_eq!(valid.good_until_unix_secs, end.cast_unsigned());
    let mut other = request;
    other.host = Some("example.net".to_owned());
    let invalid = world.judge(&other, &Evidence::default()).verdict;
    assert_eq!(
        invalid.good_until_unix_secs,
        NOW_MS / 1_000 + pki::INVALID_SECS
    );
}
