//! Which chains a log takes; each that it does not take with its own error.

use std::sync::Arc;

use ct::{
    Certificate, CertificateError, ChainError, ChainRules, DerError, EntryKind, Hash, Oid,
    Precertificate, PrecertificateError, Roots, RootsError, SignatureError, Submission,
    submission_key, verify_signature,
};
use rcgen::{DnType, IsCa, date_time_ymd};
use webpki::ALL_VERIFICATION_ALGS;

use crate::pki::{
    self, Authority, check, extension, leaf, leaf_with, overwrite, poison, roots, sct_list,
};

const FINAL: Submission = Submission::Certificate;
const PRE: Submission = Submission::Precertificate;

fn certificate_of(chain: &[Vec<u8>]) -> Certificate<'_> {
    Certificate::parse(&chain[0]).unwrap()
}

#[test]
fn chain_of_every_algorithm_is_taken_with_and_without_its_root() {
    let algorithms = [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ECDSA_P521_SHA512,
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_RSA_SHA256,
        &rcgen::PKCS_RSA_SHA512,
    ];
    for (index, algorithm) in algorithms.iter().enumerate() {
        let root = Authority::root_by("root", algorithm);
        let below = algorithms[(index + 1) % algorithms.len()];
        let issuer = root.authority_by(pki::authority("issuer"), below);
        let leaf = issuer.issue(&leaf());
        let roots = roots(&[&root]);
        let whole = [leaf, issuer.der, root.der];
        let accepted = check(&roots, FINAL, &whole).unwrap();
        assert_eq!(
            accepted.entry.kind,
            EntryKind::Certificate(Arc::from(&whole[0][..]))
        );
        assert_eq!(
            *accepted.entry.chain,
            [Hash::of(&whole[1]), Hash::of(&whole[2])]
        );
        assert_eq!(
            accepted.issuers,
            whole[1..]
                .iter()
                .map(|der| Arc::from(&der[..]))
                .collect::<Vec<_>>()
        );
        assert_eq!(accepted.not_after, pki::NOT_AFTER);
        assert_eq!(check(&roots, FINAL, &whole[..2]), Ok(accepted));
    }
}

#[test]
fn precertificate_and_its_final_certificate_are_each_taken_where_they_belong() {
    let root = Authority::root("root");
    let roots = roots(&[&root]);
    let pre = [root.issue(&leaf_with([poison()]))];
    let issued = [root.issue(&leaf_with([sct_list(b"list")]))];
    let accepted = check(&roots, PRE, &pre).unwrap();
    let above = Certificate::parse(&root.der).unwrap();
    let logged = Precertificate::from_final(&certificate_of(&issued), &above).unwrap();
    assert_eq!(
        accepted.entry.kind,
        logged.into_entry(Arc::from(&pre[0][..]))
    );
    assert!(check(&roots, FINAL, &issued).is_ok());
    let poisoned = ChainError::Precertificate(PrecertificateError::Poisoned);
    assert_eq!(check(&roots, FINAL, &pre), Err(poisoned));
    let not_poisoned = ChainError::Precertificate(PrecertificateError::NoPoison);
    assert_eq!(check(&roots, PRE, &issued), Err(not_poisoned));
}

#[test]
fn precertificate_below_a_signing_certificate_is_logged_as_of_the_final_issuer() {
    let root = Authority::root("root");
    let mut params = pki::authority("issuer");
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    let issuer = root.authority_by(params, &rcgen::PKCS_ECDSA_P256_SHA256);
    let signing = issuer.precertificate_signing();
    let roots = roots(&[&root]);
    let pre = [
        signing.issue(&leaf_with([poison()])),
        signing.der,
        issuer.der.clone(),
    ];
    let below = check(&roots, PRE, &pre).unwrap();
    assert_eq!(below.entry.chain.len(), 3);
    let direct = [issuer.issue(&leaf_with([poison()])), issuer.der];
    let direct = check(&roots, PRE, &direct).unwrap();
    assert_eq!(
        submission_key(&below.entry.kind),
        submission_key(&direct.entry.kind)
    );
    assert_ne!(
        below.entry.kind, direct.entry.kind,
        "the submitted forms differ"
    );
}

#[test]
fn expired_and_not_yet_valid_certificates_are_taken() {
    let root = Authority::root("root");
    for years in [(1980, 1981), (2090, 2091), (2030, 2020)] {
        let mut params = leaf();
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        let chain = [root.issue(&params)];
        assert!(check(&roots(&[&root]), FINAL, &chain).is_ok(), "{years:?}");
    }
}

#[test]
fn root_alone_is_taken_as_a_certificate_without_issuers() {
    let root = Authority::root("root");
    let accepted = check(&roots(&[&root]), FINAL, std::slice::from_ref(&root.der)).unwrap();
    assert!(accepted.entry.chain.is_empty());
    assert!(accepted.issuers.is_empty());
}

#[test]
fn accepted_issuer_that_is_not_self_signed_ends_a_chain() {
    let root = Authority::root("root");
    let issuer = root.authority("issuer");
    let chain = [issuer.issue(&leaf())];
    let accepted = check(&roots(&[&issuer]), FINAL, &chain).unwrap();
    assert_eq!(*accepted.entry.chain, [Hash::of(&issuer.der)]);
    let beyond = [chain[0].clone(), issuer.der.clone(), root.der];
    let expected = ChainError::RootNotAccepted { index: 2 };
    assert_eq!(check(&roots(&[&issuer]), FINAL, &beyond), Err(expected));
}

#[test]
fn of_roots_with_one_name_the_one_with_the_key_is_found() {
    let all: Vec<_> = (0..5).map(|_| Authority::root("root")).collect();
    let roots = roots(&all.iter().collect::<Vec<_>>());
    for root in &all {
        let accepted = check(&roots, FINAL, &[root.issue(&leaf())]).unwrap();
        assert_eq!(*accepted.entry.chain, [Hash::of(&root.der)]);
    }
    let stranger = Authority::root("root").issue(&leaf());
    let expected = ChainError::Signature {
        index: 0,
        error: SignatureError::Invalid,
    };
    assert_eq!(check(&roots, FINAL, &[stranger]), Err(expected));
}

#[test]
fn chain_below_no_accepted_root_is_refused() {
    let (root, stranger) = (Authority::root("root"), Authority::root("stranger"));
    let chain = [stranger.issue(&leaf()), stranger.der];
    let roots = roots(&[&root]);
    let expected = |index| Err(ChainError::RootNotAccepted { index });
    assert_eq!(check(&roots, FINAL, &chain), expected(1));
    assert_eq!(check(&roots, FINAL, &chain[..1]), expected(0));
    let mut forged = chain;
    *forged[0].last_mut().unwrap() ^= 1;
    assert_eq!(
        check(&roots, FINAL, &forged),
        expected(1),
        "before signatures are checked"
    );
}

#[test]
fn chain_out_of_order_with_a_gap_or_with_a_repeated_certificate_is_refused() {
    let root = Authority::root("root");
    let issuer = root.authority("issuer");
    let other = root.authority("other");
    let roots = roots(&[&root]);
    let of = |chain: &[&Vec<u8>]| check(&roots, FINAL, chain).unwrap_err();
    let leaf = issuer.issue(&leaf());
    let unordered = ChainError::Unordered {
        index: 0,
        issuer: 2,
    };
    assert_eq!(of(&[&leaf, &root.der, &issuer.der]), unordered);
    assert_eq!(of(&[&leaf, &other.der, &issuer.der]), unordered);
    let wrong = ChainError::WrongIssuer { index: 0 };
    assert_eq!(of(&[&leaf, &other.der, &root.der]), wrong);
    let repeated = ChainError::Repeated { index: 2, first: 1 };
    assert_eq!(of(&[&leaf, &issuer.der, &issuer.der, &root.der]), repeated);
    let repeated = ChainError::Repeated { index: 3, first: 2 };
    assert_eq!(of(&[&leaf, &issuer.der, &root.der, &root.der]), repeated);
}

#[test]
fn issuer_that_is_no_authority_is_refused() {
    let root = Authority::root("root");
    for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa] {
        let mut params = pki::authority("issuer");
        params.is_ca = is_ca;
        let issuer = root.authority_by(params, &rcgen::PKCS_ECDSA_P256_SHA256);
        let chain = [issuer.issue(&leaf()), issuer.der.clone()];
        let expected = ChainError::NotAuthority { index: 1 };
        assert_eq!(check(&roots(&[&root]), FINAL, &chain), Err(expected));
        // Of an accepted root only name and key count.
        assert!(check(&roots(&[&issuer]), FINAL, &chain).is_ok());
    }
}

#[test]
fn path_longer_than_an_issuer_allows_is_refused() {
    let limited = |above: &Authority, name: &str, allowed| {
        let mut params = pki::authority(name);
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Constrained(allowed));
        above.authority_by(params, &rcgen::PKCS_ECDSA_P256_SHA256)
    };
    let root = Authority::root("root");
    let roots = roots(&[&root]);
    for (allowed, expected) in [
        (
            0,
            Err(ChainError::PathLength {
                index: 3,
                allowed: 0,
                found: 2,
            }),
        ),
        (
            1,
            Err(ChainError::PathLength {
                index: 3,
                allowed: 1,
                found: 2,
            }),
        ),
        (2, Ok(())),
    ] {
        let top = limited(&root, "top", allowed);
        let middle = limited(&top, "middle", 1);
        let bottom = limited(&middle, "bottom", 0);
        let chain = [bottom.issue(&leaf()), bottom.der, middle.der, top.der];
        assert_eq!(check(&roots, FINAL, &chain).map(drop), expected);
    }
    // RFC 5280 §6.1.4 (l): an authority's new certificate for itself is not counted.
    let top = limited(&root, "same", 0);
    let again = limited(&top, "same", 0);
    let chain = [again.issue(&leaf()), again.der, top.der];
    assert!(check(&roots, FINAL, &chain).is_ok());
}

#[test]
fn misplaced_poison_is_refused() {
    let root = Authority::root("root");
    let roots = roots(&[&root]);
    let of = |extensions: Vec<_>| {
        let chain = [root.issue(&leaf_with(extensions))];
        let errors = [FINAL, PRE].map(|submission| check(&roots, submission, &chain).unwrap_err());
        assert_eq!(errors[0], errors[1]);
        errors[0].clone()
    };
    let not_critical = extension(&pki::POISON, false, &pki::NULL);
    let expected = ChainError::Precertificate(PrecertificateError::PoisonNotCritical);
    assert_eq!(of(vec![not_critical]), expected);
    let not_null = extension(&pki::POISON, true, &[1, 1, 0xff]);
    let expected = ChainError::Precertificate(PrecertificateError::PoisonNotNull);
    assert_eq!(of(vec![not_null]), expected);
    let id = Oid::POISON.to_string();
    let error = CertificateError::DuplicateExtension { id };
    assert_eq!(
        of(vec![poison(), poison()]),
        ChainError::Certificate { index: 0, error }
    );

    let mut params = pki::authority("issuer");
    params.custom_extensions.push(poison());
    let issuer = root.authority_by(params, &rcgen::PKCS_ECDSA_P256_SHA256);
    let chain = [issuer.issue(&leaf()), issuer.der];
    let expected = ChainError::PoisonedIssuer { index: 1 };
    assert_eq!(check(&roots, FINAL, &chain), Err(expected));
}

#[test]
fn damaged_signature_is_refused_and_said_whose_it_is() {
    let root = Authority::root("root");
    let issuer = root.authority("issuer");
    let whole = [issuer.issue(&leaf()), issuer.der, root.der.clone()];
    for index in 0..2 {
        for count in [2, 3] {
            let mut chain = whole[..count].to_vec();
            *chain[index].last_mut().unwrap() ^= 1;
            let expected = ChainError::Signature {
                index,
                error: SignatureError::Invalid,
            };
            assert_eq!(
                check(&roots(&[&root]), FINAL, &chain),
                Err(expected),
                "{index} of {count}"
            );
        }
    }
}

#[test]
fn unknown_algorithm_and_key_of_another_kind_have_their_own_errors() {
    let root = Authority::root_by("root", &rcgen::PKCS_RSA_SHA256);
    let mut sha1 = root.issue(&leaf());
    let ids = [
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 11],
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 5],
    ];
    assert_eq!(overwrite(&mut sha1, &ids[0], &ids[1]), 2);
    let expected = ChainError::Signature {
        index: 0,
        error: SignatureError::UnknownAlgorithm {
            algorithm: Oid::RSA_SHA1.to_string(),
        },
    };
    assert_eq!(check(&roots(&[&root]), FINAL, &[sha1]), Err(expected));

    let other = Authority::root_by("root", &rcgen::PKCS_ED25519);
    let chain = [root.issue(&leaf())];
    let expected = ChainError::Signature {
        index: 0,
        error: SignatureError::OtherKey {
            algorithm: Oid::RSA_SHA256.to_string(),
            key: Oid::ED25519.to_string(),
        },
    };
    assert_eq!(check(&roots(&[&other]), FINAL, &chain), Err(expected));
    let certificate = certificate_of(&chain);
    let key = Certificate::parse(&root.der).unwrap().public_key();
    assert_eq!(
        verify_signature(&certificate, key, ALL_VERIFICATION_ALGS),
        Ok(())
    );
    let unknown = verify_signature(&certificate, key, &[]);
    assert!(matches!(
        unknown,
        Err(SignatureError::UnknownAlgorithm { .. })
    ));
}

#[test]
fn unequal_algorithm_identifiers_are_refused() {
    let root = Authority::root("root");
    let mut der = root.issue(&leaf());
    let id = [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    let place = der.windows(8).rposition(|window| window == id).unwrap();
    der[place + 7] = 3;
    let result = check(&roots(&[&root]), FINAL, &[der]);
    let is_unequal = |error| {
        matches!(
            error,
            ChainError::Certificate {
                index: 0,
                error: CertificateError::UnequalAlgorithms { .. },
            }
        )
    };
    assert!(result.is_err_and(is_unequal));
}

#[test]
fn issuer_whose_constraints_are_not_of_their_syntax_is_refused() {
    let root = Authority::root("root");
    let mut params = pki::authority("issuer");
    params.is_ca = IsCa::NoCa;
    params
        .custom_extensions
        .push(extension(&[2, 5, 29, 19], true, &pki::NULL));
    let issuer = root.authority_by(params, &rcgen::PKCS_ECDSA_P256_SHA256);
    let chain = [issuer.issue(&leaf()), issuer.der];
    let result = check(&roots(&[&root]), FINAL, &chain);
    let is_tag = |error| {
        matches!(
            error,
            ChainError::Extension {
                index: 1,
                error: DerError::Tag {
                    expected: 0x30,
                    found: 5,
                    ..
                },
            }
        )
    };
    assert!(result.is_err_and(is_tag));
}

#[test]
fn empty_long_and_huge_chains_are_refused_before_they_are_read() {
    let root = Authority::root("root");
    let roots = roots(&[&root]);
    assert_eq!(check::<&[u8]>(&roots, FINAL, &[]), Err(ChainError::Empty));
    let expected = ChainError::TooManyCertificates { count: 11, max: 10 };
    assert_eq!(check(&roots, FINAL, &[[0; 1]; 11]), Err(expected));
    let expected = ChainError::TooManyBytes {
        bytes: 65_537,
        max: 65_536,
    };
    assert_eq!(
        check(&roots, FINAL, &[vec![0; 65_530], vec![0; 7]]),
        Err(expected)
    );
    let chain = [root.issue(&leaf())];
    let rules = ChainRules {
        roots: &roots,
        algorithms: ALL_VERIFICATION_ALGS,
        certificates_max: 1,
        bytes_max: chain[0].len(),
    };
    assert!(
        rules.check(FINAL, &chain).is_ok(),
        "a root that is appended does not count"
    );
}

#[test]
fn certificate_that_is_cut_is_refused_at_its_place() {
    let root = Authority::root("root");
    let issuer = root.authority("issuer");
    let chain = [issuer.issue(&leaf()), issuer.der];
    for length in 0..chain[1].len() {
        let cut = [&chain[0][..], &chain[1][..length]];
        let result = check(&roots(&[&root]), FINAL, &cut);
        let is_truncated = matches!(
            result,
            Err(ChainError::Certificate {
                index: 1,
                error: CertificateError::Der(DerError::Truncated { .. }),
            })
        );
        assert!(is_truncated, "length={length} {result:?}");
    }
}

#[test]
fn roots_are_a_set_whatever_order_they_come_in() {
    let all: Vec<_> = ["a", "b", "c"].map(Authority::root).into_iter().collect();
    let pem = |order: [usize; 3]| -> String {
        let section = |index: usize| format!("comment\n{}", pki::pem(&all[index].der));
        order.map(section).concat()
    };
    let roots = Roots::from_pem(pem([0, 1, 2]).as_bytes()).unwrap();
    assert_eq!(roots.count(), 3);
    assert_eq!(
        Roots::from_pem(pem([2, 0, 1]).as_bytes()),
        Ok(roots.clone())
    );
    let other = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    let twice = [&pem([2, 0, 1]), other, &pem([1, 2, 0])].concat();
    assert_eq!(Roots::from_pem(twice.as_bytes()), Ok(roots.clone()));
    let mut sorted: Vec<Hash> = all.iter().map(|root| Hash::of(&root.der)).collect();
    sorted.sort();
    assert!(roots.iter().map(|(fingerprint, _)| fingerprint).eq(&sorted));
    let bytes: Vec<u8> = sorted.iter().flat_map(|hash| hash.0).collect();
    assert_eq!(roots.digest(), Hash::of(&bytes));

    let mut fewer = roots.clone();
    assert!(fewer.remove(&Hash::of(&all[0].der)));
    assert!(!fewer.remove(&Hash::of(&all[0].der)));
    assert_ne!(fewer.digest(), roots.digest());
    assert_eq!(
        Roots::from_pem(pem([1, 2, 1]).as_bytes()),
        Ok(fewer.clone())
    );
    let expected = Err(ChainError::RootNotAccepted { index: 0 });
    let chain = [all[0].issue(&leaf())];
    assert_eq!(check(&fewer, FINAL, &chain), expected);
    assert_eq!(fewer.insert(&all[0].der), Ok(true));
    assert_eq!(fewer.insert(&all[0].der), Ok(false));
    assert_eq!(fewer, roots);
    assert!(check(&fewer, FINAL, &chain).is_ok());
    assert_eq!(Roots::default().digest(), Hash::of(&[]));
}

#[test]
fn what_is_no_root_is_refused_and_named() {
    let mut roots = Roots::default();
    let result = roots.insert(&[0x30, 0]);
    assert!(
        matches!(result, Err(RootsError::Certificate { fingerprint, .. }) if fingerprint == Hash::of(&[0x30, 0]))
    );
    let broken = b"-----BEGIN CERTIFICATE-----\n%%%%\n-----END CERTIFICATE-----\n";
    assert!(matches!(
        Roots::from_pem(broken),
        Err(RootsError::Pem { index: 0, .. })
    ));
    let mut last = Ok(true);
    for _ in 0..=ct::ROOTS_OF_A_NAME_MAX {
        assert_eq!(last, Ok(true));
        last = roots.insert(&Authority::root("root").der);
    }
    assert!(matches!(last, Err(RootsError::TooManyOfAName { .. })));
    assert_eq!(roots.count(), ct::ROOTS_OF_A_NAME_MAX);
}

#[test]
fn issuer_is_compared_by_its_whole_name() {
    let root = Authority::root("root");
    let mut params = pki::authority("issuer");
    params
        .distinguished_name
        .push(DnType::OrganizationName, "more");
    let issuer = root.authority_by(params, &rcgen::PKCS_ECDSA_P256_SHA256);
    let namesake = root.authority("issuer");
    let chain = [issuer.issue(&leaf()), namesake.der];
    let expected = ChainError::WrongIssuer { index: 0 };
    assert_eq!(check(&roots(&[&root]), FINAL, &chain), Err(expected));
}
