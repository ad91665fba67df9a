//! The same submissions before another log's check, Cloudflare's `static_ct_api`: both take them and log the same, or neither does.

use ct::{EntryKind, Submission};
use rcgen::{IsCa, SignatureAlgorithm};
use static_ct_api::{CertPool, load_pem_chain, validate_chain};

use crate::pki::{self, Authority, check, extension, leaf, leaf_with, poison, roots, sct_list};

/// Submits to both logs and says whether they took it.
fn is_taken(root: &Authority, submission: Submission, chain: &[Vec<u8>]) -> bool {
    let pem = pki::pem(&root.der);
    let pool = CertPool::new(load_pem_chain(pem.as_bytes()).unwrap()).unwrap();
    let is_pre = submission == Submission::Precertificate;
    let theirs = validate_chain(chain, &pool, None, None, is_pre, false);
    let ours = check(&roots(&[root]), submission, chain);
    let (ours, theirs) = match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => (ours, theirs),
        (Err(_), Err(_)) => return false,
        (ours, theirs) => panic!("ours: {ours:?}, theirs: {:?}", theirs.map(|_| ())),
    };
    match ours.entry.kind {
        EntryKind::Certificate(der) => {
            assert!(!theirs.is_precert);
            assert_eq!(*der, theirs.certificate);
        }
        EntryKind::Precertificate {
            issuer_key_hash,
            tbs,
            submitted,
        } => {
            assert!(theirs.is_precert);
            assert_eq!(issuer_key_hash.0, theirs.issuer_key_hash);
            assert_eq!(*tbs, theirs.certificate);
            assert_eq!(*submitted, theirs.pre_certificate);
        }
    }
    let issuers: Vec<&[u8]> = ours.issuers.iter().map(|issuer| &**issuer).collect();
    assert_eq!(issuers, theirs.issuers);
    true
}

#[test]
fn chains_that_are_whole_are_logged_alike() {
    let algorithms: [&SignatureAlgorithm; 4] = [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_RSA_SHA256,
    ];
    for algorithm in algorithms {
        let root = Authority::root_by("root", algorithm);
        let issuer = root.authority_by(pki::authority("issuer"), algorithm);
        let signing = issuer.precertificate_signing();
        let (pre, issued) = (leaf_with([poison()]), leaf_with([sct_list(b"list")]));
        let (r, i, s) = (&root.der, &issuer.der, &signing.der);
        for (submission, chain) in [
            (
                Submission::Certificate,
                vec![issuer.issue(&issued), i.clone()],
            ),
            (
                Submission::Certificate,
                vec![issuer.issue(&leaf()), i.clone(), r.clone()],
            ),
            (
                Submission::Precertificate,
                vec![issuer.issue(&pre), i.clone()],
            ),
            (
                Submission::Precertificate,
                vec![signing.issue(&pre), s.clone(), i.clone()],
            ),
            (
                Submission::Precertificate,
                vec![signing.issue(&pre), s.clone(), i.clone(), r.clone()],
            ),
        ] {
            assert!(
                is_taken(&root, submission, &chain),
                "{submission:?} {algorithm:?}"
            );
        }
    }
}

#[test]
fn chains_that_are_not_whole_are_refused_alike() {
    let (root, stranger) = (Authority::root("root"), Authority::root("stranger"));
    let issuer = root.authority("issuer");
    let mut params = pki::authority("no authority");
    params.is_ca = IsCa::ExplicitNoCa;
    let no_authority = root.authority_by(params, &rcgen::PKCS_ECDSA_P256_SHA256);
    let issued = issuer.issue(&leaf());
    let mut damaged = issued.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let poisoned = |is_critical, value: &[u8]| {
        issuer.issue(&leaf_with([extension(&pki::POISON, is_critical, value)]))
    };
    let (r, i) = (&root.der, &issuer.der);
    for chain in [
        vec![],
        vec![vec![0x30]],
        vec![issued.clone()],
        vec![issued.clone(), r.clone(), i.clone()],
        vec![issued.clone(), i.clone(), i.clone()],
        vec![issued[..issued.len() - 1].to_vec(), i.clone()],
        vec![damaged, i.clone()],
        vec![stranger.issue(&leaf()), stranger.der.clone()],
        vec![no_authority.issue(&leaf()), no_authority.der.clone()],
        vec![poisoned(true, &pki::NULL), i.clone()],
        vec![poisoned(false, &pki::NULL), i.clone()],
        vec![poisoned(true, &[4, 0]), i.clone()],
    ] {
        assert!(!is_taken(&root, Submission::Certificate, &chain));
    }
    assert!(!is_taken(
        &root,
        Submission::Precertificate,
        &[issued, i.clone()]
    ));
}
