//! What is found wanting in a certificate.

use ct::{
    Certificate, DAY_SECONDS, DerError, Finding, LIFETIME_RULES, Oid, Role, assess, unix_midnight,
};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
    SerialNumber, date_time_ymd,
};

use crate::pki::{self, Authority, extension, leaf, leaf_with, overwrite, poison};

fn of(params: &CertificateParams) -> Vec<Finding> {
    let der = Authority::root("root").issue(params);
    assess(&Certificate::parse(&der).unwrap(), Role::EndEntity)
}

#[test]
fn certificates_as_authorities_issue_them_have_no_findings() {
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ECDSA_P521_SHA512,
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_RSA_SHA256,
    ] {
        let root = Authority::root_by("root", algorithm);
        let issuer = root.authority_by(pki::authority("issuer"), algorithm);
        for (der, role) in [
            (&issuer.issue(&leaf()), Role::EndEntity),
            (&issuer.der, Role::Authority),
            (&root.der, Role::Root),
        ] {
            assert_eq!(assess(&Certificate::parse(der).unwrap(), role), []);
        }
    }
}

#[test]
fn lifetime_is_bounded_by_the_day_of_issuance() {
    let lifetime = |from: (i32, u8, u8), seconds: i64| {
        let mut params = leaf();
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after =
            params.not_before + std::time::Duration::from_secs(seconds.try_into().unwrap());
        of(&params)
    };
    for (from, days_max) in [
        ((2018, 3, 1), 825),
        ((2020, 8, 31), 825),
        ((2020, 9, 1), 398),
        ((2026, 3, 14), 398),
        ((2026, 3, 15), 200),
        ((2027, 3, 15), 100),
        ((2029, 3, 14), 100),
        ((2029, 3, 15), 47),
        ((2040, 1, 1), 47),
    ] {
        let most = i64::from(days_max) * DAY_SECONDS - 1;
        assert_eq!(lifetime(from, most), [], "{from:?}");
        let days = i64::from(days_max) + 1;
        assert_eq!(
            lifetime(from, most + 1),
            [Finding::Lifetime { days, days_max }],
            "{from:?}"
        );
    }
    assert_eq!(lifetime((2018, 2, 28), 5000 * DAY_SECONDS), []);
    let starts = LIFETIME_RULES.map(|rule| rule.issued_from);
    assert!(starts.is_sorted());
    assert_eq!(starts[1], 1_598_918_400);
    assert_eq!(starts[4], unix_midnight(2029, 3, 15));
}

#[test]
fn server_needs_names_purpose_and_no_authority() {
    let mut params = leaf();
    params.subject_alt_names.clear();
    assert_eq!(of(&params), [Finding::NoName]);
    let mut params = leaf();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    assert_eq!(of(&params), [Finding::NotForServers]);
    let mut params = leaf();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert_eq!(of(&params), [Finding::Authority]);
    let mut params = leaf();
    params.not_after = date_time_ymd(2026, 5, 1);
    assert_eq!(of(&params), [Finding::NeverValid]);
    let wide = CertificateParams::new(vec!["*.com".to_owned()]).unwrap();
    let mut params = leaf();
    params.subject_alt_names = wide.subject_alt_names;
    assert_eq!(
        of(&params),
        [Finding::WideWildcard {
            name: "*.com".to_owned()
        }]
    );
}

#[test]
fn serial_number_must_be_positive_and_not_long() {
    for (serial, expected) in [
        (&[7; 20][..], vec![]),
        (&[7; 21], vec![Finding::Serial]),
        (&[0], vec![Finding::Serial]),
        (&[0xff], vec![]), // Written with a zero before it.
    ] {
        let mut params = leaf();
        params.serial_number = Some(SerialNumber::from_slice(serial));
        assert_eq!(of(&params), expected, "{serial:x?}");
    }
    let mut der = Authority::root("root").issue(&leaf());
    assert_eq!(overwrite(&mut der, &[2, 16, 7, 7], &[2, 16, 0xf7, 7]), 1);
    assert_eq!(
        assess(&Certificate::parse(&der).unwrap(), Role::EndEntity),
        [Finding::Serial]
    );
}

#[test]
fn poison_and_other_unknown_critical_extensions_are_named() {
    let unknown = [
        poison(),
        extension(&[1, 3, 6, 1, 4, 1, 99], true, &pki::NULL),
    ];
    let expected = ["1.3.6.1.4.1.11129.2.4.3", "1.3.6.1.4.1.99"];
    let expected = expected.map(|id| Finding::UnknownCritical { id: id.to_owned() });
    assert_eq!(of(&leaf_with(unknown)), expected);
}

#[test]
fn authority_must_say_that_it_is_one_and_that_it_signs() {
    let root = Authority::root("root");
    let mut params = pki::authority("issuer");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::CrlSign];
    let issuer = root.authority_by(params, &rcgen::PKCS_ECDSA_P256_SHA256);
    let findings = assess(&Certificate::parse(&issuer.der).unwrap(), Role::Authority);
    assert_eq!(findings, [Finding::NotAuthority, Finding::NotForSigning]);
}

/// A certificate whose signature algorithm, which is RSA with SHA-256, is written over.
fn signed_by(last: u8) -> Vec<u8> {
    let mut der = Authority::root_by("root", &rcgen::PKCS_RSA_SHA256).issue(&leaf());
    let id = [0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 11];
    let mut other = id;
    other[8] = last;
    assert_eq!(overwrite(&mut der, &id, &other), 2);
    der
}

#[test]
fn signatures_with_broken_hashes_or_of_other_kinds_are_named_but_not_of_roots() {
    let of = |last, role| assess(&Certificate::parse(&signed_by(last)).unwrap(), role);
    for (last, algorithm) in [(5, Oid::RSA_SHA1), (4, Oid::RSA_MD5), (10, Oid::RSA_PSS)] {
        let algorithm = algorithm.to_string();
        assert_eq!(
            of(last, Role::EndEntity),
            [Finding::BrokenHash { algorithm }]
        );
    }
    let algorithm = "1.2.840.113549.1.1.14".to_owned(); // SHA-224.
    assert_eq!(
        of(14, Role::EndEntity),
        [Finding::SignatureAlgorithm { algorithm }]
    );
    assert_eq!(of(5, Role::Root), []);
}

/// A certificate with this SubjectPublicKeyInfo.
fn with_key(algorithm: &[&[u8]], key: &[u8]) -> Vec<u8> {
    let der = Authority::root("root").issue(&leaf());
    let certificate = Certificate::parse(&der).unwrap();
    let spki = pki::element(
        0x30,
        &[
            &pki::element(0x30, algorithm),
            &pki::element(3, &[&[0], key]),
        ],
    );
    let old = certificate.public_key().spki;
    let tbs = certificate.tbs();
    let place = tbs
        .windows(old.len())
        .position(|window| window == old)
        .unwrap();
    let tbs = pki::element(0x30, &[&tbs[4..place], &spki, &tbs[place + old.len()..]]);
    let algorithm = pki::element(0x30, &[certificate.signature_algorithm()]);
    pki::element(
        0x30,
        &[
            &tbs,
            &algorithm,
            &pki::element(3, &[&[0], certificate.signature()]),
        ],
    )
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Vec<Finding> {
    let id = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1];
    let key = pki::element(
        0x30,
        &[&pki::element(2, &[modulus]), &pki::element(2, &[exponent])],
    );
    let der = with_key(&[&id, &pki::NULL], &key);
    assess(&Certificate::parse(&der).unwrap(), Role::EndEntity)
}

#[test]
fn rsa_key_must_be_long_enough_and_its_exponent_odd() {
    let modulus = |octets: usize| [&[0, 0xc0][..], &vec![1; octets - 1]].concat();
    assert_eq!(rsa(&modulus(256), &[1, 0, 1]), []);
    assert_eq!(rsa(&modulus(512), &[3]), []);
    assert_eq!(
        rsa(&modulus(128), &[1, 0, 1]),
        [Finding::RsaBits { bits: 1024 }]
    );
    assert_eq!(
        rsa(&[&[0x3f][..], &[1; 256]].concat(), &[3]),
        [Finding::RsaBits { bits: 2054 }]
    );
    assert_eq!(
        rsa(&[&[0x7f][..], &[1; 255]].concat(), &[3]),
        [Finding::RsaBits { bits: 2047 }]
    );
    assert_eq!(
        rsa(&[&[0xc0][..], &[1; 255]].concat(), &[3]),
        [Finding::RsaBits { bits: 0 }]
    );
    for exponent in [&[1][..], &[2], &[1, 0, 0], &[0xff]] {
        assert_eq!(
            rsa(&modulus(256), exponent),
            [Finding::RsaExponent],
            "{exponent:x?}"
        );
    }
    let malformed = [Finding::Malformed(DerError::Value {
        offset: 4,
        expected: "INTEGER",
    })];
    assert_eq!(rsa(&[], &[3]), malformed);
}

#[test]
fn keys_on_other_curves_or_of_other_kinds_are_named() {
    let ecdsa = [6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    let of = |algorithm: &[&[u8]]| {
        let der = with_key(algorithm, &[4; 65]);
        assess(&Certificate::parse(&der).unwrap(), Role::EndEntity)
    };
    let expected = |algorithm: &str| {
        [Finding::KeyAlgorithm {
            algorithm: algorithm.to_owned(),
        }]
    };
    assert_eq!(
        of(&[&ecdsa, &[6, 5, 0x2b, 0x81, 4, 0, 10]]),
        expected("1.3.132.0.10")
    );
    assert_eq!(of(&[&[6, 3, 0x2b, 0x65, 0x71]]), expected("1.3.101.113"));
    assert_eq!(of(&[&ecdsa, &[6, 5, 0x2b, 0x81, 4, 0, 0x23]]), []);
    assert!(matches!(
        of(&[&ecdsa])[..],
        [Finding::Malformed(DerError::Truncated { .. })]
    ));
}
