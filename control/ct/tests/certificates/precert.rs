//! What is logged of a precertificate is what the timestamps in its final certificate sign, and what a re-encoder makes of it.

use ct::{
    Certificate, EntryKind, Hash, Oid, Precertificate, PrecertificateError, is_precertificate,
};
use rcgen::{CertificateParams, CustomExtension, IsCa};
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::Extension;

use crate::pki::{
    self, Authority, element, extension, leaf, leaf_with, overwrite, poison, sct_list,
};

const OTHER: [u64; 8] = [1, 3, 6, 1, 4, 1, 99, 1];

fn other() -> CustomExtension {
    extension(&OTHER, false, &[4, 1, 7])
}

fn parse(ders: &[Vec<u8>]) -> Vec<Certificate<'_>> {
    ders.iter()
        .map(|der| Certificate::parse(der).unwrap())
        .collect()
}

/// The signed part of a certificate, decoded and encoded again after `edit` by `x509-cert`.
fn reencode(der: &[u8], issuer: Option<&[u8]>, edit: impl FnOnce(&mut Vec<Extension>)) -> Vec<u8> {
    let certificate = x509_cert::Certificate::from_der(der).unwrap();
    let tbs = certificate.tbs_certificate();
    let mut extensions = tbs.extensions().unwrap().clone();
    edit(&mut extensions);
    let list = match extensions.is_empty() {
        true => Vec::new(),
        false => element(0xa3, &[&extensions.to_der().unwrap()]),
    };
    let version = element(0xa0, &[&tbs.version().to_der().unwrap()]);
    let own_issuer = tbs.issuer().to_der().unwrap();
    element(
        0x30,
        &[
            &version,
            &tbs.serial_number().to_der().unwrap(),
            &tbs.signature().to_der().unwrap(),
            issuer.unwrap_or(&own_issuer),
            &tbs.validity().to_der().unwrap(),
            &tbs.subject().to_der().unwrap(),
            &tbs.subject_public_key_info().to_der().unwrap(),
            &list,
        ],
    )
}

fn remove(id: Oid<'_>) -> impl FnOnce(&mut Vec<Extension>) {
    let id = id.to_string();
    move |extensions| extensions.retain(|extension| extension.extn_id.to_string() != id)
}

/// Final certificates around every length at which a header grows.
fn lists() -> impl Iterator<Item = Vec<u8>> {
    let lengths = [
        0,
        1,
        50,
        100,
        119,
        120,
        121,
        126,
        127,
        128,
        129,
        250,
        255,
        256,
        300,
        65_000 - 2000,
    ];
    lengths.into_iter().map(|length| vec![0xab; length])
}

#[test]
fn precertificate_and_final_certificate_are_one_entry_wherever_poison_and_list_stand() {
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_RSA_SHA256,
    ] {
        let issuer = Authority::root_by("issuer", algorithm);
        for list in lists() {
            for (before, after) in [
                ([poison(), other()], [sct_list(&list), other()]),
                ([poison(), other()], [other(), sct_list(&list)]),
                ([other(), poison()], [sct_list(&list), other()]),
            ] {
                let submitted = issuer.issue(&leaf_with(before));
                let issued = issuer.issue(&leaf_with(after));
                let ders = [submitted, issued, issuer.der.clone()];
                let certificates = parse(&ders);
                let [first, last, above] = &certificates[..] else {
                    panic!()
                };
                let logged =
                    Precertificate::from_submission(first, std::slice::from_ref(above)).unwrap();
                assert_eq!(Precertificate::from_final(last, above).unwrap(), logged);
                assert_eq!(*logged.tbs, reencode(&ders[0], None, remove(Oid::POISON)));
                assert_eq!(*logged.tbs, reencode(&ders[1], None, remove(Oid::SCT_LIST)));
                assert_eq!(logged.issuer_key_hash, above.public_key().hash());
            }
        }
    }
}

#[test]
fn signing_certificate_gives_way_to_the_issuer_of_the_final_certificate() {
    let root = Authority::root("root");
    let issuer = root.authority("issuer");
    let signing = issuer.precertificate_signing();
    let submitted = signing.issue(&leaf_with([other(), poison()]));
    let issued = issuer.issue(&leaf_with([other(), sct_list(b"list")]));
    let ders = [submitted, signing.der, issuer.der, root.der, issued];
    let certificates = parse(&ders);
    let (first, above) = certificates[..4].split_first().unwrap();
    let logged = Precertificate::from_submission(first, above).unwrap();
    let last = certificates.last().unwrap();
    assert_eq!(logged, Precertificate::from_final(last, &above[1]).unwrap());
    assert_eq!(logged.issuer_key_hash, above[1].public_key().hash());
    let missing = Precertificate::from_submission(first, &above[..1]);
    assert_eq!(missing, Err(PrecertificateError::NoIssuer));
    assert_eq!(
        Precertificate::from_submission(first, &[]),
        Err(PrecertificateError::NoIssuer)
    );
}

/// Chains of precertificate, signing certificate and issuer, with or without key identifiers.
fn signed_by_signing(own: bool, above: bool) -> [Vec<u8>; 3] {
    let issuer = Authority::root("issuer");
    let mut signing = issuer.precertificate_signing();
    signing.params.use_authority_key_identifier_extension = above;
    let signing = issuer.authority_by(signing.params, &rcgen::PKCS_ECDSA_P256_SHA256);
    let mut params = leaf_with([poison(), other()]);
    params.use_authority_key_identifier_extension = own;
    [signing.issue(&params), signing.der, issuer.der]
}

#[test]
fn key_identifier_is_replaced_in_its_place_removed_or_appended() {
    let id = Oid::AUTHORITY_KEY_IDENTIFIER.to_string();
    let is_identifier = |extension: &Extension| extension.extn_id.to_string() == id;
    for (own, above) in [(true, true), (true, false), (false, true), (false, false)] {
        let ders = signed_by_signing(own, above);
        let certificates = parse(&ders);
        let logged = Precertificate::from_submission(&certificates[0], &certificates[1..]).unwrap();
        let signing = x509_cert::Certificate::from_der(&ders[1]).unwrap();
        let theirs = signing.tbs_certificate().extensions().unwrap();
        let theirs = theirs
            .iter()
            .find(|extension| is_identifier(extension))
            .cloned();
        assert_eq!(theirs.is_some(), above);
        let expected = reencode(&ders[0], Some(certificates[1].issuer()), |extensions| {
            remove(Oid::POISON)(extensions);
            let place = extensions.iter().position(is_identifier);
            assert_eq!(place.is_some(), own);
            match (place, theirs) {
                (Some(place), Some(theirs)) => extensions[place] = theirs,
                (Some(place), None) => drop(extensions.remove(place)),
                (None, theirs) => extensions.extend(theirs),
            }
        });
        assert_eq!(*logged.tbs, expected, "own={own} above={above}");
    }
}

/// A certificate with no extension but these.
fn bare(extensions: Vec<CustomExtension>) -> CertificateParams {
    let mut params = leaf();
    params.subject_alt_names.clear();
    params.key_usages.clear();
    params.extended_key_usages.clear();
    params.is_ca = IsCa::NoCa;
    params.use_authority_key_identifier_extension = false;
    params.custom_extensions = extensions;
    params
}

#[test]
fn without_another_extension_their_list_goes_too() {
    let issuer = Authority::root("issuer");
    let ders = [
        issuer.issue(&bare(vec![poison()])),
        issuer.issue(&bare(vec![sct_list(b"list")])),
    ];
    let certificates = parse(&ders);
    assert_eq!(certificates[0].extensions().len(), 1);
    let above = Certificate::parse(&issuer.der).unwrap();
    let logged =
        Precertificate::from_submission(&certificates[0], std::slice::from_ref(&above)).unwrap();
    assert_eq!(*logged.tbs, reencode(&ders[0], None, Vec::clear));
    assert_eq!(
        Precertificate::from_final(&certificates[1], &above),
        Ok(logged)
    );
}

#[test]
fn octets_that_an_encoder_would_choose_otherwise_stay_as_they_are() {
    let issuer = Authority::root("issuer");
    let mut der = issuer.issue(&leaf_with([extension(&OTHER, true, &pki::NULL), poison()]));
    let id = [0x2b, 6, 1, 4, 1, 99, 1];
    let (critical, not) = (
        [&id[..], &[1, 1, 0xff]].concat(),
        [&id[..], &[1, 1, 0]].concat(),
    );
    assert_eq!(overwrite(&mut der, &critical, &not), 1);
    let above = Certificate::parse(&issuer.der).unwrap();
    let certificate = Certificate::parse(&der).unwrap();
    let logged = Precertificate::from_submission(&certificate, &[above]).unwrap();
    assert!(logged.tbs.windows(not.len()).any(|window| window == not));
}

#[test]
fn poison_must_be_critical_and_null() {
    let issuer = Authority::root("issuer");
    let above = [Certificate::parse(&issuer.der).unwrap()];
    for (poison, error) in [
        (
            extension(&pki::POISON, false, &pki::NULL),
            PrecertificateError::PoisonNotCritical,
        ),
        (
            extension(&pki::POISON, true, &[4, 0]),
            PrecertificateError::PoisonNotNull,
        ),
        (
            extension(&pki::POISON, true, &[5, 0, 0]),
            PrecertificateError::PoisonNotNull,
        ),
        (
            extension(&pki::POISON, true, &[]),
            PrecertificateError::PoisonNotNull,
        ),
    ] {
        let der = issuer.issue(&leaf_with([poison]));
        let certificate = Certificate::parse(&der).unwrap();
        assert_eq!(is_precertificate(&certificate), Err(error));
        assert_eq!(
            Precertificate::from_submission(&certificate, &above),
            Err(error)
        );
        assert_eq!(
            Precertificate::from_final(&certificate, &above[0]),
            Err(error)
        );
    }
}

#[test]
fn certificate_of_the_other_kind_or_of_another_issuer_is_refused() {
    let (issuer, stranger) = (Authority::root("issuer"), Authority::root("stranger"));
    let ders = [
        issuer.issue(&leaf()),
        issuer.issue(&leaf_with([poison(), sct_list(b"list")])),
        issuer.issue(&leaf_with([sct_list(b"list")])),
        issuer.der,
        stranger.der,
    ];
    let certificates = parse(&ders);
    let [plain, poisoned, stamped, above, stranger] = &certificates[..] else {
        panic!()
    };
    let submission = Precertificate::from_submission(plain, std::slice::from_ref(above));
    assert_eq!(submission, Err(PrecertificateError::NoPoison));
    assert_eq!(
        Precertificate::from_final(poisoned, above),
        Err(PrecertificateError::Poisoned)
    );
    assert_eq!(
        Precertificate::from_final(plain, above),
        Err(PrecertificateError::NoTimestamps)
    );
    assert_eq!(
        Precertificate::from_final(stamped, stranger),
        Err(PrecertificateError::WrongIssuer)
    );
}

#[test]
fn entry_keeps_what_was_submitted() {
    let precertificate = Precertificate {
        issuer_key_hash: Hash([1; 32]),
        tbs: b"tbs"[..].into(),
    };
    let expected = EntryKind::Precertificate {
        issuer_key_hash: Hash([1; 32]),
        tbs: b"tbs"[..].into(),
        submitted: b"submitted"[..].into(),
    };
    assert_eq!(precertificate.into_entry(b"submitted"[..].into()), expected);
}
